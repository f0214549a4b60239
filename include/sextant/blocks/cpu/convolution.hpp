// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions of pictures on the CPU: a few pixels' surroundings at a time as rows of a matrix product.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/product.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// Whether pixels lie as rows of equal distance, those of the next line behind those of the last.
template <class E> bool in_rows(const blocks::image<E>& x) {
  const index_t line = x.template extent<axis::column>() * x.template stride<axis::column>();
  return x.template stride<axis::row>() == line &&
         x.template stride<axis::batch>() == x.template extent<axis::row>() * line;
}
/// Where pixel i of all pictures begins; null where there is no memory.
template <class E> struct pixels {
  blocks::image<E> x;
  bool rows;
  explicit pixels(const blocks::image<E>& image) : x(image), rows(in_rows(image)) {}
  E* operator()(index_t i) const {
    if (x.data() == nullptr) return nullptr;
    if (rows) return x.data() + i * x.template stride<axis::column>();
    const index_t H = x.template extent<axis::row>(), W = x.template extent<axis::column>();
    return &x(i / (H * W), i / W % H, i % W, 0);
  }
};

/// The k x k pixels around one of the result, [k][k][I]; zeros beyond the picture.
template <class E, class Real>
void surroundings(const blocks::image<const E>& x, const blocks::modules::convolution<E>& w, index_t n, index_t i,
                  index_t j, Real* to) {
  const index_t I = w.inputs(), H = x.template extent<axis::row>(), W = x.template extent<axis::column>();
  const index_t left = j * w.stride - w.padding;
  const bool inside = left >= 0 && left + w.kernel <= W && x.template stride<axis::column>() == I;
  for (index_t a = 0; a < w.kernel; ++a) {
    const index_t line = i * w.stride - w.padding + a;
    if (inside && line >= 0 && line < H) {
      copy_row<Real>(&x(n, line, left, 0), w.kernel * I, to);
      to += w.kernel * I;
      continue;
    }
    for (index_t b = 0; b < w.kernel; ++b, to += I) {
      if (line >= 0 && line < H && left + b >= 0 && left + b < W) copy_row<Real>(&x(n, line, left + b, 0), I, to);
      else
        for (index_t c = 0; c < I; ++c) to[c] = Real(0);
    }
  }
}

}  // namespace detail

/// Bytes of workspace of convolution() for pictures of this size.
template <block_backend On, class E>
std::size_t convolution_bytes(const On& on, index_t batch, index_t height, index_t width,
                              const blocks::modules::convolution<E>& w) {
  const index_t n = batch * w.pixels(height) * w.pixels(width);
  return detail::product_bytes<E>(n, w.outputs(), w.product().inputs(), workers(on), true);
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
  const detail::pixels<const E> of_x(x), of_plus(after.plus);
  const detail::pixels<E> of_y(y);
  const bool as_they_lie = w.kernel == 1 && w.stride == 1 && w.padding == 0 && of_x.rows;
  detail::product(
      on, n, matrix, true, after.act,
      [&](index_t first, index_t height, Real* copies) {
        if (as_they_lie)
          return detail::as_real(of_x(first), x.template stride<axis::column>(), height, matrix.inputs(), copies);
        for (index_t r = 0; r < height; ++r)
          detail::surroundings<E, Real>(x, w, (first + r) / (H * W), (first + r) / W % H, (first + r) % W,
                                        copies + r * matrix.inputs());
        return matrix_rows<const Real>{copies, matrix.inputs()};
      },
      [&](index_t i) {
        return detail::row_of_result<E>{of_y(i), nullptr, of_plus(i), after.plus_input ? of_x(i) : nullptr};
      });
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
