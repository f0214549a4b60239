// SPDX-License-Identifier: Apache-2.0
/// @file  The tensors of a call: exactly those that the design reads and writes.
#pragma once

#include <type_traits>  // conditional, remove_cvref

#include <sextant/design/design.hpp>
#include <sextant/tensor/precision.hpp>
#include <sextant/tensor/view.hpp>

namespace sextant {

/// An image's pixels, read row by row, are the tokens of a sequence.
struct image_grid {
  index_t height = 0, width = 0;
};

namespace detail {

// A tensor that a design does not have does not exist in its sequence: each is a base class, or one of these.
template <int Which> struct absent {};
template <bool Has, class Tensor, int Which> using only_if = std::conditional_t<Has, Tensor, absent<Which>>;

template <per P, class E> struct token_view;
template <class E> struct token_view<per::head, E> { using type = bth<E>; };
template <class E> struct token_view<per::key, E> { using type = bthk<E>; };
template <class E> struct token_view<per::channel, E> { using type = bthv<E>; };
template <class E> struct token_view<per::key_channel, E> { using type = bthkv<E>; };

template <per P, class E> struct parameter_view;
template <class E> struct parameter_view<per::head, E> { using type = head_view<E>; };
template <class E> struct parameter_view<per::key, E> { using type = hk<E>; };
template <class E> struct parameter_view<per::channel, E> { using type = hv<E>; };
template <class E> struct parameter_view<per::key_channel, E> { using type = hvk<E>; };

template <class E> struct key_tensors {
  bthk<const E> q{};                                     ///< [B, T, Hk, K]
  bthk<const E> k{};                                     ///< [B, T, Hk, K]
};
template <class Real> struct state_space_tensors {
  hv<const Real> log_dt{};                               ///< logarithm of the step size, [H, V]
  hvk<const Real> b{};                                   ///< [H, V, K], optional: 1 if absent
  hvk<const Real> c{};                                   ///< [H, V, K]
};
template <per P, class E, class Real> struct step_tensors {
  typename token_view<P, const E>::type dt{};            ///< raw step size, [B, T, H] or [B, T, H, V]
  typename parameter_view<P, const Real>::type bias{};   ///< [H] or [H, V], optional: 0 if absent
};
template <per P, class E> struct forget_tensor {
  typename token_view<P, const E>::type forget{};        ///< raw forget gate
};
template <per P, class E> struct input_tensor {
  typename token_view<P, const E>::type input{};         ///< raw input gate
};
template <per P, class Real> struct rate_tensor {
  typename parameter_view<P, const Real>::type a{};      ///< the forget gate's rate, [H], [H, K], [H, V] or [H, V, K]
};
template <class Real> struct shortcut_tensor {
  hv<const Real> d{};                                    ///< [H, V]
};
template <class Real> struct local_tensors {
  hv33<const Real> lepe{};                               ///< [H, V, 3, 3]
  hv<const Real> lepe_bias{};                            ///< [H, V], optional: 0 if absent
};
struct grid_of_tokens {
  image_grid grid{};                                     ///< T = height width
};
struct place_of_tokens {
  index_t first_position = 0;                            ///< position of the sequence's first token
};
template <class E> struct output_tensor {
  bthv<const E> gate{};                                  ///< [B, T, H, V]
};
template <class E> struct normaliser_state {
  bhk<E> z{};                                            ///< [B, H, K']
};
template <class E> struct stabiliser_state {
  bh<E> m{};                                             ///< [B, H]
};

template <class D> inline constexpr per step_granularity =
    reads_step<typename D::input_type>    ? raw_granularity<typename D::input_type>
    : reads_step<typename D::forget_type> ? raw_granularity<typename D::forget_type>
                                          : per::nothing;
template <class D> inline constexpr bool is_local = std::is_same_v<typename D::shortcut_type, shortcut::local>;
template <class D> inline constexpr bool is_learned = std::is_same_v<typename D::shortcut_type, shortcut::learned>;
template <class D> inline constexpr bool turns_1d = std::is_same_v<typename D::position_type, position::rotary_1d>;
template <class D> inline constexpr bool turns_2d = std::is_same_v<typename D::position_type, position::rotary_2d>;
template <class D> inline constexpr bool has_output_gate = std::is_same_v<typename D::output_type, output::silu>;
template <class D> inline constexpr bool stabilises = std::is_same_v<typename D::norm_type, norm::abs_max>;

template <per P, class E, class Real> using step_of = only_if<P != per::nothing, step_tensors<P == per::nothing ? per::head : P, E, Real>, 0>;
template <class G, class E> using forget_of = only_if<reads_own<G>, forget_tensor<reads_own<G> ? raw_granularity<G> : per::head, E>, 1>;
template <class G, class E> using input_of = only_if<reads_own<G>, input_tensor<reads_own<G> ? raw_granularity<G> : per::head, E>, 2>;
template <per P, class Real> using rate_of_gate = only_if<P != per::nothing, rate_tensor<P == per::nothing ? per::head : P, Real>, 3>;

}  // namespace detail

/// The state of a call: S, and z and m where the design has them. K' = state_width<Map>(K) keys; B counts sequences.
/// A state of zeros is an empty one.
template <class Design, class E>
struct state_of : detail::only_if<detail::normalises<typename Design::norm_type>, detail::normaliser_state<E>, 10>,
                  detail::only_if<detail::stabilises<Design>, detail::stabiliser_state<E>, 11> {
  bhkv<E> S{};                                           // [B, H, K', V]
};

/// The tensors of one call: q, k, v, y, the states, and exactly what the design's parts read besides
/// (`describe(design)` lists them): dt and bias, forget, input, a, d, lepe and lepe_bias, grid, first_position, gate; for a
/// time-invariant state space log_dt, a, b and c in place of q and k.
/// Token tensors and y are stored as the precision's token type; parameters as its accumulator.
///
/// Sequences of different lengths may be packed: with `offsets` {0, T_0, T_0 + T_1, ...} of n + 1 numbers, token tensors
/// have B = 1 and hold the n sequences one after the other, and states have B = n.
template <class Design, class Precision>
struct sequence_of
    : detail::only_if<!time_invariant<typename Design::forget_type>, detail::key_tensors<typename Precision::token>, 9>,
      detail::only_if<time_invariant<typename Design::forget_type>,
                      detail::state_space_tensors<typename Precision::accumulator>, 12>,
      detail::step_of<detail::step_granularity<Design>, typename Precision::token, typename Precision::accumulator>,
      detail::forget_of<typename Design::forget_type, typename Precision::token>,
      detail::input_of<typename Design::input_type, typename Precision::token>,
      detail::rate_of_gate<rate_granularity<typename Design::forget_type>, typename Precision::accumulator>,
      detail::only_if<detail::is_learned<Design>, detail::shortcut_tensor<typename Precision::accumulator>, 4>,
      detail::only_if<detail::is_local<Design>, detail::local_tensors<typename Precision::accumulator>, 5>,
      detail::only_if<detail::is_local<Design> || detail::turns_2d<Design>, detail::grid_of_tokens, 6>,
      detail::only_if<detail::turns_1d<Design>, detail::place_of_tokens, 7>,
      detail::only_if<detail::has_output_gate<Design>, detail::output_tensor<typename Precision::token>, 8> {
  using design_type = Design;
  using precision_type = Precision;
  using token = typename Precision::token;
  using state = typename Precision::state;

  bthv<const token> v{};                                 // [B, T, H, V]
  bthv<token> y{};                                       // [B, T, H, V]
  state_of<Design, const state> initial_state{};         // optional: empty if absent
  state_of<Design, state> final_state{};                 // optional: not written if absent
  view<const index_t, axis::sequence> offsets{};         // optional: packed sequences
};

/// The sequence of a design, also of `decltype(mamba)`, which is const.
template <class Design, class Precision = fp32>
using sequence = sequence_of<std::remove_cvref_t<Design>, Precision>;
/// The state of a design, whose elements are of the precision's state type.
template <class Design, class Precision = fp32>
using state = state_of<std::remove_cvref_t<Design>, typename Precision::state>;

}  // namespace sextant
