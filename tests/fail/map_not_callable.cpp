// SPDX-License-Identifier: Apache-2.0
// expect: a feature map is callable with one number, or expands K numbers to width(K)
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
struct mine {
  static constexpr part answers = part::feature_map;
};
inline constexpr auto made = linear_attention.with(mine{});
#else
struct mine {
  static constexpr part answers = part::feature_map;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const { return x * x; }
};
inline constexpr auto made = linear_attention.with(mine{});
#endif
