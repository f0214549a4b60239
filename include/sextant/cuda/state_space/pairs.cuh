// SPDX-License-Identifier: Apache-2.0
/// @file  The pairs of a state space that is the same for every token, discretised: a table in the workspace.
#pragma once

#include <sextant/tensor/sequence.hpp>

/// The internals of the family `state_space`.
namespace sextant::gpu::diagonal {

inline constexpr int threads = 128;
/// Pairs of a channel that one lane keeps in registers.
template <class Real> inline constexpr int pairs_of_lane = sizeof(Real) == 4 ? 8 : 4;
/// Tokens between two corrections of what a float has rounded away of F.
inline constexpr int round = 8;

/// What the table holds of a pair, each a complex number. The state is computed as x / unit, unit being what multiplies u on
/// its way into it: then u itself is added, and two multiplications are saved for each token.
enum field {
  state_of = 0,
  rest_of = 2,
  output_of = 4,
  unit_of = 6,
  inverse_of = 8,
  span_of = 10,
  chunk_of = 12,
  read_of = 14,
  fields = 16
};

/// What the kernels are told besides the design and its tensors.
template <class Real> struct call_of {
  Real* table = nullptr;  ///< [fields][pairs][channels]
  Real* ends =
      nullptr;  ///< [sequences][segments parts + 1][pairs][2][channels]: the initial state, and what each segment adds
  Real scale = 1;
  int pairs = 0, lanes = 1, segments = 1;
  bool first_pass = false;
  int parts = 1;                     ///< of a segment, where a first pass in chunks cuts it further
  index_t of_segment = 0;            ///< tokens of a segment, or of its part
  index_t v_stage = 0, y_stage = 0;  ///< elements from a stage's tokens to the next one's, where it goes in stages

  __device__ __forceinline__ Real* at(field f, int m, index_t channel, index_t channels) const {
    return table + (index_t(f) * pairs + m) * channels + channel;
  }
  __device__ __forceinline__ complex<Real> read(field f, int m, index_t channel, index_t channels) const {
    const Real* const re = at(f, m, channel, channels);
    return {re[0], re[index_t(pairs) * channels]};
  }
  __device__ __forceinline__ Real* end(index_t n, int segment, int m, index_t channel, index_t channels) const {
    return ends + (((n * (segments * parts + 1) + segment) * pairs + m) * 2) * channels + channel;
  }
};

/// Discretises pair m of a channel in float64: its fields in a table of `apart` channels, of which it is the first.
template <class Design, class Precision>
__device__ __forceinline__ void discretise_pair(const Design& design, const sequence_of<Design, Precision>& x,
                                                const call_of<typename Precision::accumulator>& c, index_t channel,
                                                int m, typename Precision::accumulator* table, index_t apart) {
  using real = typename Precision::accumulator;
  using number = complex<double>;
  const index_t V = x.v.template extent<axis::value>(), h = channel / V, v = channel % V;
  const auto read = [&](const auto& tensor) {
    return number{double(tensor(h, v, 2 * m)), double(tensor(h, v, 2 * m + 1))};
  };

  const discretised<double> d = design.forget_gate(exp(double(x.log_dt(h, v))), read(x.a));
  number unit = x.b ? d.input * read(x.b) : d.input;
  // A b of 0, or next to it, lets in next to nothing of u.
  constexpr double least = sizeof(real) == 4 ? 1e-20 : 1e-200;
  if (fabs(unit.re) + fabs(unit.im) < least) unit = {least, 0};
  const double larger = fmax(fabs(unit.re), fabs(unit.im));  // so that no square is too small
  const number inverse = number{1 / larger, 0} / number{unit.re / larger, unit.im / larger};
  const number output = 2.0 * (read(x.c) * unit);
  number span{1, 0}, power = d.state;
  for (index_t n = c.of_segment; n > 0 && c.segments > 1; n /= 2, power = power * power)
    if (n % 2 == 1) span = span * power;

  number eighth = d.state * d.state;
  eighth = eighth * eighth, eighth = eighth * eighth;

  const auto write = [&](field f, number z) {
    real *const re = table + (index_t(f) * c.pairs + m) * apart, *const im = re + index_t(c.pairs) * apart;
    *re = real(z.re), *im = real(z.im);
    return number{z.re - double(*re), z.im - double(*im)};
  };
  write(rest_of, double(round) * write(state_of, d.state));
  write(output_of, {output.re, -output.im});
  write(read_of, {2 * read(x.c).re, -2 * read(x.c).im});
  write(unit_of, unit);
  write(inverse_of, inverse);
  write(span_of, span);
  write(chunk_of, eighth);
}

/// One pair of one channel to a thread.
template <class Design, class Precision>
__global__ void __launch_bounds__(threads)
    discretise_kernel(const __grid_constant__ Design design, const __grid_constant__ sequence_of<Design, Precision> x,
                      const __grid_constant__ call_of<typename Precision::accumulator> c) {
  const index_t channels = x.v.template extent<axis::value>() * x.v.template extent<axis::head>();
  const index_t i = index_t(blockIdx.x) * threads + threadIdx.x, channel = i % channels, m = i / channels;
  if (m < c.pairs) discretise_pair<Design, Precision>(design, x, c, channel, int(m), c.table + channel, channels);
}

}  // namespace sextant::gpu::diagonal
