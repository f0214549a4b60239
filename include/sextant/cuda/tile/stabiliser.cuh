// SPDX-License-Identifier: Apache-2.0
/// @file  mLSTM's stabiliser, m_t = max(log F_t + m_{t-1}, log I_t), over 64 tokens by one warp.
#pragma once

namespace sextant::gpu {

/// The m of a segment that knows nothing of those before it: less than any sum of logarithms, and yet a number.
inline constexpr float no_stabiliser = -1e30f;

/// max, and NaN where one of them is.
template <class Real> __device__ __forceinline__ Real larger(Real x, Real y) { return x > y || x != x ? x : y; }

/// m of tokens 2 lane and 2 lane + 1, and before them; m behind all 64, and the sum of their log F.
template <class Real> struct pair_stabiliser {
  Real before, first, second, last, sum_of_all;

  /// With m before the first of the 64. All lanes of the warp.
  __device__ __forceinline__ pair_stabiliser(const Real (&log_f)[2], const Real (&log_i)[2], Real m, int lane) {
    // m_t as a function of the m before: max(sum + m, least), one behind the other.
    Real sum = log_f[0] + log_f[1], least = larger(log_i[0] + log_f[1], log_i[1]);
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const Real sum_before = __shfl_up_sync(~0u, sum, distance), least_before = __shfl_up_sync(~0u, least, distance);
      if (lane >= distance) least = larger(least_before + sum, least), sum += sum_before;
    }
    second = larger(sum + m, least);
    const Real of_others = __shfl_up_sync(~0u, second, 1);
    before = lane > 0 ? of_others : m;
    last = __shfl_sync(~0u, second, 31), sum_of_all = __shfl_sync(~0u, sum, 31);
    first = larger(log_f[0] + before, log_i[0]);
  }
};

}  // namespace sextant::gpu
