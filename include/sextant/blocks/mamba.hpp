// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba's block: projections, a causal convolution, the selective scan, and Vim's second direction.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/module.hpp>
#include <sextant/blocks/pool.hpp>
#include <sextant/design/presets.hpp>
#include <sextant/step.hpp>

namespace sextant::blocks {

/// The sizes of a Mamba block (Gu and Dao 2023, arXiv 2312.00752), with the defaults of its code.
struct mamba_sizes {
  index_t model = 0;           ///< channels of a token
  index_t state = 16;          ///< N, keys
  index_t width = 4;           ///< taps of the convolution
  index_t expand = 2;          ///< inner channels for each of the model's
  index_t rank = 0;            ///< of the step sizes' projection; 0: a sixteenth of the model's channels, rounded up
  bool bidirectional = false;  ///< Vim: a second direction with weights of its own
  bool halved = true;          ///< Vim: the mean of the directions, not their sum

  constexpr index_t inner() const { return expand * model; }
  constexpr index_t rank_or_default() const { return rank > 0 ? rank : (model + 15) / 16; }
};

/// What one direction of a Mamba block reads tokens with.
template <class E> struct mamba_direction {
  using real = accumulator_of<E>;

  modules::conv1d<E> conv{};
  modules::linear<E> x_proj{};                   ///< to step sizes of low rank, keys and queries
  modules::linear<E> dt_proj{};                  ///< its bias goes to the scan
  modules::parameter<hv<const real>> dt_bias{};  ///< [1, inner]
  modules::parameter<hvk<const real>> a{};       ///< [1, inner, N], -exp(A_log)
  modules::parameter<hv<const real>> d{};        ///< [1, inner]
  bool backward = false;

  constexpr mamba_direction() = default;
  constexpr mamba_direction(const mamba_sizes& s, bool is_backward)
      : conv(s.inner(), s.width),
        x_proj(modules::linear<E>(s.inner(), s.rank_or_default() + 2 * s.state, false).pytorch()),
        dt_proj(s.rank_or_default(), s.inner(), false),
        dt_bias({nullptr, {1, s.inner()}}, {start::rule::inverse_softplus, 0.001, 0.1}),
        a({nullptr, {1, s.inner(), s.state}}, {start::rule::log_of_count}, kept::minus_exp),
        d({nullptr, {1, s.inner()}}, start::at(1)),
        backward(is_backward) {
    dt_proj.first_weight = start::uniform(modules::detail::bound_of(s.rank_or_default()));
    dt_bias = dt_bias.in_public({s.inner()});
    a = a.in_public({s.inner(), s.state});
    d = d.in_public({s.inner()});
  }

  template <class Visit> constexpr void each(const Visit& visit) {
    visit(backward ? "conv1d_b" : "conv1d", conv);
    visit(backward ? "x_proj_b" : "x_proj", x_proj);
    visit(backward ? "dt_proj_b" : "dt_proj", dt_proj);
    visit(backward ? "dt_proj_b.bias" : "dt_proj.bias", dt_bias);
    visit(backward ? "A_b_log" : "A_log", a);
    visit(backward ? "D_b" : "D", d);
  }
};

/// Mamba's block without the norm before it and the sum behind it. Its names are those of state-spaces/mamba, and of
/// hustvl/Vim where it has two directions.
template <class E> struct mamba_block {
  mamba_sizes sizes{};
  modules::linear<E> in_proj{};  ///< to x and z, both of `inner` channels
  mamba_direction<E> forwards{}, backwards{};
  modules::linear<E> out_proj{};

  constexpr mamba_block() = default;
  constexpr explicit mamba_block(const mamba_sizes& s)
      : sizes(s),
        in_proj(modules::linear<E>(s.model, 2 * s.inner(), false).pytorch()),
        forwards(s, false),
        out_proj(modules::linear<E>(s.inner(), s.model, false).pytorch()) {
    if (s.bidirectional) backwards = mamba_direction<E>(s, true);
    out_proj.weight_as = s.bidirectional && s.halved ? kept::half : kept::as_is;
  }

  template <class Visit> constexpr void each(const Visit& visit) {
    visit("in_proj", in_proj);
    visit("", forwards);
    if (sizes.bidirectional) visit("", backwards);
    visit("out_proj", out_proj);
  }
  /// Of n tokens; a scan is 9 N + 2 for each inner channel, the rule of the vision papers.
  constexpr multiply_adds macs(index_t n) const {
    const multiply_adds one = forwards.conv.macs(n) + forwards.x_proj.macs(n) + forwards.dt_proj.macs(n) +
                              multiply_adds{0, n * sizes.inner() * (9 * sizes.state + 2), 0};
    return in_proj.macs(n) + (sizes.bidirectional ? 2 : 1) * one + out_proj.macs(n);
  }
};

/// What a Mamba block remembers of the tokens so far.
template <class E> struct mamba_state {
  tokens<E> conv{};             ///< [B, width - 1, inner], the last inputs of the convolution, the oldest first
  bhkv<accumulator_of<E>> S{};  ///< [B, 1, N, inner]
};

namespace detail {

/// The arrays of a call on n tokens.
template <class E> struct mamba_arrays {
  rows<E> xz, x, projected, dt, y, y_backwards;

  mamba_arrays(const mamba_sizes& s, index_t n, pool& from) {
    const auto take = [&](index_t columns) { return rows<E>(from.take<E>(n * columns), {n, columns}); };
    xz = take(2 * s.inner());
    x = take(s.inner());
    projected = take(s.rank_or_default() + 2 * s.state);
    dt = take(s.inner());
    y = take(s.inner());
    if (s.bidirectional) y_backwards = take(s.inner());
  }
};

/// Rows as [B, T, 1, columns].
template <class Element> constexpr auto one_head(const rows<Element>& x, index_t batch, index_t time) {
  const index_t step = x.template stride<axis::row>();
  return view<Element, axis::batch, axis::time, axis::head, axis::value>(
      x.data(), {batch, time, 1, x.template extent<axis::value>()}, {time * step, step, 0, 1});
}
template <class Element> constexpr bthk<Element> one_head_of_keys(const rows<Element>& x, index_t batch, index_t time) {
  const index_t step = x.template stride<axis::row>();
  return {x.data(), {batch, time, 1, x.template extent<axis::value>()}, {time * step, step, 0, 1}};
}

/// Mamba's mixer in one direction, the output gate z included.
template <bool Backwards> inline constexpr auto mamba_mixer = mamba.with(output::silu{});
template <> inline constexpr auto mamba_mixer<true> = mamba.with(output::silu{}, order::reversed{});

/// The mixer's tensors.
template <bool Backwards, class E>
auto mamba_sequence(const mamba_block<E>& w, const mamba_arrays<E>& at, const rows<E>& y, index_t batch, index_t time) {
  const mamba_direction<E>& way = Backwards ? w.backwards : w.forwards;
  const index_t N = w.sizes.state, R = w.sizes.rank_or_default(), inner = w.sizes.inner();
  sequence<decltype(mamba_mixer<Backwards>), precision_of<E>> x;
  x.k = one_head_of_keys<const E>(columns(at.projected, R, N), batch, time);
  x.q = one_head_of_keys<const E>(columns(at.projected, R + N, N), batch, time);
  x.v = one_head<const E>(at.x, batch, time);
  x.dt = one_head<const E>(at.dt, batch, time);
  x.bias = way.dt_bias.value;
  x.a = way.a.value;
  x.d = way.d.value;
  x.gate = one_head<const E>(columns(at.xz, inner, inner), batch, time);
  x.y = one_head<E>(y, batch, time);
  return x;
}

/// Tokens from the last to the first.
template <class E> constexpr tokens<E> reversed(const tokens<E>& x) {
  const index_t T = x.template extent<axis::time>(), step = x.template stride<axis::time>();
  E* const last = x.data() == nullptr || T == 0 ? x.data() : x.data() + (T - 1) * step;
  return {last,
          {x.template extent<axis::batch>(), T, x.template extent<axis::value>()},
          {x.template stride<axis::batch>(), -step, 1}};
}

/// One direction: convolution, projections, scan.
template <bool Backwards, class On, class E>
status mamba_way(const On& on, const mamba_block<E>& w, const mamba_arrays<E>& at, const rows<E>& y, index_t batch,
                 index_t time, const mamba_state<E>& state) {
  const mamba_direction<E>& way = Backwards ? w.backwards : w.forwards;
  const index_t R = w.sizes.rank_or_default(), inner = w.sizes.inner();
  const tokens<E> from = tokens_of(columns(at.xz, 0, inner), batch, time), to = tokens_of(at.x, batch, time);
  if (const status done = causal_conv1d(on, Backwards ? reversed(from) : from, way.conv, Backwards ? reversed(to) : to,
                                        activation::silu, state.conv, state.conv);
      !done)
    return done;
  if (const status done = linear(on, at.x, way.x_proj, at.projected); !done) return done;
  if (const status done = linear(on, columns(at.projected, 0, R), way.dt_proj, at.dt); !done) return done;
  auto x = mamba_sequence<Backwards>(w, at, y, batch, time);
  x.final_state.S = state.S;
  if (state.S && time == 1) return sextant::step(mamba_mixer<Backwards>, on, x, x.final_state);
  x.initial_state.S = state.S;
  return sextant::forward(mamba_mixer<Backwards>, on, x);
}

}  // namespace detail

/// Bytes of workspace of forward() for so many sequences of so many tokens; the weights may have no memory yet.
template <class On, class E> std::size_t forward_bytes(const On& on, mamba_block<E> w, index_t batch, index_t time) {
  bind(w, pool::nowhere());
  pool from;
  const index_t n = batch * time;
  const detail::mamba_arrays<E> at(w.sizes, n, from);
  const auto x = detail::mamba_sequence<false>(w, at, at.y, batch, time);
  std::size_t most = workspace_bytes(detail::mamba_mixer<false>, on, x);
  const auto at_least = [&](std::size_t bytes) { most = bytes > most ? bytes : most; };
  at_least(workspace_bytes(detail::mamba_mixer<false>, form::recurrent{}, on, x));
  if (w.sizes.bidirectional)
    at_least(workspace_bytes(detail::mamba_mixer<true>, on, detail::mamba_sequence<true>(w, at, at.y, batch, time)));
  for (const modules::linear<E>* layer : {&w.in_proj, &w.forwards.x_proj, &w.forwards.dt_proj, &w.out_proj})
    at_least(linear_bytes(on, n, *layer));
  return from.bytes() + most;
}

/// y = Mamba(u) + plus, of `batch` sequences that lie one behind another in u [B T, D]; plus may be left out, or y. With a
/// state the sequences continue from it, and it moves on in its place: prefill, and with T = 1 decode. A block with two
/// directions has no state.
template <class On, class E>
status forward(const On& on, const mamba_block<E>& w, std::type_identity_t<rows<const E>> u, index_t batch,
               std::type_identity_t<rows<E>> y, std::type_identity_t<rows<const E>> plus = {},
               std::type_identity_t<mamba_state<E>> state = {}) {
  const index_t n = u.template extent<axis::row>(), time = batch > 0 ? n / batch : 0;
  if (batch * time != n) return {errc::shape, "mamba: the rows are `batch` sequences of one length"};
  if (bool(state.conv) != bool(state.S)) return {errc::missing, "mamba: a state is conv and S"};
  if (w.sizes.bidirectional && state.S) return {errc::unsupported, "mamba: two directions have no state"};
  pool from(on.memory);
  const detail::mamba_arrays<E> at(w.sizes, n, from);
  if (n == 0) return {};
  if (!from.holds()) return {errc::workspace, "mamba: fewer bytes than forward_bytes() says"};
  const On inner = from.rest(on);
  if (const status done = linear(inner, u, w.in_proj, at.xz); !done) return done;
  if (const status done = detail::mamba_way<false>(inner, w, at, at.y, batch, time, state); !done) return done;
  if (w.sizes.bidirectional) {
    if (const status done = detail::mamba_way<true>(inner, w, at, at.y_backwards, batch, time, {}); !done) return done;
    if (const status done = add(inner, at.y, at.y_backwards, at.y); !done) return done;
  }
  return linear(inner, at.y, w.out_proj, y, after_linear<E>{.plus = plus});
}

}  // namespace sextant::blocks
