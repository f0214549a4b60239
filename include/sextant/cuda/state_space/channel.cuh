// SPDX-License-Identifier: Apache-2.0
/// @file  State spaces in chunks, a warp's channel: its factors and states, and what 8 tokens of 16 streams do to them.
#pragma once

#include <sextant/cuda/ptx/convert.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>
#include <sextant/cuda/state_space/pairs.cuh>

namespace sextant::gpu::diagonal {

/// What a block has at once: 16 streams (whole sequences, or segments of them), 16 neighbouring channels, 16 tokens a stage.
inline constexpr int rows = 16, columns = 16, chunk = 8, stage = 2 * chunk, stages = 4;
inline constexpr int chunk_threads = 32 * columns;

/// One stream: tokens from `from` on of sequence n.
struct stream_of_tokens {
  index_t n, batch, place;  ///< place: of its first token
  int from, count;
  bool exists, is_last;  ///< is_last: of its sequence

  template <class Sequence, class Real>
  __device__ __forceinline__ stream_of_tokens(const Sequence& x, const call_of<Real>& c, int number, int streams) {
    constexpr bool reversed = std::is_same_v<typename Sequence::design_type::order_type, order::reversed>;
    const int cuts = c.first_pass ? c.parts * (c.segments - 1) : c.segments;
    const index_t tokens = c.first_pass ? c.of_segment : c.of_segment * c.parts;
    index_t first = 0, length = x.v.template extent<axis::time>();
    n = number / cuts, batch = n, from = int(number % cuts * tokens), count = 0, place = 0;
    exists = number < streams, is_last = number % cuts == cuts - 1;
    if (!exists) return;
    if (x.offsets) {
      const index_t begin = x.offsets(n), end = x.offsets(n + 1);
      batch = 0;
      first = begin < 0 ? 0 : begin > length ? length : begin;
      length = (end < first ? first : end > length ? length : end) - first;
    }
    const index_t left = length - from;
    count = int(c.segments > 1 && left > tokens ? tokens : left > 0 ? left : 0);
    place = first + (reversed ? length - 1 - from : from);
  }
};

/// A warp's channel: what its 16 streams' tokens say to their states and outputs, as factors of products in TF32,
///   y (streams x tokens) = U T + X P,  X (streams x state) <- F^8 X + U Q.
/// Lane (g, t) = (lane / 4, lane % 4) holds two numbers of each of the products' second factors, tokens 2 t and 2 t + 1 of streams
/// g and g + 8, and of every tile of 4 pairs pair t of both streams. In which order a product's terms are numbered is ours to
/// choose: so what U Q leaves in a lane is what X P wants there.
template <class Design, class Precision, int Tiles, bool AtOnce = false> struct channel_in_chunks {
  using stored = typename Precision::token;
  using two = std::uint32_t[2];

  const sequence_of<Design, Precision>& x;
  const call_of<float>& c;
  complex<float>*
      F;        ///< [pairs] of the channel, in shared memory, and F^8 behind them; if AtOnce, behind these the table
  int channel;  ///< of all heads' together
  int g = int(threadIdx.x) % 32 / 4, t = int(threadIdx.x) % 4;
  two Q[std::size_t(Tiles)], P[std::size_t(Tiles)], T;
  float X[std::size_t(Tiles)][4];  ///< re of streams g and g + 8, im of both

  __device__ __forceinline__ int values() const { return int(x.v.template extent<axis::value>()); }
  __device__ __forceinline__ int channels() const { return values() * int(x.v.template extent<axis::head>()); }
  __device__ __forceinline__ int h() const { return channel / values(); }
  __device__ __forceinline__ int v() const { return channel % values(); }
  __device__ __forceinline__ int pair(int tile) const { return 4 * tile + t; }
  __device__ __forceinline__ bool knows(int tile) const { return channel < channels() && pair(tile) < c.pairs; }
  __device__ __forceinline__ complex<float> read(field f, int m) const {
    if (channel >= channels() || m >= c.pairs) return {0, 0};
    if constexpr (!AtOnce) return c.read(f, m, channel, channels());
    const float* const re = table() + int(f) * c.pairs + m;
    return {re[0], re[c.pairs]};
  }
  /// Of the channel alone, where a warp discretises its pairs itself.
  __device__ __forceinline__ float* table() const { return reinterpret_cast<float*>(F + 2 * 4 * Tiles); }
  /// z F^n, 0 <= n <= Most.
  template <int Most>
  static __device__ __forceinline__ complex<float> raised(complex<float> z, const complex<float>& F, int n) {
#pragma unroll
    for (int i = 0; i < Most; ++i)
      if (i < n) z = z * F;
    return z;
  }

  /// visit(j) for tile j alone, a constant in every copy of it: registers have no index.
  template <class Visit> static __device__ __forceinline__ void only(int tile, const Visit& visit) {
#pragma unroll
    for (int j = 0; j < Tiles; ++j)
      if (j == tile) visit(j);
  }

  __device__ __forceinline__ void begin() {
    float kernel = 0, first = 0;  // of tokens g + 1 later, and of the same token
#pragma unroll 1
    for (int tile = 0; tile < Tiles; ++tile) {
      const complex<float> F_of_column = read(state_of, 4 * tile + g / 2);
      const complex<float> late = raised<6>({1, 0}, F_of_column, 6 - 2 * t), early = late * F_of_column;
      const complex<float> conjugate = read(output_of, pair(tile)), output{conjugate.re, -conjugate.im};
      const complex<float> own_F = read(state_of, pair(tile)), told = raised<8>(output, own_F, g + 1);
      const complex<float> eighth = read(chunk_of, pair(tile));
      if (g == 0) F[pair(tile)] = own_F, F[pair(tile) + 4 * Tiles] = eighth;
      // The products cut what TF32 has no room for off X: on average log(2) 2^-11 of it.
      const float uncut = (1 + 0.693147f * 0x1p-11f) * c.scale;
      only(tile, [&](int j) {
        Q[j][0] = ptx::as_tf32(g % 2 ? early.im : early.re), Q[j][1] = ptx::as_tf32(g % 2 ? late.im : late.re);
        P[j][0] = ptx::as_tf32(uncut * told.re), P[j][1] = ptx::as_tf32(-uncut * told.im);
      });
      kernel += told.re, first += output.re;
    }
#pragma unroll
    for (int bit = 1; bit < 4; bit *= 2) {
      kernel += __shfl_xor_sync(~0u, kernel, bit);
      first += __shfl_xor_sync(~0u, first, bit);
    }
    kernel *= c.scale, first *= c.scale;
    if constexpr (sextant::detail::is_learned<Design>) first += channel < channels() ? float(x.d(h(), v())) : 0.0f;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int later = g - 2 * t - i;  // tokens from the one that says to the one that hears
      const float other = __shfl_sync(~0u, kernel, 4 * (later > 0 ? later - 1 : 0));
      T[i] = ptx::as_tf32(later > 0 ? other : later == 0 ? first : 0.0f);
    }
  }

  /// The states before the first tokens: zeros in a first pass, which leaves a copy of the initial ones in slot 0, or what
  /// the parts of a sequence before the stream's have left.
  template <bool Outputs> __device__ __forceinline__ void begin_states(int first_stream, int streams) {
    const auto& S = x.initial_state.S;
#pragma unroll 4
    for (int i = 0; i < 2 * Tiles; ++i) {
      const stream_of_tokens at(x, c, first_stream + g + i % 2 * 8, streams);
      const int m = pair(i / 2);
      complex<float> state{0, 0};
      if (knows(i / 2) && at.exists) {
        if (S && at.from == 0 && (!Outputs || c.segments == 1))
          state = complex<float>{float(S(at.n, h(), 2 * m, v())), float(S(at.n, h(), 2 * m + 1, v()))} *
                  read(inverse_of, m);
        if constexpr (Outputs) {
          const complex<float> span = read(span_of, m);
#pragma unroll 4
          for (int s = 0; s <= at.from / int(c.of_segment) && c.segments > 1; ++s) {
            const float* const end = c.end(at.n, s, m, channel, channels());
            const bool is_empty = state.re == 0 && state.im == 0;  // 0 where a growing pair's power is infinite
            if (!is_empty) state = span * state;
            state = state + complex<float>{end[0], end[channels()]};
          }
        } else {
          if (at.from == 0) {
            float* const end = c.end(at.n, 0, m, channel, channels());
            end[0] = state.re, end[channels()] = state.im;
          }
          state = {0, 0};
        }
      }
      only(i / 2, [&](int j) {
        if (i % 2 == 0) X[j][0] = state.re, X[j][2] = state.im;
        else X[j][1] = state.re, X[j][3] = state.im;
      });
    }
  }
  /// The states before the first tokens of streams that are the segments of whole sequences, where X are what the tokens of each
  /// leave of zeros. `ends` has room for [streams][pairs + 1] of the channel.
  __device__ __forceinline__ void join_streams(complex<float> (*ends)[std::size_t(4 * Tiles + 1)], int streams) {
    const auto& S = x.initial_state.S;
#pragma unroll
    for (int j = 0; j < Tiles; ++j) ends[g][pair(j)] = {X[j][0], X[j][2]}, ends[g + 8][pair(j)] = {X[j][1], X[j][3]};
    __syncwarp();
    if (const int m = int(threadIdx.x) % 32; channel < channels() && m < c.pairs) {
      const complex<float> span = read(span_of, m);
      complex<float> state{0, 0};
#pragma unroll 1
      for (int s = 0; s < streams; ++s) {
        if (const int n = s / c.segments; s == n * c.segments) {
          state = {0, 0};
          if (S)
            state =
                complex<float>{float(S(n, h(), 2 * m, v())), float(S(n, h(), 2 * m + 1, v()))} * read(inverse_of, m);
        }
        const complex<float> end = ends[s][m];
        ends[s][m] = state;
        const bool is_empty = state.re == 0 && state.im == 0;  // 0 where a growing pair's power is infinite
        state = is_empty ? end : span * state + end;
      }
    }
    __syncwarp();
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
      const complex<float> first = ends[g][pair(j)], second = ends[g + 8][pair(j)];
      X[j][0] = first.re, X[j][2] = first.im, X[j][1] = second.re, X[j][3] = second.im;
    }
  }
  template <bool Outputs> __device__ __forceinline__ void end_states(int first_stream, int streams) const {
    const auto& S = x.final_state.S;
#pragma unroll 1
    for (int i = 0; i < 2 * Tiles; ++i) {
      complex<float> state{0, 0};
      only(i / 2, [&](int j) {
        state = i % 2 == 0 ? complex<float>{X[j][0], X[j][2]} : complex<float>{X[j][1], X[j][3]};
      });
      const stream_of_tokens at(x, c, first_stream + g + i % 2 * 8, streams);
      const int m = pair(i / 2);
      if (!knows(i / 2) || !at.exists) continue;
      if constexpr (!Outputs) {
        float* const end = c.end(at.n, at.from / int(c.of_segment) + 1, m, channel, channels());
        end[0] = state.re, end[channels()] = state.im;
      } else if (S && at.is_last) {
        const complex<float> is = state * read(unit_of, m);
        S(at.n, h(), 2 * m, v()) = typename Precision::state(is.re);
        S(at.n, h(), 2 * m + 1, v()) = typename Precision::state(is.im);
      }
    }
  }

  /// (re, im) <- F (re, im) + (enters_re, enters_im).
  static __device__ __forceinline__ void turn(float& re, float& im, const complex<float>& by, float enters_re,
                                              float enters_im) {
    const float was = re;
    re = fmaf(by.re, was, fmaf(-by.im, im, enters_re)), im = fmaf(by.re, im, fmaf(by.im, was, enters_im));
  }
  /// 8 tokens of both streams: y of two neighbours each, of the state before them, where there are Outputs; and the state after
  /// them, where there is an Update. Tile after tile, so that no product waits for the one before it.
  template <bool Outputs, bool Update>
  __device__ __forceinline__ void meet(const std::uint32_t (&u)[4], float (&y)[4]) {
    float other[4] = {};  // a second chain of sums
    if constexpr (Outputs) ptx::multiply_add_tf32(y, u, T[0], T[1]);
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
      float enters[4] = {};
      if constexpr (Update) ptx::multiply_add_tf32(enters, u, Q[j][0], Q[j][1]);
      if constexpr (Outputs) {
        const std::uint32_t state[4] = {__float_as_uint(X[j][0]), __float_as_uint(X[j][1]), __float_as_uint(X[j][2]),
                                        __float_as_uint(X[j][3])};
        ptx::multiply_add_tf32(j % 2 ? y : other, state, P[j][0], P[j][1]);
      }
      if constexpr (Update) {
        const complex<float> power = F[pair(j) + 4 * Tiles];
        turn(X[j][0], X[j][2], power, enters[0], enters[1]);
        turn(X[j][1], X[j][3], power, enters[2], enters[3]);
      }
    }
    if constexpr (Outputs) {
#pragma unroll
      for (int i = 0; i < 4; ++i) y[i] += other[i];
    }
  }
  /// The state after 8 tokens of those of the two streams that have them, and as it was of one that has none, whose u is 0.
  __device__ __forceinline__ void update_some(const std::uint32_t (&u)[4], bool has, bool has_8) {
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
      const complex<float> power = F[pair(j) + 4 * Tiles], one{1, 0};
      float enters[4] = {};
      ptx::multiply_add_tf32(enters, u, Q[j][0], Q[j][1]);
      turn(X[j][0], X[j][2], has ? power : one, enters[0], enters[1]);
      turn(X[j][1], X[j][3], has_8 ? power : one, enters[2], enters[3]);
    }
  }
  /// The state after one token, for those of the two streams that have it.
  __device__ __forceinline__ void update_one(float u, bool has, float u_8, bool has_8) {
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
      const complex<float> by = F[pair(j)];
      if (has) turn(X[j][0], X[j][2], by, u, 0);
      if (has_8) turn(X[j][1], X[j][3], by, u_8, 0);
    }
  }
};

}  // namespace sextant::gpu::diagonal
