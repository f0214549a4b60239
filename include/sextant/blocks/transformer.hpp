// SPDX-License-Identifier: Apache-2.0
/// @file  The transformer block around any mixer.
#pragma once

#include <sextant/blocks/projections.hpp>

namespace sextant::blocks {

/// What a block of a picture's tokens knows of them besides its design.
struct block_options {
  bool conditional_position = false;  ///< CPE: x += DWConv3x3(x) where the block begins (MILA's: and before its MLP)
  index_t absolute_positions = 0;     ///< APE: so many learned rows are added to what the mixer reads; 0: none
  index_t mlp_ratio = 4;
  index_t expansion = 2;  ///< of the mamba block
};

/// Two linear layers with GELU between.
template <class E> struct mlp {
  modules::linear<E> fc1{}, fc2{};

  constexpr mlp() = default;
  constexpr mlp(index_t channels, index_t hidden) : fc1(channels, hidden), fc2(hidden, channels) {}
  constexpr multiply_adds macs(index_t n) const { return fc1.macs(n) + fc2.macs(n); }
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("fc1", fc1);
    visit("fc2", fc2);
  }
};

/// Whether a backend has both layers of an MLP in one operation, feed_forward(on, u, fc1, fc2, plus, y): a GPU for short rows.
template <class On, class E>
bool takes_feed_forward(const On&, const rows<const E>&, const modules::linear<E>&, const modules::linear<E>&,
                        const rows<const E>&, const rows<E>&) {
  return false;
}

/// @cond
template <class On, class E>
bool takes_feed_forward(const measuring<On>& m, const rows<const E>& u, const modules::linear<E>& fc1,
                        const modules::linear<E>& fc2, const rows<const E>& plus, const rows<E>& y) {
  return takes_feed_forward(m.on, u, fc1, fc2, plus, y);
}
template <class On, class... More> status feed_forward(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status layer_norm_feed_forward(const measuring<On>&, const More&...) { return {}; }
/// @endcond

/// y = x + MLP(u); y may be x.
template <class On, class E>
status add_mlp(const On& on, const mlp<E>& w, const rows<E>& u, const rows<E>& x, const rows<E>& y, buffers& memory) {
  const std::size_t before = memory.used();
  const rows<const E> from = u, plus = x;
  if constexpr (requires { feed_forward(on, from, w.fc1, w.fc2, plus, y); })
    if (takes_feed_forward(on, from, w.fc1, w.fc2, plus, y)) return feed_forward(on, from, w.fc1, w.fc2, plus, y);
  const rows<E> hidden = memory.take<E>(u.template extent<axis::row>(), w.fc1.outputs());
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  const status done =
      in_order([&] { return linear(lent, rows<const E>(u), w.fc1, hidden, after_linear<E>{.act = activation::gelu}); },
               [&] { return linear(lent, rows<const E>(hidden), w.fc2, y, after_linear<E>{.plus = x}); });
  memory.back_to(before);
  return done;
}

/// y = x + MLP(LN x); u is memory for LN x, y may be x.
template <class On, class E>
status add_normed_mlp(const On& on, const modules::layer_norm<E>& norm, const mlp<E>& w, const rows<E>& u,
                      const rows<E>& x, const rows<E>& y, buffers& memory) {
  const rows<const E> from = x;
  if constexpr (requires { layer_norm_feed_forward(on, from, norm, w.fc1, w.fc2, y); })
    if (takes_feed_forward(on, from, w.fc1, w.fc2, from, y))
      return layer_norm_feed_forward(on, from, norm, w.fc1, w.fc2, y);
  return in_order([&] { return layer_norm(memory.lend(on), from, norm, u); },
                  [&] { return add_mlp(on, w, u, x, y, memory); });
}

/// s = x + CPE x, a convolution that tells pixels where they are; nothing where a block has none, whose s is x.
template <class On, class E>
status add_position(const On& on, const modules::depthwise<E>& cpe, const rows<E>& x, const rows<E>& s,
                    const picture_sizes& p) {
  if (cpe.channels() == 0) return {};
  return depthwise_3x3(on, image<const E>(image_of(x, p.batch, p.height, p.width)), cpe,
                       image_of(s, p.batch, p.height, p.width), after_convolution<E>{.plus_input = true});
}

/// x += mixer(LN x) W; x += MLP(LN x): 12 C^2 + 13 C parameters where q, k and v are C -> C.
template <class Design, class E> struct transformer_block {
  static constexpr bool has_gate = sextant::detail::has_output_gate<Design>;

  block_options options{};
  modules::depthwise<E> cpe{};
  modules::layer_norm<E> norm1{}, norm2{};
  modules::parameter<rows<const E>> ape{};
  projections<Design, E> attention{};
  module_if<has_gate, modules::linear<E>> gate{};  ///< of output::silu
  modules::linear<E> proj{};
  blocks::mlp<E> feed_forward{};

  constexpr transformer_block() = default;
  constexpr transformer_block(const Design& design, index_t channels, index_t heads, const block_options& o)
      : options(o),
        cpe(o.conditional_position ? channels : 0),
        norm1(channels),
        norm2(channels),
        ape(modules::parameter<rows<const E>>(rows<const E>(nullptr, {o.absolute_positions, channels}),
                                              start::normal(0.02))
                .in_public({1, o.absolute_positions, channels})),
        attention(sizes_of(design, channels, channels, heads, channels / 16, true)),
        gate(modules::linear<E>(channels, channels)),
        proj(channels, channels),
        feed_forward(channels, o.mlp_ratio * channels) {}

  template <class Visit> constexpr void each(const Visit& visit) {
    if (options.conditional_position) visit("cpe", cpe);
    visit("norm1", norm1);
    if (options.absolute_positions > 0) visit("attn.ape", ape);
    visit("attn", attention);
    visit("attn.gate", gate);
    visit("attn.proj", proj);
    visit("norm2", norm2);
    visit("mlp", feed_forward);
  }
  constexpr multiply_adds macs(index_t n) const {
    multiply_adds sum =
        cpe.macs(n) + norm1.macs(n) + norm2.macs(n) + attention.macs(n) + proj.macs(n) + feed_forward.macs(n);
    if constexpr (has_gate) sum += gate.macs(n);
    return sum;
  }
};

/// The block on pictures x [n, C], in place.
template <class On, class Design, class E>
status forward_block(const On& on, const Design& design, const transformer_block<Design, E>& w, const rows<E>& x,
                     const picture_sizes& p, buffers& memory) {
  const index_t n = p.rows(), C = x.template extent<axis::value>();
  const std::size_t before = memory.used();
  const bool moved = w.options.conditional_position, placed = w.options.absolute_positions > 0;
  const rows<E> u = memory.take<E>(n, C), s = moved ? memory.take<E>(n, C) : x;
  rows<E> gate;
  if constexpr (transformer_block<Design, E>::has_gate) gate = memory.take<E>(n, C);
  if (!memory.fits()) return too_little_memory;
  if (placed && w.options.absolute_positions != p.tokens())
    return {errc::shape, "absolute positions: as many rows as a picture has tokens"};
  const On lent = memory.lend(on);
  const status done = in_order(
      [&] { return add_position(lent, w.cpe, x, s, p); },
      [&] { return layer_norm(lent, rows<const E>(s), w.norm1, u); },
      [&] { return placed ? add(lent, rows<const E>(u), w.ape.value, u) : status{}; },
      [&] {
        if constexpr (transformer_block<Design, E>::has_gate) return linear(lent, rows<const E>(u), w.gate, gate);
        else return status{};
      },
      [&] { return mix(on, design, w.attention, u, rows<E>{}, gate, u, p, memory); },
      [&] { return linear(lent, rows<const E>(u), w.proj, s, after_linear<E>{.plus = s}); },
      [&] { return add_normed_mlp(on, w.norm2, w.feed_forward, u, s, x, memory); });
  memory.back_to(before);
  return done;
}

}  // namespace sextant::blocks
