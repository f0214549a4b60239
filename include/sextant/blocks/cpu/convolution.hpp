// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions of pictures on the CPU: a few pixels' surroundings at a time as rows of a matrix product.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/product.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// The k x k pixels around one of the result, [k][k][I]; zeros beyond the picture.
template <class E, class Real>
void surroundings(const blocks::image<const E>& x, const blocks::modules::convolution<E>& w, index_t n, index_t i,
                  index_t j, Real* to) {
  constexpr index_t lanes = simd<Real>::lanes;
  const index_t I = w.inputs(), H = x.template extent<axis::row>(), W = x.template extent<axis::column>();
  for (index_t a = 0; a < w.kernel; ++a)
    for (index_t b = 0; b < w.kernel; ++b, to += I) {
      const index_t row = i * w.stride - w.padding + a, column = j * w.stride - w.padding + b;
      if (row < 0 || row >= H || column < 0 || column >= W) {
        for (index_t c = 0; c < I; ++c) to[c] = Real(0);
        continue;
      }
      const E* const from = &x(n, row, column, 0);
      index_t c = 0;
      for (; c + lanes <= I; c += lanes) simd<Real>::load(from + c).store(to + c);
      for (; c < I; ++c) to[c] = Real(from[c]);
    }
}

}  // namespace detail

/// Bytes of workspace of convolution() for pictures of this size.
template <block_backend On, class E>
std::size_t convolution_bytes(const On& on, index_t batch, index_t height, index_t width,
                              const blocks::modules::convolution<E>& w) {
  const index_t n = batch * w.pixels(height) * w.pixels(width);
  return worker_bytes(on, detail::product_tiles<E>(n, w.outputs(), w.product().inputs(), workers(on), true).bytes());
}

/// y = act(conv(x) + b) + plus, + x where `plus_input`, with sums in float (double for double). y overlaps x nowhere;
/// plus may be y. k k O I multiply-adds for each pixel of y.
template <block_backend On, class E>
status convolution(const On& on, std::type_identity_t<blocks::image<const E>> x,
                   const blocks::modules::convolution<E>& w, std::type_identity_t<blocks::image<E>> y,
                   std::type_identity_t<blocks::after_convolution<E>> after = {}) {
  if (const status found = blocks::shapes::convolution<E>(x, w, y, after); !found) return found;
  if (y.size() == 0) return {};
  using Real = blocks::accumulator_of<E>;
  const index_t H = y.template extent<axis::row>(), W = y.template extent<axis::column>();
  const index_t n = y.template extent<axis::batch>() * H * W;
  const blocks::modules::linear<E> matrix = w.product();
  if (on.memory.bytes < convolution_bytes(on, x.template extent<axis::batch>(), x.template extent<axis::row>(),
                                          x.template extent<axis::column>(), w))
    return {errc::workspace, "convolution: fewer bytes than convolution_bytes() says"};
  const detail::product_tiles<E> tiles(n, w.outputs(), matrix.inputs(), workers(on), true);
  const auto at = [&](const auto& picture, index_t i) { return &picture(i / (H * W), i / W % H, i % W, 0); };
  detail::product(
      on, tiles, n, matrix, after.act,
      [&](index_t first, index_t height, Real* copies) {
        for (index_t r = 0; r < height; ++r)
          detail::surroundings<E, Real>(x, w, (first + r) / (H * W), (first + r) / W % H, (first + r) % W,
                                        copies + r * matrix.inputs());
        return matrix_rows<const Real>{copies, matrix.inputs()};
      },
      [&](index_t i) {
        return detail::row_of_result<E>{at(y, i), nullptr, after.plus ? at(after.plus, i) : nullptr,
                                        after.plus_input ? at(x, i) : nullptr};
      });
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
