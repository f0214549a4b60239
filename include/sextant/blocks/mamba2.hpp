// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba-2's block: one projection, a causal convolution, state space duality, a gated norm.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/module.hpp>
#include <sextant/blocks/pool.hpp>
#include <sextant/design/presets.hpp>
#include <sextant/step.hpp>

namespace sextant::blocks {

/// The sizes of a Mamba-2 block (Dao and Gu 2024, arXiv 2405.21060), with the defaults of its code.
struct mamba2_sizes {
  index_t model = 0;    ///< channels of a token
  index_t state = 128;  ///< N, keys
  index_t width = 4;    ///< taps of the convolution
  index_t expand = 2;   ///< inner channels for each of the model's
  index_t head = 64;    ///< inner channels of a head; divides them
  index_t groups = 1;   ///< of heads that share queries and keys; divides the heads

  constexpr index_t inner() const { return expand * model; }
  constexpr index_t heads() const { return inner() / head; }
  constexpr index_t convolved() const { return inner() + 2 * groups * state; }
};

/// Mamba-2's block without the norm before it and the sum behind it, under the names of state-spaces/mamba.
template <class E> struct mamba2_block {
  using real = accumulator_of<E>;

  mamba2_sizes sizes{};
  modules::linear<E> in_proj{};                         ///< to z, x, keys, queries, step sizes
  modules::conv1d<E> conv{};                            ///< of x, keys and queries
  modules::parameter<head_view<const real>> dt_bias{};  ///< [H]
  modules::parameter<head_view<const real>> a{};        ///< [H], -exp(A_log)
  modules::parameter<head_view<const real>> d{};        ///< [H]
  modules::rms_norm<E> norm{};
  modules::linear<E> out_proj{};

  constexpr mamba2_block() = default;
  constexpr explicit mamba2_block(const mamba2_sizes& s)
      : sizes(s),
        in_proj(modules::linear<E>(s.model, s.inner() + s.convolved() + s.heads(), false).pytorch()),
        conv(s.convolved(), s.width),
        dt_bias({nullptr, {s.heads()}}, {start::rule::inverse_softplus, 0.001, 0.1}),
        a({nullptr, {s.heads()}}, {start::rule::log_uniform, 1, 16}, kept::minus_exp),
        d({nullptr, {s.heads()}}, start::at(1)),
        norm(s.inner()),
        out_proj(modules::linear<E>(s.inner(), s.model, false).pytorch()) {}

  template <class Visit> constexpr void each(const Visit& visit) {
    visit("in_proj", in_proj);
    visit("conv1d", conv);
    visit("dt_bias", dt_bias);
    visit("A_log", a);
    visit("D", d);
    visit("norm", norm);
    visit("out_proj", out_proj);
  }
  /// Of n tokens; a token updates and reads a state of N for each inner channel.
  constexpr multiply_adds macs(index_t n) const {
    return in_proj.macs(n) + conv.macs(n) + norm.macs(n) + out_proj.macs(n) +
           multiply_adds{0, n * sizes.inner() * (2 * sizes.state + 1), 0};
  }
};

/// What a Mamba-2 block remembers of the tokens so far.
template <class E> struct mamba2_state {
  tokens<E> conv{};             ///< [B, width - 1, inner + 2 G N], the last inputs of the convolution, the oldest first
  bhkv<accumulator_of<E>> S{};  ///< [B, H, N, head]
};

namespace detail {

/// The arrays of a call on n tokens.
template <class E> struct mamba2_arrays {
  rows<E> projected, convolved, y;

  mamba2_arrays(const mamba2_block<E>& w, index_t n, pool& from) {
    const auto take = [&](index_t columns) { return rows<E>(from.take<E>(n * columns), {n, columns}); };
    projected = take(w.in_proj.outputs());
    convolved = take(w.sizes.convolved());
    y = take(w.sizes.inner());
  }
};

/// The mixer's tensors.
template <class E>
auto mamba2_sequence(const mamba2_block<E>& w, const mamba2_arrays<E>& at, index_t batch, index_t time) {
  const mamba2_sizes& s = w.sizes;
  const index_t H = s.heads(), P = s.head, N = s.state, G = s.groups, inner = s.inner();
  const auto heads_of = [&](const rows<E>& x, index_t heads, index_t each) {
    const index_t step = x.template stride<axis::row>();
    return bthv<E>(x.data(), {batch, time, heads, each}, {time * step, step, each, 1});
  };
  const auto keys_of = [&](const rows<E>& x) {
    const index_t step = x.template stride<axis::row>();
    return bthk<const E>(x.data(), {batch, time, G, N}, {time * step, step, N, 1});
  };
  const rows<E> dt = columns(at.projected, inner + s.convolved(), H);
  const index_t step = dt.template stride<axis::row>();
  sequence<decltype(mamba2), precision_of<E>> x;
  x.v = heads_of(columns(at.convolved, 0, inner), H, P);
  x.k = keys_of(columns(at.convolved, inner, G * N));
  x.q = keys_of(columns(at.convolved, inner + G * N, G * N));
  x.dt = bth<const E>(dt.data(), {batch, time, H}, {time * step, step, 1});
  x.bias = w.dt_bias.value;
  x.a = w.a.value;
  x.d = hv<const accumulator_of<E>>(w.d.value.data(), {H, P}, {1, 0});
  x.y = heads_of(at.y, H, P);
  return x;
}

}  // namespace detail

/// Bytes of workspace of forward() for so many sequences of so many tokens; the weights may have no memory yet.
template <class On, class E> std::size_t forward_bytes(const On& on, mamba2_block<E> w, index_t batch, index_t time) {
  bind(w, pool::nowhere());
  pool from;
  const index_t n = batch * time;
  const detail::mamba2_arrays<E> at(w, n, from);
  const auto x = detail::mamba2_sequence(w, at, batch, time);
  std::size_t most = workspace_bytes(mamba2, on, x);
  for (const std::size_t bytes : {workspace_bytes(mamba2, form::recurrent{}, on, x), linear_bytes(on, n, w.in_proj),
                                  linear_bytes(on, n, w.out_proj)})
    most = bytes > most ? bytes : most;
  return from.bytes() + most;
}

/// y = Mamba2(u) + plus, of `batch` sequences that lie one behind another in u [B T, D]; plus may be left out, or y. With a
/// state the sequences continue from it, and it moves on in its place: prefill, and with T = 1 decode.
template <class On, class E>
status forward(const On& on, const mamba2_block<E>& w, std::type_identity_t<rows<const E>> u, index_t batch,
               std::type_identity_t<rows<E>> y, std::type_identity_t<rows<const E>> plus = {},
               std::type_identity_t<mamba2_state<E>> state = {}) {
  const mamba2_sizes& s = w.sizes;
  const index_t n = u.template extent<axis::row>(), time = batch > 0 ? n / batch : 0, inner = s.inner();
  if (batch * time != n) return {errc::shape, "mamba2: the rows are `batch` sequences of one length"};
  if (s.head < 1 || s.groups < 1 || inner % s.head != 0 || s.heads() % s.groups != 0)
    return {errc::shape, "mamba2: heads divide the inner channels, groups the heads"};
  if (bool(state.conv) != bool(state.S)) return {errc::missing, "mamba2: a state is conv and S"};
  if (n == 0) return {};
  pool from(on.memory);
  const detail::mamba2_arrays<E> at(w, n, from);
  if (!from.holds()) return {errc::workspace, "mamba2: fewer bytes than forward_bytes() says"};
  const On rest = from.rest(on);
  if (const status done = linear(rest, u, w.in_proj, at.projected); !done) return done;
  const tokens<E> before = tokens_of(columns(at.projected, inner, s.convolved()), batch, time);
  if (const status done = causal_conv1d(rest, before, w.conv, tokens_of(at.convolved, batch, time), activation::silu,
                                        state.conv, state.conv);
      !done)
    return done;
  auto x = detail::mamba2_sequence(w, at, batch, time);
  x.final_state.S = state.S;
  if (state.S && time == 1) {
    if (const status done = sextant::step(mamba2, rest, x, x.final_state); !done) return done;
  } else {
    x.initial_state.S = state.S;
    if (const status done = sextant::forward(mamba2, rest, x); !done) return done;
  }
  if (const status done = gated_rms_norm(rest, at.y, columns(at.projected, 0, inner), w.norm, at.y, s.groups); !done)
    return done;
  return linear(rest, at.y, w.out_proj, y, after_linear<E>{.plus = plus});
}

}  // namespace sextant::blocks
