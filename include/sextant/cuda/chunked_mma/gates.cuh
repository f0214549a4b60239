// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: gates of a head, computed by one warp.
#pragma once

#include <sextant/cuda/chunked_mma/rows.cuh>
#include <sextant/cuda/ptx/convert.cuh>
#include <sextant/cuda/tile/approximate.cuh>
#include <sextant/cuda/tile/stabiliser.cuh>

namespace sextant::gpu::mma {

/// The scalar type of maps and of gates: what is rounded to 16 bits afterwards may be computed approximately.
template <class Token> using part_scalar = std::conditional_t<sizeof(Token) == 2, approximate, float>;

/// A logarithm of base 2 below which a factor is 0 in float: gates of 0 end here, so that differences of sums of
/// logarithms are numbers. A NaN stays one.
inline constexpr float vanishing = -150.0f;
template <class Real> __device__ __forceinline__ Real not_vanishing(Real log2_F) {
  return log2_F < Real(vanishing) ? Real(vanishing) : log2_F;
}

/// 2^x - 1 with a small relative error also where x is tiny, -1 below -126: what a decay takes from a state. A memory
/// of thousands of steps multiplies the error of a factor near 1, but not that of its distance from 1.
__device__ __forceinline__ float exp2_minus_one(float x) {
  asm("max.NaN.f32 %0, %0, 0fC2FC0000;" : "+f"(x));  // -126
  asm("min.NaN.f32 %0, %0, 0f42FE0000;" : "+f"(x));  // 127
  const float shifted = x + 12582912.0f;             // 1.5 * 2^23: the integer ends up in the last bits
  const float f = x - (shifted - 12582912.0f), power = __int_as_float((__float_as_int(shifted) << 23) + 0x3f800000);
  float p = fmaf(1.326522649e-3f, f, 9.671231709e-3f);  // (2^f - 1) / f on [-1/2, 1/2]
  p = fmaf(p, f, 5.550728477e-2f);
  p = fmaf(p, f, 2.402224813e-1f);
  p = fmaf(p, f, 6.931469860e-1f);
  return fmaf(power, p * f, power - 1.0f);
}

/// The number that each of a token's gates is computed from, as it is stored: a step or a raw gate.
template <class Token> struct raw_gates { Token forget{}, input{}; };

/// The gates of one head: what they read, and what they are called with. Tokens are stored as `Token`, parameters as
/// float.
template <class Token, class Parts> struct gate_reader {
  using scalar = part_scalar<Token>;

  const device_call<float>& c;
  const Parts& parts;
  int batch, h;

  static __device__ Token stored(const std::byte* from) { return *reinterpret_cast<const Token*>(from); }
  static __device__ float parameter(const std::byte* from) { return *reinterpret_cast<const float*>(from); }

  /// Whether the forget gate and the input gate read numbers of a head's token.
  __device__ bool reads_forget() const { return parts.forget.raw == per::head; }
  __device__ bool reads_input() const { return parts.input.raw == per::head; }

  /// What the gates of the token at `at` read, where that is one number for the head.
  __device__ raw_gates<Token> read(index_t at, bool forget, bool input) const {
    raw_gates<Token> raw;
    if (forget) raw.forget = stored((parts.forget.from_step ? c.dt : c.forget_raw).at(batch, at, h));
    if (input) raw.input = stored((parts.input.from_step ? c.dt : c.input_raw).at(batch, at, h));
    return raw;
  }
  /// softplus(dt + bias).
  static __device__ float step(Token dt, float bias) { return float(math::softplus(scalar(ptx::as_float(dt) + bias))); }
  __device__ float bias(index_t channel) const {
    return c.bias ? parameter(c.bias.at(0, 0, h) + channel * c.bias.value) : 0.0f;
  }
  __device__ float forget_raw(const raw_gates<Token>& raw, float its_bias) const {
    return parts.forget.from_step ? step(raw.forget, its_bias) : ptx::as_float(raw.forget);
  }
  __device__ float input_raw(const raw_gates<Token>& raw, float its_bias) const {
    return parts.input.from_step ? step(raw.input, its_bias) : ptx::as_float(raw.input);
  }
  /// The gates themselves.
  __device__ float log_forget(float raw, float rate) const {
    return float(parts.forget.logarithm(scalar(raw), scalar(rate)));
  }
  __device__ float log_input(float raw) const { return float(parts.input.logarithm(scalar(raw), scalar(0.0f))); }
  __device__ float input(float raw) const { return float(parts.input.value(scalar(raw), scalar(0.0f))); }
  __device__ float rate(index_t key) const {
    if (parts.forget.rate == per::nothing) return 0.0f;
    if (!c.a) return parts.forget.template default_rate<float>(h);
    return parameter(c.a.at(0, 0, h) + (parts.forget.rate == per::key ? key * c.a.key : 0));
  }
};

/// The gates of one head, run by one warp: lane l has tokens 2 l and 2 l + 1 of a chunk. Raw numbers of the next chunk
/// are read ahead and stay as they are until then. Sums of logarithms are taken in double where tokens are float.
template <class Token, bool Keyed, class Parts> struct head_gates {
  using real = std::conditional_t<sizeof(Token) == 4, double, float>;

  gate_reader<Token, Parts> reader;
  int lane;
  raw_gates<Token> first{}, second{};

  __device__ head_gates(const gate_reader<Token, Parts>& its_reader, int its_lane)
      : reader{its_reader}, lane{its_lane} {}

  /// Whether the head forgets, admits by a gate, and keeps the two in range by a stabiliser.
  __device__ bool forgets() const { return !Keyed && !reader.parts.forget.is_one; }
  __device__ bool admits() const { return !reader.parts.input.is_one && reader.parts.input.raw != per::channel; }
  __device__ bool stabilises() const { return reader.c.norm == norm_kind::abs_max; }
  __device__ bool any() const { return forgets() || admits() || stabilises(); }

  /// What stays the same from chunk to chunk, and the stabiliser at the start; one thread calls it.
  __device__ void start(chunk_gates& to, double m) const {
    to.m = m;
    to.rate = forgets() ? reader.rate(0) : 0.0f;
    to.bias = reader.reads_forget() || reader.reads_input() ? reader.bias(0) : 0.0f;
  }

  __device__ void read_ahead(const stretch& s, index_t t, int count) {
    const bool forget = forgets() && reader.reads_forget(), input = admits() && reader.reads_input();
    if (2 * lane < count) first = reader.read(s.place(t + 2 * lane), forget, input);
    if (2 * lane + 1 < count) second = reader.read(s.place(t + 2 * lane + 1), forget, input);
  }
  /// The factors of the chunk whose raw numbers were read last.
  __device__ void compute(chunk_gates& to, int count) {
    constexpr real log2_of_e = real(1.4426950408889634074);
    real log_F[2], log_I[2];
    float I[2];
    // One piece of code for both tokens: gates may be long.
#pragma unroll 1
    for (int i = 0; i < 2; ++i) {
      const raw_gates<Token> raw{i == 0 ? first.forget : second.forget, i == 0 ? first.input : second.input};
      real its_log_F = 0, its_log_I = 0;
      float its_I = 1.0f;
      if (2 * lane + i < count) {
        if (forgets()) its_log_F = real(reader.log_forget(reader.forget_raw(raw, to.bias), to.rate));
        if (stabilises()) its_log_I = real(reader.log_input(reader.input_raw(raw, to.bias)));
        else if (admits()) its_I = reader.input(reader.input_raw(raw, to.bias));
      }
      if (i == 0) log_F[0] = its_log_F, log_I[0] = its_log_I, I[0] = its_I;
      else log_F[1] = its_log_F, log_I[1] = its_log_I, I[1] = its_I;
    }
    if (stabilises()) stabilise(to, log_F, log_I, I, count);
    const real low = not_vanishing(log_F[0] * log2_of_e), high = not_vanishing(log_F[1] * log2_of_e);
    real sum = low + high;
#pragma unroll
    for (int d = 1; d < 8; d *= 2) {
      const real before = __shfl_up_sync(~0u, sum, d, 8);
      if (lane % 8 >= d) sum += before;
    }
    const real whole = __shfl_sync(~0u, sum, 7, 8), earlier = __shfl_up_sync(~0u, sum, 1, 8);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const real cum = i == 1 ? sum : lane % 8 == 0 ? low : earlier + low;
      const int t = 2 * lane + i;
      const float left = ptx::exp2_approx(float(whole - cum)), its_I = I[i];
      to.upper[t] = float(cum);
      to.lower[t] = float(cum - real(float(cum)));
      to.from_start[t] = ptx::exp2_approx(float(cum));
      to.left[t] = left;
      to.admitted[t] = its_I;
      to.entering[t] = left * its_I;
    }
    if (lane % 8 == 0) to.taken[lane / 8] = exp2_minus_one(float(whole));
    if (stabilises()) return;
    const double of_two = double(whole) + double(__shfl_xor_sync(~0u, whole, 8));
    const double of_chunk = of_two + __shfl_xor_sync(~0u, of_two, 16);
    if (lane == 0) to.total += of_chunk;
  }

 private:
  /// What the stabiliser makes of the two gates.
  __device__ void stabilise(chunk_gates& to, real (&log_F)[2], real (&log_I)[2], float (&I)[2], int count) {
    const real nothing = -real(__int_as_float(0x7f800000));
    if (2 * lane >= count) log_I[0] = nothing;
    if (2 * lane + 1 >= count) log_I[1] = nothing;
    const pair_stabiliser<real> its(log_F, log_I, real(to.m), lane);
    log_F[0] += its.before - its.first, log_F[1] += its.first - its.second;
    I[0] = expf(float(log_I[0] - its.first)), I[1] = expf(float(log_I[1] - its.second));
    to.bound[2 * lane] = bound_of(its.first), to.bound[2 * lane + 1] = bound_of(its.second);
    __syncwarp();
    if (lane == 0) to.m = double(its.last), to.total += double(its.sum_of_all);
  }
  /// exp(-m), but never 0, nor what overflows in a quotient: a query of zeros is told 0.
  static __device__ float bound_of(real m) { return fmaxf(expf(float(-m)), 0x1p-126f); }
};

}  // namespace sextant::gpu::mma
