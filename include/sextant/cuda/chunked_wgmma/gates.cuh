// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the gates: two warps turn raw gate tensors into the factors of a chunk.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/math.cuh>
#include <sextant/cuda/tile/activation.cuh>
#include <sextant/cuda/tile/approximate.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::wgmma {

/// Two floats as sums of two numbers of 16 bits each: x + y / split_step. float16 has too few exponents for a step of 1.
template <class Token> inline constexpr float split_step = std::is_same_v<Token, bfloat16> ? 1.0f : 4096.0f;
template <class Token> __device__ __forceinline__ uint2 split_pair(float first, float second) {
  constexpr float step = split_step<Token>;
  const std::uint32_t high = detail::round_pair<Token>(first, second);
  float high_first, high_second;
  detail::widen_pair<Token>(high, high_first, high_second);
  return {high, detail::round_pair<Token>((first - high_first) * step, (second - high_second) * step)};
}
/// v times the factors of two rows that entering_pair() made: two numbers of 16 bits each, rounded once.
template <class Token> __device__ __forceinline__ std::uint32_t scale_pair(std::uint32_t v, uint2 factors) {
  if constexpr (std::is_same_v<Token, bfloat16>) {
    // A factor is the sum of two bfloat16, so that packed arithmetic multiplies by it as float arithmetic would.
    std::uint32_t low, all;
    asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(low) : "r"(v), "r"(factors.y));
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(all) : "r"(v), "r"(factors.x), "r"(low));
    return all;
  } else {
    float first, second;
    detail::widen_pair<Token>(v, first, second);
    return detail::round_pair<Token>(first * __uint_as_float(factors.x), second * __uint_as_float(factors.y));
  }
}
template <class Token> __device__ __forceinline__ uint2 entering_pair(float first, float second) {
  if constexpr (std::is_same_v<Token, bfloat16>) return split_pair<Token>(first, second);
  else return {__float_as_uint(first), __float_as_uint(second)};
}

/// A part's answer in float. Its functions are the special function unit's, and no division of its becomes a call of a
/// subroutine, for which a warp that gave registers away has none.
template <class Gate> __device__ __forceinline__ float value_of_gate(const Gate& gate, float x, float rate) {
  return float(gate_value(gate, approximate(x), approximate(rate)));
}
template <class Gate> __device__ __forceinline__ float log_of_gate(const Gate& gate, float x, float rate) {
  if constexpr (sextant::detail::offers_log<Gate, approximate>)
    return float(sextant::detail::call_log(gate, approximate(x), approximate(rate)));
  else return logf(float(sextant::detail::call_value(gate, approximate(x), approximate(rate))));
}

/// Writes two numbers, of positions 2 lane and 2 lane + 1, where their rows are.
template <class Plan> __device__ __forceinline__ void store_rows(float* rows, int lane, float first, float second) {
  if constexpr (Plan::reversed) *reinterpret_cast<float2*>(rows + 62 - 2 * lane) = make_float2(second, first);
  else *reinterpret_cast<float2*>(rows + 2 * lane) = make_float2(first, second);
}

/// The raw numbers of one token, as they are stored.
template <class Design, class Precision> struct raw_gates {
  using token = typename Precision::token;
  static constexpr bool has_step = reads_step<typename Design::input_type> || reads_step<typename Design::forget_type>;
  static constexpr bool has_forget = reads_own<typename Design::forget_type>;
  static constexpr bool has_input = reads_own<typename Design::input_type>;

  token step, forget, input;

  __device__ __forceinline__ void load(const sequence_of<Design, Precision>& x, int b, int t, int h) {
    if constexpr (has_step) step = x.dt(b, t, h);
    if constexpr (has_forget) forget = x.forget(b, t, h);
    if constexpr (has_input) input = x.input(b, t, h);
  }
};

/// A stored number as a float; one instruction.
template <class Token> __device__ __forceinline__ float widened(Token x) {
  float low, high;
  detail::widen_pair<Token>(x.bits, low, high);
  return low;
}

/// The gates' logarithm and value for one token: log2 F, at least -256, and I.
template <class Design, class Precision> struct head_gates {
  float bias = 0, rate = 0;

  __device__ void load(const Design& design, const sequence_of<Design, Precision>& x, int h) {
    using forget_type = typename Design::forget_type;
    (void)design;
    if constexpr (raw_gates<Design, Precision>::has_step)
      if (x.bias) bias = x.bias(h);
    if constexpr (rate_granularity<forget_type> != per::nothing) {
      bool given = true;
      if constexpr (requires { forget_type::template default_rate<float>(h); })
        if (!x.a) rate = forget_type::template default_rate<float>(h), given = false;
      if (given) rate = x.a(h);
      if constexpr (sextant::detail::proportional_of<forget_type>()) rate *= log2_e;
    }
  }
  /// Below -256 a factor of 2^x is 0 in float whatever comes on top of it, and sums of 64 of them stay exact enough for
  /// their differences; so a gate of exactly 0 needs no infinity.
  __device__ __forceinline__ void compute(const Design& design, const raw_gates<Design, Precision>& raw, float& log2_f,
                                          float& admitted) const {
    using forget_type = typename Design::forget_type;
    using input_type = typename Design::input_type;
    float delta = 0, x = 0, i = 0;
    if constexpr (raw_gates<Design, Precision>::has_step) delta = softplus<true>(widened(raw.step) + bias);
    if constexpr (raw_gates<Design, Precision>::has_forget) x = widened(raw.forget);
    else if constexpr (reads_step<forget_type>) x = delta;
    if constexpr (raw_gates<Design, Precision>::has_input) i = widened(raw.input);
    else if constexpr (reads_step<input_type>) i = delta;
    log2_f = log_of_gate(design.forget_gate, x, rate);
    if constexpr (!sextant::detail::proportional_of<forget_type>()) log2_f *= log2_e;
    log2_f = log2_f < -256.0f ? -256.0f : log2_f;
    admitted = value_of_gate(design.input_gate, i, 0.0f);
  }
};

/// The factors of one chunk and head, from the logarithms and input gates of positions 2 lane and 2 lane + 1.
template <class Plan>
__device__ __forceinline__ void write_gates(chunk_gates& to, int lane, float log_first, float log_second, float in_first,
                                            float in_second, bool first_exists, bool second_exists, float scale) {
  float sum = log_first + log_second;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const float before = __shfl_up_sync(~0u, sum, distance);
    if (lane >= distance) sum += before;
  }
  const float before_both = __shfl_up_sync(~0u, sum, 1);
  const float second = sum, first = lane > 0 ? before_both + log_first : log_first;
  const float last = __shfl_sync(~0u, sum, 31);
  const float shown = Plan::normalised ? 1.0f : scale;

  store_rows<Plan>(to.cumulated, lane, first, second);
  store_rows<Plan>(to.from_start, lane, ptx::exp2_approx(first) * shown, ptx::exp2_approx(second) * shown);
  const float admitted_first = in_first * shown, admitted_second = in_second * shown;
  store_rows<Plan>(to.admitted, lane, admitted_first, admitted_second);
#pragma unroll
  for (int block = 1; block < 4; ++block) {
    // Positions from 16 block on are not read here; their exponents would be positive.
    const float reference = __shfl_sync(~0u, sum, 8 * block - 1);
    const float weight_first = ptx::exp2_approx(reference - first), weight_second = ptx::exp2_approx(reference - second);
    if constexpr (Plan::normalised) store_rows<Plan>(to.since[block - 1], lane, weight_first, weight_second);
    else store_rows<Plan>(to.since[block - 1], lane, weight_first * admitted_first, weight_second * admitted_second);
  }
  const float left_first = ptx::exp2_approx(last - first), left_second = ptx::exp2_approx(last - second);
  const float enters_first = left_first * in_first, enters_second = left_second * in_second;
  if constexpr (Plan::reversed) to.entering[31 - lane] = entering_pair<typename Plan::token>(enters_second, enters_first);
  else to.entering[lane] = entering_pair<typename Plan::token>(enters_first, enters_second);
  if constexpr (Plan::normalised) {
    const float weight_first = !first_exists ? 0.0f : Plan::decays ? left_first : 1.0f;
    const float weight_second = !second_exists ? 0.0f : Plan::decays ? left_second : 1.0f;
    if constexpr (Plan::reversed) to.key_weight[31 - lane] = split_pair<typename Plan::token>(weight_second, weight_first);
    else to.key_weight[lane] = split_pair<typename Plan::token>(weight_first, weight_second);
  }
  if (lane == 0) to.whole = ptx::exp2_approx(last);
}

/// One of the warps that compute gates. Chunks restart the sums, so each is a job of its own, and so is each head: the warps
/// take turns. A job's raw numbers are on their way while the one before is computed.
template <class Plan>
__device__ void run_gates(const chunked_call<typename Plan::design_type, typename Plan::precision_type>& call,
                          const chunked_block<Plan>& block, chunked_memory<Plan>& memory, chunked_barriers<Plan>& barriers,
                          int turn, int lane) {
  using design = typename Plan::design_type;
  using precision = typename Plan::precision_type;
  constexpr int warps = Plan::gate_warps;
  head_gates<design, precision> head[Plan::gate_sets];
#pragma unroll
  for (int h = 0; h < Plan::gate_sets; ++h) head[h].load(call.design, call.x, block.head + h);

  const auto row = [&lane](int which) { return Plan::row_of(2 * lane + which); };
  raw_gates<design, precision> raw[2];
  bool exists[2];
  const auto fetch = [&](int job) {
    const int first = block.first_token(call, job / Plan::gate_sets), h = block.head + job % Plan::gate_sets;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int t = first + row(i);
      exists[i] = t < call.tokens;
      if (exists[i]) raw[i].load(call.x, block.batch, t, h);
    }
  };
  const int jobs = block.chunks * Plan::gate_sets;
  if (turn < jobs) fetch(turn);
  for (int job = turn; job < jobs; job += warps) {
    asm volatile("" : "+r"(lane));  // addresses made of it are not worth registers from job to job
    const int c = job / Plan::gate_sets, h = job % Plan::gate_sets, stage = c % Plan::stages;
    float log_f[2], admitted[2];
    bool is_there[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const head_gates<design, precision> its{h == 0 ? head[0].bias : head[Plan::gate_sets - 1].bias,
                                              h == 0 ? head[0].rate : head[Plan::gate_sets - 1].rate};
      its.compute(call.design, raw[i], log_f[i], admitted[i]);
      is_there[i] = exists[i];
      if (!exists[i]) log_f[i] = 0.0f, admitted[i] = 0.0f;
    }
    if (job + warps < jobs) fetch(job + warps);
    if (c >= Plan::stages) barriers.released[stage].wait(c / Plan::stages - 1);
    write_gates<Plan>(memory.gates[stage][h], lane, log_f[0], log_f[1], admitted[0], admitted[1], is_there[0], is_there[1],
                      call.scale);
    __syncwarp();
    barriers.gated[stage].arrive();
  }
}

}  // namespace sextant::gpu::wgmma
