// SPDX-License-Identifier: Apache-2.0
/// @file  A convolution's call as its kernels see it, and what follows a pixel's sums.
#pragma once

#include <cstddef>  // size_t

#include <sextant/blocks/cuda/piece.cuh>

namespace sextant::gpu::blockwise {

/// A call as the kernels of convolutions see it. Strides count elements.
template <class E> struct convolution_call {
  struct picture_strides {
    index_t batch, row, column;
  };
  const E *x, *weight, *bias, *plus, *also;  ///< `also`: a second tensor to add, x itself
  E* y;
  picture_strides of_x, of_y, of_plus, of_also;
  int height, width, inputs, rows, columns, outputs;  ///< of x, of y
  int kernel, stride, padding;
  index_t pictures;
  activation act;

  template <class View> static picture_strides strides_of(const View& v) {
    return {v.stride(0), v.stride(1), v.stride(2)};
  }
  static convolution_call of(const image<const E>& x, const modules::convolution<E>& w, const image<E>& y,
                             const after_convolution<E>& after) {
    return {.x = x.data(),
            .weight = w.weight.data(),
            .bias = w.bias.data(),
            .plus = after.plus.data(),
            .also = after.plus_input ? x.data() : nullptr,
            .y = y.data(),
            .of_x = strides_of(x),
            .of_y = strides_of(y),
            .of_plus = strides_of(after.plus),
            .of_also = strides_of(x),
            .height = int(x.extent(1)),
            .width = int(x.extent(2)),
            .inputs = int(x.extent(3)),
            .rows = int(y.extent(1)),
            .columns = int(y.extent(2)),
            .outputs = int(y.extent(3)),
            .kernel = int(w.kernel),
            .stride = int(w.stride),
            .padding = int(w.padding),
            .pictures = x.extent(0),
            .act = after.act};
  }
};

/// Stores a piece of a pixel's channels: y = act(sums + bias) + plus + also.
template <bool Whole, class E, std::size_t Count>
__device__ __forceinline__ void finish(const convolution_call<E>& c, index_t picture, int row, int column, int channel,
                                       real_of<E> (&numbers)[Count]) {
  const auto add = [&](const E* from) {
    real_of<E> more[Count];
    load_reals<Whole>(from, more);
#pragma unroll
    for (int e = 0; e < int(Count); ++e) numbers[e] += more[e];
  };
  if (c.bias != nullptr) add(c.bias + channel);
  activate<E>(c.act, numbers);
  if (c.plus != nullptr)
    add(c.plus + picture * c.of_plus.batch + row * c.of_plus.row + column * c.of_plus.column + channel);
  if (c.also != nullptr)
    add(c.also + picture * c.of_also.batch + row * c.of_also.row + column * c.of_also.column + channel);
  store_reals<Whole>(c.y + picture * c.of_y.batch + row * c.of_y.row + column * c.of_y.column + channel, numbers);
}

}  // namespace sextant::gpu::blockwise
