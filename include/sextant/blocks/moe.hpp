// SPDX-License-Identifier: Apache-2.0
/// @file  Switch: a feed-forward layer of many experts, of which a token sees one.
#pragma once

#include <cstdint>      // int32_t
#include <type_traits>  // type_identity_t

#include <sextant/blocks/memory.hpp>
#include <sextant/blocks/module.hpp>

namespace sextant::blocks {

/// The sizes of a Switch layer (Fedus et al. 2021, arXiv 2101.03961; MoE-Mamba, arXiv 2401.04081).
struct moe_sizes {
  index_t model = 0;   ///< channels of a token
  index_t hidden = 0;  ///< of an expert
  index_t experts = 0;
  /// An expert takes the first int(factor n / experts) of the tokens that are sent to it, n at most; the others pass by.
  /// 0: all of them, which is what generation wants, whose tokens come one at a time.
  double capacity_factor = 1;
  activation act = activation::relu;

  constexpr index_t capacity(index_t n) const {
    const index_t most =
        capacity_factor > 0 && experts > 0 ? index_t(capacity_factor * double(n) / double(experts)) : n;
    return most < n ? most : n;
  }
};

/// A Switch layer without the norm before it and the sum behind it. No checkpoint of one is public: the names are ours.
template <class E> struct moe_block {
  using matrices = view<const E, axis::head, axis::row, axis::column>;

  moe_sizes sizes{};
  modules::linear<E> router{};        ///< to one number for each expert
  modules::parameter<matrices> w1{};  ///< [experts, hidden, model]
  modules::parameter<matrices> w2{};  ///< [experts, model, hidden]

  constexpr moe_block() = default;
  constexpr explicit moe_block(const moe_sizes& s)
      : sizes(s),
        router(modules::linear<E>(s.model, s.experts, false).pytorch()),
        w1({nullptr, {s.experts, s.hidden, s.model}}, start::uniform(modules::detail::bound_of(s.model))),
        w2({nullptr, {s.experts, s.model, s.hidden}}, start::uniform(modules::detail::bound_of(s.hidden))) {}

  template <class Visit> constexpr void each(const Visit& visit) {
    visit("router", router);
    visit("experts.w1", w1);
    visit("experts.w2", w2);
  }
  /// Of n tokens, none of which passes by.
  constexpr multiply_adds macs(index_t n) const {
    return router.macs(n) + multiply_adds{2 * n * sizes.model * sizes.hidden, 0, 0};
  }
};

/// The layer of one expert of [experts, outputs, inputs].
template <class E>
constexpr modules::linear<E> layer_of_expert(const view<const E, axis::head, axis::row, axis::column>& of,
                                             index_t expert) {
  modules::linear<E> one(of.template extent<axis::column>(), of.template extent<axis::row>(), false);
  if (of)
    one.weight = {of.data() + expert * of.template stride<axis::head>(),
                  {of.template extent<axis::row>(), of.template extent<axis::column>()},
                  {of.template stride<axis::row>(), 1}};
  return one;
}

/// Where tokens go: to places in the experts' order, those of expert e from first[e] to first[e + 1], an expert's tokens in
/// their own order. There are as many places as tokens at most, of which the last ones may stay free.
template <class E> struct moe_routes {
  index_t tokens = 0, experts = 0;
  index_t capacity = 0;              ///< tokens that an expert takes at most
  index_t places = 0;                ///< rows that tokens are sent to: of all experts together, no more than tokens
  std::int32_t* chosen = nullptr;    ///< [tokens], the token's expert
  std::int32_t* place_of = nullptr;  ///< [tokens], -1: the token passes by
  std::int32_t* token_at = nullptr;  ///< [places], of those that are taken
  std::int32_t* first = nullptr;     ///< [experts + 1]
  accumulator_of<E>* probability = nullptr;  ///< [tokens], of the token's expert

  moe_routes(const moe_sizes& s, index_t n, buffers& from) : tokens(n), experts(s.experts), capacity(s.capacity(n)) {
    places = experts * capacity < n ? experts * capacity : n;
    chosen = from.take<std::int32_t>(1, n).data();
    place_of = from.take<std::int32_t>(1, n).data();
    token_at = from.take<std::int32_t>(1, places).data();
    first = from.take<std::int32_t>(1, experts + 1).data();
    probability = from.take<accumulator_of<E>>(1, n).data();
  }
};

namespace detail {
/// The arrays of a call on n tokens.
template <class E> struct moe_arrays {
  moe_routes<E> routes;
  rows<E> logits, placed, hidden;  // placed: what comes to the places, then what leaves them

  moe_arrays(const moe_sizes& s, index_t n, buffers& from) : routes(s, n, from) {
    const auto take = [&](index_t count, index_t length) { return from.take<E>(count, length); };
    logits = take(n, s.experts);
    placed = take(routes.places, s.model);
    hidden = take(routes.places, s.hidden);
  }
};

/// Whether x [count, inputs], w [experts, outputs, inputs] and y [places, outputs] go together.
template <class E, class Weights>
constexpr status fit_experts(const rows<const E>& x, index_t count, const Weights& w, const rows<E>& y,
                             const moe_routes<E>& routes) {
  if (x.template extent<axis::row>() != count || y.template extent<axis::row>() != routes.places ||
      w.template extent<axis::head>() != routes.experts ||
      x.template extent<axis::value>() != w.template extent<axis::column>() ||
      y.template extent<axis::value>() != w.template extent<axis::row>())
    return {errc::shape, "moe: rows of tokens or places, and a matrix of their lengths for each expert"};
  if (y.size() > 0 && (!x || !w || !y)) return {errc::missing, "moe: x, the experts' matrices or y were not given"};
  return {};
}
}  // namespace detail

/// Whether a backend computes a layer of so many experts with matrices of these sizes, w [experts, outputs, inputs]; a GPU has
/// limits.
template <class On, class Weights> status takes_experts(const On&, const Weights&) { return {}; }

// The routes of a measuring backend: one expert has all places that it may have.
/// @cond
template <class On, class... More> status route_to_one(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status bring_back(const measuring<On>&, const More&...) { return {}; }
template <class On, class X, class E, class Weights, class... More>
status linear_of_tokens(const measuring<On>& m, const X&, const moe_routes<E>& routes, const Weights& w,
                        const More&...) {
  m.need(linear_bytes(m.on, routes.capacity, layer_of_expert<E>(w, 0)));
  return takes_experts(m.on, w);
}
template <class On, class X, class E, class Weights, class... More>
status linear_of_places(const measuring<On>& m, const X& x, const moe_routes<E>& routes, const Weights& w,
                        const More&...) {
  return linear_of_tokens(m, x, routes, w);
}
/// @endcond

/// As forward() below, on buffers taken from `memory`.
template <class On, class E>
status forward_block(const On& on, const moe_block<E>& w, const rows<const E>& u, const rows<E>& y,
                     const rows<const E>& plus, buffers& memory) {
  const index_t n = u.template extent<axis::row>();
  if (w.sizes.experts < 1) return {errc::shape, "moe: one expert or more"};
  if (n >= index_t(1) << 30) return {errc::shape, "moe: fewer than 2^30 tokens"};
  if (n == 0) return {};
  const std::size_t before = memory.used();
  const detail::moe_arrays<E> at(w.sizes, n, memory);
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  const status done = in_order(
      [&] { return linear(lent, u, w.router, at.logits); }, [&] { return route_to_one(lent, at.logits, at.routes); },
      [&] { return linear_of_tokens(lent, u, at.routes, w.w1.value, w.sizes.act, at.placed, at.hidden); },
      [&] { return linear_of_places(lent, rows<const E>(at.hidden), at.routes, w.w2.value, at.placed); },
      [&] { return bring_back(lent, rows<const E>(at.placed), at.routes, plus, y); });
  memory.back_to(before);
  return done;
}

/// y_t = p W2_e act(W1_e u_t) + plus_t with e the expert that the router gives token t the largest probability p, the first
/// of several; y_t = plus_t for tokens beyond the expert's capacity. Tokens take places in their order, so the answer is the
/// same every time. plus may be left out, or y. What is multiplied is the tokens that have places, on a GPU too, where nobody
/// waits for their numbers.
template <class On, class E>
status forward(const On& on, const moe_block<E>& w, std::type_identity_t<rows<const E>> u,
               std::type_identity_t<rows<E>> y, std::type_identity_t<rows<const E>> plus = {}) {
  buffers memory(on.memory);
  return forward_block(on, w, u, y, plus, memory);
}

/// Bytes of workspace of forward() for n tokens; the weights may have no memory yet.
template <class On, class E> std::size_t workspace_bytes(const On& on, const moe_block<E>& w, index_t n) {
  return bytes_needed(on, [&](const auto& measuring, buffers& memory) {
    const rows<E> x(reinterpret_cast<E*>(buffers::nowhere), {n, w.sizes.model});
    return forward_block(measuring, bound_nowhere(w), rows<const E>(x), x, rows<const E>{}, memory);
  });
}

}  // namespace sextant::blocks
