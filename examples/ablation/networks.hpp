// SPDX-License-Identifier: Apache-2.0
/// @file  The rows of the table of networks: the paper's ablation (tables 1 and 2), each one change of its baseline, and
///        MILA-T, with the paper's own figures.
#pragma once

#include <sextant/models/vision.hpp>

namespace ablation {

/// One row: its name and what Han et al. (NeurIPS 2024, arXiv 2405.16605) print of it; 0 where they do not.
struct network_row {
  const char* name;
  double paper_params;        ///< millions
  double paper_macs;          ///< thousand millions: 'FLOPs'
  double paper_images_per_s;  ///< their GPU and batch are not stated
  double paper_top1;          ///< per cent of ImageNet-1K, trained
};

inline constexpr network_row network_rows[] = {
    {"baseline", 28, 4.5, 1152, 77.6},
    {"+ input gate", 29, 4.5, 1069, 77.8},
    {"+ forget gate", 29, 4.8, 743, 78.4},
    {"+ shortcut", 28, 4.5, 1066, 77.8},
    {"- normalisation", 28, 4.5, 1215, 72.4},
    {"- multi-head", 24, 3.9, 1540, 73.5},
    {"+ block design, all", 28, 4.7, 915, 79.4},
    {"+ block design, sub", 31, 4.8, 1010, 80.9},
    {"+ APE", 30, 4.5, 1132, 80.0},
    {"+ LePE", 28, 4.5, 1074, 81.6},
    {"+ CPE", 28, 4.5, 1099, 81.7},
    {"+ RoPE", 28, 4.5, 1113, 80.0},
    {"MILA-T", 25, 4.2, 0, 83.5},
};

/// Calls visit(row, network) for every row, in the order above. A row of your own is one more line.
template <class Visit> void for_each_network(Visit visit) {
  using namespace sextant;
  constexpr auto swin = models::linear_swin_t;
  const network_row* row = network_rows;
  const auto next = [&](const auto& network) { visit(*row++, network); };
  next(swin);
  next(swin.with(input::softplus<per::channel>{}));
  next(swin.with(forget::selective{}, order::causal{}, norm::sum_undecayed{}));
  next(swin.with(shortcut::learned{}));
  next(swin.with(norm::none{}));
  next(swin.with(heads::single{}));
  next(swin.with(block::mamba{}));
  next(swin.with(block::mila{}));
  next(swin.with_absolute_position());
  next(swin.with(shortcut::local{}));
  next(swin.with_conditional_position());
  next(swin.with(position::rotary_2d{}));
  next(models::mila_t);
}

}  // namespace ablation
