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
  /// The two layers of an expert.
  constexpr modules::linear<E> first(index_t expert) const { return layer(w1.value, expert); }
  constexpr modules::linear<E> second(index_t expert) const { return layer(w2.value, expert); }

 private:
  static constexpr modules::linear<E> layer(const matrices& of, index_t expert) {
    modules::linear<E> one(of.extent(2), of.extent(1), false);
    if (of) one.weight = {of.data() + expert * of.stride(0), {of.extent(1), of.extent(2)}};
    return one;
  }
};

/// Where tokens go: expert e has `capacity` places, from e capacity on.
template <class E> struct moe_routes {
  index_t tokens = 0, experts = 0, capacity = 0;
  std::int32_t* chosen = nullptr;            ///< [tokens], the token's expert
  std::int32_t* place_of = nullptr;          ///< [tokens], -1: the token passes by
  std::int32_t* token_at = nullptr;          ///< [experts capacity], -1: nobody
  std::int32_t* taken = nullptr;             ///< [experts]
  accumulator_of<E>* probability = nullptr;  ///< [tokens], of the token's expert

  moe_routes(const moe_sizes& s, index_t n, buffers& from) : tokens(n), experts(s.experts), capacity(s.capacity(n)) {
    chosen = from.take<std::int32_t>(1, n).data();
    place_of = from.take<std::int32_t>(1, n).data();
    token_at = from.take<std::int32_t>(experts, capacity).data();
    taken = from.take<std::int32_t>(1, experts).data();
    probability = from.take<accumulator_of<E>>(1, n).data();
  }
};

namespace detail {
/// The arrays of a call on n tokens.
template <class E> struct moe_arrays {
  moe_routes<E> routes;
  rows<E> logits, sent, hidden, answers;

  moe_arrays(const moe_sizes& s, index_t n, buffers& from) : routes(s, n, from) {
    const auto take = [&](index_t count, index_t length) { return from.take<E>(count, length); };
    logits = take(n, s.experts);
    sent = take(s.experts * routes.capacity, s.model);
    hidden = take(routes.capacity, s.hidden);
    answers = take(s.experts * routes.capacity, s.model);
  }
};

/// Rows `first` to `first + count`.
template <class E> constexpr rows<E> rows_from(const rows<E>& x, index_t first, index_t count) {
  const index_t step = x.template stride<axis::row>();
  return {x.data() + first * step, {count, x.template extent<axis::value>()}, {step, 1}};
}
}  // namespace detail

// The routes of a measuring backend: an expert has all its places.
/// @cond
template <class On, class... More> status route_to_one(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status send_to_experts(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status bring_back(const measuring<On>&, const More&...) { return {}; }
template <class On, class E> index_t places_in_use(const measuring<On>&, const moe_routes<E>& routes, index_t) {
  return routes.capacity;
}
/// @endcond

/// As forward() below, on buffers taken from `memory`.
template <class On, class E>
status forward_block(const On& on, const moe_block<E>& w, const rows<const E>& u, const rows<E>& y,
                     const rows<const E>& plus, buffers& memory) {
  const index_t n = u.template extent<axis::row>();
  if (w.sizes.experts < 1) return {errc::shape, "moe: one expert or more"};
  if (n >= index_t(1) << 30 || w.sizes.experts * w.sizes.capacity(n) >= index_t(1) << 31)
    return {errc::shape, "moe: fewer than 2^30 tokens, and fewer than 2^31 places of all experts"};
  if (n == 0) return {};
  const std::size_t before = memory.used();
  const detail::moe_arrays<E> at(w.sizes, n, memory);
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  status done = in_order([&] { return linear(lent, u, w.router, at.logits); },
                         [&] { return route_to_one(lent, at.logits, at.routes); },
                         [&] { return send_to_experts(lent, u, at.routes, at.sent); });
  for (index_t e = 0; e < w.sizes.experts && done; ++e) {
    const index_t first = e * at.routes.capacity, count = places_in_use(lent, at.routes, e);
    const rows<E> hidden = detail::rows_from(at.hidden, 0, count);
    done = in_order(
        [&] {
          return linear(lent, detail::rows_from(at.sent, first, count), w.first(e), hidden,
                        after_linear<E>{.act = w.sizes.act});
        },
        [&] { return linear(lent, hidden, w.second(e), detail::rows_from(at.answers, first, count)); });
  }
  if (done) done = bring_back(lent, at.answers, at.routes, plus, y);
  memory.back_to(before);
  return done;
}

/// y_t = p W2_e act(W1_e u_t) + plus_t with e the expert that the router gives token t the largest probability p, the first
/// of several; y_t = plus_t for tokens beyond the expert's capacity. Tokens take places in their order, so the answer is the
/// same every time. plus may be left out, or y.
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
