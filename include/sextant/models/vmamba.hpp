// SPDX-License-Identifier: Apache-2.0
/// @file  VMamba: a network of pictures with four selective scans in every block (Liu et al. 2024, arXiv 2401.10166).
#pragma once

#include <sextant/blocks/cross_scan.hpp>
#include <sextant/models/pictures.hpp>

namespace sextant::models {

/// The sizes of a VMamba. The defaults are those of VMamba-T, the released vssm1_tiny_0230s ("s1l8").
struct vmamba_sizes {
  index_t embed = 96;  ///< channels of the first stage; every further one has twice as many
  index_t depths[4] = {2, 2, 8, 2};
  index_t expand = 1;
  index_t state = 1;
  index_t classes = 1000;
  index_t window = 0;  ///< LocalMamba: scans through windows in the place of those along columns; 0: columns
};

/// A stage: equal blocks, and but for the last stage a 3x3 convolution of stride 2 to twice the channels, with LayerNorm.
template <class E> struct vmamba_stage {
  blocks::repeated<blocks::cross_scan_block<E>> layers{};
  bool last = false;
  blocks::modules::convolution<E> halve{};
  blocks::modules::layer_norm<E> norm{};
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("blocks", layers);
    if (last) return;
    visit("downsample.1", halve);
    visit("downsample.3", norm);
  }
};
/// The four stages, by number.
template <class E> struct vmamba_stages {
  vmamba_stage<E> stage[4]{};
  template <class Visit> constexpr void each(const Visit& visit) {
    for (index_t i = 0; i < 4; ++i) visit(i, stage[i]);
  }
};

/// All weights of a VMamba, or their sizes, under the names of MzeroMiko/VMamba.
template <class E> struct vmamba_weights {
  blocks::modules::convolution<E> first{}, second{};
  blocks::modules::layer_norm<E> norm1{}, norm2{}, norm{};
  vmamba_stages<E> layers{};
  blocks::modules::linear<E> head{};

  constexpr vmamba_weights() = default;
  constexpr explicit vmamba_weights(const vmamba_sizes& s)
      : first(3, s.embed / 2, {.kernel = 3, .stride = 2, .padding = 1}),
        second(s.embed / 2, s.embed, {.kernel = 3, .stride = 2, .padding = 1}),
        norm1(s.embed / 2),
        norm2(s.embed),
        norm(8 * s.embed),
        head(8 * s.embed, s.classes) {
    for (int i = 0; i < 4; ++i) {
      const index_t C = s.embed << i;
      vmamba_stage<E>& stage = layers.stage[i];
      stage.layers = {
          blocks::cross_scan_block<E>({.model = C, .expand = s.expand, .state = s.state, .window = s.window}),
          s.depths[i]};
      stage.last = i == 3;
      if (stage.last) continue;
      stage.halve = {C, 2 * C, {.kernel = 3, .stride = 2, .padding = 1}};
      stage.norm = blocks::modules::layer_norm<E>(2 * C);
    }
  }
  /// Tokens along an axis of so many pixels.
  constexpr index_t pixels(index_t of) const { return second.pixels(first.pixels(of)); }
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("patch_embed.0", first);
    visit("patch_embed.2", norm1);
    visit("patch_embed.5", second);
    visit("patch_embed.7", norm2);
    visit("layers", layers);
    visit("classifier.norm", norm);
    visit("classifier.head", head);
  }
};

/// A VMamba.
struct vmamba {
  vmamba_sizes sizes{};
  /// Two of the four scans through windows of so many tokens to a side (LocalMamba: Huang et al. 2024, arXiv 2403.09338), in
  /// every block; as many parameters and multiply-accumulates.
  constexpr vmamba with_windows(index_t side) const {
    vmamba same = *this;
    same.sizes.window = side;
    return same;
  }
  /// The weights' description; bind() gives it memory.
  template <class E = float> constexpr vmamba_weights<E> weights() const { return vmamba_weights<E>(sizes); }
};

/// VMamba-T.
inline constexpr vmamba vmamba_t{};

/// Trainable numbers.
constexpr index_t parameters(const vmamba& net) { return blocks::parameters(net.weights<>()); }
/// Multiply-accumulates of one picture.
constexpr blocks::multiply_adds macs(const vmamba& net, index_t height, index_t width) {
  const auto w = net.weights<>();
  const index_t half = w.first.pixels(height) * w.first.pixels(width);
  index_t h = w.pixels(height), v = w.pixels(width);
  blocks::multiply_adds sum = w.first.macs(half) + w.norm1.macs(half) + w.second.macs(h * v) + w.norm2.macs(h * v);
  for (int i = 0; i < 4; ++i) {
    const auto& stage = w.layers.stage[i];
    sum += stage.layers.size() * stage.layers.first_one().macs(h * v);
    if (i == 3) break;
    h = stage.halve.pixels(h), v = stage.halve.pixels(v);
    sum += stage.halve.macs(h * v) + stage.norm.macs(h * v);
  }
  return sum + w.norm.macs(h * v) + w.head.macs(1);
}

/// Class scores of pictures, on buffers taken from `memory`.
template <class On, class E>
status run(const vmamba& net, const On& on, const vmamba_weights<E>& w, const blocks::image<const E>& picture,
           const blocks::rows<E>& logits, blocks::buffers& memory) {
  using namespace sextant::blocks;
  const index_t B = picture.template extent<axis::batch>(), height = picture.template extent<axis::row>();
  const index_t width = picture.template extent<axis::column>();
  picture_sizes p{B, w.pixels(height), w.pixels(width)};
  rows<E> x = memory.take<E>(p.rows(), net.sizes.embed);
  const std::size_t after_x = memory.used();
  const index_t h = w.first.pixels(height), v = w.first.pixels(width);
  const rows<E> half = memory.take<E>(B * h * v, net.sizes.embed / 2);
  if (!memory.fits()) return too_little_memory;
  const auto pictures = [](const rows<E>& of, const picture_sizes& s) {
    return image_of(of, s.batch, s.height, s.width);
  };
  status done = in_order(
      [&] {
        return convolution(memory.lend(on), picture, w.first, pictures(half, {B, h, v}), after_convolution<E>{});
      },
      [&] { return layer_norm(memory.lend(on), rows<const E>(half), w.norm1, half); },
      [&] { return apply_activation(memory.lend(on), activation::gelu, rows<const E>(half), half); },
      [&] {
        return convolution(memory.lend(on), image<const E>(pictures(half, {B, h, v})), w.second, pictures(x, p),
                           after_convolution<E>{});
      },
      [&] { return layer_norm(memory.lend(on), rows<const E>(x), w.norm2, x); });
  memory.back_to(after_x);
  for (int i = 0; i < 4 && done; ++i) {
    const auto& stage = w.layers.stage[i];
    for (index_t b = 0; b < stage.layers.size() && done; ++b) done = forward_block(on, stage.layers[b], x, p, memory);
    if (i == 3 || !done) break;
    const picture_sizes next{B, stage.halve.pixels(p.height), stage.halve.pixels(p.width)};
    const rows<E> y = memory.take<E>(next.rows(), net.sizes.embed << (i + 1));
    if (!memory.fits()) return too_little_memory;
    done = in_order(
        [&] {
          return convolution(memory.lend(on), image<const E>(pictures(x, p)), stage.halve, pictures(y, next),
                             after_convolution<E>{});
        },
        [&] { return layer_norm(memory.lend(on), rows<const E>(y), stage.norm, y); });
    x = y, p = next;
  }
  return done ? forward_head(on, w.norm, w.head, x, p, logits, memory) : done;
}

/// Bytes of workspace that forward() needs for pictures of this size.
template <class E, class On>
std::size_t workspace_bytes(const vmamba& net, const On& on, index_t batch, index_t height, index_t width) {
  const auto w = blocks::bound_nowhere(net.weights<E>());
  return bytes_of_run<E>(on, batch, height, width, net.sizes.classes,
                         [&](const auto& measuring, const auto& picture, const auto& logits, blocks::buffers& memory) {
                           return run(net, measuring, w, picture, logits, memory);
                         });
}

/// Class scores: picture [B, H, W, 3] of any size, normalised, logits [B, classes].
template <class On, class E>
status forward(const vmamba& net, const On& on, const vmamba_weights<E>& w,
               const std::type_identity_t<blocks::image<const E>>& picture,
               const std::type_identity_t<blocks::rows<E>>& logits) {
  if (const status found = fit(picture, logits, net.sizes.classes); !found) return found;
  if (picture.template extent<axis::batch>() == 0) return {};
  blocks::buffers memory(on.memory);
  return run(net, on, w, picture, logits, memory);
}

}  // namespace sextant::models
