// SPDX-License-Identifier: Apache-2.0
/// @file  Depthwise 3x3 convolutions of pictures on the CPU.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/activation.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/cpu/norm.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// One row of the result and the rows of x around it.
template <class E> struct depthwise_row {
  using Real = blocks::accumulator_of<E>;
  using number = simd<Real>;
  static constexpr index_t lanes = number::lanes;

  const E* x[3];          // rows above, beside and below; null beyond the picture
  index_t x_step, width;  // elements from pixel to pixel; pixels
  E* y;
  index_t y_step, y_width;
  const E* plus;  // or null
  index_t plus_step;
  const Real *weight, *bias;
  index_t channels, stride;
  bool plus_input;

  /// What of the picture some channels of a row need: a row beyond it is one pixel of zeros.
  struct neighbours {
    const E* at;
    index_t step;
  };

  template <blocks::activation Act> void run() const {
    const E zeros[std::size_t(lanes)] = {};
    for (index_t c = 0; c < channels; c += lanes) {
      neighbours row[3];
      for (int i = 0; i < 3; ++i) row[i] = x[i] == nullptr ? neighbours{zeros, 0} : neighbours{x[i] + c, x_step};
      const bool cut = (y_width - 1) * stride + 1 >= width;  // the last pixel has no right neighbour
      edge<Act>(row, c, 0, true, y_width == 1 && cut);
      const index_t last = cut ? y_width - 1 : y_width;
      if (c + lanes <= channels) middle<Act>(row, c, last);
      else
        for (index_t j = 1; j < last; ++j) edge<Act>(row, c, j, false, false);
      if (cut && y_width > 1) edge<Act>(row, c, y_width - 1, false, true);
    }
  }

 private:
  /// The pixels from 1 to `last`, the nine weights of a vector of channels in registers.
  template <blocks::activation Act> void middle(const neighbours (&row)[3], index_t c, index_t last) const {
    number w[9];
    for (int tap = 0; tap < 9; ++tap) w[tap] = number::load(weight + tap * channels + c);
    const number b = bias == nullptr ? number(Real(0)) : number::load(bias + c);
    const index_t d0 = row[0].step, d1 = row[1].step, d2 = row[2].step;
    const E *above = row[0].at + (stride - 1) * d0, *beside = row[1].at + (stride - 1) * d1,
            *below = row[2].at + (stride - 1) * d2;
    for (index_t j = 1; j < last; ++j, above += stride * d0, beside += stride * d1, below += stride * d2) {
      number sum = b, other = w[0] * number::load(above);  // two sums, so that none waits for all nine
      sum = fma(w[1], number::load(above + d0), sum);
      other = fma(w[2], number::load(above + 2 * d0), other);
      const number centre = number::load(beside + d1);
      sum = fma(w[3], number::load(beside), sum);
      other = fma(w[4], centre, other);
      sum = fma(w[5], number::load(beside + 2 * d1), sum);
      other = fma(w[6], number::load(below), other);
      sum = fma(w[7], number::load(below + d2), sum);
      other = fma(w[8], number::load(below + 2 * d2), other);
      number value = activate<Act>(sum + other);
      if (plus != nullptr) value += number::load(plus + j * plus_step + c);
      if (plus_input) value += centre;
      value.store(y + j * y_step + c);
    }
  }
  /// One pixel, perhaps at the left or the right edge of the picture, of a vector of channels or what is left of them.
  template <blocks::activation Act>
  [[gnu::noinline]] void edge(const neighbours (&row)[3], index_t c, index_t j, bool left, bool right) const {
    const index_t count = channels - c < lanes ? channels - c : lanes;
    number value = bias == nullptr ? number(Real(0)) : number::load(bias + c, count);
    for (index_t tap = 0; tap < 9; ++tap) {
      if ((left && tap % 3 == 0) || (right && tap % 3 == 2)) continue;
      const neighbours& from = row[tap / 3];
      value = fma(number::load(weight + tap * channels + c, count),
                  number::load(from.at + (j * stride + tap % 3 - 1) * from.step, count), value);
    }
    value = activate<Act>(value);
    if (plus != nullptr) value += number::load(plus + j * plus_step + c, count);
    if (plus_input) value += number::load(row[1].at + j * stride * row[1].step, count);
    value.store(y + j * y_step + c, count);
  }
};

/// The convolution of checked arguments, and then(n, i) behind row i of picture n.
template <class On, class E, class Then>
void depthwise_rows(const On& on, const blocks::image<const E>& x, const blocks::modules::depthwise<E>& w,
                    const blocks::image<E>& y, const blocks::after_convolution<E>& after, int stride,
                    const Then& then) {
  const index_t H = x.template extent<axis::row>(), rows = y.template extent<axis::row>();
  each_run(on, y.template extent<axis::batch>() * rows, 4, [&](index_t first, index_t last, int) {
    with_activation(after.act, [&](auto act) {
      for (index_t item = first; item < last; ++item) {
        const index_t n = item / rows, i = item % rows, beside = i * stride;
        const bool above = beside > 0, below = beside + 1 < H;
        const depthwise_row<E> row{
            {above ? &x(n, beside - 1, 0, 0) : nullptr, &x(n, beside, 0, 0), below ? &x(n, beside + 1, 0, 0) : nullptr},
            x.template stride<axis::column>(),
            x.template extent<axis::column>(),
            &y(n, i, 0, 0),
            y.template stride<axis::column>(),
            y.template extent<axis::column>(),
            after.plus ? &after.plus(n, i, 0, 0) : nullptr,
            after.plus.template stride<axis::column>(),
            w.weight.data(),
            w.biased() ? w.bias.data() : nullptr,
            w.channels(),
            stride,
            after.plus_input};
        row.template run<decltype(act)::value>();
        then(n, i);
      }
    });
  });
}

}  // namespace detail

/// y = act(conv(x) + b) + plus, + x where `plus_input`: a 3x3 convolution of every channel by itself, zero-padded by
/// one, with stride 1 or 2: y has ceil(H / stride) rows and ceil(W / stride) columns. Any H and W. y overlaps x nowhere.
/// 9 multiply-adds for each number of y.
template <block_backend On, class E>
status depthwise_3x3(const On& on, std::type_identity_t<blocks::image<const E>> x,
                     const blocks::modules::depthwise<E>& w, std::type_identity_t<blocks::image<E>> y,
                     std::type_identity_t<blocks::after_convolution<E>> after = {}, int stride = 1) {
  if (const status found = blocks::shapes::depthwise<E>(x, w, y, after, stride); !found) return found;
  if (y.size() > 0) detail::depthwise_rows<On, E>(on, x, w, y, after, stride, [](index_t, index_t) {});
  return {};
}

/// y as depthwise_3x3() with a stride of 1, and normed = layer_norm(y) of each pixel, one row of it for each.
/// normed overlaps nothing else: the rows of x that its neighbours need are read later.
template <block_backend On, class E>
status depthwise_3x3_layer_norm(const On& on, std::type_identity_t<blocks::image<const E>> x,
                                const blocks::modules::depthwise<E>& w, std::type_identity_t<blocks::image<E>> y,
                                const blocks::modules::layer_norm<E>& norm,
                                std::type_identity_t<blocks::rows<E>> normed,
                                std::type_identity_t<blocks::after_convolution<E>> after = {}) {
  if (const status found = blocks::shapes::depthwise_norm<E>(x, w, y, norm, normed, after); !found) return found;
  if (y.size() == 0) return {};
  using Real = blocks::accumulator_of<E>;
  const index_t H = y.template extent<axis::row>(), W = y.template extent<axis::column>();
  detail::depthwise_rows<On, E>(on, x, w, y, after, 1, [&](index_t n, index_t i) {  // a row that is in the first cache
    for (index_t j = 0; j < W; ++j)
      detail::layer_norm_row<E, E, Real>(&y(n, i, j, 0), norm.channels(), norm.weight.data(), norm.bias.data(),
                                         Real(norm.eps), &normed((n * H + i) * W + j, 0));
  });
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
