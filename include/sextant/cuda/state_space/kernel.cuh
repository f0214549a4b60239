// SPDX-License-Identifier: Apache-2.0
/// @file  The kernel: the pairs of a channel walk through its tokens, their states in registers.
#pragma once

#include <sextant/cuda/ptx/convert.cuh>
#include <sextant/cuda/state_space/pairs.cuh>
#include <sextant/cuda/tile/token.cuh>

namespace sextant::gpu::diagonal {

/// A lane: some pairs of one channel, and its share of what the channel reads and writes.
template <class Design, class Precision, int Pairs> struct pair_walk {
  using real = typename Precision::accumulator;
  using stored = typename Precision::token;
  static constexpr bool reversed = std::is_same_v<typename Design::order_type, order::reversed>;
  static constexpr bool in_two_parts = sizeof(real) == 4;

  const Design& design;
  const sequence_of<Design, Precision>& x;
  const call_of<real>& c;
  index_t channels, channel, h, v;
  int q;  ///< which of the channel's lanes
  bool there;
  index_t n, b, first, length;  ///< the sequence, and where its tokens lie
  const stored* u;              ///< v of the channel's first token, in the order of time
  stored* y;
  index_t u_step, y_step;  ///< from one token to the next
  real d;                  ///< the shortcut's weight
  complex<real> F[std::size_t(Pairs)], rest[std::size_t(Pairs)], output[std::size_t(Pairs)], state[std::size_t(Pairs)];

  __device__ __forceinline__ int pair(int i) const { return i * c.lanes + q; }
  __device__ __forceinline__ bool knows(int i) const { return there && pair(i) < c.pairs; }
  __device__ __forceinline__ index_t place(index_t t) const { return first + (reversed ? length - 1 - t : t); }
  static __device__ __forceinline__ complex<real> multiply_add(const complex<real>& a, const complex<real>& z,
                                                               const complex<real>& to) {
    return {fma(a.re, z.re, fma(-a.im, z.im, to.re)), fma(a.re, z.im, fma(a.im, z.re, to.im))};
  }

  __device__ __forceinline__ void begin() {
    u_step = x.v.template stride<axis::time>() * (reversed ? -1 : 1);
    y_step = x.y.template stride<axis::time>() * (reversed ? -1 : 1);
    if constexpr (sextant::detail::is_learned<Design>) d = there ? real(x.d(h, v)) : real(0);
#pragma unroll
    for (int i = 0; i < Pairs; ++i) {
      F[i] = rest[i] = output[i] = {0, 0};
      if (!knows(i)) continue;
      F[i] = c.read(state_of, pair(i), channel, channels);
      rest[i] = c.read(rest_of, pair(i), channel, channels);
      output[i] = c.read(output_of, pair(i), channel, channels);
    }
  }
  /// Sequence number `its`, cut to the tokens that there are.
  __device__ __forceinline__ void turn_to(index_t its) {
    n = its, b = n, first = 0, length = x.v.template extent<axis::time>();
    if (x.offsets) {
      const index_t from = x.offsets(n), to = x.offsets(n + 1);
      b = 0;
      first = from < 0 ? 0 : from > length ? length : from;
      length = (to < first ? first : to > length ? length : to) - first;
    }
    u = &x.v(b, place(0), h, v), y = &x.y(b, place(0), h, v);
  }

  /// The state before the first token, in its units.
  __device__ __forceinline__ void read_state() {
    const auto& S = x.initial_state.S;
    const index_t key = S.template stride<axis::key>();
    const auto* const from = S ? &S(n, h, 0, v) : nullptr;
#pragma unroll
    for (int i = 0; i < Pairs; ++i) {
      state[i] = {0, 0};
      if (from == nullptr || !knows(i)) continue;
      const auto* const re = from + 2 * pair(i) * key;
      state[i] = complex<real>{real(re[0]), real(re[key])} * c.read(inverse_of, pair(i), channel, channels);
    }
  }
  __device__ __forceinline__ void write_state() const {
    const auto& S = x.final_state.S;
    if (!S) return;
    const index_t key = S.template stride<axis::key>();
    auto* const to = &S(n, h, 0, v);
#pragma unroll
    for (int i = 0; i < Pairs; ++i) {
      if (!knows(i)) continue;
      const complex<real> is = state[i] * c.read(unit_of, pair(i), channel, channels);
      auto* const re = to + 2 * pair(i) * key;
      re[0] = typename Precision::state(is.re), re[key] = typename Precision::state(is.im);
    }
  }
  /// What the first pass leaves: slot 0 is the initial state, which the final one may overwrite; slot s + 1 what segment s
  /// makes of a state of zeros.
  __device__ __forceinline__ void store_end(int slot) const {
#pragma unroll
    for (int i = 0; i < Pairs; ++i) {
      if (!knows(i)) continue;
      real* const to = c.end(n, slot, pair(i), channel, channels);
      to[0] = state[i].re, to[channels] = state[i].im;
    }
  }
  /// The state before a segment, from what those before it left. Sums in float64: powers of F multiply what they err.
  __device__ __forceinline__ void read_ends(int segment) {
#pragma unroll 1
    for (int i = 0; i < Pairs; ++i) {
      complex<double> sum{0, 0};
      if (knows(i)) {
        const complex<real> span = c.read(span_of, pair(i), channel, channels);
        const complex<double> wide{double(span.re), double(span.im)};
        for (int s = 0; s <= segment; ++s) {
          const real* const end = c.end(n, s, pair(i), channel, channels);
          if (sum.re != 0 || sum.im != 0) sum = wide * sum;  // 0 where a growing pair's power is infinite
          sum = sum + complex<double>{double(end[0]), double(end[channels])};
        }
      }
      const complex<real> narrow{real(sum.re), real(sum.im)};
#pragma unroll
      for (int j = 0; j < Pairs; ++j)  // registers have no index
        if (j == i) state[j] = narrow;
    }
  }

  static __device__ __forceinline__ real read(stored number) {
    if constexpr (std::is_same_v<real, double>) return real(number);
    else return ptx::as_float(number);
  }
  /// I v of token t, whose v lies at `from`.
  __device__ __forceinline__ real value(const stored* from, index_t t) const {
    if constexpr (std::is_same_v<typename Design::input_type, input::one>) return (void)t, read(*from);
    else {
      const token_of<Design, Precision> token{design, x, b, place(t), h};
      gate_numbers<real> of;
      token.template read<per::head>(of, 0, v);
      token.template read<per::channel>(of, 0, v);
      return token.input(of) * read(*from);
    }
  }
  /// y of token t, from Re(output state).
  __device__ __forceinline__ void finish(index_t t, real sum) const {
    real result = c.scale * sum;
    if constexpr (sextant::detail::is_learned<Design>) result = fma(d, read(u[t * u_step]), result);
    if constexpr (sextant::detail::is_local<Design>) result += neighbours(place(t));
    if constexpr (sextant::detail::has_output_gate<Design>) result *= math::silu(read(x.gate(b, place(t), h, v)));
    if constexpr (std::is_same_v<real, double>) y[t * y_step] = stored(result);
    else y[t * y_step] = ptx::as_stored<stored>(result);
  }
  /// The 3 x 3 convolution around the pixel at `at`.
  __device__ __forceinline__ real neighbours(index_t at) const {
    const index_t row = (at - first) / x.grid.width, column = (at - first) % x.grid.width;
    real sum = x.lepe_bias ? real(x.lepe_bias(h, v)) : real(0);
#pragma unroll 1
    for (int tap = 0; tap < 9; ++tap) {
      const index_t i = row + tap / 3 - 1, j = column + tap % 3 - 1;
      if (i < 0 || i >= x.grid.height || j < 0 || j >= x.grid.width || i * x.grid.width + j >= length) continue;
      sum = fma(real(x.lepe(h, v, tap / 3, tap % 3)), read(x.v(b, first + i * x.grid.width + j, h, v)), sum);
    }
    return sum;
  }

  /// Tokens t to end, eight at a time; the next eight are on their way while these are multiplied.
  template <bool Outputs> __device__ __forceinline__ void walk(index_t t, index_t end) {
    real next[round] = {};
    const stored* from = u + t * u_step;
    const auto load = [&](index_t first_of_round) {
#pragma unroll
      for (int i = 0; i < round; ++i, from += u_step)
        if (first_of_round + i < end) next[i] = value(from, first_of_round + i);
    };
    load(t);
#pragma unroll 1
    for (; t < end; t += round) {
      real enters[round], sums[round];
#pragma unroll
      for (int i = 0; i < round; ++i) enters[i] = next[i];
      load(t + round);
      const int count = end - t < round ? int(end - t) : round;
#pragma unroll
      for (int i = 0; i < round; ++i) {
        sums[i] = 0;
        if (i >= count) continue;
        real other = 0;  // a second chain of sums
#pragma unroll
        for (int j = 0; j < Pairs; ++j) {
          complex<real> enter{enters[i], 0};
          if (in_two_parts && i == 0) {  // what has been rounded away of F, for all tokens of the round
            const real share = real(count) / real(round);
            enter = multiply_add(share * rest[j], state[j], enter);
          }
          state[j] = multiply_add(F[j], state[j], enter);
          if constexpr (Outputs)
            sums[i] = fma(output[j].re, state[j].re, sums[i]), other = fma(output[j].im, state[j].im, other);
        }
        sums[i] += other;
      }
      if constexpr (Outputs) {
#pragma unroll 1
        for (int apart = 1; apart < c.lanes; apart *= 2)
#pragma unroll
          for (int i = 0; i < round; ++i) sums[i] += __shfl_xor_sync(~0u, sums[i], apart);
#pragma unroll 1
        for (int i = q; i < count; i += c.lanes) {
          real sum = sums[0];
#pragma unroll
          for (int j = 1; j < round; ++j) sum = i == j ? sums[j] : sum;
          if (there) finish(t + i, sum);
        }
      }
    }
  }
};

/// A block is 128 / lanes channels, those of all heads one after another; one segment; some sequences.
template <class Design, class Precision, int Pairs>
__global__ void __launch_bounds__(threads)
    state_space_kernel(const __grid_constant__ Design design, const __grid_constant__ sequence_of<Design, Precision> x,
                       const __grid_constant__ call_of<typename Precision::accumulator> c) {
  const index_t V = x.v.template extent<axis::value>(), channels = V * x.v.template extent<axis::head>();
  const int cuts = c.first_pass ? c.segments - 1 : c.segments, segment = int(blockIdx.x % unsigned(cuts));
  const index_t channel = index_t(blockIdx.x / unsigned(cuts)) * (threads / c.lanes) + int(threadIdx.x) / c.lanes;
  const bool there = channel < channels;
  const index_t known = there ? channel : 0;
  pair_walk<Design, Precision, Pairs> walk{
      design, x, c, channels, known, known / V, known % V, int(threadIdx.x) % c.lanes, there};
  walk.begin();
  const index_t sequences = x.offsets ? x.offsets.size() - 1 : x.v.template extent<axis::batch>();
#pragma unroll 1
  for (index_t n = blockIdx.y; n < sequences; n += gridDim.y) {
    walk.turn_to(n);
    if (c.segments == 1) {
      walk.read_state();
      walk.template walk<true>(0, walk.length);
      walk.write_state();
      continue;
    }
    const index_t from = segment * c.of_segment,
                  to = from + c.of_segment < walk.length ? from + c.of_segment : walk.length;
    if (c.first_pass) {
      if (segment == 0) walk.read_state(), walk.store_end(0);
#pragma unroll
      for (int i = 0; i < Pairs; ++i) walk.state[i] = {0, 0};
      walk.template walk<false>(from, to);
      walk.store_end(segment + 1);
    } else {
      walk.read_ends(segment);
      walk.template walk<true>(from, to);
      if (segment + 1 == c.segments) walk.write_state();
    }
  }
}

}  // namespace sextant::gpu::diagonal
