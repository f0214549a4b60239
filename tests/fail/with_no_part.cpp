// SPDX-License-Identifier: Apache-2.0
// expect: with(): a part is a trivially copyable struct that says which distinction it answers
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr auto made = linear_attention.with(3);
#else
inline constexpr auto made = linear_attention.with(norm::none{});
#endif
