// SPDX-License-Identifier: Apache-2.0
/// @file  VMamba's block: four selective scans over a picture, along rows and columns, or through windows, there and back.
#pragma once

#include <sextant/blocks/mamba.hpp>
#include <sextant/blocks/scan_order.hpp>
#include <sextant/blocks/transformer.hpp>

namespace sextant::blocks {

/// The sizes of a VMamba block (Liu et al. 2024, arXiv 2401.10166).
struct cross_scan_sizes {
  index_t model = 0;
  index_t expand = 1;  ///< inner channels for each of the model's
  index_t state = 1;   ///< N
  index_t mlp_ratio = 4;
  index_t window =
      0;  ///< LocalMamba: windows of so many tokens to a side, one after the other, in the place of columns

  constexpr index_t inner() const { return expand * model; }
  constexpr index_t rank() const { return (model + 15) / 16; }
  /// What a direction reads of a token: step sizes of low rank, keys, queries.
  constexpr index_t projected() const { return rank() + 2 * state; }
};

/// x += W_out LN(sum of four scans of silu(DWConv3x3(W_in LN x))); x += MLP(LN x). Its names are those of VMamba.
template <class E> struct cross_scan_block {
  using real = accumulator_of<E>;
  static constexpr index_t ways = 4;

  cross_scan_sizes sizes{};
  modules::layer_norm<E> norm{}, out_norm{}, norm2{};
  modules::linear<E> in_proj{}, x_proj{}, dt_proj{}, out_proj{};  ///< x_proj, dt_proj: of all four directions
  modules::depthwise<E> conv{};
  modules::parameter<hv<const real>> dt_bias{}, d{};  ///< [4, inner]
  modules::parameter<hvk<const real>> a{};            ///< [4, inner, N]
  mlp<E> feed_forward{};

  constexpr cross_scan_block() = default;
  constexpr explicit cross_scan_block(const cross_scan_sizes& s)
      : sizes(s),
        norm(s.model),
        out_norm(s.inner()),
        norm2(s.model),
        in_proj(s.model, s.inner(), false),
        x_proj(s.inner(), ways * s.projected(), false),
        dt_proj(s.rank(), ways * s.inner(), false),
        out_proj(s.inner(), s.model, false),
        conv(s.inner(), false),
        dt_bias({nullptr, {ways, s.inner()}}, {start::rule::inverse_softplus, 0.001, 0.1}),
        d(modules::parameter<hv<const real>>({nullptr, {ways, s.inner()}}, start::at(1)).in_public({ways * s.inner()})),
        a(modules::parameter<hvk<const real>>({nullptr, {ways, s.inner(), s.state}}, {start::rule::log_of_count, 0, 0},
                                              kept::minus_exp)
              .in_public({ways * s.inner(), s.state})),
        feed_forward(s.model, s.mlp_ratio * s.model) {
    x_proj.groups = dt_proj.groups = ways;
    x_proj.parts[0].weight = "x_proj_weight";
    dt_proj.parts[0].weight = "dt_projs_weight";
    dt_proj.first_weight = start::uniform(modules::detail::bound_of(s.rank()));
  }
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("norm", norm);
    visit("op.in_proj", in_proj);
    visit("op.conv2d", conv);
    visit("op", x_proj);
    visit("op", dt_proj);
    visit("op.dt_projs_bias", dt_bias);
    visit("op.A_logs", a);
    visit("op.Ds", d);
    visit("op.out_norm", out_norm);
    visit("op.out_proj", out_proj);
    visit("norm2", norm2);
    visit("mlp", feed_forward);
  }
  /// Of n tokens; a scan is 9 N + 1 for each inner channel, the rule of VMamba's code.
  constexpr multiply_adds macs(index_t n) const {
    return norm.macs(n) + in_proj.macs(n) + conv.macs(n) + x_proj.macs(n) + dt_proj.macs(n) + out_norm.macs(n) +
           out_proj.macs(n) + norm2.macs(n) + feed_forward.macs(n) +
           multiply_adds{0, ways * n * sizes.inner() * (9 * sizes.state + 1), 0};
  }
};

namespace detail {

/// Whether a direction's keys have to be copied for the backend's scan.
template <class On, class E> bool copies_keys(const On& on, const cross_scan_block<E>& w, const rows<E>& xp) {
  return columns_of_keys(on, columns(xp, w.sizes.rank(), w.sizes.state)) == w.sizes.state;
}

/// One direction, on tokens in its order: `xp` is what all directions read of them, [n, 4 (R + 2 N)]; `keys` has room for their
/// copies, if there are any.
template <bool Backwards, class On, class E>
status cross_scan_way(const On& on, const cross_scan_block<E>& w, index_t way, const rows<E>& v, const rows<E>& xp,
                      const rows<E>& keys, const rows<E>& dt, const rows<E>& y, const picture_sizes& p) {
  constexpr auto mixer = [] {
    if constexpr (Backwards) return mamba.with(order::reversed{});
    else return mamba.with(order::causal{});
  }();
  const index_t inner = w.sizes.inner(), N = w.sizes.state, R = w.sizes.rank(), first = way * w.sizes.projected();
  const index_t B = p.batch, T = p.tokens();
  sequence<decltype(mixer), precision_of<E>> x;
  const rows<E> projected = columns(xp, first + R, 2 * N), both = keys ? keys : projected;
  x.k = one_head_of_keys<const E>(columns(both, 0, N), B, T);
  x.q = one_head_of_keys<const E>(columns(both, N, N), B, T);
  x.v = one_head<const E>(v, B, T);
  x.dt = one_head<const E>(dt, B, T);
  x.bias = {w.dt_bias.value.data() + way * inner, {1, inner}};
  x.a = {w.a.value.data() + way * inner * N, {1, inner, N}, {inner * N, N, 1}};
  x.d = {w.d.value.data() + way * inner, {1, inner}};
  x.y = one_head<E>(y, B, T);
  return in_order(
      [&] { return linear(on, rows<const E>(columns(xp, first, R)), w.dt_proj.outputs(way * inner, inner), dt); },
      [&] { return keys ? spread_keys(on, projected, keys) : status{}; },
      [&] { return sextant::forward(mixer, on, x); });
}

}  // namespace detail

/// The block on pictures x [n, C], in place. Scans there and back read the same tokens; those in the second order read the one copy
/// that is made of v and of what is projected from it.
template <class On, class E>
status forward_block(const On& on, const cross_scan_block<E>& w, const rows<E>& x, const picture_sizes& p,
                     buffers& memory) {
  const index_t n = p.rows(), inner = w.sizes.inner(), read = w.x_proj.outputs();
  const std::size_t before = memory.used();
  const rows<E> u = memory.take<E>(n, w.sizes.model);
  const std::size_t after_norm = memory.used();
  const rows<E> one = memory.take<E>(n, inner), v = memory.take<E>(n, inner), dt = memory.take<E>(n, inner);
  const rows<E> there = memory.take<E>(n, inner), back = memory.take<E>(n, inner), xp = memory.take<E>(n, read);
  const rows<E> turned_xp = memory.take<E>(n, read);
  const rows<E> keys = detail::copies_keys(on, w, xp) ? memory.take<E>(n, 2 * w.sizes.state) : rows<E>{};
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  const rows<E>& sum = one;  // of the scans along rows; then of all
  const auto sequences = [&](const rows<E>& of) { return tokens_of(of, p.batch, p.tokens()); };
  const auto read_tokens = [&](const rows<E>& of) { return tokens<const E>(sequences(of)); };
  const auto pictures = [&](const rows<E>& of) { return image_of(of, p.batch, p.height, p.width); };
  const auto in_order_of_second = [&](const auto& visit) {
    return w.sizes.window > 0 ? visit(scan::windows{p.height, p.width, w.sizes.window})
                              : visit(scan::columns_first{p.height, p.width});
  };
  const auto turn = [&](const rows<E>& from, const rows<E>& to) {
    return in_order_of_second(
        [&](const auto& order) { return reorder(lent, read_tokens(from), order, sequences(to)); });
  };
  const auto both_ways = [&](index_t way, const rows<E>& from, const rows<E>& projected, const rows<E>& to) {
    return in_order([&] { return detail::cross_scan_way<false>(lent, w, way, from, projected, keys, dt, to, p); },
                    [&] { return detail::cross_scan_way<true>(lent, w, way + 2, from, projected, keys, dt, back, p); },
                    [&] { return add(lent, rows<const E>(to), rows<const E>(back), to); });
  };
  status done = in_order(
      [&] { return layer_norm(lent, rows<const E>(x), w.norm, u); },
      [&] { return linear(lent, rows<const E>(u), w.in_proj, one); },
      [&] {
        return depthwise_3x3(lent, image<const E>(pictures(one)), w.conv, pictures(v),
                             after_convolution<E>{.act = activation::silu});
      },
      [&] { return linear(lent, rows<const E>(v), w.x_proj, xp); }, [&] { return both_ways(0, v, xp, sum); },
      [&] { return turn(xp, turned_xp); }, [&] { return turn(v, there); },
      // Along columns or through windows: v in their order is `there`, whose scans go over v, which nothing needs any more.
      [&] { return both_ways(1, there, turned_xp, v); },
      [&] {
        return in_order_of_second([&]<class Order>(const Order& order) {
          return reorder(lent, read_tokens(v), scan::inverse<Order>{order}, sequences(there), read_tokens(sum));
        });
      },
      [&] { return layer_norm(lent, rows<const E>(there), w.out_norm, there); },
      [&] { return linear(lent, rows<const E>(there), w.out_proj, x, after_linear<E>{.plus = x}); },
      [&] { return layer_norm(lent, rows<const E>(x), w.norm2, u); });
  if (done) {
    memory.back_to(after_norm);
    done = add_mlp(on, w.feed_forward, u, x, x, memory);
  }
  memory.back_to(before);
  return done;
}

}  // namespace sextant::blocks
