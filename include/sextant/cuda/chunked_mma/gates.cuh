// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: gates of a head, by one warp, and decays per key, by all of them.
#pragma once

#include <sextant/cuda/chunked_mma/rows.cuh>
#include <sextant/cuda/ptx/convert.cuh>
#include <sextant/cuda/tile/activation.cuh>

namespace sextant::gpu {

/// A logarithm of base 2 below which a factor is 0 in float: gates of 0 end here, so that differences of sums of logarithms
/// are numbers. A NaN stays one.
inline constexpr float vanishing = -150.0f;
template <class Real> __device__ __forceinline__ Real not_vanishing(Real log2_F) {
  return log2_F < Real(vanishing) ? Real(vanishing) : log2_F;
}

/// The raw numbers of one head's gates. Tokens are stored as `Token`, parameters as float.
template <class Token, class Parts> struct gate_reader {
  const device_call<float>& c;
  const Parts& parts;
  index_t batch, h;

  static __device__ float stored(const tensor<float>& x, const std::byte* from) {
    return (void)x, ptx::as_float(*reinterpret_cast<const Token*>(from));
  }
  static __device__ float parameter(const std::byte* from) { return *reinterpret_cast<const float*>(from); }

  /// delta = softplus(dt + bias) of the token at `at`; `channel` is 0 where steps are a head's.
  __device__ float step(index_t at, index_t channel) const {
    float x = stored(c.dt, c.dt.at(batch, at, h) + channel * c.dt.value);
    if (c.bias) x += parameter(c.bias.at(0, 0, h) + channel * c.bias.value);
    return math::softplus(x);
  }
  __device__ float input_raw(index_t at, index_t channel) const {
    if (parts.input.raw == per::nothing) return 0.0f;
    if (parts.input.from_step) return step(at, channel);
    return stored(c.input_raw, c.input_raw.at(batch, at, h) + channel * c.input_raw.value);
  }
  /// Where that is one number for all keys.
  __device__ float forget_raw(index_t at) const {
    if (parts.forget.raw == per::nothing) return 0.0f;
    if (parts.forget.from_step) return step(at, 0);
    return stored(c.forget_raw, c.forget_raw.at(batch, at, h));
  }
  __device__ float rate(index_t key) const {
    if (parts.forget.rate == per::nothing) return 0.0f;
    if (!c.a) return parts.forget.template default_rate<float>(h);
    return parameter(c.a.at(0, 0, h) + (parts.forget.rate == per::key ? key * c.a.key : 0));
  }
};

/// The gates of one head, run by one warp: lane l has tokens 2 l and 2 l + 1 of a chunk. Raw numbers of the next chunk are
/// read ahead. Sums are taken in double, one addition per token.
template <class Token, class Parts> struct head_gates {
  const gate_reader<Token, Parts>& reader;
  bool forgets, admits, stabilises;  ///< forgets: per head
  int lane;
  double m = 0;
  float rate = 0;
  float2 forget_raw{}, input_raw{};

  __device__ head_gates(const gate_reader<Token, Parts>& its_reader, bool per_head, int its_lane)
      : reader{its_reader}, forgets{per_head},
        admits{!its_reader.parts.input.is_one && its_reader.parts.input.raw != per::channel},
        stabilises{its_reader.c.norm == norm_kind::abs_max}, lane{its_lane} {
    if (forgets) rate = reader.rate(0);
  }
  __device__ bool any() const { return forgets || admits || stabilises; }

  __device__ void read_ahead(const stretch& s, index_t t, int count) {
#pragma unroll 1
    for (int i = 0; i < 2; ++i) {
      if (2 * lane + i >= count) continue;
      const index_t at = s.place(t + 2 * lane + i);
      if (forgets) (i == 0 ? forget_raw.x : forget_raw.y) = reader.forget_raw(at);
      if (admits) (i == 0 ? input_raw.x : input_raw.y) = reader.input_raw(at, 0);
    }
  }
  /// The factors of the chunk whose raw numbers were read last.
  __device__ void compute(chunk_gates& to, int count) {
    constexpr double log2_of_e = 1.4426950408889634074;
    double2 log_F{}, log_I{};
    float2 I{1.0f, 1.0f};
    // One piece of code for both tokens: gates may be long.
#pragma unroll 1
    for (int i = 0; i < 2; ++i) {
      if (2 * lane + i >= count) continue;
      const auto& parts = reader.parts;
      if (forgets) (i == 0 ? log_F.x : log_F.y) = double(parts.forget.logarithm(i == 0 ? forget_raw.x : forget_raw.y, rate));
      const float raw = i == 0 ? input_raw.x : input_raw.y;
      if (stabilises) (i == 0 ? log_I.x : log_I.y) = double(parts.input.logarithm(raw, 0.0f));
      else if (admits) (i == 0 ? I.x : I.y) = parts.input.value(raw, 0.0f);
    }
    if (stabilises) stabilise(to, log_F, log_I, I, count);
    const double first = not_vanishing(log_F.x * log2_of_e), second = not_vanishing(log_F.y * log2_of_e);
    double sum = first + second;
#pragma unroll
    for (int d = 1; d < 8; d *= 2) {
      const double before = __shfl_up_sync(~0u, sum, d, 8);
      if (lane % 8 >= d) sum += before;
    }
    const double whole = __shfl_sync(~0u, sum, 7, 8);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const double cum = i == 0 ? sum - second : sum;
      const int t = 2 * lane + i;
      to.upper[t] = float(cum);
      to.lower[t] = float(cum - double(float(cum)));
      to.from_start[t] = ptx::exp2_approx(float(cum));
      to.left[t] = ptx::exp2_approx(float(whole - cum));
      to.admitted[t] = i == 0 ? I.x : I.y;
      to.entering[t] = to.left[t] * to.admitted[t];
    }
    // A constant gate meets the same error in every step, so in float it is computed to the last bit.
    if (lane % 8 == 0) to.kept[lane / 8] = sizeof(Token) == 4 ? float(exp2(whole)) : ptx::exp2_approx(float(whole));
  }

 private:
  /// m_t = max(log F_t + m_{t-1}, log I_t) by a scan over m -> max(c + m, a), and what it makes of the two gates.
  __device__ void stabilise(chunk_gates& to, double2& log_F, double2 log_I, float2& I, int count) {
    const auto larger = [](double x, double y) { return x > y ? x : y; };
    const double nothing = -__longlong_as_double(0x7ff0000000000000);
    if (2 * lane >= count) log_I.x = nothing;
    if (2 * lane + 1 >= count) log_I.y = nothing;
    double c = log_F.x + log_F.y, a = larger(log_I.x + log_F.y, log_I.y);
#pragma unroll
    for (int d = 1; d < 32; d *= 2) {
      const double c_before = __shfl_up_sync(~0u, c, d), a_before = __shfl_up_sync(~0u, a, d);
      if (lane >= d) a = larger(a_before + c, a), c += c_before;
    }
    const double c_before = __shfl_up_sync(~0u, c, 1), a_before = __shfl_up_sync(~0u, a, 1);
    const double before = lane == 0 ? m : larger(c_before + m, a_before);
    const double first = larger(log_F.x + before, log_I.x), second = larger(log_F.y + first, log_I.y);
    log_F.x += before - first, log_F.y += first - second;
    I = {expf(float(log_I.x - first)), expf(float(log_I.y - second))};
    to.bound[2 * lane] = expf(float(-first)), to.bound[2 * lane + 1] = expf(float(-second));
    m = __shfl_sync(~0u, second, 31);
  }
};

/// Decays per key of a chunk: thread by thread one key of one step, g_t = log2 F_1 + ... + log2 F_t from the step's first
/// token on.
///   g [tokens][g_stride], middle [steps][keys]: half way between its least and its most, kept [steps][keys]: 2^g_15
template <class Token, class Parts>
__device__ void decay_keys(const gate_reader<Token, Parts>& reader, const stretch& s, const mma_plan& plan, const Token* raw, float* g,
                           float* middle, float* kept, int* steep, index_t t, int count) {
  using scalar = part_scalar<Token>;
  // 50 nats to either side of the middle: the products of two such factors are far from the ends of a float's range.
  constexpr float reach = 72.5f;
  const auto& gate = reader.parts.forget;
  for (int i = int(threadIdx.x); i < plan.keys() * plan.steps(); i += int(blockDim.x)) {
    const int key = i % plan.keys(), step = i / plan.keys();
    const bool exists = key < reader.c.keys;
    const float rate = exists ? reader.rate(key) : 0.0f;
    float sum = 0.0f, least = 0.0f, most = 0.0f;
#pragma unroll 4
    for (int j = 0; j < step_tokens; ++j) {
      const int row = step * step_tokens + j;
      if (exists && row < count) {
        const float x = plan.raw_rows ? ptx::as_float(raw[row * plan.raw_stride + key]) : reader.forget_raw(s.place(t + row));
        sum += not_vanishing(float(gate.logarithm(scalar(x), scalar(rate))) * log2_e);
      }
      g[row * plan.g_stride + key] = sum;
      least = j == 0 || sum < least ? sum : least;
      most = j == 0 || sum > most ? sum : most;
    }
    middle[step * plan.keys() + key] = 0.5f * (least + most);
    kept[step * plan.keys() + key] = ptx::exp2_approx(sum);
    if (most - least > 2.0f * reach) steep[step] = 1;
  }
}

/// q_t 2^g_t and k_t 2^(g_15 - g_t) in place of q and k: no exponent is positive where no gate is above 1.
template <class Token>
__device__ void scale_rows(const mma_plan& plan, Token* q, Token* k, const float* g, int count) {
  const int lane = int(threadIdx.x) % 32;
  for (int row = int(threadIdx.x) / 32; row < count; row += int(blockDim.x) / 32)
    for (int i = 2 * lane; i < plan.keys(); i += 64) {
      const float2 now = load_pair(g + row * plan.g_stride + i), last = load_pair(g + (row | 15) * plan.g_stride + i);
      const float2 a = load_pair(q + row * plan.q_stride + i), b = load_pair(k + row * plan.k_stride + i);
      store_pair(q + row * plan.q_stride + i, a.x * ptx::exp2_approx(now.x), a.y * ptx::exp2_approx(now.y));
      store_pair(k + row * plan.k_stride + i, b.x * ptx::exp2_approx(last.x - now.x),
                 b.y * ptx::exp2_approx(last.y - now.y));
    }
}

}  // namespace sextant::gpu
