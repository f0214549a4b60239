// SPDX-License-Identifier: Apache-2.0
/// @file  The designs of the literature, each one line of with().
#pragma once

#include <sextant/design/design.hpp>

namespace sextant {

/// Linear attention: elu + 1, sum-normalised, causal (Katharopoulos et al. 2020, arXiv 2006.16236).
inline constexpr design<> linear_attention{};

/// Mamba, the selective state space S6 (Gu and Dao 2023, arXiv 2312.00752): q = C, k = B, v = x; the output gate z is
/// `.with(output::silu{})`.
inline constexpr auto mamba =
    linear_attention.with(input::softplus<per::channel>{}, forget::selective{}, shortcut::learned{}, norm::none{},
                          heads::single{}, block::mamba{}, map::identity{});

/// Mamba-2, state space duality (Dao and Gu 2024, arXiv 2405.21060): heads share q = C and k = B in groups.
inline constexpr auto mamba2 =
    linear_attention.with(input::softplus<per::head>{}, forget::exponential{}, shortcut::learned{}, norm::none{},
                          heads::grouped{}, block::mamba{}, map::identity{});

/// Mamba-2S, the part of Mamba-2 that 2Mamba starts from: the A-mask exp(-softplus(forget)), step sizes on v, no
/// shortcut (arXiv 2602.17363; its output norm, which takes any scale of q away, belongs to the block).
inline constexpr auto mamba2s =
    linear_attention.with(input::softplus<per::head>{}, forget::softplus{}, norm::none{}, block::mamba{},
                          map::identity{});

/// Retention (Sun et al. 2023, arXiv 2307.08621): a constant decay per head, scale K^-0.5. RetNet turns q and k first:
/// `.with(position::rotary_1d{})`.
inline constexpr auto retnet =
    linear_attention.with(forget::constant{}, norm::none{}, map::identity{}, scale::inverse_root{});

/// Gated linear attention (Yang et al. 2024, arXiv 2312.06635): sigmoid(forget)^(1/16) per key, scale K^-0.5.
inline constexpr auto gla = linear_attention.with(forget::log_sigmoid<per::key>{.temperature = 16}, norm::none{},
                                                  map::identity{}, scale::inverse_root{});

/// mLSTM (Beck et al. 2024, arXiv 2405.04517): exponential input gate, sigmoid forget gate, max(|q z|, 1), scale
/// K^-0.5.
inline constexpr auto mlstm = linear_attention.with(input::exponential{}, forget::log_sigmoid<per::head>{},
                                                    norm::abs_max{}, map::identity{}, scale::inverse_root{});

/// MILA (Han et al. 2024, arXiv 2405.16605): global, elu + 1, 2-D rotary in the numerator, mean-normalised, LePE.
inline constexpr auto mila = linear_attention.with(norm::mean{}, shortcut::local{}, block::mila{},
                                                   position::rotary_2d{}, order::global{});

/// 2Mamba (arXiv 2602.17363): weights (q.k)^2 / K under the A-mask exp(-softplus(forget)), sum-normalised. The K^-0.5
/// of the scores goes to the keys before the map: (q . K^-0.5 k)^2.
inline constexpr auto two_mamba =
    linear_attention.with(forget::softplus{}, map::squared{.scale_keys = true});

/// S4D, a diagonal state space that is the same for every token (Gu et al. 2022, arXiv 2206.11893): v = u; B = 1 unless b
/// is given. `.with(forget::diagonal<discretisation::bilinear>{})` for the other discretisation.
inline constexpr auto s4d =
    linear_attention.with(forget::diagonal<>{}, shortcut::learned{}, norm::none{}, map::identity{});

}  // namespace sextant
