// SPDX-License-Identifier: Apache-2.0
/// @file  The rows of the table: each a design, changed by one switch from the baseline, and the sizes it runs at.
#pragma once

#include <array>  // array

#include <sextant/design/presets.hpp>

namespace ablation {

/// One row: what is computed, at which sizes, from which projections of tokens of 96 channels.
struct variant {
  const char* name;
  sextant::index_t key_heads, heads, keys, values;
  bool projects_v = true;      ///< MILA and S4D take the tokens themselves as v
  bool biased = true;          ///< q, k, v projections have a bias, as in Swin; Mamba's have none
  bool has_step_bias = false;  ///< the step size has a bias of its own, as in Mamba
};

inline constexpr sextant::index_t token_channels = 96;

// The ablation of Han et al. (NeurIPS 2024, arXiv 2405.16605, table 1) at the level of the mixer, stage 1 of Swin-T: each
// row changes one switch of the baseline. The forget gate makes the order causal; its normaliser does not decay.
inline constexpr auto baseline = sextant::linear_attention.with(sextant::order::global{});
inline constexpr auto with_input_gate = baseline.with(sextant::input::softplus<sextant::per::channel>{});
inline constexpr auto with_forget_gate =
    baseline.with(sextant::forget::selective{}, sextant::order::causal{}, sextant::norm::sum_undecayed{});
inline constexpr auto with_shortcut = baseline.with(sextant::shortcut::learned{});
inline constexpr auto without_norm = baseline.with(sextant::norm::none{});
inline constexpr auto single_head = baseline.with(sextant::heads::single{});
inline constexpr auto all_of_them = baseline.with(
    sextant::input::softplus<sextant::per::channel>{}, sextant::forget::selective{}, sextant::order::causal{},
    sextant::shortcut::learned{}, sextant::norm::none{}, sextant::heads::single{}, sextant::block::mamba{});

inline constexpr variant variants[] = {
    {"baseline", 3, 3, 32, 32},
    {"+ input gate", 3, 3, 32, 32},
    {"+ forget gate", 3, 3, 32, 32},
    {"+ shortcut", 3, 3, 32, 32},
    {"- normalisation", 3, 3, 32, 32},
    {"- multi-head", 1, 1, 32, 96},
    {"all (Mamba point)", 1, 1, 32, 96},
    {"Mamba", 1, 1, 16, 192, true, false, true},
    {"Mamba-2", 1, 3, 128, 64, true, false, true},
    {"RetNet", 3, 3, 32, 32, true, false},
    {"GLA", 3, 3, 32, 32, true, false},
    {"MILA", 3, 3, 32, 32, false},
    {"S4D", 1, 1, 64, 96, false},
};

/// Calls visit(row, design) for every row, the design as a type.
template <class Visit> void for_each_row(Visit visit) {
  const variant* row = variants;
  const auto next = [&](const auto& design) { visit(*row++, design); };
  next(baseline);
  next(with_input_gate);
  next(with_forget_gate);
  next(with_shortcut);
  next(without_norm);
  next(single_head);
  next(all_of_them);
  next(sextant::mamba);
  next(sextant::mamba2);
  next(sextant::retnet);
  next(sextant::gla);
  next(sextant::mila);
  next(sextant::s4d);
}

}  // namespace ablation
