// SPDX-License-Identifier: Apache-2.0
/// @file  Decays inside a chunk of tokens: one number per token (a head's gate), or one per token and key.
#pragma once

#include <utility>  // integer_sequence

#include <sextant/cpu/chunk_keys.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The decays of a head over a chunk. cum_t, the sum of log2 F_s for s <= t, is kept as a sum of two numbers, so that
/// a difference of two of them is right to its own last bits however strong the decay.
template <class Real> struct head_decays {
  Real *upper = nullptr, *lower = nullptr;  // cum = upper + lower, [tokens]
  Real* from_start = nullptr;               // exp2(cum_t), [tokens]
  Real* to_end = nullptr;                   // exp2(cum_last - cum_t), [tokens]
  Real whole = Real(1);                     // exp2(cum_last), to the last bit: a constant gate meets it in every chunk

  void allocate(arena& memory, index_t tokens) {
    for (Real** row : {&upper, &lower, &from_start, &to_end}) *row = memory.take<Real>(padded<Real>(tokens));
  }
  void start(const double* log2_F, index_t count) {
    using vector = simd<Real>;
    double sum = 0, lost = 0;  // lost: what the roundings of the sum dropped (Knuth's exact addition)
    for (index_t t = 0; t < padded<Real>(count); ++t) {
      if (t < count) {
        const double before = sum, added = (sum += log2_F[t]) - before;
        lost += (before - (sum - added)) + (log2_F[t] - added);
      }
      upper[t] = Real(sum);
      lower[t] = Real(sum - double(upper[t]) + lost);
    }
    whole = Real(math::exp2(sum + lost));
    const vector last_upper(upper[count - 1]), last_lower(lower[count - 1]);
    for (index_t t = 0; t < count; t += lanes<Real>) {
      const vector up = vector::load(upper + t), low = vector::load(lower + t);
      math::exp2(up + low).store(from_start + t);
      math::exp2((last_upper - up) + (last_lower - low)).store(to_end + t);
    }
  }
  /// weights[t][s] = scores[t][s] exp2(cum_t - cum_s) inputs[s] for s <= t, zeros behind the diagonal. No inputs are
  /// ones.
  [[gnu::noinline]] void weigh(const Real* scores, const Real* inputs, Real* weights, index_t ld, index_t count) const {
    using vector = simd<Real>;
    for (index_t t = 0; t < count; ++t) {
      const vector up(upper[t]), low(lower[t]);
      const index_t end = triangle_end<Real>(t, count);
      for (index_t s = 0; s < end; s += lanes<Real>) {
        const vector decay = math::exp2((up - vector::load(upper + s)) + (low - vector::load(lower + s)));
        vector weight = decay * vector::load(scores + t * ld + s);
        if (inputs != nullptr) weight *= vector::load(inputs + s);
        if (s + lanes < Real >> t + 1) weight = select(simd_mask<Real>::first(t + 1 - s), weight, vector(Real(0)));
        weight.store(weights + t * ld + s);
      }
    }
  }
};

/// Queries and keys scaled by decays that vary over keys. With E_t = F_1 ... F_t,
///   q'_t = scale q_t E_t,  k'_s = k_s / E_s,  k''_s = k_s E_last / E_s:
/// q'_t . k'_s is the weight of token s in token t. Products of gates and not sums of logarithms, so that a ratio of
/// two E has no more than the errors of the gates between them.
template <class Real> struct key_decays {
  Real *q = nullptr, *k = nullptr, *k_last = nullptr;  // q', k', k'', [tokens][ld]
  Real* E = nullptr;                                   // E_last, [keys]

  void allocate(arena& memory, index_t tokens, index_t ld) {
    for (Real** rows : {&q, &k, &k_last}) *rows = memory.take<Real>(tokens * ld);
    E = memory.take<Real>(ld);
  }
  /// Scales `count` rows of `ld` numbers, `width` of them keys, then zeros up to `whole`. False where an E leaves
  /// [2^-60, 2^60], the range in which all of this is right: then nothing here is of use.
  bool scale(const Real* F, index_t count, index_t width, index_t whole, index_t ld, const Real* plain_q,
             const Real* plain_k, Real factor) const {
    const rows_of_gates rows{F, plain_q, plain_k, count, width, ld, factor};
    bool fits = true;
    index_t i = 0;
    for (; i + 4 * lanes<Real> <= whole; i += 4 * lanes<Real>)
      fits &= scale_columns(rows, i, std::make_integer_sequence<int, 4>{});
    for (; i < whole; i += lanes<Real>) fits &= scale_columns(rows, i, std::make_integer_sequence<int, 1>{});
    return fits;
  }

 private:
  struct rows_of_gates {
    const Real *F, *q, *k;
    index_t count, width, ld;
    Real factor;
  };
  /// Some vectors of keys, from i on: whole lines of a row one after another, and chains of products side by side.
  template <int... I>
  SEXTANT_INLINE bool scale_columns(const rows_of_gates& rows, index_t i, std::integer_sequence<int, I...>) const {
    using vector = simd<Real>;
    const index_t ld = rows.ld, end = i + rows.count * ld;
    const vector factor(rows.factor);
    const simd_mask<Real> real[] = {simd_mask<Real>::first(rows.width - i - I * lanes<Real>)...};
    vector e[] = {vector(Real(1 + 0 * I))...}, least(Real(1)), most(Real(1));
    for (index_t row = i; row < end; row += ld) {
      const auto scale_one = [&](vector & product, simd_mask<Real> is_real, index_t at) __attribute__((always_inline)) {
        product = select(is_real, product * vector::load(rows.F + at), product);
        least = min(product, least), most = max(product, most);
        (vector::load(rows.q + at) * (product * factor)).store(q + at);
        (vector::load(rows.k + at) * reciprocal(product)).store(k + at);
      };
      (scale_one(e[I], real[I], row + I * lanes<Real>), ...);
    }
    (e[I].store(E + i + I * lanes<Real>), ...);
    for (index_t row = i; row < end; row += ld)
      ((vector::load(k + row + I * lanes<Real>) * e[I]).store(k_last + row + I * lanes<Real>), ...);
    return !any(least < Real(0x1p-60)) && !any(most > Real(0x1p60));
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
