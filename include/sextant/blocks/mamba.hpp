// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba's block: projections, a causal convolution, the selective scan, and Vim's second direction.
#pragma once

#include <sextant/blocks/sequence_block.hpp>
#include <sextant/design/presets.hpp>

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
  using token = E;

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
  constexpr index_t channels() const { return sizes.model; }
  /// Two directions hand nothing on.
  constexpr state_sizes state_of_one() const {
    if (sizes.bidirectional) return {};
    return {sizes.width - 1, sizes.inner(), 1, sizes.state, sizes.inner()};
  }
  /// Of n tokens; a scan is 9 N + 2 for each inner channel, the rule of the vision papers.
  constexpr multiply_adds macs(index_t n) const {
    const multiply_adds one = forwards.conv.macs(n) + forwards.x_proj.macs(n) + forwards.dt_proj.macs(n) +
                              multiply_adds{0, n * sizes.inner() * (9 * sizes.state + 2), 0};
    return in_proj.macs(n) + (sizes.bidirectional ? 2 : 1) * one + out_proj.macs(n);
  }
};

namespace detail {

/// The arrays of a call on n tokens.
template <class E> struct mamba_arrays {
  rows<E> xz, x, projected, dt, y, y_backwards;
  rows<E> keys;  ///< keys and queries where those in `projected` do not lie as the backend's scan wants them

  template <class On> mamba_arrays(const On& on, const mamba_sizes& s, index_t n, buffers& from) {
    const auto take = [&](index_t columns) { return from.take<E>(n, columns); };
    xz = take(2 * s.inner());
    x = take(s.inner());
    projected = take(s.rank_or_default() + 2 * s.state);
    dt = take(s.inner());
    y = take(s.inner());
    if (s.bidirectional) y_backwards = take(s.inner());
    if (columns_of_keys(on, columns(projected, s.rank_or_default(), s.state)) == s.state) keys = take(2 * s.state);
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
  const rows<E> both = at.keys ? at.keys : columns(at.projected, R, 2 * N);
  x.k = one_head_of_keys<const E>(columns(both, 0, N), batch, time);
  x.q = one_head_of_keys<const E>(columns(both, N, N), batch, time);
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
                 index_t time, const sequence_state<E>& state) {
  const mamba_direction<E>& way = Backwards ? w.backwards : w.forwards;
  const index_t R = w.sizes.rank_or_default(), inner = w.sizes.inner();
  const tokens<E> from = tokens_of(columns(at.xz, 0, inner), batch, time), to = tokens_of(at.x, batch, time);
  return in_order(
      [&] {
        return run_convolution(on, tokens<const E>(Backwards ? reversed(from) : from), way.conv,
                               Backwards ? reversed(to) : to, state);
      },
      [&] { return linear(on, at.x, way.x_proj, at.projected); },
      [&] { return linear(on, columns(at.projected, 0, R), way.dt_proj, at.dt); },
      [&] { return at.keys ? spread_keys(on, columns(at.projected, R, 2 * w.sizes.state), at.keys) : status{}; },
      [&] {
        auto x = mamba_sequence<Backwards>(w, at, y, batch, time);
        return run_mixer(mamba_mixer<Backwards>, on, x, state);
      });
}

}  // namespace detail

/// The block on buffers taken from `memory`: forward() of sequence_block.hpp.
template <class On, class E>
status forward_block(const On& on, const mamba_block<E>& w, const rows<const E>& u, index_t batch, const rows<E>& y,
                     const rows<const E>& plus, const sequence_state<E>& state, buffers& memory) {
  const index_t n = u.template extent<axis::row>(), time = n / batch;
  const bool both = w.sizes.bidirectional;
  if (both && state) return {errc::unsupported, "mamba: two directions have no state"};
  const std::size_t before = memory.used();
  const detail::mamba_arrays<E> at(on, w.sizes, n, memory);
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  const status done =
      in_order([&] { return linear(lent, u, w.in_proj, at.xz); },
               [&] { return detail::mamba_way<false>(lent, w, at, at.y, batch, time, state); },
               [&] { return both ? detail::mamba_way<true>(lent, w, at, at.y_backwards, batch, time, {}) : status{}; },
               [&] { return both ? add(lent, at.y, at.y_backwards, at.y) : status{}; },
               [&] { return linear(lent, at.y, w.out_proj, y, after_linear<E>{.plus = plus}); });
  memory.back_to(before);
  return done;
}

}  // namespace sextant::blocks
