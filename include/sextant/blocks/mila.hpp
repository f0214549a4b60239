// SPDX-License-Identifier: Apache-2.0
/// @file  MILA's block around any mixer: a gate and a convolution around the mixer, positions by convolutions, an MLP.
#pragma once

#include <sextant/blocks/transformer.hpp>

namespace sextant::blocks {

/// The design with Mamba's output gate, which the block projects.
template <class Design> using gated_by_silu = decltype(Design{}.with(output::silu{}));

/// x += CPE1 x; u = LN x; x += (mixer(silu(DWConv(W_in u))) (.) silu(W_act u)) W_out; x += CPE2 x; x += MLP(LN x)
/// (Han et al. 2024, arXiv 2405.16605): 13 C^2 + 54 C parameters with CPE and LePE. The mixer's v is what it reads.
template <class Design, class E> struct mila_block {
  block_options options{};
  modules::depthwise<E> cpe1{}, dwc{}, cpe2{};
  modules::layer_norm<E> norm1{}, norm2{};
  modules::linear<E> in_and_act{};  ///< in_proj, act_proj: one product
  projections<gated_by_silu<Design>, E> attention{};
  modules::linear<E> out_proj{};
  blocks::mlp<E> feed_forward{};

  constexpr mila_block() = default;
  constexpr mila_block(const Design& design, index_t channels, index_t heads, const block_options& o)
      : options(o),
        cpe1(o.conditional_position ? channels : 0),
        dwc(channels),
        cpe2(o.conditional_position ? channels : 0),
        norm1(channels),
        norm2(channels),
        in_and_act(channels,
                   {{"in_proj.weight", "in_proj.bias", channels}, {"act_proj.weight", "act_proj.bias", channels}}),
        attention(sizes_of(design, channels, channels, heads, channels / 16, false)),
        out_proj(channels, channels),
        feed_forward(channels, o.mlp_ratio * channels) {}

  template <class Visit> constexpr void each(const Visit& visit) {
    if (options.conditional_position) visit("cpe1", cpe1);
    visit("norm1", norm1);
    visit("", in_and_act);
    visit("dwc", dwc);
    visit("attn", attention);
    visit("out_proj", out_proj);
    if (options.conditional_position) visit("cpe2", cpe2);
    visit("norm2", norm2);
    visit("mlp", feed_forward);
  }
  constexpr multiply_adds macs(index_t n) const {
    return cpe1.macs(n) + cpe2.macs(n) + dwc.macs(n) + norm1.macs(n) + norm2.macs(n) + in_and_act.macs(n) +
           attention.macs(n) + out_proj.macs(n) + feed_forward.macs(n);
  }
};

/// The block on pictures x [n, C], in place.
template <class On, class Design, class E>
status forward_block(const On& on, const Design& design, const mila_block<Design, E>& w, const rows<E>& x,
                     const picture_sizes& p, buffers& memory) {
  const index_t n = p.rows(), C = x.template extent<axis::value>();
  const std::size_t before = memory.used();
  const rows<E> s = memory.take<E>(n, C), u = memory.take<E>(n, C);
  const std::size_t after_norm = memory.used();
  const rows<E> both = memory.take<E>(n, 2 * C), main = columns(both, 0, C), act = columns(both, C, C);
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  const auto pictures = [&](const rows<E>& of) { return image_of(of, p.batch, p.height, p.width); };
  const bool moved = w.options.conditional_position;
  const rows<E> first = moved ? s : x;  // the stream between the two convolutions of positions
  constexpr after_convolution<E> residual{.plus_input = true};
  status done = in_order(
      [&] {
        if (!moved) return layer_norm(lent, rows<const E>(x), w.norm1, u);
        return depthwise_3x3_layer_norm(lent, image<const E>(pictures(x)), w.cpe1, pictures(s), w.norm1, u, residual);
      },
      [&] { return linear(lent, rows<const E>(u), w.in_and_act, both); },
      [&] {
        return depthwise_3x3(lent, image<const E>(pictures(main)), w.dwc, pictures(u),
                             after_convolution<E>{.act = activation::silu});
      },
      [&] { return mix(on, design.with(output::silu{}), w.attention, u, u, act, main, p, memory); },
      [&] { return linear(lent, rows<const E>(main), w.out_proj, first, after_linear<E>{.plus = first}); },
      [&] { return add_position(lent, w.cpe2, s, x, p); });
  if (done) {
    memory.back_to(after_norm);
    done = add_normed_mlp(on, w.norm2, w.feed_forward, u, x, x, memory);
  }
  memory.back_to(before);
  return done;
}

}  // namespace sextant::blocks
