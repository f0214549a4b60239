// SPDX-License-Identifier: Apache-2.0
/// @file  Rows of numbers: storage to accumulators and back, and what parts do to them, lane by lane.
#pragma once

#include <cstddef>  // size_t

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

/// Whether a gate's value is found as 2 to the power of its logarithm: a forget gate that offers nothing else. Its
/// exponent needs no more digits than one multiplication keeps, since F is small where the exponent is large.
template <class Gate, class Number>
inline constexpr bool is_power = Gate::answers == part::forget_gate&& sextant::detail::vectorised_of<Gate>() &&
                                 !sextant::detail::offers_value<Gate, Number>;
template <class Number> inline constexpr auto log2_e = static_cast<typename Number::value_type>(1.4426950408889634);
/// The rate that `base_2_logarithm` takes.
template <class Gate, class Number> SEXTANT_INLINE Number base_2_rate(Number a) {
  return sextant::detail::proportional_of<Gate>() ? a * log2_e<Number> : a;
}
template <class Gate, class Number> SEXTANT_INLINE Number base_2_logarithm(const Gate& gate, Number x, Number rate) {
  const Number logarithm = gate_log(gate, x, rate);
  return sextant::detail::proportional_of<Gate>() ? logarithm : logarithm * log2_e<Number>;
}

/// Whether a gate may meet a first operand that does not vary over lanes: where a rate does, or nothing is read.
template <class Gate>
inline constexpr bool reads_numbers = rate_granularity<Gate> != per::nothing || raw_granularity<Gate> == per::nothing;

/// A gate over a box of tokens x keys x lanes. Operands and results are padded rows: whole vectors are read and
/// written. The second operand does not vary over tokens.
template <class Gate, class Real, bool Logarithm>
void gate_box(const void* part, index_t tokens, index_t keys, index_t count, operand<Real> x, operand<Real> a,
              Real* out, index_t out_token, index_t out_key) {
  const Gate gate = *static_cast<const Gate*>(part);  // a copy: what is stored to `out` cannot change its numbers
  const auto call = [&gate](auto xi, auto ai) __attribute__((always_inline)) {
    if constexpr (Logarithm) return gate_log(gate, xi, ai);
    else if constexpr (is_power<Gate, decltype(xi)>) return math::exp2(base_2_logarithm(gate, xi, ai));
    else return gate_value(gate, xi, ai);
  };
  for (index_t k = 0; k < keys; ++k) {
    const Real *const xs = x.data + k * x.key, *const as = a.data + k * a.key;
    Real* const to = out + k * out_key;
    if constexpr (sextant::detail::vectorised_of<Gate>()) {
      using vector = simd<Real>;
      for (index_t i = 0; i < count; i += lanes<Real>) {  // tokens innermost: long loops even where the box is narrow
        vector ai = a.lane != 0 ? vector::load(as + i) : vector(*as);
        if constexpr (!Logarithm && is_power<Gate, vector>) ai = base_2_rate<Gate>(ai);
        index_t t = 0;
        // Numbers per lane are all that a gate without a rate reads, so that one does without the other loop.
        if constexpr (reads_numbers<Gate>)
          if (x.lane == 0) {
            for (; t < tokens; ++t) call(vector(xs[t * x.token]), ai).store(to + t * out_token + i);
            continue;
          }
        if constexpr (!Logarithm && is_power<Gate, vector>)
          for (; t + 4 <= tokens; t += 4) {
            const Real* const x_t = xs + t * x.token + i;
            vector F[] = {base_2_logarithm(gate, vector::load(x_t), ai),
                          base_2_logarithm(gate, vector::load(x_t + x.token), ai),
                          base_2_logarithm(gate, vector::load(x_t + 2 * x.token), ai),
                          base_2_logarithm(gate, vector::load(x_t + 3 * x.token), ai)};
            exp2(F);
            Real* const to_t = to + t * out_token + i;
            F[0].store(to_t);
            F[1].store(to_t + out_token);
            F[2].store(to_t + 2 * out_token);
            F[3].store(to_t + 3 * out_token);
          }
        for (; t < tokens; ++t) call(vector::load(xs + t * x.token + i), ai).store(to + t * out_token + i);
      }
    } else {
      for (index_t t = 0; t < tokens; ++t)
        for (index_t i = 0; i < count; ++i)
          to[t * out_token + i] = Real(call(xs[t * x.token + i * x.lane], as[i * a.lane]));
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

/// softplus of numbers in place, in whole vectors: max(x, 0) + log(1 + exp(-|x|)), the exponentials of a few vectors
/// before the logarithms of any, so that one chain of dependent instructions has company.
template <class Real> void softplus_numbers(Real* x, index_t count) {
  using vector = simd<Real>;
  constexpr index_t some = 8 * lanes<Real>;
  Real e[std::size_t(some)];
  for (index_t first = 0; first < count; first += some, x += some) {
    const index_t these = count - first < some ? count - first : some;
    for (index_t i = 0; i < these; i += lanes<Real>) math::exp(-math::abs(vector::load(x + i))).store(e + i);
    for (index_t i = 0; i < these; i += lanes<Real>) {
      const vector xi = vector::load(x + i), smooth = math::max(vector(Real(0)), xi) + log1p_unit(vector::load(e + i));
      math::select(xi > vector(Real(20)), xi, smooth).store(x + i);
    }
  }
}

template <class Real> void zero(Real* at, index_t count) {
  for (index_t i = 0; i < count; ++i) at[i] = Real(0);
}
/// Zeros from `count` to the end of a row of `whole` numbers.
template <class Real> void zero_tail(Real* row, index_t count, index_t whole) { zero(row + count, whole - count); }

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
