// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba's block around any mixer of a picture's tokens: the ablation's row 'block design, all'.
#pragma once

#include <sextant/blocks/mila.hpp>

namespace sextant::blocks {

/// What `block::mamba` is in a network of pictures:
///   x += W_out (mixer(silu(DWConv3x3(W_in LN x))) (.) silu(W_gate LN x))
/// all inside expanded by `expansion`, no MLP: Mamba's block with the 3x3 convolution of pictures and any mixer, q and k as
/// wide as v (Han et al. 2024, section 5.2, whose own widths are not published). The convolution has no bias: W_in's, right
/// before it, is its. The mixer's v is what it reads. Mamba's own block of sequences is mamba_block.
template <class Design, class E> struct gated_block {
  block_options options{};
  modules::depthwise<E> cpe{}, dwc{};
  modules::layer_norm<E> norm{};
  modules::linear<E> in_and_gate{};  ///< in_proj, gate_proj: one product
  projections<gated_by_silu<Design>, E> attention{};
  modules::linear<E> out_proj{};

  constexpr gated_block() = default;
  constexpr gated_block(const Design& design, index_t channels, index_t heads, const block_options& o)
      : options(o),
        cpe(o.conditional_position ? channels : 0),
        dwc(o.expansion * channels, false),
        norm(channels),
        in_and_gate(channels, {{"in_proj.weight", "in_proj.bias", o.expansion * channels},
                               {"gate_proj.weight", "gate_proj.bias", o.expansion * channels}}),
        attention(sizes_of(design, o.expansion * channels, o.expansion * channels, o.expansion * heads, channels / 16,
                           false)),
        out_proj(o.expansion * channels, channels) {}

  template <class Visit> constexpr void each(const Visit& visit) {
    if (options.conditional_position) visit("cpe", cpe);
    visit("norm", norm);
    visit("", in_and_gate);
    visit("dwc", dwc);
    visit("attn", attention);
    visit("out_proj", out_proj);
  }
  constexpr multiply_adds macs(index_t n) const {
    return cpe.macs(n) + dwc.macs(n) + norm.macs(n) + in_and_gate.macs(n) + attention.macs(n) + out_proj.macs(n);
  }
};

/// The block on pictures x [n, C], in place.
template <class On, class Design, class E>
status forward_block(const On& on, const Design& design, const gated_block<Design, E>& w, const rows<E>& x,
                     const picture_sizes& p, buffers& memory) {
  const index_t n = p.rows(), C = x.template extent<axis::value>(), inner = w.dwc.channels();
  const std::size_t before = memory.used();
  const bool moved = w.options.conditional_position;
  const rows<E> s = moved ? memory.take<E>(n, C) : x, u = memory.take<E>(n, C), v = memory.take<E>(n, inner);
  const rows<E> both = memory.take<E>(n, 2 * inner), main = columns(both, 0, inner), act = columns(both, inner, inner);
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  const auto pictures = [&](const rows<E>& of) { return image_of(of, p.batch, p.height, p.width); };
  const status done = in_order(
      [&] { return add_position(lent, w.cpe, x, s, p); },
      [&] { return layer_norm(lent, rows<const E>(s), w.norm, u); },
      [&] { return linear(lent, rows<const E>(u), w.in_and_gate, both); },
      [&] {
        return depthwise_3x3(lent, image<const E>(pictures(main)), w.dwc, pictures(v),
                             after_convolution<E>{.act = activation::silu});
      },
      [&] { return mix(on, design.with(output::silu{}), w.attention, v, v, act, main, p, memory); },
      [&] { return linear(lent, rows<const E>(main), w.out_proj, x, after_linear<E>{.plus = s}); });
  memory.back_to(before);
  return done;
}

}  // namespace sextant::blocks
