// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba-2's block: one projection, a causal convolution, state space duality, a gated norm.
#pragma once

#include <sextant/blocks/sequence_block.hpp>
#include <sextant/design/presets.hpp>

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
  using token = E;
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
  constexpr index_t channels() const { return sizes.model; }
  constexpr state_sizes state_of_one() const {
    return {sizes.width - 1, sizes.convolved(), sizes.heads(), sizes.state, sizes.head};
  }
  /// Of n tokens; a token updates and reads a state of N for each inner channel.
  constexpr multiply_adds macs(index_t n) const {
    return in_proj.macs(n) + conv.macs(n) + norm.macs(n) + out_proj.macs(n) +
           multiply_adds{0, n * sizes.inner() * (2 * sizes.state + 1), 0};
  }
};

namespace detail {

/// The arrays of a call on n tokens.
template <class E> struct mamba2_arrays {
  rows<E> projected, convolved, y;

  mamba2_arrays(const mamba2_block<E>& w, index_t n, buffers& from) {
    const auto take = [&](index_t columns) { return from.take<E>(n, columns); };
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

/// The block on buffers taken from `memory`: forward() of sequence_block.hpp.
template <class On, class E>
status forward_block(const On& on, const mamba2_block<E>& w, const rows<const E>& u, index_t batch, const rows<E>& y,
                     const rows<const E>& plus, const sequence_state<E>& state, buffers& memory) {
  const mamba2_sizes& s = w.sizes;
  const index_t n = u.template extent<axis::row>(), time = n / batch, inner = s.inner();
  if (s.head < 1 || s.groups < 1 || inner % s.head != 0 || s.heads() % s.groups != 0)
    return {errc::shape, "mamba2: heads divide the inner channels, groups the heads"};
  const std::size_t before = memory.used();
  const detail::mamba2_arrays<E> at(w, n, memory);
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  const tokens<E> raw = tokens_of(columns(at.projected, inner, s.convolved()), batch, time);
  const status done = in_order(
      [&] { return linear(lent, u, w.in_proj, at.projected); },
      [&] { return run_convolution(lent, tokens<const E>(raw), w.conv, tokens_of(at.convolved, batch, time), state); },
      [&] {
        auto x = detail::mamba2_sequence(w, at, batch, time);
        return run_mixer(mamba2, lent, x, state);
      },
      [&] { return gated_rms_norm(lent, at.y, columns(at.projected, 0, inner), w.norm, at.y, s.groups); },
      [&] { return linear(lent, at.y, w.out_proj, y, after_linear<E>{.plus = plus}); });
  memory.back_to(before);
  return done;
}

}  // namespace sextant::blocks
