// SPDX-License-Identifier: Apache-2.0
// expect: an input gate has no learned rate: `a` belongs to the forget gate
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
struct mine {
  static constexpr part answers = part::input_gate;
  static constexpr per raw = per::head;
  static constexpr per rate = per::head;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x, Real a) const { return x * a; }
};
inline constexpr auto made = linear_attention.with(mine{});
#else
struct mine {
  static constexpr part answers = part::input_gate;
  static constexpr per raw = per::head;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const { return x; }
};
inline constexpr auto made = linear_attention.with(mine{});
#endif
