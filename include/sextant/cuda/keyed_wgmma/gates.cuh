// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, gates: the logarithm of what a raw number says, in units that suit its sums.
#pragma once

#include <sextant/cuda/chunked_wgmma/gates.cuh>  // log_of_gate
#include <sextant/cuda/keyed_wgmma/plan.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::wgmma {

/// The logarithms of a lane's neighbouring keys: log2 F = unit * part(raw). A logarithm is -256 at least: below, a factor of
/// 2^x is 0 in float whatever comes on top of it, and sums of 16 of them stay exact enough for their differences.
template <class Gate, class Call, int Count> struct key_gates {
  static constexpr bool only_decays = false;     ///< no gate is above 1, known to the compiler
  static constexpr bool has_short_form = false;  ///< for raw numbers that are not extreme()

  const Gate& gate;
  float rate[std::size_t(Count)];

  __device__ key_gates(const Call& call, int h, int key) : gate{call.design.forget_gate} {
    constexpr per varies = rate_granularity<Gate>;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      rate[i] = 0.0f;
      bool given = varies != per::nothing;
      if constexpr (requires { Gate::template default_rate<float>(h); })
        if (!call.x.a) rate[i] = Gate::template default_rate<float>(h), given = false;
      if constexpr (varies == per::head)
        if (given) rate[i] = call.x.a(h);
      if constexpr (varies == per::key)
        if (given && key + i < call.keys) rate[i] = call.x.a(h, key + i);
    }
    (void)h, (void)key;
  }
  __device__ __forceinline__ float unit() const { return log2_e; }
  __device__ __forceinline__ float part(float raw, int i) const {
    float its = log_of_gate(gate, raw, rate[i]);
    asm("max.NaN.f32 %0, %0, 0fC3317218;" : "+f"(its));  // -256 log 2
    return its;
  }
  __device__ __forceinline__ bool extreme(std::uint32_t) const { return false; }
  __device__ __forceinline__ float short_part(float raw, int i) const { return part(raw, i); }
};

/// Of sigmoids, with an absolute error of 1e-7 / temperature, which a number of 16 bits hides:
///   log2 F = -log2(1 + 2^(-raw log2 e)) / temperature
template <per Varies, class Call, int Count> struct key_gates<forget::log_sigmoid<Varies>, Call, Count> {
  static constexpr bool only_decays = true, has_short_form = true;
  float sharpness;
  std::uint32_t
      smallest;  // of the raw numbers, twice, whose exponentials are no infinity and whose logarithms are above -256

  __device__ key_gates(const Call& call, int, int)
      : sharpness{ptx::reciprocal_approx(call.design.forget_gate.temperature)},
        smallest{sharpness < 2.0f ? 0xc2aec2aeu : 0u} {}  // -87
  __device__ __forceinline__ float unit() const { return -sharpness; }
  __device__ __forceinline__ float part(float raw, int) const {
    const float excess = ptx::log2_approx(1.0f + ptx::exp2_approx(fabsf(raw) * -log2_e));  // a NaN stays one
    float its = fmaf(fminf(raw, 0.0f), -log2_e, excess);
    asm("min.NaN.f32 %0, %0, %1;" : "+f"(its) : "f"(256.0f * ptx::reciprocal_approx(sharpness)));
    return its;
  }
  /// Whether one of two raw numbers is below the smallest.
  __device__ __forceinline__ bool extreme(std::uint32_t lowest) const {
    float x, y, bound, same;
    detail::widen_pair<bfloat16>(lowest, x, y);
    detail::widen_pair<bfloat16>(smallest, bound, same);
    return x < bound || y < bound;
  }
  __device__ __forceinline__ float short_part(float raw, int) const {
    return ptx::log2_approx(1.0f + ptx::exp2_approx(raw * -log2_e));
  }
};

}  // namespace sextant::gpu::wgmma
