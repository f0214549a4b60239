// SPDX-License-Identifier: Apache-2.0
/// @file  The modules that have weights of their own: linear layers, norms, convolutions, free parameters.
#pragma once

#include <cstddef>  // size_t

#include <sextant/blocks/operations.hpp>
#include <sextant/blocks/tensor.hpp>

/// Modules with weights of their own. E is the storage type of tokens. The matrices of linear layers and convolutions and
/// their biases are kept as E; all smaller tensors as the type that sums are taken in.
namespace sextant::blocks::modules {

namespace detail {
constexpr double square_root(double x) {
  double root = x > 1 ? x : 1;
  for (int i = 0; i < 64; ++i) root = (root + x / root) / 2;
  return root;
}
/// Bound of PyTorch's default start of a layer whose outputs read so many numbers.
constexpr double bound_of(index_t inputs) { return inputs > 0 ? 1 / square_root(double(inputs)) : 0; }
}  // namespace detail

/// One of several linear layers that read the same rows.
struct part_of_linear {
  const char* weight = "weight";
  const char* bias = "bias";
  index_t outputs = 0;
};

/// y = x W^T + b, or several such layers of the same x whose matrices lie one below another, so that one product
/// computes all of them.
template <class E> struct linear {
  static constexpr int most = 4;

  view<const E, axis::row, axis::column> weight{};  ///< [outputs, inputs]
  view<const E, axis::value> bias{};                ///< [outputs], or of extent 0
  part_of_linear parts[most] = {};
  int count = 1;
  index_t groups = 0;  ///< the public weight is [groups, outputs / groups, inputs], the bias [groups, outputs / groups]
  start first_weight = start::normal(0.02), first_bias{};
  kept weight_as = kept::as_is;

  constexpr linear() = default;
  constexpr linear(index_t inputs, index_t outputs, bool biased = true)
      : weight(nullptr, {outputs, inputs}), bias(nullptr, {biased ? outputs : 0}) {
    parts[0].outputs = outputs;
  }
  template <std::size_t Count>
  constexpr linear(index_t inputs, const part_of_linear (&several)[Count], bool biased = true) : count(int(Count)) {
    static_assert(Count <= std::size_t(most), "a linear layer has at most four parts");
    index_t outputs = 0;
    for (std::size_t i = 0; i < Count; ++i) parts[i] = several[i], outputs += several[i].outputs;
    weight = {nullptr, {outputs, inputs}};
    bias = {nullptr, {biased ? outputs : 0}};
  }
  /// The start of PyTorch's own linear layers in place of the vision models' normal(0.02) and 0.
  constexpr linear pytorch() const {
    linear same = *this;
    same.first_weight = start::uniform(detail::bound_of(inputs()));
    same.first_bias = same.first_weight;
    return same;
  }

  constexpr index_t inputs() const { return weight.template extent<axis::column>(); }
  constexpr index_t outputs() const { return weight.template extent<axis::row>(); }
  constexpr bool biased() const { return bias.size() > 0; }
  constexpr multiply_adds macs(index_t n) const { return {n * inputs() * outputs(), 0, 0}; }
  /// Outputs `first` to `first + number` as a layer of its own.
  constexpr linear outputs(index_t first, index_t number) const {
    linear some(inputs(), number, biased());
    if (weight) some.weight = {weight.data() + first * inputs(), {number, inputs()}};
    if (bias) some.bias = {bias.data() + first, {number}};
    return some;
  }

  template <class Visit> constexpr void tensors(const Visit& visit) {
    using matrix = tensor<view<const E, axis::row, axis::column>>;
    using vector = tensor<view<const E, axis::value>>;
    const index_t I = inputs(), G = groups;
    index_t row = 0;
    for (int i = 0; i < count; ++i) {
      const index_t O = parts[i].outputs;
      matrix w{.name = parts[i].weight, .rank = 2, .shape = {O, I}, .stride = {I, 1}, .memory = &weight};
      if (G > 0) w.rank = 3, w.shape[0] = G, w.shape[1] = O / G, w.shape[2] = I;
      if (G > 0) w.stride[0] = O / G * I, w.stride[1] = I, w.stride[2] = 1;
      w.room = i == 0 ? weight.size() : 0;
      w.offset = row * I;
      w.first = first_weight;
      w.as = weight_as;
      visit(w);
      if (biased()) {
        vector b{.name = parts[i].bias, .rank = 1, .shape = {O}, .stride = {1}, .memory = &bias};
        if (G > 0) b.rank = 2, b.shape[0] = G, b.shape[1] = O / G, b.stride[0] = O / G, b.stride[1] = 1;
        b.room = i == 0 ? bias.size() : 0;
        b.offset = row;
        b.first = first_bias;
        visit(b);
      }
      row += O;
    }
  }
};

/// y = (x - mean) / sqrt(variance + eps) (.) weight + bias, the mean and the variance those of a row.
template <class E> struct layer_norm {
  view<const accumulator_of<E>, axis::value> weight{}, bias{};  ///< [C]
  double eps = 1e-5;

  constexpr layer_norm() = default;
  constexpr explicit layer_norm(index_t channels, double epsilon = 1e-5)
      : weight(nullptr, {channels}), bias(nullptr, {channels}), eps(epsilon) {}

  constexpr index_t channels() const { return weight.size(); }
  constexpr multiply_adds macs(index_t n) const { return {0, 0, 5 * n * channels()}; }

  template <class Visit> constexpr void tensors(const Visit& visit) {
    using vector = tensor<view<const accumulator_of<E>, axis::value>>;
    const index_t C = channels();
    visit(vector{
        .name = "weight", .rank = 1, .shape = {C}, .stride = {1}, .memory = &weight, .room = C, .first = start::at(1)});
    visit(vector{.name = "bias", .rank = 1, .shape = {C}, .stride = {1}, .memory = &bias, .room = C});
  }
};

/// y = x / sqrt(mean(x^2) + eps) (.) weight, the mean that of a row.
template <class E> struct rms_norm {
  view<const accumulator_of<E>, axis::value> weight{};  ///< [C]
  double eps = 1e-5;

  constexpr rms_norm() = default;
  constexpr explicit rms_norm(index_t channels, double epsilon = 1e-5) : weight(nullptr, {channels}), eps(epsilon) {}

  constexpr index_t channels() const { return weight.size(); }
  constexpr multiply_adds macs(index_t n) const { return {0, 0, 5 * n * channels()}; }

  template <class Visit> constexpr void tensors(const Visit& visit) {
    using vector = tensor<view<const accumulator_of<E>, axis::value>>;
    const index_t C = channels();
    visit(vector{
        .name = "weight", .rank = 1, .shape = {C}, .stride = {1}, .memory = &weight, .room = C, .first = start::at(1)});
  }
};

/// A 3x3 convolution of every channel by itself, zero-padded by one. Public [C, 1, 3, 3], kept as [9, C].
template <class E> struct depthwise {
  view<const accumulator_of<E>, axis::row, axis::value> weight{};  ///< [9, C]: the tap (i, j) in row 3 i + j
  view<const accumulator_of<E>, axis::value> bias{};               ///< [C], or of extent 0

  constexpr depthwise() = default;
  constexpr explicit depthwise(index_t channels, bool biased = true)
      : weight(nullptr, {9, channels}), bias(nullptr, {biased ? channels : 0}) {}

  constexpr index_t channels() const { return weight.template extent<axis::value>(); }
  constexpr bool biased() const { return bias.size() > 0; }
  /// Of n pixels of the result.
  constexpr multiply_adds macs(index_t n) const { return {9 * n * channels(), 0, 0}; }

  template <class Visit> constexpr void tensors(const Visit& visit) {
    using matrix = tensor<view<const accumulator_of<E>, axis::row, axis::value>>;
    using vector = tensor<view<const accumulator_of<E>, axis::value>>;
    const index_t C = channels();
    const start first = start::uniform(detail::bound_of(9));
    visit(matrix{.name = "weight",
                 .rank = 4,
                 .shape = {C, 1, 3, 3},
                 .stride = {1, 0, 3 * C, C},
                 .memory = &weight,
                 .room = 9 * C,
                 .first = first});
    if (biased())
      visit(vector{.name = "bias", .rank = 1, .shape = {C}, .stride = {1}, .memory = &bias, .room = C, .first = first});
  }
};

/// A causal convolution of every channel by itself along time. Public [C, 1, width], kept as [width, C].
template <class E> struct conv1d {
  view<const accumulator_of<E>, axis::row, axis::value> weight{};  ///< [width, C], the oldest token's tap first
  view<const accumulator_of<E>, axis::value> bias{};               ///< [C], or of extent 0

  constexpr conv1d() = default;
  constexpr explicit conv1d(index_t channels, index_t taps = 4, bool biased = true)
      : weight(nullptr, {taps, channels}), bias(nullptr, {biased ? channels : 0}) {}

  constexpr index_t channels() const { return weight.template extent<axis::value>(); }
  constexpr index_t width() const { return weight.template extent<axis::row>(); }
  constexpr bool biased() const { return bias.size() > 0; }
  constexpr multiply_adds macs(index_t n) const { return {width() * n * channels(), 0, 0}; }

  template <class Visit> constexpr void tensors(const Visit& visit) {
    using matrix = tensor<view<const accumulator_of<E>, axis::row, axis::value>>;
    using vector = tensor<view<const accumulator_of<E>, axis::value>>;
    const index_t C = channels(), k = width();
    const start first = start::uniform(detail::bound_of(k));
    visit(matrix{.name = "weight",
                 .rank = 3,
                 .shape = {C, 1, k},
                 .stride = {1, 0, C},
                 .memory = &weight,
                 .room = k * C,
                 .first = first});
    if (biased())
      visit(vector{.name = "bias", .rank = 1, .shape = {C}, .stride = {1}, .memory = &bias, .room = C, .first = first});
  }
};

/// A convolution of pictures, k x k taps. Public [O, I, k, k], kept as [O, k, k, I], so that it is a product with rows
/// of k k I numbers. BatchNorm behind it may be folded in.
template <class E> struct convolution {
  view<const E, axis::row, axis::column> weight{};  ///< [O, k k I]
  view<const E, axis::value> bias{};                ///< [O], or of extent 0
  index_t kernel = 1, stride = 1, padding = 0;
  bool biased = true;       ///< whether the convolution itself has a bias
  bool normalised = false;  ///< whether BatchNorm, `norm` beside it, is folded in
  bool overhangs = false;   ///< whether kernels that a picture does not fill count too: zeros stand beyond it

  /// What a convolution is besides its channels.
  struct options {
    index_t kernel = 1, stride = 1, padding = 0;
    bool biased = true, normalised = false, overhangs = false;
  };

  constexpr convolution() = default;
  constexpr convolution(index_t inputs, index_t outputs, options o)
      : weight(nullptr, {outputs, o.kernel * o.kernel * inputs}),
        bias(nullptr, {o.biased || o.normalised ? outputs : 0}),
        kernel(o.kernel),
        stride(o.stride),
        padding(o.padding),
        biased(o.biased),
        normalised(o.normalised),
        overhangs(o.overhangs) {}

  constexpr index_t outputs() const { return weight.template extent<axis::row>(); }
  constexpr index_t inputs() const { return weight.template extent<axis::column>() / (kernel * kernel); }
  /// Pixels along an axis of the result, of `pixels` along that of x.
  constexpr index_t pixels(index_t of) const {
    if (overhangs && of + 2 * padding <= kernel) return of > 0 ? 1 : 0;
    if (overhangs) return (of + 2 * padding - kernel + stride - 1) / stride + 1;
    return of + 2 * padding < kernel ? 0 : (of + 2 * padding - kernel) / stride + 1;
  }
  /// Of n pixels of the result.
  constexpr multiply_adds macs(index_t n) const { return {n * weight.size(), 0, normalised ? 5 * n * outputs() : 0}; }
  /// The product that the convolution is.
  constexpr linear<E> product() const {
    linear<E> same(weight.template extent<axis::column>(), outputs(), bias.size() > 0);
    same.weight = weight;
    same.bias = bias;
    return same;
  }

  template <class Visit> constexpr void tensors(const Visit& visit) {
    using matrix = tensor<view<const E, axis::row, axis::column>>;
    using vector = tensor<view<const E, axis::value>>;
    const index_t O = outputs(), I = inputs(), k = kernel;
    const start first = start::uniform(detail::bound_of(k * k * I));
    visit(matrix{.name = "weight",
                 .rank = 4,
                 .shape = {O, I, k, k},
                 .stride = {k * k * I, 1, k * I, I},
                 .memory = &weight,
                 .room = weight.size(),
                 .first = first,
                 .normalised = normalised});
    if (bias.size() > 0)
      visit(vector{.name = "bias",
                   .rank = 1,
                   .shape = {O},
                   .stride = {1},
                   .memory = &bias,
                   .room = O,
                   .first = biased ? first : start{},
                   .public_one = biased,
                   .normalised = normalised});
  }
};

/// A tensor that stands for itself: D, A_log, a table of positions. Its memory is the public tensor's, row by row.
template <class View> struct parameter {
  View value{};
  start first{};
  kept as = kept::as_is;
  int rank = 0;  ///< of the public shape, where that is not the view's; 0 is the view's own
  index_t shape[tensor<View>::most] = {};

  constexpr parameter() = default;
  constexpr parameter(const View& sizes, start how, kept what = kept::as_is) : value(sizes), first(how), as(what) {}
  /// The same in another public shape.
  template <std::size_t Rank> constexpr parameter in_public(const index_t (&extents)[Rank]) const {
    parameter same = *this;
    same.rank = int(Rank);
    for (std::size_t r = 0; r < Rank; ++r) same.shape[r] = extents[r];
    return same;
  }

  template <class Visit> constexpr void tensors(const Visit& visit) {
    static_assert(View::rank <= tensor<View>::most);
    tensor<View> t{
        .rank = rank > 0 ? rank : View::rank, .memory = &value, .room = value.size(), .first = first, .as = as};
    index_t step = 1;
    for (int r = t.rank; r-- > 0;) {
      t.shape[r] = rank > 0 ? shape[r] : value.extent(r);
      t.stride[r] = step;
      step *= t.shape[r];
    }
    visit(t);
  }
};

}  // namespace sextant::blocks::modules
