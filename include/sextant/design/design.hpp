// SPDX-License-Identifier: Apache-2.0
/// @file  The design: what a token mixer computes, one member per distinction, and with() to change some of them.
#pragma once

#include <sextant/design/rules.hpp>

namespace sextant {

/// What is computed, for token t of one head:
///   S_t = F_t (.) S_{t-1} + phi(k_t)^T (I_t (.) v_t)
///   z_t = F_t (.) z_{t-1} + phi(k_t)                           where the design normalises
///   y_t = (scale phi(q_t) S_t) / (phi(q_t) z_t + eps, or 1) + shortcut(v_t)
/// with q, k [B, T, Hk, K], v, y [B, T, H, V] and S [B, H, K, V]. One member per distinction of arXiv 2405.16605, and
/// what else a mixer needs. Parts are types that select code and may carry a few numbers; a design is a value that
/// travels with them. The default is linear attention.
template <class Input = input::one, class Forget = forget::one, class Shortcut = shortcut::none, class Norm = norm::sum,
          class Heads = heads::multi, class Block = block::transformer, class Map = map::elu_plus_one,
          class Position = position::none, class Order = order::causal, class Output = output::none,
          class Scale = scale::constant>
struct design {
  Input input_gate{};
  Forget forget_gate{};
  Shortcut shortcut{};
  Norm norm{};
  Heads heads{};
  Block block{};
  Map feature_map{};
  Position position{};
  Order order{};
  Output output{};
  Scale scale{};

  using input_type = Input;
  using forget_type = Forget;
  using shortcut_type = Shortcut;
  using norm_type = Norm;
  using heads_type = Heads;
  using block_type = Block;
  using map_type = Map;
  using position_type = Position;
  using order_type = Order;
  using output_type = Output;
  using scale_type = Scale;

  static_assert(
      gate<Input>,
      "an input gate is callable with what it reads (x, and a if it has a rate), or offers log() of it, for any "
      "scalar type");
  static_assert(
      gate<Forget>,
      "a forget gate is callable with what it reads (x, and a if it has a rate), or offers log() of it, for any "
      "scalar type");
  static_assert(sextant::feature_map<Map>,
                "a feature map is callable with one number, or expands K numbers to width(K)");

  using rules_type = rules<Input, Forget, Norm, Order, Map>;
  static_assert(rules_type::input_multiplies_v,
                "an input gate multiplies v, so it varies over nothing, heads or channels, not over keys");
  static_assert(rules_type::input_has_no_rate, "an input gate has no learned rate: `a` belongs to the forget gate");
  static_assert(
      rules_type::step_has_one_shape,
      "the input gate and the forget gate read the step size dt at two granularities: make both per head or both "
      "per channel");
  static_assert(rules_type::step_is_per_head_or_channel,
                "a gate that reads the step size dt reads it per head or per channel");
  static_assert(
      rules_type::global_forgets_nothing,
      "order::global sums over all tokens without order, so nothing can be forgotten: use forget::one, or "
      "order::causal");
  static_assert(rules_type::mean_is_global,
                "norm::mean divides by the number of all tokens: use order::global, or norm::sum");
  static_assert(
      rules_type::normaliser_is_a_vector,
      "a forget gate that varies over channels would make the normaliser a second state: use norm::sum_undecayed "
      "or norm::none");
  static_assert(
      rules_type::stabiliser_is_a_number,
      "norm::abs_max keeps one stabiliser per head: its input and forget gates vary over nothing or over heads");
  static_assert(
      rules_type::invariant_has_no_keys && (!time_invariant<Forget> || std::is_same_v<Position, position::none>),
      "a state space that is the same for every token has no keys to map, turn or sum: use map::identity, "
      "position::none and norm::none");

  /// This design with the given parts in place of its own, in any order.
  template <class... Parts> SEXTANT_FN constexpr auto with(Parts... parts) const;
};

namespace detail {

template <class T> inline constexpr bool is_design = false;
template <class... Parts> inline constexpr bool is_design<design<Parts...>> = true;

/// The part among First, Rest... that answers Wanted, or else Own.
template <part Wanted, class Own> SEXTANT_FN constexpr Own pick(Own own) { return own; }
template <part Wanted, class Own, class First, class... Rest>
SEXTANT_FN constexpr auto pick(Own own, First first, Rest... rest) {
  if constexpr (First::answers == Wanted) return first;
  else return pick<Wanted>(own, rest...);
}

template <class... Parts> consteval bool all_different() {
  constexpr part answered[] = {Parts::answers..., part::block};
  for (unsigned i = 0; i < sizeof...(Parts); ++i)
    for (unsigned j = 0; j < i; ++j)
      if (answered[i] == answered[j]) return false;
  return true;
}

}  // namespace detail

template <class Input, class Forget, class Shortcut, class Norm, class Heads, class Block, class Map, class Position,
          class Order, class Output, class Scale>
template <class... Parts>
SEXTANT_FN constexpr auto
design<Input, Forget, Shortcut, Norm, Heads, Block, Map, Position, Order, Output, Scale>::with(Parts... parts) const {
  static_assert(
      (component<Parts> && ...),
      "with(): a part is a trivially copyable struct that says which distinction it answers: static constexpr "
      "sextant::part answers = sextant::part::...");
  if constexpr ((component<Parts> && ...)) {
    static_assert(detail::all_different<Parts...>(), "with(): two parts answer the same distinction");
    const auto i = detail::pick<part::input_gate>(input_gate, parts...);
    const auto f = detail::pick<part::forget_gate>(forget_gate, parts...);
    const auto s = detail::pick<part::shortcut>(shortcut, parts...);
    const auto n = detail::pick<part::norm>(norm, parts...);
    const auto h = detail::pick<part::heads>(heads, parts...);
    const auto b = detail::pick<part::block>(block, parts...);
    const auto m = detail::pick<part::feature_map>(feature_map, parts...);
    const auto p = detail::pick<part::position>(position, parts...);
    const auto o = detail::pick<part::order>(order, parts...);
    const auto out = detail::pick<part::output>(output, parts...);
    const auto c = detail::pick<part::scale>(scale, parts...);
    return design<std::remove_const_t<decltype(i)>, std::remove_const_t<decltype(f)>, std::remove_const_t<decltype(s)>,
                  std::remove_const_t<decltype(n)>, std::remove_const_t<decltype(h)>, std::remove_const_t<decltype(b)>,
                  std::remove_const_t<decltype(m)>, std::remove_const_t<decltype(p)>, std::remove_const_t<decltype(o)>,
                  std::remove_const_t<decltype(out)>, std::remove_const_t<decltype(c)>>{i, f, s, n,   h, b,
                                                                                        m, p, o, out, c};
  }
}

}  // namespace sextant
