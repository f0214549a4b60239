// SPDX-License-Identifier: Apache-2.0
// expect: a gate that reads the step size dt reads it per head or per channel
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
struct mine {
  static constexpr part answers = part::forget_gate;
  static constexpr per raw = per::key;
  static constexpr source reads = source::step;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const { return x; }
};
inline constexpr auto made = linear_attention.with(mine{});
#else
struct mine {
  static constexpr part answers = part::forget_gate;
  static constexpr per raw = per::head;
  static constexpr source reads = source::step;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const { return x; }
};
inline constexpr auto made = linear_attention.with(mine{});
#endif
