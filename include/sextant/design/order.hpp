// SPDX-License-Identifier: Apache-2.0
/// @file  Order, output and scale: which tokens a token sees, what multiplies y last, the number in front of q.
#pragma once

#include <sextant/design/part.hpp>
#include <sextant/math/functions.hpp>

/// Which tokens a token sees.
namespace sextant::order {

/// Token t sees tokens 0..t.
struct causal {
  static constexpr part answers = part::order;
  static constexpr const char* name = "causal";
  static constexpr const char* formula = "token t sees tokens 0..t";
};
/// Token t sees all tokens of its sequence: sums without order, so without a forget gate.
struct global {
  static constexpr part answers = part::order;
  static constexpr const char* name = "global";
  static constexpr const char* formula = "token t sees all tokens";
};
/// Token t sees tokens t..T-1: causal on the sequence read backwards. An initial state enters at the last token.
struct reversed {
  static constexpr part answers = part::order;
  static constexpr const char* name = "reversed";
  static constexpr const char* formula = "token t sees tokens t..T-1";
};

}  // namespace sextant::order

/// What multiplies y last.
namespace sextant::output {

/// y as it is.
struct none {
  static constexpr part answers = part::output;
  static constexpr const char* name = "none";
  static constexpr const char* formula = "y";
};
/// y (.) silu(gate), with a tensor gate [B, T, H, V]: Mamba's z branch.
struct silu {
  static constexpr part answers = part::output;
  static constexpr const char* name = "silu";
  static constexpr const char* formula = "y (.) gate sigmoid(gate)";
};

}  // namespace sextant::output

/// The number in front of q.
namespace sextant::scale {

/// scale = value, 1 by default.
struct constant {
  static constexpr part answers = part::scale;
  static constexpr const char* name = "constant";
  static constexpr const char* formula = "scale = a number";
  double value = 1;
  SEXTANT_FN constexpr double operator()(index_t) const { return value; }
};
/// scale = K^-0.5.
struct inverse_root {
  static constexpr part answers = part::scale;
  static constexpr const char* name = "inverse_root";
  static constexpr const char* formula = "scale = K^-0.5";
  SEXTANT_FN double operator()(index_t K) const { return K > 0 ? 1 / math::sqrt(double(K)) : 1; }
};

}  // namespace sextant::scale
