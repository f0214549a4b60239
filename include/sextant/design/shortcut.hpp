// SPDX-License-Identifier: Apache-2.0
/// @file  Distinction 3, the shortcut: what is added to y from the ungated v.
#pragma once

#include <sextant/design/part.hpp>

/// Shortcuts. All of them read v before the input gate.
namespace sextant::shortcut {

/// y += 0.
struct none {
  static constexpr part answers = part::shortcut;
  static constexpr const char* name = "none";
  static constexpr const char* formula = "y += 0";
};

/// y_t += d (.) v_t with learned d [H, V] (Mamba's D; one number per head: a view with stride 0 along V).
struct learned {
  static constexpr part answers = part::shortcut;
  static constexpr const char* name = "learned";
  static constexpr const char* formula = "y += d (.) v";
};

/// y += DWConv3x3(v): a depthwise convolution of v over the image grid, zero-padded by one, with weights lepe
/// [H, V, 3, 3] and an optional bias lepe_bias [H, V] (LePE: Dong et al. 2022, arXiv 2107.00652; MILA).
/// It needs the tokens of a sequence to be the pixels of `grid`, row by row.
struct local {
  static constexpr part answers = part::shortcut;
  static constexpr const char* name = "local";
  static constexpr const char* formula = "y += DWConv3x3(v; lepe, lepe_bias) over the grid";
};

}  // namespace sextant::shortcut
