// SPDX-License-Identifier: Apache-2.0
/// @file  What a state space that is the same for every token does to one of them and to a chunk, worked out in float64.
#pragma once

#include <sextant/cpu/state.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The discretised pairs of a block of channels, and their powers. Rows of keys are (re, im, re, im, ...), as the state's.
template <class Real> struct state_space_powers {
  /// Whether a number is kept as one that is nearly it and the rest.
  static constexpr bool in_two_parts = sizeof(Real) == 4;
  static constexpr index_t most_length = 64;

  index_t keys = 0, values = 0, length = 0;
  Real *F, *rest_of_F, *B, *C;      // [keys][values]; C: 2 c, conjugated
  Real *F_chunk, *rest_of_chunk;    // [keys][values], F^length
  Real *kernel, *outputs, *inputs;  // [length][values]; for each vector of channels [length / 4][keys][4] C F^{t+1}
                                    //   and [keys / 4][length][4] F^{length-1-s} B
  Real* log_dt;                     // [values]

  /// `tokens` of a chunk, rounded to a multiple of 4; 0: there are none.
  void allocate(arena& memory, const plan<Real>&, index_t all_keys, index_t padded_values, index_t tokens) {
    keys = all_keys, values = padded_values;
    length = tokens > most_length ? most_length : (tokens + 3) / 4 * 4;
    for (Real** rows : {&F, &B, &C}) *rows = memory.take<Real>(keys * values);
    rest_of_F = memory.take<Real>(in_two_parts ? keys * values : 0);
    F_chunk = memory.take<Real>(length > 0 ? keys * values : 0);
    rest_of_chunk = memory.take<Real>(length > 0 && in_two_parts ? keys * values : 0);
    kernel = memory.take<Real>(length * values);
    outputs = memory.take<Real>(length * keys * values);
    inputs = memory.take<Real>(length * keys * values);
    log_dt = memory.take<Real>(values);
  }

  /// Of the channels of a window; `a` [keys][values].
  void start(const plan<Real>& p, const window& w, const Real* a) {
    read_state_space(p, w);
    for (index_t c = 0; c < values; ++c) {
      const double delta = c < w.values ? math::exp(double(log_dt[c])) : 0;
      double sums[most_length] = {};
      for (index_t k = 0; k < keys; k += 2) {
        const auto number = [&](const Real* rows) {
          return complex<double>{double(rows[k * values + c]), double(rows[(k + 1) * values + c])};
        };
        complex<double> forget, enter, read;
        if (c < w.values && k < p.width) {
          const discretised<double> pair = p.discretise(p.forget.part, delta, number(a));
          forget = pair.state, enter = pair.input * number(B), read = 2.0 * number(C);
        }
        keep(forget, F, rest_of_F, k, c);
        B[k * values + c] = Real(enter.re), B[(k + 1) * values + c] = Real(enter.im);
        C[k * values + c] = Real(read.re), C[(k + 1) * values + c] = Real(-read.im);
        if (length > 0) raise(forget, enter, read, k, c, sums);
      }
      for (index_t l = 0; l < length; ++l) kernel[l * values + c] = Real(sums[l]);
    }
  }

 private:
  /// The rows of b, or 1, of c, and the logarithms of step sizes.
  void read_state_space(const plan<Real>& p, const window& w) {
    const auto read = [&](const tensor<Real>& from, index_t k, Real* to) {
      from.read(from.at(0, 0, w.h) + w.v * from.value + k * from.key, from.value, w.values, to);
    };
    if (p.log_dt) read(p.log_dt, 0, log_dt);
    for (index_t k = 0; k < p.width; ++k) {
      read(p.q, k, C + k * values);
      if (p.k) read(p.k, k, B + k * values);
      else
        for (index_t c = 0; c < values; ++c) B[k * values + c] = Real(1 - k % 2);
    }
  }
  void keep(complex<double> number, Real* most, Real* rest, index_t k, index_t c) const {
    const index_t re = k * values + c, im = re + values;
    most[re] = Real(number.re), most[im] = Real(number.im);
    if constexpr (in_two_parts)
      rest[re] = Real(number.re - double(most[re])), rest[im] = Real(number.im - double(most[im]));
  }
  /// The powers of one pair.
  void raise(complex<double> forget, complex<double> enter, complex<double> read, index_t k, index_t c, double* sums) {
    constexpr index_t next = lanes<Real>;
    const index_t of_vector = c / next * next * length * keys + c % next;
    complex<double> power{1, 0};
    for (index_t l = 0; l < length; ++l) {
      const complex<double> entered = power * enter;
      sums[l] += (read * entered).re;
      Real* const Q = inputs + of_vector + ((k / 4 * length + length - 1 - l) * 4 + k % 4) * next;
      Q[0] = Real(entered.re), Q[next] = Real(entered.im);
      power = power * forget;
      const complex<double> told = read * power;
      Real* const P = outputs + of_vector + ((l / 4 * keys + k) * 4 + l % 4) * next;
      P[0] = Real(told.re), P[4 * next] = Real(-told.im);
    }
    keep(power, F_chunk, rest_of_chunk, k, c);
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
