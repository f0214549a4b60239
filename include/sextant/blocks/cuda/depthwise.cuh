// SPDX-License-Identifier: Apache-2.0
/// @file  Depthwise 3x3 convolutions of channels-last pictures on a GPU.
#pragma once

#include <sextant/blocks/cuda/depthwise/any_strides.cuh>
#include <sextant/blocks/cuda/depthwise/four_columns.cuh>
#include <sextant/blocks/cuda/depthwise/kernel.cuh>
#include <sextant/blocks/cuda/norm.cuh>
#include <sextant/blocks/shapes.hpp>

namespace sextant::gpu {

namespace blockwise {

/// Whether the extents of pictures and the strides of their rows and columns are ints, as the kernels have them.
template <class... Pictures> bool are_int_sized(const Pictures&... pictures) {
  const auto all = [](auto... numbers) { return ((numbers == index_t(int(numbers))) && ...); };
  return (all(pictures.extent(0), pictures.extent(1), pictures.extent(2), pictures.extent(3), pictures.stride(1),
              pictures.stride(2)) &&
          ...);
}

}  // namespace blockwise

/// y = act(w * x + bias) (+ x) (+ plus): every channel with its own 3 x 3 weights, zeros around the picture. y[b, i, j] is
/// centred at x[b, stride i, stride j]; its extents are those of x over the stride, rounded up. y overlaps nothing that is
/// read. Any strides but that of a pixel's channels, which is 1; rows of whole 16-byte pieces are many times faster.
/// Reads x once and writes y once; deterministic.
template <class E>
status depthwise_3x3(const stream& on, std::type_identity_t<blocks::image<const E>> x,
                     const blocks::modules::depthwise<E>& w, std::type_identity_t<blocks::image<E>> y,
                     const std::type_identity_t<blocks::after_convolution<E>>& after = {}, int stride = 1) {
  if (const status fits = blocks::shapes::depthwise(x, w, y, after, stride); !fits) return fits;
  if (y.size() == 0) return {};
  if (!blockwise::are_int_sized(x, y, after.plus)) return blockwise::too_many();
  const auto c = blockwise::depthwise_call<E>::of(x, w, y, after);
  if (blockwise::has_pieces(x, c.channels) && blockwise::has_pieces(y, c.channels) && gpu::holds_packets(c.weight) &&
      gpu::holds_packets(c.bias) && (!after.plus || blockwise::has_pieces(after.plus, c.channels)) &&
      blockwise::has_small_offsets(c)) {
    if constexpr (sizeof(E) == 2)
      if (stride == 1) return blockwise::run_depthwise_four_columns(c, on);
    return stride == 1 ? blockwise::run_depthwise<E, 1, false>(c, on) : blockwise::run_depthwise<E, 2, false>(c, on);
  }
  if (y.size() >= blockwise::most_items) return blockwise::too_many();
  return gpu::launch(&blockwise::depthwise_any_kernel<E>, blockwise::blocks_for(y.size(), 256), dim3(256), 0, on.handle,
                     c, stride);
}

/// y as depthwise_3x3() with a stride of 1, and normed = layer_norm(y) of each pixel: in one pass where the tensors are small,
/// neither a function nor plus comes behind the convolution and a pixel's channels are a power of two of 16-byte
/// pieces, 32 at most (256 channels of 16 bits), in two otherwise. normed overlaps nothing else.
template <class E>
status depthwise_3x3_layer_norm(const stream& on, std::type_identity_t<blocks::image<const E>> x,
                                const blocks::modules::depthwise<E>& w, std::type_identity_t<blocks::image<E>> y,
                                const blocks::modules::layer_norm<E>& norm,
                                std::type_identity_t<blocks::rows<E>> normed,
                                const std::type_identity_t<blocks::after_convolution<E>>& after = {}) {
  if (const status fits = blocks::shapes::depthwise_norm<E>(x, w, y, norm, normed, after); !fits) return fits;
  if (y.size() == 0) return {};
  const blocks::image<E> pixels = blocks::image_of(normed, y.extent(0), y.extent(1), y.extent(2));
  auto c = blockwise::depthwise_call<E>::of(x, w, y, after);
  constexpr int count = blockwise::piece<E, true>::count;
  const int pieces = c.channels / count;
  constexpr index_t few = index_t(1) << 21;  // of more numbers two passes are quicker
  if (y.size() <= few && after.act == blocks::activation::none && !after.plus && pieces <= 32 &&
      (pieces & (pieces - 1)) == 0 && blockwise::has_pieces(x, c.channels) && blockwise::has_pieces(y, c.channels) &&
      blockwise::has_pieces(normed, c.channels) && holds_packets(c.weight) && holds_packets(c.bias) &&
      holds_packets(norm.weight.data()) && holds_packets(norm.bias.data()) && blockwise::are_int_sized(x, y, pixels) &&
      blockwise::has_small_offsets(c)) {
    c.norm_weight = norm.weight.data(), c.norm_bias = norm.bias.data(), c.eps = blockwise::real_of<E>(norm.eps);
    c.part = blockwise::real_of<E>(1) / blockwise::real_of<E>(c.channels);
    c.normed = normed.data();
    c.of_normed = blockwise::depthwise_call<E>::strides_of(pixels);
    return blockwise::run_depthwise<E, 1, true>(c, on);
  }
  const status done = depthwise_3x3<E>(on, x, w, y, after);
  return done ? layer_norm<E>(on, blocks::rows_of(blocks::image<const E>(y)), norm, normed) : done;
}

}  // namespace sextant::gpu
