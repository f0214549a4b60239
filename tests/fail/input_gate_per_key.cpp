// SPDX-License-Identifier: Apache-2.0
// expect: an input gate multiplies v, so it varies over nothing, heads or channels, not over keys
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
struct mine {
  static constexpr part answers = part::input_gate;
  static constexpr per raw = per::key;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const { return x; }
};
inline constexpr auto made = linear_attention.with(mine{});
#else
struct mine {
  static constexpr part answers = part::input_gate;
  static constexpr per raw = per::channel;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const { return x; }
};
inline constexpr auto made = linear_attention.with(mine{});
#endif
