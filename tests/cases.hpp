// SPDX-License-Identifier: Apache-2.0
/// @file  The table of cases: named designs, their shapes and wishes, and how exact each precision must be.
#pragma once

#include <string>       // string
#include <type_traits>  // is_same, remove_cvref

#include "invented.hpp"
#include "problem.hpp"

namespace sextant::test {

// How exact ------------------------------------------------------------------------------------------------------------

/// The bound on max|y - reference| / max|reference|, for y, S, z and m.
///   fp32  some tens of roundings of 6e-8 each, gates by polynomials good to 3e-7;
///   fp64  the same with 1.1e-16, and sums of up to 150 tokens in another order;
///   bf16  y is stored with 8 bits: half a unit is 2^-9 = 2.0e-3, or 3.9e-3 of a maximum just above a power of two;
///   fp16  11 bits: 2^-12 to 2^-11 = 4.9e-4 for y, more where a gate's raw numbers are tiny and so subnormal.
/// Inputs are rounded to the storage before both sides see them, so they add nothing.
template <class Precision> inline constexpr double tolerance = 2e-6;
template <> inline constexpr double tolerance<fp64> = 1e-12;
template <> inline constexpr double tolerance<bf16> = 5e-3;
template <> inline constexpr double tolerance<fp16> = 2e-3;

// Shapes and wishes ----------------------------------------------------------------------------------------------------

/// Heads as the design wants them: 1 and 1, 2 and 2, or 2 for 4.
template <class Design> shape heads_for(shape s) {
  using heads_type = typename Design::heads_type;
  if (std::is_same_v<heads_type, heads::single>) s.Hk = s.H = 1;
  else if (std::is_same_v<heads_type, heads::grouped>) s.Hk = 2, s.H = 4;
  else s.Hk = s.H = 2;
  return s;
}
/// Whether keys are pairs, that turn by a position or are complex numbers.
template <class Design>
inline constexpr bool has_pairs =
    !std::is_same_v<typename Design::position_type, position::none> || time_invariant<typename Design::forget_type>;
/// The everyday shape: 2 batches of 36 tokens (two tiles of 16 and a rest; a picture of 6 by 6), 5 keys and 7 channels,
/// which no vector divides; 8 keys where pairs of them turn.
template <class Design> shape everyday_shape() {
  return heads_for<Design>({.B = 2, .T = 36, .K = has_pairs<Design> ? 8 : 5, .V = 7, .grid_width = 6});
}
/// A published size of the mixer: of Mamba-130m, Mamba-2 and GLA at 2048 tokens, of MILA-T's first stage. Benchmarks use it.
template <class Design> shape published_shape() {
  if (std::is_same_v<typename Design::order_type, order::global>)
    return {.B = 1, .T = 56 * 56, .Hk = 2, .H = 2, .K = 32, .V = 32, .grid_width = 56};
  if (std::is_same_v<typename Design::map_type, map::squared>) return {.B = 1, .T = 2048, .Hk = 12, .H = 12, .K = 64, .V = 64};
  if (std::is_same_v<typename Design::heads_type, heads::single>) return {.B = 1, .T = 2048, .K = 16, .V = 1536};
  if (std::is_same_v<typename Design::heads_type, heads::grouped>)
    return {.B = 1, .T = 2048, .Hk = 1, .H = 32, .K = 128, .V = 64};
  return {.B = 1, .T = 2048, .Hk = 16, .H = 16, .K = 128, .V = 128};
}

/// A quotient of two sums is as well conditioned as its divisor: q z of keys of both signs comes near 0 (with large input
/// gates abs_max's bound of 1 is near 0 too), and then no number of bits is enough. So q and k are not negative where a
/// design divides by them.
template <class Design> inline constexpr bool divides = !std::is_same_v<typename Design::norm_type, norm::none>;
template <class Design> wishes everyday_wishes() { return {.positive_keys = divides<Design>}; }

// Designs --------------------------------------------------------------------------------------------------------------

/// visit(name, design) for the designs of the literature: those that forget nothing of themselves or in 2Mamba's way,
template <class Visit> void each_attention(const Visit& visit) {
  visit("linear_attention", linear_attention);
  visit("mila", mila);
  visit("two_mamba", two_mamba);
}
/// the state space models,
template <class Visit> void each_state_space_model(const Visit& visit) {
  visit("mamba", mamba);
  visit("mamba2", mamba2);
  visit("mamba2s", mamba2s);
}
/// those of a gate that is constant or its own tensor,
template <class Visit> void each_gated_attention(const Visit& visit) {
  visit("retnet", retnet);
  visit("gla", gla);
  visit("mlstm", mlstm);
}
/// and all of them, whose gates, queries and keys are those of tokens.
template <class Visit> void each_preset(const Visit& visit) {
  each_attention(visit);
  each_state_space_model(visit);
  each_gated_attention(visit);
}

/// State spaces that are the same for every token.
template <class Visit> void each_time_invariant(const Visit& visit) {
  visit("s4d", s4d);
  visit("s4d, bilinear", s4d.with(forget::diagonal<discretisation::bilinear>{}, shortcut::none{}));
}

/// The rows of the ablation of arXiv 2405.16605: one switch at a time from global linear attention towards Mamba.
inline constexpr auto ablation_baseline = linear_attention.with(order::global{});
template <class Visit> void each_ablation_row(const Visit& visit) {
  constexpr auto base = ablation_baseline;
  visit("baseline", base);
  visit("+ input gate", base.with(input::softplus<per::channel>{}));
  visit("+ forget gate", base.with(forget::selective{}, norm::sum_undecayed{}, order::causal{}));
  visit("+ shortcut", base.with(shortcut::learned{}));
  visit("- normalisation", base.with(norm::none{}));
  visit("- multi-head", base.with(heads::single{}));
  visit("all of them", base.with(input::softplus<per::channel>{}, forget::selective{}, order::causal{},
                                 shortcut::learned{}, norm::none{}, heads::single{}));
}

/// Designs with parts that a user invented.
template <class Visit> void each_invented(const Visit& visit) {
  constexpr auto base = linear_attention.with(norm::none{}, map::identity{});
  using namespace invented;
  visit("leaky input, branching gate", base.with(leaky_input{}, branching{}));
  visit("fixed input and forget gates", base.with(fixed_input{}, fixed_forget{}, norm::sum{}));
  visit("fixed gates, stabilised", base.with(fixed_input{}, fixed_forget{}, norm::abs_max{}));
  visit("gaussian gate per key", base.with(gaussian{.sharpness = 1.5f}, map::relu{}, norm::sum{.eps = 1e-3}));
  visit("tensor per head, rate per key", base.with(rated_keys{}, shortcut::learned{}));
  visit("step per head, rate per key", base.with(input::softplus<per::head>{}, stepped_keys{}, heads::grouped{}));
  visit("tensor per key, rate per channel", base.with(crossed{}, norm::sum_undecayed{}));
  visit("cutting gate per channel", base.with(cutting{}));
  visit("dense gate", base.with(dense{}, leaky_input{}, order::reversed{}));
  visit("rate per channel alone", base.with(channel_rates{}, heads::single{}));
  visit("soft map", linear_attention.with(soft_map{.sharpness = 3}, input::sigmoid{}));
  visit("folded map", linear_attention.with(folded_map{}, forget::softplus{}));
  visit("taylor map", linear_attention.with(taylor_map{}, forget::log_decay<per::key>{}, norm::none{}));
  visit("gates of the library per channel", base.with(forget::log_decay<per::channel>{}));
  visit("gates of the library per key and channel", base.with(forget::log_sigmoid<per::key_channel>{.temperature = 2}));
}

/// The design with one switch the other way, itself where it has no other way.
template <part Which, class Design> constexpr auto flipped(const Design& d) {
  using D = Design;
  constexpr bool per_channel = sextant::detail::step_granularity<D> == per::channel;
  constexpr bool is_global = std::is_same_v<typename D::order_type, order::global>;
  constexpr bool of_keys = Which == part::norm || Which == part::feature_map || Which == part::position;
  if constexpr (of_keys && time_invariant<typename D::forget_type>) return d;
  else if constexpr (Which == part::input_gate) {
    if constexpr (!std::is_same_v<typename D::input_type, input::one>) return d.with(input::one{});
    else if constexpr (per_channel) return d.with(input::softplus<per::channel>{});
    else return d.with(input::softplus<per::head>{});
  } else if constexpr (Which == part::forget_gate) {
    if constexpr (is_global) return d;
    else if constexpr (!std::is_same_v<typename D::forget_type, forget::one>) return d.with(forget::one{});
    else if constexpr (per_channel) return d.with(forget::log_decay<per::key>{});
    else return d.with(forget::exponential{});
  } else if constexpr (Which == part::shortcut) {
    if constexpr (std::is_same_v<typename D::shortcut_type, shortcut::none>) return d.with(shortcut::learned{});
    else return d.with(shortcut::none{});
  } else if constexpr (Which == part::norm) {
    constexpr per forget = granularity<typename D::forget_type>;
    if constexpr (!std::is_same_v<typename D::norm_type, norm::none>) return d.with(norm::none{});
    else if constexpr (forget == per::channel || forget == per::key_channel) return d.with(norm::sum_undecayed{});
    else return d.with(norm::sum{});
  } else if constexpr (Which == part::heads) {
    if constexpr (std::is_same_v<typename D::heads_type, heads::multi>) return d.with(heads::single{});
    else return d.with(heads::multi{});
  } else if constexpr (Which == part::feature_map) {
    if constexpr (std::is_same_v<typename D::map_type, map::identity>) return d.with(map::elu_plus_one{});
    else return d.with(map::identity{});
  } else if constexpr (Which == part::position) {
    if constexpr (std::is_same_v<typename D::position_type, position::none>) return d.with(position::rotary_1d{});
    else return d.with(position::none{});
  } else if constexpr (Which == part::order) {
    if constexpr (is_global && std::is_same_v<typename D::norm_type, norm::mean>) return d;
    else if constexpr (is_global) return d.with(order::causal{});
    else return d.with(order::reversed{});
  } else if constexpr (Which == part::output) {
    if constexpr (std::is_same_v<typename D::output_type, output::none>) return d.with(output::silu{});
    else return d.with(output::none{});
  } else if constexpr (Which == part::scale) {
    if constexpr (std::is_same_v<typename D::scale_type, scale::constant>) return d.with(scale::inverse_root{});
    else return d.with(scale::constant{1.25});
  } else {
    return d;  // the block is no part of the mixer
  }
}

template <part Which, class Design, class Visit>
void visit_flipped(const char* name, const char* which, const Design& d, const Visit& visit) {
  const auto other = flipped<Which>(d);
  if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(other)>, Design>)
    visit((std::string(name) + ", other " + which).c_str(), other);
}
/// visit(name, design) for a design with each single switch the other way.
template <class Design, class Visit> void each_flip_of(const char* name, const Design& d, const Visit& visit) {
  visit_flipped<part::input_gate>(name, "input gate", d, visit);
  visit_flipped<part::forget_gate>(name, "forget gate", d, visit);
  visit_flipped<part::shortcut>(name, "shortcut", d, visit);
  visit_flipped<part::norm>(name, "norm", d, visit);
  visit_flipped<part::heads>(name, "heads", d, visit);
  visit_flipped<part::feature_map>(name, "map", d, visit);
  visit_flipped<part::position>(name, "position", d, visit);
  visit_flipped<part::order>(name, "order", d, visit);
  visit_flipped<part::output>(name, "output", d, visit);
  visit_flipped<part::scale>(name, "scale", d, visit);
}

/// All of them but the switched ones, which calls_flipped_*.cpp make: what most laws are held against.
template <class Visit> void each_named(const Visit& visit) {
  each_preset(visit);
  each_time_invariant(visit);
  each_ablation_row(visit);
  each_invented(visit);
}

}  // namespace sextant::test
