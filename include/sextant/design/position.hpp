// SPDX-License-Identifier: Apache-2.0
/// @file  Positions: rotations of the mapped queries and keys, in the numerator alone.
#pragma once

#include <sextant/design/part.hpp>
#include <sextant/math/functions.hpp>

/// Positions. Adjacent numbers (2m, 2m + 1) are the real and imaginary part of a pair that is turned by an angle:
///   re' = re cos - im sin,  im' = re sin + im cos.
/// The normaliser z reads what has not been turned (arXiv 2405.16605, section 4.2).
namespace sextant::position {

/// No position.
struct none {
  static constexpr part answers = part::position;
  static constexpr const char* name = "none";
  static constexpr const char* formula = "q, k as mapped";
};

/// Token t turns pair m of each head by t base^(-2m / K) (RoPE: Su et al. 2021, arXiv 2104.09864). K must be even.
/// t counts from the sequence's own first token plus `first_position`.
struct rotary_1d {
  static constexpr part answers = part::position;
  static constexpr const char* name = "rotary_1d";
  static constexpr const char* formula = "pair m of each head turned by t base^(-2m/K)";
  double base = 10000;
};

/// The pixel (i, j) turns the pairs of all Hk K numbers before the split into heads: with M = Hk K / 4, pair m < M by
/// i base^(-m / M), pair M + m by j base^(-m / M) (MILA). Hk K must be a multiple of 4 and K even.
struct rotary_2d {
  static constexpr part answers = part::position;
  static constexpr const char* name = "rotary_2d";
  static constexpr const char* formula =
      "pairs of all Hk K numbers turned by i theta_m, then by j theta_m, theta_m = base^(-m/(Hk K/4))";
  double base = 10000;
};

}  // namespace sextant::position
