// SPDX-License-Identifier: Apache-2.0
/// @file  Tensors for tests of blocks' operations: on the device as the operation sees them, in double as the formula does.
#pragma once

#include <cmath>    // fabs, isnan
#include <cstring>  // memcmp
#include <vector>   // vector

#include <sextant/blocks/operations.hpp>
#include <sextant/cuda/stream.cuh>
#include <sextant/tensor/precision.hpp>

#include "cuda/device_memory.hpp"

namespace sextant::test {

/// The error that a result in E may have, relative to its largest number.
template <class E>
inline constexpr double block_tolerance = std::is_same_v<E, double>     ? 1e-13
                                          : std::is_same_v<E, float>    ? 2e-6
                                          : std::is_same_v<E, bfloat16> ? 5e-3
                                                                        : 2e-3;

/// Random numbers in [-1, 1) of a stored type, with `gap` numbers of NaN behind every `row` of them.
template <class E> class block_numbers {
 public:
  block_numbers(index_t count, std::uint64_t seed, index_t row = 0, index_t gap = 0) : row_{row}, gap_{gap} {
    random_numbers random{seed};
    const index_t rows = row > 0 ? count / row : 1, width = row > 0 ? row : count;
    host_.assign(std::size_t(rows * (width + gap)), nan());
    for (index_t i = 0; i < rows; ++i)
      for (index_t j = 0; j < width; ++j) host_[std::size_t(i * (width + gap) + j)] = E(float(random()));
    device_ = device_memory(host_.size() * sizeof(E));
    device_.take(host_.data());
  }
  /// The same for a result: NaN everywhere.
  static block_numbers poisoned(index_t count, index_t row = 0, index_t gap = 0) {
    block_numbers y(count, 1, row, gap);
    for (auto& e : y.host_) e = nan();
    y.device_.take(y.host_.data());
    return y;
  }
  E* device() const { return reinterpret_cast<E*>(device_.data()); }
  index_t stride() const { return row_ + gap_; }
  /// Number j of row i as the formula sees it; of a tensor without rows number i.
  double operator()(index_t i, index_t j = 0) const {
    return double(float_or_double(host_[std::size_t(row_ > 0 ? i * stride() + j : i)]));
  }
  /// Back from the device. False where anything was written into a gap.
  bool fetch() {
    device_.give(host_.data());
    for (std::size_t i = 0; i < host_.size(); ++i)
      if (row_ > 0 && index_t(i) % stride() >= row_ && !std::isnan(double(float_or_double(host_[i])))) return false;
    return true;
  }
  const std::vector<E>& host() const { return host_; }

 private:
  static E nan() { return E(std::numeric_limits<float>::quiet_NaN()); }
  static auto float_or_double(E x) {
    if constexpr (std::is_same_v<E, double>) return x;
    else return float(x);
  }
  std::vector<E> host_;
  device_memory device_;
  index_t row_, gap_;
};

/// The numbers as n rows of C.
template <class E> blocks::rows<E> rows_at(const block_numbers<E>& x, index_t n, index_t C) {
  return {x.device(), {n, C}, {x.stride(), 1}};
}

/// hold(E{}) for every type of tokens.
template <class Hold> void for_all_types(const Hold& hold) {
  hold(bfloat16{}), hold(float16{}), hold(float{}), hold(double{});
}

/// max |y - formula(i, j)| / max |formula|; infinity where y has a NaN or a gap was written to.
template <class E, class Formula>
double block_error(block_numbers<E>& y, index_t rows, index_t columns, const Formula& formula) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (!y.fetch()) return infinity;
  double worst = 0, most = 0;
  for (index_t i = 0; i < rows; ++i)
    for (index_t j = 0; j < columns; ++j) {
      const double wanted = formula(i, j), found = y(i, j);
      if (std::isnan(found)) return infinity;
      worst = std::max(worst, std::fabs(found - wanted));
      most = std::max(most, std::fabs(wanted));
    }
  return worst / (most > 0 ? most : 1);
}

/// Whether a call gives the same bits again.
template <class E, class Call> bool repeats(block_numbers<E>& y, const Call& call) {
  (void)call();
  (void)y.fetch();
  const auto first = y.host();
  for (int i = 0; i < 3; ++i) {
    (void)call();
    (void)y.fetch();
    if (std::memcmp(first.data(), y.host().data(), first.size() * sizeof(E)) != 0) return false;
  }
  return true;
}

/// act(x) in double.
inline double activated(blocks::activation act, double x) {
  switch (act) {
    case blocks::activation::relu:
      return x > 0 ? x : 0;
    case blocks::activation::gelu:
      return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    case blocks::activation::silu:
      return x / (1 + std::exp(-x));
    case blocks::activation::softplus:
      return x > 30 ? x : std::log1p(std::exp(x));
    default:
      return x;
  }
}

}  // namespace sextant::test
