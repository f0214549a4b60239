// SPDX-License-Identifier: Apache-2.0
// expect: an input gate is callable with what it reads (x, and a if it has a rate), or offers log() of it, for any scalar type
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
struct mine {
  static constexpr part answers = part::input_gate;
  static constexpr per raw = per::head;
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
