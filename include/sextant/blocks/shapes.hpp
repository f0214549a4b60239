// SPDX-License-Identifier: Apache-2.0
/// @file  Whether the tensors of an operation fit together: the same answers on every backend.
#pragma once

#include <sextant/blocks/module.hpp>
#include <sextant/status.hpp>

/// Checks of shapes: ok, or why an operation computes nothing.
namespace sextant::blocks::shapes {

/// Whether two views have the same extents, axis by axis.
template <class View, class Other> constexpr bool same_extents(const View& a, const Other& b) {
  static_assert(View::rank == Other::rank);
  for (int r = 0; r < View::rank; ++r)
    if (a.extent(r) != b.extent(r)) return false;
  return true;
}
/// Whether the last axis has stride 1.
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

/// A depthwise convolution's and the norm's behind it, whose pixels lie as rows of equal distance.
template <class E>
constexpr status depthwise_norm(const image<const E>& x, const modules::depthwise<E>& w, const image<E>& y,
                                const modules::layer_norm<E>& n, const rows<E>& normed,
                                const after_convolution<E>& after) {
  if (const status found = depthwise(x, w, y, after, 1); !found) return found;
  const index_t step = y.stride(2);
  if ((y.extent(1) > 1 && y.stride(1) != y.extent(2) * step) ||
      (y.extent(0) > 1 && y.stride(0) != y.extent(1) * y.extent(2) * step))
    return {errc::shape, "depthwise: for the norm the pixels of y lie as rows of equal distance"};
  return norm<E>(rows_of(image<const E>(y)), n, normed);
}
/// A dense convolution's.
template <class E>
constexpr status convolution(const image<const E>& x, const modules::convolution<E>& w, const image<E>& y,
                             const after_convolution<E>& after) {
  if ((w.weight.size() > 0 && !w.weight) || (w.bias.size() > 0 && !w.bias))
    return {errc::missing, "convolution: the weights have no memory (bind)"};
  if (w.kernel < 1 || w.stride < 1 || w.padding < 0) return {errc::shape, "convolution: kernel and stride from 1 on"};
  return pictures(x, w.inputs(), y, w.pixels(x.template extent<axis::row>()),
                  w.pixels(x.template extent<axis::column>()), w.outputs(), after);
}
/// The most taps of a causal convolution.
inline constexpr index_t most_taps = 8;
/// A causal convolution's.
template <class E>
constexpr status conv1d(const tokens<const E>& x, const modules::conv1d<E>& w, const tokens<E>& y,
                        const tokens<const E>& initial_state, const tokens<E>& final_state) {
  if (w.width() < 1 || w.width() > most_taps) return {errc::shape, "conv1d: 1 to 8 taps"};
  if (!same_extents(x, y) || x.template extent<axis::value>() != w.channels())
    return {errc::shape, "conv1d: x and y have the same shape, with the channels that the weights say"};
  if (!is_contiguous_inside(x) || !is_contiguous_inside(y))
    return {errc::shape, "conv1d: a token's channels are contiguous"};
  const index_t state[3] = {x.template extent<axis::batch>(), w.width() - 1, w.channels()};
  for (int r = 0; r < 3; ++r)
    if ((initial_state && initial_state.extent(r) != state[r]) || (final_state && final_state.extent(r) != state[r]))
      return {errc::shape, "conv1d: states are [B, width - 1, C]"};
  if ((initial_state && !is_contiguous_inside(initial_state)) || (final_state && !is_contiguous_inside(final_state)))
    return {errc::shape, "conv1d: a state's channels are contiguous"};
  if (x.size() > 0 && (!x || !y)) return {errc::missing, "conv1d: x or y was not given"};
  if (w.channels() > 0 && (!w.weight || (w.biased() && !w.bias)))
    return {errc::missing, "conv1d: the weights have no memory (bind)"};
  return {};
}
/// One step's of a causal convolution.
template <class E>
constexpr status conv1d_step(const rows<const E>& x, const modules::conv1d<E>& w, const tokens<E>& state,
                             const rows<E>& y) {
  if (const status found = rows_to_rows(x, w.channels(), y, w.channels()); !found) return found;
  if (w.width() < 1 || w.width() > most_taps) return {errc::shape, "conv1d: 1 to 8 taps"};
  const index_t extents[3] = {x.template extent<axis::row>(), w.width() - 1, w.channels()};
  for (int r = 0; r < 3; ++r)
    if (state.extent(r) != extents[r]) return {errc::shape, "conv1d: states are [B, width - 1, C]"};
  if (!is_contiguous_inside(state)) return {errc::shape, "conv1d: a state's channels are contiguous"};
  if (w.channels() > 0 && (!w.weight || (w.biased() && !w.bias)))
    return {errc::missing, "conv1d: the weights have no memory (bind)"};
  if (state.size() > 0 && !state) return {errc::missing, "conv1d: the state was not given"};
  return {};
}
/// Those of keys that are spread.
template <class E> constexpr status spread_keys(const rows<const E>& x, const rows<E>& y) {
  const index_t from = x.template extent<axis::value>(), to = y.template extent<axis::value>();
  if (x.template extent<axis::row>() != y.template extent<axis::row>() || from % 2 != 0 || to % 2 != 0 || from > to)
    return {errc::shape, "spread_keys: rows of two halves, those of y as long as those of x or longer"};
  return y.size() == 0 || (x && y) ? status{} : status{errc::missing, "spread_keys: x or y was not given"};
}
/// Those of a norm of a sum.
template <class E, class S, class Norm>
constexpr status add_norm(const rows<const S>& x, const rows<const E>& delta, const Norm& w, const rows<S>& sum,
                          const rows<E>& y) {
  if (const status found = norm<E>(delta, w, y); !found) return found;
  return rows_to_rows<S>(x, w.channels(), sum, w.channels()) && same_extents(sum, y)
             ? status{}
             : status{errc::shape, "norm: x, delta, sum and y have the same shape and are there"};
}
/// A gated norm's.
template <class E>
constexpr status gated_norm(const rows<const E>& x, const rows<const E>& z, const modules::rms_norm<E>& w,
                            const rows<E>& y, index_t groups) {
  if (const status found = norm<E>(x, w, y); !found) return found;
  if (groups < 1 || w.channels() % groups != 0) return {errc::shape, "norm: groups divide the channels"};
  if (!same_extents(x, z) || !is_contiguous_inside(z))
    return {errc::shape, "norm: z is of x's shape, its rows contiguous"};
  if (x.size() > 0 && !z) return {errc::missing, "norm: z was not given"};
  return {};
}
/// Those of y = f(a, b), where b may repeat.
template <class E> constexpr status two_rows(const rows<const E>& a, const rows<const E>& b, const rows<E>& y) {
  if (const status found = rows_to_rows(a, y.template extent<axis::value>(), y, y.template extent<axis::value>());
      !found)
    return found;
  if (y.size() == 0) return {};
  const index_t period = b.template extent<axis::row>();
  if (period < 1 || y.template extent<axis::row>() % period != 0 ||
      b.template extent<axis::value>() != y.template extent<axis::value>() || !is_contiguous_inside(b))
    return {errc::shape, "rows: b's are as long as y's, and their number divides that of y's"};
  return b ? status{} : status{errc::missing, "rows: b was not given"};
}
/// A mean's of tokens.
template <class E> constexpr status token_mean(const tokens<const E>& x, const rows<E>& y) {
  if (x.template extent<axis::batch>() != y.template extent<axis::row>() ||
      x.template extent<axis::value>() != y.template extent<axis::value>() || !is_contiguous_inside(x) ||
      !is_contiguous_inside(y))
    return {errc::shape, "token_mean: x is [B, T, C], y [B, C], channels contiguous"};
  if ((x.size() > 0 && !x) || (y.size() > 0 && !y)) return {errc::missing, "token_mean: x or y was not given"};
  return {};
}
/// Those of tokens in another order.
template <class E> constexpr status reorder(const tokens<const E>& x, const tokens<E>& y, const tokens<const E>& plus) {
  if (x.template extent<axis::batch>() != y.template extent<axis::batch>() ||
      x.template extent<axis::value>() != y.template extent<axis::value>() || !is_contiguous_inside(x) ||
      !is_contiguous_inside(y) || !optional_fits(plus, y))
    return {errc::shape,
            "reorder: x and y have the same sequences and channels, channels contiguous; plus is of y's shape"};
  if (y.size() > 0 && (!x || !y)) return {errc::missing, "reorder: x or y was not given"};
  return {};
}
/// Patch merging's.
template <class E> constexpr status merge_patches(const image<const E>& x, const rows<E>& y) {
  const index_t h = (x.template extent<axis::row>() + 1) / 2, w = (x.template extent<axis::column>() + 1) / 2;
  if (y.template extent<axis::row>() != x.template extent<axis::batch>() * h * w ||
      y.template extent<axis::value>() != 4 * x.template extent<axis::value>() || !is_contiguous_inside(x) ||
      !is_contiguous_inside(y))
    return {errc::shape, "merge_patches: x is [B, H, W, C], y [B ceil(H/2) ceil(W/2), 4 C], channels contiguous"};
  if (y.size() > 0 && (!x || !y)) return {errc::missing, "merge_patches: x or y was not given"};
  return {};
}

}  // namespace sextant::blocks::shapes
