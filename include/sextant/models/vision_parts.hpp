// SPDX-License-Identifier: Apache-2.0
/// @file  What stands around the stages of a vision network: the stem, and the halving of pictures between stages.
#pragma once

#include <sextant/blocks/memory.hpp>
#include <sextant/blocks/projections.hpp>

namespace sextant::models {

/// From a picture [B, H, W, 3] to tokens of C channels, a quarter of its height and width, rounded up. Swin's: 4x4 patches
/// and LayerNorm. MILA's: five convolutions with BatchNorm and ReLU, e = C / 2:
///   x = conv1 x; x = x + conv2 x; x = conv3 x
template <class E> struct stem {
  bool convolutional = false;
  blocks::modules::convolution<E> proj{};  ///< Swin's
  blocks::modules::layer_norm<E> norm{};
  blocks::modules::convolution<E> conv1{}, conv2_0{}, conv2_1{}, conv3_0{}, conv3_1{};  ///< MILA's

  constexpr stem() = default;
  constexpr stem(index_t C, bool convolutions) : convolutional(convolutions) {
    using blocks::modules::convolution;
    if (!convolutional) {
      proj = convolution<E>(3, C, {.kernel = 4, .stride = 4, .overhangs = true});
      norm = blocks::modules::layer_norm<E>(C);
      return;
    }
    const index_t e = C / 2;
    const auto normalised = [](index_t inputs, index_t outputs, index_t kernel, index_t stride) {
      return convolution<E>(
          inputs, outputs,
          {.kernel = kernel, .stride = stride, .padding = kernel / 2, .biased = false, .normalised = true});
    };
    conv1 = normalised(3, e, 3, 2);
    conv2_0 = normalised(e, e, 3, 1);
    conv2_1 = normalised(e, e, 3, 1);
    conv3_0 = normalised(e, 4 * C, 3, 2);
    conv3_1 = normalised(4 * C, C, 1, 1);
  }
  /// Tokens along an axis of so many pixels.
  constexpr index_t pixels(index_t of) const {
    return convolutional ? conv3_0.pixels(conv1.pixels(of)) : proj.pixels(of);
  }
  constexpr blocks::multiply_adds macs(index_t height, index_t width) const {
    const index_t n = pixels(height) * pixels(width);
    if (!convolutional) return proj.macs(n) + norm.macs(n);
    const index_t half = conv1.pixels(height) * conv1.pixels(width);
    return conv1.macs(half) + conv2_0.macs(half) + conv2_1.macs(half) + conv3_0.macs(n) + conv3_1.macs(n);
  }
  template <class Visit> constexpr void each(const Visit& visit) {
    if (convolutional) {
      visit("conv1.conv", conv1);
      visit("conv2.0.conv", conv2_0);
      visit("conv2.1.conv", conv2_1);
      visit("conv3.0.conv", conv3_0);
      visit("conv3.1.conv", conv3_1);
    } else {
      visit("proj", proj);
      visit("norm", norm);
    }
  }
};

/// The stem: x [B h w, C].
template <class On, class E>
status forward_stem(const On& on, const stem<E>& w, const blocks::image<const E>& picture, const blocks::rows<E>& x,
                    const blocks::picture_sizes& p, blocks::buffers& memory) {
  using namespace sextant::blocks;
  const std::size_t before = memory.used();
  const image<E> result = image_of(x, p.batch, p.height, p.width);
  status done;
  if (!w.convolutional) {
    done = in_order([&] { return convolution(memory.lend(on), picture, w.proj, result, after_convolution<E>{}); },
                    [&] { return layer_norm(memory.lend(on), rows<const E>(x), w.norm, x); });
  } else {
    const index_t h = w.conv1.pixels(picture.template extent<axis::row>());
    const index_t v = w.conv1.pixels(picture.template extent<axis::column>()), e = w.conv1.outputs();
    const image<E> first = image_of(memory.take<E>(p.batch * h * v, e), p.batch, h, v);
    const std::size_t after_first = memory.used();
    const image<E> second = image_of(memory.take<E>(p.batch * h * v, e), p.batch, h, v);
    if (!memory.fits()) return too_little_memory;
    constexpr after_convolution<E> rectified{.act = activation::relu};
    done = in_order([&] { return convolution(memory.lend(on), picture, w.conv1, first, rectified); },
                    [&] { return convolution(memory.lend(on), image<const E>(first), w.conv2_0, second, rectified); },
                    [&] {
                      return convolution(memory.lend(on), image<const E>(second), w.conv2_1, first,
                                         after_convolution<E>{.plus = first});
                    });
    if (done) {
      memory.back_to(after_first);
      if constexpr (requires { two_convolutions(on, image<const E>(first), w.conv3_0, w.conv3_1, result); })
        if (takes_two_convolutions(on, image<const E>(first), w.conv3_0, w.conv3_1, result)) {
          done = two_convolutions(on, image<const E>(first), w.conv3_0, w.conv3_1, result);
          memory.back_to(before);
          return done;
        }
      const image<E> wide = image_of(memory.take<E>(p.rows(), w.conv3_0.outputs()), p.batch, p.height, p.width);
      if (!memory.fits()) return too_little_memory;
      done = in_order([&] { return convolution(memory.lend(on), image<const E>(first), w.conv3_0, wide, rectified); },
                      [&] {
                        return convolution(memory.lend(on), image<const E>(wide), w.conv3_1, result,
                                           after_convolution<E>{});
                      });
    }
  }
  memory.back_to(before);
  return done;
}

/// From C channels to 2 C on half the height and width, rounded up; none where C is 0. Swin's: 2x2 pixels as one of 4 C,
/// LayerNorm, a product. MILA's: 1x1 to 8 C, ReLU, depthwise 3x3 of stride 2, ReLU, 1x1 to 2 C, BatchNorm.
template <class E> struct downsampling {
  bool convolutional = false;
  index_t channels = 0;
  blocks::modules::layer_norm<E> norm{};  ///< Swin's
  blocks::modules::linear<E> reduction{};
  blocks::modules::convolution<E> widen{}, narrow{};  ///< MILA's
  blocks::modules::depthwise<E> halve{};

  constexpr downsampling() = default;
  constexpr downsampling(index_t C, bool convolutions) : convolutional(convolutions), channels(C) {
    if (C == 0) return;
    if (convolutional) {
      widen = blocks::modules::convolution<E>(C, 8 * C, {});
      halve = blocks::modules::depthwise<E>(8 * C);
      narrow = blocks::modules::convolution<E>(8 * C, 2 * C, {.normalised = true});
    } else {
      norm = blocks::modules::layer_norm<E>(4 * C);
      reduction = blocks::modules::linear<E>(4 * C, 2 * C, false);
    }
  }
  constexpr blocks::multiply_adds macs(index_t height, index_t width) const {
    if (channels == 0) return {};
    const index_t n = (height + 1) / 2 * ((width + 1) / 2);
    return convolutional ? widen.macs(height * width) + halve.macs(n) + narrow.macs(n)
                         : norm.macs(n) + reduction.macs(n);
  }
  template <class Visit> constexpr void each(const Visit& visit) {
    if (channels == 0) return;
    if (convolutional) {
      visit("conv.0.conv", widen);
      visit("conv.1.conv", halve);
      visit("conv.2.conv", narrow);
    } else {
      visit("norm", norm);
      visit("reduction", reduction);
    }
  }
};

/// Pictures at once, of so many numbers each in the widest buffer, so that it does not grow with the batch beyond the stem's.
constexpr index_t pictures_at_once(index_t batch, index_t numbers) {
  constexpr index_t most = 52'000'000;
  const index_t fit = numbers > 0 ? most / numbers : batch;
  return batch < 16 || fit >= batch ? batch : fit < 16 ? 16 : fit;
}

/// The halving: y [B ceil(h / 2) ceil(w / 2), 2 C] of x [B h w, C].
template <class On, class E>
status forward_downsampling(const On& on, const downsampling<E>& w, const blocks::rows<E>& x, const blocks::rows<E>& y,
                            const blocks::picture_sizes& p, blocks::buffers& memory) {
  using namespace sextant::blocks;
  const std::size_t before = memory.used();
  const index_t h = (p.height + 1) / 2, v = (p.width + 1) / 2, C = w.channels;
  status done;
  if (!w.convolutional) {
    const rows<E> merged = memory.take<E>(p.batch * h * v, 4 * C);
    if (!memory.fits()) return too_little_memory;
    const On lent = memory.lend(on);
    done =
        in_order([&] { return merge_patches(lent, image<const E>(image_of(x, p.batch, p.height, p.width)), merged); },
                 [&] { return layer_norm(lent, rows<const E>(merged), w.norm, merged); },
                 [&] { return linear(lent, rows<const E>(merged), w.reduction, y, after_linear<E>{}); });
  } else {
    const index_t at_once = pictures_at_once(p.batch, p.tokens() * 8 * C);
    const rows<E> wide = memory.take<E>(at_once * p.tokens(), 8 * C), half = memory.take<E>(at_once * h * v, 8 * C);
    if (!memory.fits()) return too_little_memory;
    const On lent = memory.lend(on);
    for (index_t first = 0; first < p.batch && done; first += at_once) {
      const index_t some = p.batch - first < at_once ? p.batch - first : at_once;
      const auto part = [&](const rows<E>& of, index_t step, index_t rows_height, index_t rows_width) {
        E* const at = of.data() == nullptr ? nullptr : row_at(of, step);
        return image<E>(at, {some, rows_height, rows_width, of.template extent<axis::value>()});
      };
      const image<E> a = part(x, first * p.tokens(), p.height, p.width), b = part(wide, 0, p.height, p.width);
      const image<E> c = part(half, 0, h, v), d = part(y, first * h * v, h, v);
      constexpr after_convolution<E> rectified{.act = activation::relu};
      done = in_order([&] { return convolution(lent, image<const E>(a), w.widen, b, rectified); },
                      [&] { return depthwise_3x3(lent, image<const E>(b), w.halve, c, rectified, 2); },
                      [&] { return convolution(lent, image<const E>(c), w.narrow, d, after_convolution<E>{}); });
    }
  }
  memory.back_to(before);
  return done;
}

}  // namespace sextant::models
