// SPDX-License-Identifier: Apache-2.0
/// @file  Rows of numbers: storage to accumulators and back, and what parts do to them, lane by lane.
#pragma once

#include <sextant/cpu/plan.hpp>
#include <sextant/cpu/simd.hpp>
#include <sextant/cpu/simd_math.hpp>
#include <sextant/design/feature_map.hpp>
#include <sextant/design/gate.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Rows lie at a multiple of this many numbers and may be read and written up to the next one.
template <class Real> inline constexpr index_t lanes = simd<Real>::lanes;
template <class Real> constexpr index_t padded(index_t count) {
  return (count + lanes<Real> - 1) / lanes<Real> * lanes<Real>;
}

template <class Stored, class Real> void load_row(const void* from, index_t stride, index_t count, Real* to) {
  const Stored* x = static_cast<const Stored*>(from);
  index_t i = 0;
  if (stride == 1)
    for (; i + lanes<Real> <= count; i += lanes<Real>) simd<Real>::load(x + i).store(to + i);
  for (; i < count; ++i) to[i] = Real(x[i * stride]);
}
template <class Stored, class Real> void store_row(const Real* from, index_t count, void* to, index_t stride) {
  Stored* y = static_cast<Stored*>(to);
  index_t i = 0;
  if (stride == 1)
    for (; i + lanes<Real> <= count; i += lanes<Real>) simd<Real>::load(from + i).store(y + i);
  for (; i < count; ++i) y[i * stride] = Stored(from[i]);
}

/// A gate over a box of tokens x keys x lanes. Operands and results are padded rows: whole vectors are read and
/// written.
template <class Gate, class Real, bool Logarithm>
void gate_box(const void* part, index_t tokens, index_t keys, index_t count, operand<Real> x, operand<Real> a,
              Real* out, index_t out_token, index_t out_key) {
  const Gate& gate = *static_cast<const Gate*>(part);
  const auto call = [&gate](auto xi, auto ai) {
    if constexpr (Logarithm) return gate_log(gate, xi, ai);
    else return gate_value(gate, xi, ai);
  };
  for (index_t k = 0; k < keys; ++k)
    for (index_t t = 0; t < tokens; ++t) {
      const Real* xs = x.data + t * x.token + k * x.key;
      const Real* as = a.data + t * a.token + k * a.key;
      Real* to = out + t * out_token + k * out_key;
      if constexpr (sextant::detail::vectorised_of<Gate>()) {
        using vector = simd<Real>;
        if (x.lane != 0 && a.lane != 0)
          for (index_t i = 0; i < count; i += lanes<Real>) call(vector::load(xs + i), vector::load(as + i)).store(to + i);
        else if (x.lane != 0)
          for (index_t i = 0; i < count; i += lanes<Real>) call(vector::load(xs + i), vector(*as)).store(to + i);
        else if (a.lane != 0)
          for (index_t i = 0; i < count; i += lanes<Real>) call(vector(*xs), vector::load(as + i)).store(to + i);
        else
          for (index_t i = 0; i < count; i += lanes<Real>) call(vector(*xs), vector(*as)).store(to + i);
      } else {
        for (index_t i = 0; i < count; ++i) to[i] = Real(call(xs[i * x.lane], as[i * a.lane]));
      }
    }
}

/// A pointwise or expanding feature map of one row; the pointwise may work in place.
template <class Map, class Real> void map_row(const void* part, const Real* x, index_t K, Real* phi) {
  const Map& map = *static_cast<const Map*>(part);
  if constexpr (sextant::detail::expanding_map<Map>) {
    map.expand(x, K, phi);
  } else if constexpr (sextant::detail::vectorised_of<Map>()) {
    for (index_t i = 0; i < K; i += lanes<Real>) map(simd<Real>::load(x + i)).store(phi + i);
  } else {
    for (index_t i = 0; i < K; ++i) phi[i] = Real(map(x[i]));
  }
}

/// Products of rows become products of mapped rows, for a map that knows how.
template <class Map, class Real> void map_product_row(const void* part, Real* row, index_t count) {
  const Map& map = *static_cast<const Map*>(part);
  for (index_t i = 0; i < count; ++i) row[i] = map.product(row[i]);
}

/// row[i] = softplus(row[i] + bias[i]) over a padded row.
template <class Real> void softplus_row(Real* row, const Real* bias, index_t count) {
  for (index_t i = 0; i < count; i += lanes<Real>)
    math::softplus(simd<Real>::load(row + i) + simd<Real>::load(bias + i)).store(row + i);
}

template <class Real> void zero(Real* at, index_t count) {
  for (index_t i = 0; i < count; ++i) at[i] = Real(0);
}
/// Zeros from `count` to the end of a row of `whole` numbers.
template <class Real> void zero_tail(Real* row, index_t count, index_t whole) { zero(row + count, whole - count); }

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
