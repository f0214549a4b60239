// SPDX-License-Identifier: Apache-2.0
/// @file  Distinction 6, the block: what stands around the mixer. Here its name and its counts.
#pragma once

#include <sextant/design/part.hpp>

/// Blocks, with their parameters and multiply-accumulates (conv, linear and attention products; no norms) for tokens of
/// C channels. The counts are those of math: arXiv 2405.16605 section 4, and of the public models' code.
namespace sextant::block {

/// LayerNorm, mixer with q, k, v, out projections C -> C, LayerNorm, MLP of ratio 4: 12 C^2 + 13 C parameters.
struct transformer {
  static constexpr part answers = part::block;
  static constexpr const char* name = "transformer";
  static constexpr const char* formula = "x += mixer(LN x); x += MLP(LN x)";
  static constexpr index_t parameters(index_t C) { return 12 * C * C + 13 * C; }
  /// n tokens, d keys per head: projections and MLP 12 n C^2, the two products with the state 2 n C d, q z n C.
  static constexpr index_t macs(index_t n, index_t C, index_t d) { return n * 12 * C * C + 2 * n * C * d + n * C; }
};

/// Mamba's block: in_proj, causal conv of width 4, SiLU, x_proj, dt_proj, scan, gate, out_proj, with expansion 2,
/// N = 16 states and dt rank ceil(C / 16) (Gu and Dao 2023). In a network of pictures (models/vision.hpp) it is built as
/// blocks::gated_block, with a 3x3 convolution; Mamba's own block of sequences is blocks::mamba_block.
struct mamba {
  static constexpr part answers = part::block;
  static constexpr const char* name = "mamba";
  static constexpr const char* formula = "x += out(mixer(silu(conv(in x))) (.) silu(z x))";
  static constexpr index_t parameters(index_t C) {
    constexpr index_t E = 2, N = 16, width = 4;
    const index_t D = E * C, R = (C + 15) / 16;
    return 2 * D * C + D * (width + 1) + D * (R + 2 * N) + R * D + D + D * N + D + D * C;
  }
  /// n tokens; the scan counts 9 n D N + n D, the rule of the vision papers.
  static constexpr index_t macs(index_t n, index_t C, index_t d = 16) {
    constexpr index_t E = 2, width = 4;
    const index_t D = E * C, R = (C + 15) / 16;
    return n * (2 * D * C + D * width + D * (R + 2 * d) + R * D + 9 * D * d + D + D * C);
  }
};

/// MILA's block: CPE, LayerNorm, in and gate projections, 3x3 conv, mixer with LePE, out, CPE, LayerNorm, MLP of
/// ratio 4: 13 C^2 + 54 C parameters.
struct mila {
  static constexpr part answers = part::block;
  static constexpr const char* name = "mila";
  static constexpr const char* formula = "x += out(mixer(silu(conv(in x))) (.) silu(gate x)); x += MLP(LN x)";
  static constexpr index_t parameters(index_t C) { return 13 * C * C + 54 * C; }
  static constexpr index_t macs(index_t n, index_t C, index_t d) {
    return n * 13 * C * C + 36 * n * C + n * C + 2 * n * C * d;
  }
};

}  // namespace sextant::block
