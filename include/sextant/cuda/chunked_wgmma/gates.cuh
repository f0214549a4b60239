// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the gates: two warps turn raw gate tensors into the factors of a chunk.
#pragma once

#include <limits>  // infinity

#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/chunked_wgmma/stabiliser.cuh>
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

/// Whether a head's gates are all at most 1 or all at least 1 whatever the tokens say, as those are that its rate alone decides
/// about: only then has what is forgotten from some token on been forgotten from all earlier ones on too.
template <class Forget>
inline constexpr bool is_one_sided =
    sextant::detail::is_any<Forget, forget::constant, forget::exponential, forget::softplus,
                            forget::log_sigmoid<per::head>, forget::log_sigmoid<per::key>>;

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
/// The same for numbers by place.
template <class Plan>
__device__ __forceinline__ void store_places(float* numbers, int lane, float first, float second) {
  const int at = 2 * place_of_pair(Plan::reversed ? 31 - lane : lane);
  *reinterpret_cast<float2*>(numbers + at) = Plan::reversed ? make_float2(second, first) : make_float2(first, second);
}

/// The raw numbers of one token, as they are stored.
template <class Design, class Precision> struct raw_gates {
  using token = typename Precision::token;
  static constexpr bool has_step = reads_step<typename Design::input_type> || reads_step<typename Design::forget_type>;
  static constexpr bool has_forget = reads_own<typename Design::forget_type>;
  static constexpr bool has_input = reads_own<typename Design::input_type>;
  static constexpr int tensors = int(has_step) + int(has_forget) + int(has_input);

  // Their bits, each in a register of its own: two in one would wait for both before they are used.
  std::uint32_t step, forget, input;

  __device__ __forceinline__ void load(const sequence_of<Design, Precision>& x, int b, int t, int h) {
    if constexpr (has_step) step = x.dt(b, t, h).bits;
    if constexpr (has_forget) forget = x.forget(b, t, h).bits;
    if constexpr (has_input) input = x.input(b, t, h).bits;
  }
};

/// A stored number as a float; one instruction.
template <class Token> __device__ __forceinline__ float widened(std::uint32_t bits) {
  float low, high;
  detail::widen_pair<Token>(bits, low, high);
  return low;
}

/// Below -256 a factor of 2^x is 0 in float whatever comes on top of it, and sums of 64 of them stay exact enough for
/// their differences; so a gate of exactly 0 needs no infinity.
__device__ __forceinline__ float not_vanishing(float log2_f) { return log2_f < -256.0f ? -256.0f : log2_f; }

/// The gates' logarithm and value for one token: log2 F, at least -256, and I. With a stabiliser log F and log I.
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
      if constexpr (sextant::detail::proportional_of<forget_type>() && !sextant::detail::stabilises<Design>)
        rate *= log2_e;
    }
  }
  __device__ __forceinline__ void compute(const Design& design, const raw_gates<Design, Precision>& raw, float& log2_f,
                                          float& admitted) const {
    using forget_type = typename Design::forget_type;
    using input_type = typename Design::input_type;
    using token = typename Precision::token;
    float delta = 0, x = 0, i = 0;
    if constexpr (raw_gates<Design, Precision>::has_step) delta = softplus<true>(widened<token>(raw.step) + bias);
    if constexpr (raw_gates<Design, Precision>::has_forget) x = widened<token>(raw.forget);
    else if constexpr (reads_step<forget_type>) x = delta;
    if constexpr (raw_gates<Design, Precision>::has_input) i = widened<token>(raw.input);
    else if constexpr (reads_step<input_type>) i = delta;
    log2_f = log_of_gate(design.forget_gate, x, rate);
    if constexpr (sextant::detail::stabilises<Design>) {
      admitted = log_of_gate(design.input_gate, i, 0.0f);
      return;
    }
    if constexpr (!sextant::detail::proportional_of<forget_type>()) log2_f *= log2_e;
    log2_f = not_vanishing(log2_f);
    admitted = value_of_gate(design.input_gate, i, 0.0f);
  }
};

/// How a state is held: as itself divided by 2^frame. While a chunk's decays are mild the frame takes them, and the numbers
/// held stay as they are; before factors leave float's middle the state takes them all at once. In a frame f,
///   y_i = 2^(cum_i + f) (q_i S + sum over j of (q_i . k_j) c_j v_j),   S += c_j k_j v_j,   c_j = 2^(-cum_j - f) I_j.
struct state_frame {
  static constexpr float smallest = -64.0f, largest = 32.0f;  ///< log2 of what rows of y are multiplied by

  float log2 = 0;

  /// Whether a chunk's decays, which multiply up to 2^last, fit into a frame; with a gate above 1 or NaN they do not.
  static __device__ __forceinline__ bool takes(bool only_decays, float last) {
    return only_decays && last >= smallest - largest;
  }

  /// What the state is to be multiplied by, a chunk's decays being mild or not, where they would lead out of the frame.
  __device__ __forceinline__ float restart(bool mild) {
    const float next = mild ? largest : 0.0f, change = ptx::exp2_approx(log2 - next);
    log2 = next;
    return change;
  }
};

/// The gates of positions 2 lane and 2 lane + 1 of a chunk, of one head, as head_gates computes them, and whether there is such
/// a token.
struct pair_of_gates {
  float log_first, log_second, in_first, in_second;
  bool first_exists, second_exists;
};

/// Makes their logarithms those of the gates that a stabiliser makes of them, and answers the bounds of its divisors.
__device__ __forceinline__ float2 stabilised(pair_of_gates& its, head_stabiliser& stabiliser, int lane) {
  float log_f[] = {its.log_first, its.log_second}, admitted[] = {its.in_first, its.in_second};
  const float2 bound = stabiliser.stabilise(log_f, admitted, lane);
  its.log_first = not_vanishing(log_f[0]), its.log_second = not_vanishing(log_f[1]);
  its.in_first = admitted[0], its.in_second = admitted[1];
  return bound;
}

/// The factors of one chunk and head, written once `stage_is_free` says so.
template <class Plan, class Wait>
__device__ __forceinline__ void write_gates(chunk_gates& to, state_frame& frame, int lane, const pair_of_gates& its,
                                            float scale, const Wait& stage_is_free) {
  const bool only_decays = Plan::framed && __all_sync(~0u, its.log_first <= 0.0f && its.log_second <= 0.0f);
  float sum = its.log_first + its.log_second;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const float before = __shfl_up_sync(~0u, sum, distance);
    if (lane >= distance) sum += before;
  }
  // Not the sum less log_second: a NaN there is not the first one's.
  const float before_both = __shfl_up_sync(~0u, sum, 1);
  const float second = sum, first = lane > 0 ? before_both + its.log_first : its.log_first;
  const float last = __shfl_sync(~0u, sum, 31);
  const float shown = Plan::normalised ? 1.0f : scale;

  float held = 1.0f, whole = ptx::exp2_approx(last), reference = last;
  bool mild = false;
  if constexpr (Plan::framed) {
    mild = state_frame::takes(only_decays, last);
    if (!mild || frame.log2 + last < state_frame::smallest) held = frame.restart(mild);
    if (mild) whole = 1.0f, reference = -frame.log2;
  }
  const float seen_first = ptx::exp2_approx(first + frame.log2) * shown;
  const float seen_second = ptx::exp2_approx(second + frame.log2) * shown;
  const float admitted_first = its.in_first * shown, admitted_second = its.in_second * shown;
  const float left_first = ptx::exp2_approx(reference - first), left_second = ptx::exp2_approx(reference - second);
  const float enters_first = left_first * its.in_first, enters_second = left_second * its.in_second;
  const uint2 entering = Plan::reversed ? entering_pair<typename Plan::token>(enters_second, enters_first)
                                        : entering_pair<typename Plan::token>(enters_first, enters_second);
  if (mild) frame.log2 += last;

  stage_is_free();
  to.entering[place_of_pair(Plan::reversed ? 31 - lane : lane)] = entering;
  if (lane < 4) to.all[lane] = {mild ? held : -held, whole, ptx::exp2_approx(frame.log2)};
  if constexpr (Plan::normalised) {
    const float weight_first = Plan::stabilises    ? enters_first
                               : !its.first_exists ? 0.0f
                               : Plan::decays      ? left_first
                                                   : 1.0f;
    const float weight_second = Plan::stabilises     ? enters_second
                                : !its.second_exists ? 0.0f
                                : Plan::decays       ? left_second
                                                     : 1.0f;
    if constexpr (Plan::reversed)
      to.key_weight[31 - lane] = split_pair<typename Plan::token>(weight_second, weight_first);
    else to.key_weight[lane] = split_pair<typename Plan::token>(weight_first, weight_second);
  }
  if constexpr (!Plan::answers) return;
  store_places<Plan>(to.from_start, lane, seen_first, seen_second);
  store_rows<Plan>(to.admitted, lane, admitted_first, admitted_second);
  if (mild) {
    if constexpr (Plan::normalised && Plan::admits) store_places<Plan>(to.decays(), lane, left_first, left_second);
    return store_places<Plan>(to.column(), lane, enters_first, enters_second);
  }
  store_rows<Plan>(to.cumulated, lane, first, second);
#pragma unroll
  for (int block = 1; block < 4; ++block) {
    // Positions from 16 block on are not read here; their exponents would be positive.
    const float before = __shfl_sync(~0u, sum, 8 * block - 1);
    const float weight_first = ptx::exp2_approx(before - first), weight_second = ptx::exp2_approx(before - second);
    if constexpr (Plan::normalised && !Plan::stabilises)
      store_rows<Plan>(to.since[block - 1], lane, weight_first, weight_second);
    else store_rows<Plan>(to.since[block - 1], lane, weight_first * admitted_first, weight_second * admitted_second);
  }
}

/// One of the warps that compute gates. Chunks restart the sums, so each is a job of its own, and so is each head; with as
/// many warps as heads each has one, so that it knows the frame. While a job's factors are computed, the raw numbers of
/// the next ones are on their way: memory under load may take longer to answer than a chunk takes.
template <class Plan>
__device__ void run_gates(const chunked_call<typename Plan::design_type, typename Plan::precision_type>& call,
                          const chunked_block<Plan>& block, chunked_memory<Plan>& memory, chunked_barriers<Plan>& barriers,
                          int turn, int lane) {
  using design = typename Plan::design_type;
  using precision = typename Plan::precision_type;
  using numbers = raw_gates<design, precision>;
  constexpr int sets = Plan::gate_sets > Plan::gate_warps ? Plan::gate_sets / Plan::gate_warps : 1;  // of this warp
  constexpr int step = Plan::gate_warps > Plan::gate_sets ? Plan::gate_warps / Plan::gate_sets : 1;  // from chunk to chunk
  constexpr int ahead = (Plan::normalised && !Plan::framed) || numbers::tensors > 1 ? 1 : 2;
  const int first_set = turn % Plan::gate_sets;
  struct job {
    int c, i;  // chunk, and head among the warp's
    __device__ __forceinline__ job after(int jobs) const {
      if constexpr (sets == 1) return {c + step * jobs, i};
      else return {c + (i + jobs) / sets, (i + jobs) % sets};
    }
  };
  head_gates<design, precision> head[sets];
#pragma unroll
  for (int i = 0; i < sets; ++i) head[i].load(call.design, call.x, block.head_of(first_set + i));

  struct pair_of_numbers {
    numbers first, second;
  };
  const auto token_of = [&](job its, int which) { return block.first_token(call, its.c) + Plan::row_of(2 * lane + which); };
  const auto exists = [&](int t) { return unsigned(t) < unsigned(call.tokens); };  // behind the last chunk there are none
  const auto fetched = [&](job its) {
    const int first = token_of(its, 0), second = token_of(its, 1), h = block.head_of(first_set + its.i);
    pair_of_numbers raw;
    if (exists(first)) raw.first.load(call.x, block.batch, first, h);
    if (exists(second)) raw.second.load(call.x, block.batch, second, h);
    return raw;
  };
  const auto computed = [&](const pair_of_numbers& raw, job its) {
    const head_gates<design, precision> of_head{its.i == 0 ? head[0].bias : head[sets - 1].bias,
                                                its.i == 0 ? head[0].rate : head[sets - 1].rate};
    pair_of_gates gates;
    of_head.compute(call.design, raw.first, gates.log_first, gates.in_first);
    of_head.compute(call.design, raw.second, gates.log_second, gates.in_second);
    gates.first_exists = exists(token_of(its, 0)), gates.second_exists = exists(token_of(its, 1));
    constexpr float nothing_enters = Plan::stabilises ? -std::numeric_limits<float>::infinity() : 0.0f;
    if (!gates.first_exists) gates.log_first = 0.0f, gates.in_first = nothing_enters;
    if (!gates.second_exists) gates.log_second = 0.0f, gates.in_second = nothing_enters;
    return gates;
  };
  pair_of_numbers raw[ahead];
  job its{turn / Plan::gate_sets, 0};
#pragma unroll
  for (int i = 0; i < ahead; ++i) raw[i] = fetched(its.after(i));
  state_frame frames[sets];
  [[maybe_unused]] head_stabiliser stabiliser;
  if constexpr (Plan::stabilises) stabiliser.m = first_stabiliser<Plan>(call, block);
  while (true) {
#pragma unroll
    for (int i = 0; i < ahead; ++i) {  // each in registers of its own: a move would wait for what is on its way
      if (its.c >= block.chunks) {
        if constexpr (Plan::stabilises)
          if (lane == 0) store_stabiliser<Plan>(stabiliser, call, block);
        return;
      }
      pair_of_gates now = computed(raw[i], its);
      raw[i] = fetched(its.after(ahead));
      const int stage = its.c % Plan::stages;
      [[maybe_unused]] float2 bound;
      if constexpr (Plan::stabilises) bound = stabilised(now, stabiliser, lane);
      state_frame frame = its.i == 0 ? frames[0] : frames[sets - 1];
      write_gates<Plan>(memory.gates[stage][first_set + its.i], frame, lane, now, call.scale, [&] {
        if (its.c >= Plan::stages) barriers.released[stage].wait(its.c / Plan::stages - 1);
      });
      if constexpr (Plan::stabilises && Plan::answers)
        store_places<Plan>(memory.bound[stage][0], lane, bound.x, bound.y);
      if (its.i == 0) frames[0] = frame;
      else frames[sets - 1] = frame;
      __syncwarp();
      if (Plan::gate_tellers > 1 || lane == 0) barriers.gated[stage].arrive();
      its = its.after(1);
    }
  }
}

}  // namespace sextant::gpu::wgmma
