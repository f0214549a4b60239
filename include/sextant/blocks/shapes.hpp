// SPDX-License-Identifier: Apache-2.0
/// @file  Whether the tensors of an operation fit together: the same answers on every backend.
#pragma once

#include <sextant/blocks/module.hpp>
#include <sextant/status.hpp>

/// Checks of shapes: ok, or why an operation computes nothing.
namespace sextant::blocks::shapes {

template <class View, class Other> constexpr bool same_extents(const View& a, const Other& b) {
  static_assert(View::rank == Other::rank);
  for (int r = 0; r < View::rank; ++r)
    if (a.extent(r) != b.extent(r)) return false;
  return true;
}
template <class View> constexpr bool is_contiguous_inside(const View& x) {
  return x.stride(View::rank - 1) == 1 || x.extent(View::rank - 1) <= 1;
}
/// Left out, or of these extents with contiguous rows.
template <class View, class Other> constexpr bool optional_fits(const View& a, const Other& b) {
  return !a || (same_extents(a, b) && is_contiguous_inside(a));
}

/// Rows to rows of the same number, of these lengths.
template <class E>
constexpr status rows_to_rows(const rows<const E>& x, index_t inputs, const rows<E>& y, index_t outputs) {
  if (x.template extent<axis::row>() != y.template extent<axis::row>())
    return {errc::shape, "rows: x and y have the same number"};
  if (x.template extent<axis::value>() != inputs)
    return {errc::shape, "rows: those of x are as long as the weights say"};
  if (y.template extent<axis::value>() != outputs)
    return {errc::shape, "rows: those of y are as long as the weights say"};
  if (!is_contiguous_inside(x) || !is_contiguous_inside(y))
    return {errc::shape, "rows: the numbers of one are contiguous"};
  if (x.size() + y.size() == 0) return {};
  if ((x.size() > 0 && !x) || (y.size() > 0 && !y)) return {errc::missing, "rows: x or y was not given"};
  return {};
}
/// A linear layer's.
template <class E>
constexpr status linear(const rows<const E>& x, const modules::linear<E>& w, const rows<E>& y,
                        const after_linear<E>& after) {
  if (const status found = rows_to_rows(x, w.inputs(), y, w.outputs()); !found) return found;
  if ((w.weight.size() > 0 && !w.weight) || (w.biased() && !w.bias))
    return {errc::missing, "linear: the weights have no memory (bind)"};
  if (!optional_fits(after.times, y)) return {errc::shape, "linear: times is of y's shape, its rows contiguous"};
  if (!optional_fits(after.plus, y)) return {errc::shape, "linear: plus is of y's shape, its rows contiguous"};
  return {};
}
/// A norm's over rows.
template <class E, class Norm> constexpr status norm(const rows<const E>& x, const Norm& w, const rows<E>& y) {
  if (const status found = rows_to_rows(x, w.channels(), y, w.channels()); !found) return found;
  if (w.channels() > 0 && !w.weight) return {errc::missing, "norm: the weights have no memory (bind)"};
  return {};
}
/// A convolution's of pictures, whose result has so many rows, columns and channels.
template <class E>
constexpr status pictures(const image<const E>& x, index_t inputs, const image<E>& y, index_t height, index_t width,
                          index_t outputs, const after_convolution<E>& after) {
  if (x.template extent<axis::value>() != inputs || y.template extent<axis::value>() != outputs)
    return {errc::shape, "convolution: x and y have the channels that the weights say"};
  if (x.template extent<axis::batch>() != y.template extent<axis::batch>())
    return {errc::shape, "convolution: x and y have the same number of pictures"};
  if (y.template extent<axis::row>() != height || y.template extent<axis::column>() != width)
    return {errc::shape, "convolution: y has as many rows and columns as stride and padding leave"};
  if (!is_contiguous_inside(x) || !is_contiguous_inside(y))
    return {errc::shape, "convolution: the channels of a pixel are contiguous"};
  if ((x.size() > 0 && !x) || (y.size() > 0 && !y)) return {errc::missing, "convolution: x or y was not given"};
  if (!optional_fits(after.plus, y)) return {errc::shape, "convolution: plus is of y's shape, its channels contiguous"};
  if (after.plus_input && !same_extents(x, y)) return {errc::shape, "convolution: plus_input needs x of y's shape"};
  return {};
}
/// A depthwise convolution's.
template <class E>
constexpr status depthwise(const image<const E>& x, const modules::depthwise<E>& w, const image<E>& y,
                           const after_convolution<E>& after, int stride) {
  const index_t C = w.channels();
  if (stride != 1 && stride != 2) return {errc::shape, "depthwise: stride 1 or 2"};
  if ((C > 0 && !w.weight) || (w.biased() && !w.bias))
    return {errc::missing, "depthwise: the weights have no memory (bind)"};
  return pictures(x, C, y, (x.template extent<axis::row>() + stride - 1) / stride,
                  (x.template extent<axis::column>() + stride - 1) / stride, C, after);
}

}  // namespace sextant::blocks::shapes
