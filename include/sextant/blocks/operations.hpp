// SPDX-License-Identifier: Apache-2.0
/// @file  What the operations of blocks speak of on every backend: rows, images, activations, what follows a product.
#pragma once

#include <type_traits>  // conditional_t, is_same_v

#include <sextant/config.hpp>
#include <sextant/tensor/precision.hpp>
#include <sextant/tensor/view.hpp>

namespace sextant::blocks {

/// Rows of numbers, [n, C]: a row is contiguous (stride 1), rows lie anywhere.
template <class E> using rows = view<E, axis::row, axis::value>;
/// Pictures, channels last, [B, H, W, C]: the channels of a pixel are contiguous, the other strides any.
template <class E> using image = view<E, axis::batch, axis::row, axis::column, axis::value>;
/// Tokens, [B, T, C]: the channels of a token are contiguous.
template <class E> using tokens = view<E, axis::batch, axis::time, axis::value>;

/// The type that sums over numbers of type E are taken in.
template <class E> using accumulator_of = std::conditional_t<std::is_same_v<E, double>, double, float>;
/// The precision whose tokens are of type E.
template <class E> using precision_of = precision<E, accumulator_of<E>, accumulator_of<E>>;

/// A function of one number.
enum class activation {
  none,
  relu,      ///< max(x, 0)
  gelu,      ///< x (1 + erf(x / sqrt(2))) / 2
  silu,      ///< x / (1 + exp(-x))
  softplus,  ///< log(1 + exp(x)); x itself from 20 on
};

/// What follows a linear layer: y = act(x W^T + b) (.) times + plus. `times` and `plus` are left out or of y's shape.
/// On the CPU either may be y; on a GPU plus may, where neither times nor a function comes before it.
template <class E> struct after_linear {
  activation act = activation::none;
  rows<const E> times{};
  rows<const E> plus{};
};

/// What follows a convolution: y = act(conv(x) + b) + plus, and + x where `plus_input` (of the shape of x, then).
/// `plus` is left out or of y's shape. It may be y, but on a GPU not behind a function where a linear layer computes the
/// convolution (taps of 1 x 1, and what is unfolded).
template <class E> struct after_convolution {
  activation act = activation::none;
  bool plus_input = false;
  image<const E> plus{};
};

/// Multiply-accumulates as the vision papers count them.
struct multiply_adds {
  index_t products = 0;  ///< of linear layers and convolutions
  index_t mixers = 0;    ///< of the mixers' own products and recurrences
  index_t norms = 0;     ///< of norms: 5 for each number, fvcore's rule

  constexpr index_t total() const { return products + mixers + norms; }
  friend constexpr multiply_adds operator+(multiply_adds a, multiply_adds b) {
    return {a.products + b.products, a.mixers + b.mixers, a.norms + b.norms};
  }
  constexpr multiply_adds& operator+=(multiply_adds b) { return *this = *this + b; }
  friend constexpr multiply_adds operator*(index_t n, multiply_adds a) {
    return {n * a.products, n * a.mixers, n * a.norms};
  }
};

/// The rows of pictures whose pixels lie as rows of equal distance.
template <class E> constexpr rows<E> rows_of(const image<E>& x) {
  const index_t n =
      x.template extent<axis::batch>() * x.template extent<axis::row>() * x.template extent<axis::column>();
  return rows<E>(x.data(), {n, x.template extent<axis::value>()}, {x.template stride<axis::column>(), 1});
}
/// The rows of sequences whose tokens lie as rows of equal distance.
template <class E> constexpr rows<E> rows_of(const tokens<E>& x) {
  const index_t n = x.template extent<axis::batch>() * x.template extent<axis::time>();
  return rows<E>(x.data(), {n, x.template extent<axis::value>()}, {x.template stride<axis::time>(), 1});
}
/// Where row i begins; null where there is no memory.
template <class E> constexpr E* row_at(const rows<E>& x, index_t i) {
  return x.data() == nullptr ? nullptr : x.data() + i * x.template stride<axis::row>();
}
/// Columns `first` to `first + count` of rows.
template <class E> constexpr rows<E> columns(const rows<E>& x, index_t first, index_t count) {
  E* const at = x.data() == nullptr ? nullptr : x.data() + first;
  return rows<E>(at, {x.template extent<axis::row>(), count}, {x.template stride<axis::row>(), 1});
}
/// Rows as pictures, height width rows each.
template <class E> constexpr image<E> image_of(const rows<E>& x, index_t batch, index_t height, index_t width) {
  const index_t step = x.template stride<axis::row>();
  return image<E>(x.data(), {batch, height, width, x.template extent<axis::value>()},
                  {height * width * step, width * step, step, 1});
}
/// Rows as sequences of equal length.
template <class E> constexpr tokens<E> tokens_of(const rows<E>& x, index_t batch, index_t time) {
  const index_t step = x.template stride<axis::row>();
  return tokens<E>(x.data(), {batch, time, x.template extent<axis::value>()}, {time * step, step, 1});
}

}  // namespace sextant::blocks
