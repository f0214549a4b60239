// SPDX-License-Identifier: Apache-2.0
/// @file  The recurrence over a tile of tokens, the state of a few keys and channels in registers.
#pragma once

#include <utility>  // integer_sequence

#include <sextant/cpu/state.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Keeps a number in the register that it was loaded into: g++ would sooner load it again for every use.
template <class Real> SEXTANT_INLINE void keep_in_register([[maybe_unused]] simd<Real>& x) {
#if defined(__x86_64__) && SEXTANT_CPU_BYTES > 0
  asm("" : "+x"(x.data));
#endif
}

/// One tile of the recurrence for a block of keys and channels:
///   S <- F S + k u,  y += q S,  token by token.
/// S is read from `from` before the first token and written to `to` after the last; rows are keys.
template <class Real> struct recurrence {
  index_t tokens = 0, keys = 0, values = 0;  // keys a multiple of keys_in_registers, values of the lanes
  const Real* from = nullptr;                // [keys][values]
  index_t from_ld = 0;
  Real* to = nullptr;                        // [keys][values]
  index_t to_ld = 0;
  const Real *q = nullptr, *k = nullptr;     // [tokens][keys]
  index_t key_ld = 0;
  const Real* u = nullptr;                   // [tokens][values]
  Real* y = nullptr;                         // [tokens][values]
  index_t value_ld = 0;
  operand<Real> F;                           // over tokens, keys and channels, as the forget gate varies

  void run(per varies) const {
    switch (varies) {
      case per::nothing: return blocks<per::nothing>();
      case per::head: return blocks<per::head>();
      case per::key: return blocks<per::key>();
      case per::channel: return blocks<per::channel>();
      case per::key_channel: return blocks<per::key_channel>();
    }
  }
  /// Multiplies rows of numbers, `count` in each, by the decays of all tokens.
  [[gnu::noinline]] void multiply(Real* product, index_t product_ld, index_t rows, index_t count) const {
    using vector = simd<Real>;
    for (index_t r = 0; r < rows; ++r)
      for (index_t c = 0; c < count; c += lanes<Real>) {
        vector by = vector::load(product + r * product_ld + c);
        for (index_t t = 0; t < tokens; ++t) by *= vector::load(F.data + t * F.token + r * F.key + c);
        by.store(product + r * product_ld + c);
      }
  }

 private:
  template <per Varies> void blocks() const {
    constexpr index_t step = keys_in_registers;
    using all_keys = std::make_integer_sequence<int, keys_in_registers>;
    if (tokens == 1) {
      for (index_t key = 0; key < keys; key += step) one_token<Varies>(key, all_keys{});
      return;
    }
    for (index_t key = 0; key < keys; key += step) {
      index_t v = 0;
      for (; v + 2 * lanes<Real> <= values; v += 2 * lanes<Real>) block<Varies, 2>(key, v, all_keys{});
      for (; v < values; v += lanes<Real>) block<Varies, 1>(key, v, all_keys{});
    }
  }

  // A single token: S passes through once, some rows (I...) at a time.
  template <per Varies, int... I> SEXTANT_INLINE void one_token(index_t key, std::integer_sequence<int, I...>) const {
    using vector = simd<Real>;
    const index_t count = values, in_row = from_ld, out_row = to_ld, F_row = F.key;
    const Real *const in = from + key * in_row, *const u_t = u;
    const Real* const F_t = F.data + (Varies == per::key ? key : Varies == per::key_channel ? key * F_row : 0);
    Real *const out = to + key * out_row, *const y_t = y;
    const vector k_t[] = {vector(k[key + I])...}, q_t[] = {vector(q[key + I])...};
    const vector F_k[] = {vector(Varies == per::head ? *F_t : Varies == per::key ? F_t[I] : Real(1))...};
    for (index_t v = 0; v < count; v += lanes<Real>) {
      const vector u_v = vector::load(u_t + v);
      const vector F_v = Varies == per::channel ? vector::load(F_t + v) : u_v;
      vector y_v = vector::load(y_t + v);
      const auto update = [&](int i, vector k_i, vector q_i, vector F_i) __attribute__((always_inline)) {
        vector s = vector::load(in + i * in_row + v);
        if constexpr (Varies == per::channel) F_i = F_v;
        if constexpr (Varies == per::key_channel) F_i = vector::load(F_t + i * F_row + v);
        s = fma(k_i, u_v, Varies == per::nothing ? s : F_i * s);
        s.store(out + i * out_row + v);
        y_v = fma(q_i, s, y_v);
      };
      (update(I, k_t[I], q_t[I], F_k[I]), ...);
      y_v.store(y_t + v);
    }
  }

  // S of some keys (I...) and one or two vectors of channels stays in registers over the tile. The packs unroll: an
  // array of vectors indexed by a loop variable would live in memory.
  template <per Varies, int Vectors, int... I>
  SEXTANT_INLINE void block(index_t key, index_t v, std::integer_sequence<int, I...>) const {
    using vector = simd<Real>;
    constexpr index_t next = Vectors == 2 ? lanes<Real> : 0;
    // Everything that the loop needs in locals: the compiler has to expect its stores to change the members.
    const index_t count = tokens, key_row = key_ld, value_row = value_ld, F_token = F.token, F_key = F.key;
    const Real *q_t = q + key, *k_t = k + key, *u_t = u + v, *F_t = F.data;
    if constexpr (Varies == per::key) F_t += key;
    if constexpr (Varies == per::channel) F_t += v;
    if constexpr (Varies == per::key_channel) F_t += key * F_key + v;
    Real* y_t = y + v;
    const Real* const in = from + key * from_ld + v;
    vector S0[] = {vector::load(in + I * from_ld)...}, S1[] = {vector::load(in + I * from_ld + next)...};
    for (index_t t = 0; t < count;
         ++t, q_t += key_row, k_t += key_row, u_t += value_row, y_t += value_row, F_t += F_token) {
      vector u0 = vector::load(u_t), u1 = vector::load(u_t + next);
      keep_in_register(u0), keep_in_register(u1);
      vector y0 = vector::load(y_t), y1 = vector::load(y_t + next), F0(Real(1)), F1(Real(1));
      if constexpr (Varies == per::head) F0 = F1 = vector(*F_t);
      if constexpr (Varies == per::channel) F0 = vector::load(F_t), F1 = vector::load(F_t + next);
      const auto update = [&](vector& s0, vector& s1, int i) {
        if constexpr (Varies == per::key) F0 = F1 = vector(F_t[i]);
        if constexpr (Varies == per::key_channel) {
          F0 = vector::load(F_t + i * F_key), F1 = vector::load(F_t + i * F_key + next);
        }
        const vector k_i(k_t[i]), q_i(q_t[i]);
        s0 = Varies == per::nothing ? fma(k_i, u0, s0) : fma(k_i, u0, F0 * s0);
        y0 = fma(q_i, s0, y0);
        if constexpr (Vectors == 2) {
          s1 = Varies == per::nothing ? fma(k_i, u1, s1) : fma(k_i, u1, F1 * s1);
          y1 = fma(q_i, s1, y1);
        }
      };
      (update(S0[I], S1[I], I), ...);
      y0.store(y_t);
      if constexpr (Vectors == 2) y1.store(y_t + next);
    }
    Real* const out = to + key * to_ld + v;
    (S0[I].store(out + I * to_ld), ...);
    if constexpr (Vectors == 2) (S1[I].store(out + I * to_ld + next), ...);
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
