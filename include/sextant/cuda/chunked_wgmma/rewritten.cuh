// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form on Hopper: queries and keys that are mapped and turned once, ahead of the chunks.
#pragma once

#include <sextant/cuda/chunked_wgmma/rows.cuh>
#include <sextant/cuda/launch.cuh>
#include <sextant/cuda/tile/rotation.cuh>

namespace sextant::gpu::wgmma {

/// Whether a design's queries and keys are mapped and turned ahead of the chunks, in a launch of its own, into the workspace:
/// where positions turn them, and where many heads share what a map changes. A normaliser wants what has not been turned too.
template <class Design>
inline constexpr bool rewrites_ahead = [] {
  constexpr bool maps = !std::is_same_v<typename Design::map_type, map::identity>;
  constexpr bool turns = sextant::detail::turns_1d<Design> || sextant::detail::turns_2d<Design>;
  constexpr bool normalises = sextant::detail::normalises<typename Design::norm_type>;
  return turns ? !normalises : maps && std::is_same_v<typename Design::heads_type, heads::grouped>;
}();

/// Whether they are turned in their place by blocks that keep for the normaliser what they were before: with a normaliser that
/// does not decay.
template <class Design>
inline constexpr bool turns_in_place =
    sextant::detail::turns_1d<Design>&& sextant::detail::normalises<typename Design::norm_type> &&
    !sextant::detail::stabilises<Design> &&
    (std::is_same_v<typename Design::norm_type, norm::sum_undecayed> ||
     std::is_same_v<typename Design::forget_type, forget::one>);

/// What is left of such a design; `own` is q_i . k_i before positions.
template <class Design> constexpr auto rewritten(const Design& design, const float* own) {
  if constexpr (sextant::detail::turns_1d<Design> || sextant::detail::turns_2d<Design>)
    return design.with(turned_ahead{own}, map::identity{});
  else return (void)own, design.with(map::identity{});
}
/// And its tensors, with other queries and keys.
template <class Design, class Precision>
auto rewritten(const sequence_of<Design, Precision>& x, const bthk<const typename Precision::token>& q,
               const bthk<const typename Precision::token>& k) {
  using other = std::remove_cvref_t<decltype(rewritten(std::declval<Design>(), nullptr))>;
  sequence_of<other, Precision> y;
  y.q = q, y.k = k, y.v = x.v, y.y = x.y, y.offsets = x.offsets;
  y.initial_state.S = x.initial_state.S, y.final_state.S = x.final_state.S;
  if constexpr (requires { x.final_state.z; }) y.initial_state.z = x.initial_state.z, y.final_state.z = x.final_state.z;
  if constexpr (requires { x.final_state.m; }) y.initial_state.m = x.initial_state.m, y.final_state.m = x.final_state.m;
  if constexpr (requires { x.dt; }) y.dt = x.dt, y.bias = x.bias;
  if constexpr (requires { x.forget; }) y.forget = x.forget;
  if constexpr (requires { x.input; }) y.input = x.input;
  if constexpr (requires { x.a; }) y.a = x.a;
  if constexpr (requires { x.d; }) y.d = x.d;
  if constexpr (requires { x.gate; }) y.gate = x.gate;
  return y;
}

/// Queries and keys through the map and positions: a block for 64 tokens of a head. Eight neighbouring numbers a thread.
template <class Design, class Precision>
__global__ void __launch_bounds__(256)
    rewrite_kernel(const __grid_constant__ Design design, const __grid_constant__ sequence_of<Design, Precision> x,
                   typename Precision::token* queries, typename Precision::token* keys, float* own) {
  using token = typename Precision::token;
  constexpr bool along = sextant::detail::turns_1d<Design>, across = sextant::detail::turns_2d<Design>;
  const int K = int(x.k.extent(3)), heads = int(x.k.extent(2)), tokens = int(x.k.extent(1)),
            chunks = (tokens + 63) / 64;
  const int head = int(blockIdx.x) % heads, first = int(blockIdx.x) / heads % chunks * 64,
            batch = int(blockIdx.x) / heads / chunks;
  __shared__ std::uint64_t turns[64];
  const int pairs = K / 2, quarter = heads * pairs / 2;
  if constexpr (along || across) {
    if (const int i = int(threadIdx.x); i < pairs)
      turns[i] = along ? turns_per_unit(design.position.base, i, pairs)
                       : turns_per_unit(design.position.base, (head * pairs + i) % quarter, quarter);
    __syncthreads();
  }
  const int pieces = K / 8, piece = int(threadIdx.x) % pieces;
  const float factors[] = {1.0f, key_scale<float>(design.feature_map, index_t(K))};
  for (int row = int(threadIdx.x) / pieces; row < 64 && first + row < tokens; row += 256 / pieces) {
    const int t = first + row;
    const uint4 raw[] = {*reinterpret_cast<const uint4*>(&x.q(batch, t, head, 8 * piece)),
                         *reinterpret_cast<const uint4*>(&x.k(batch, t, head, 8 * piece))};
    float2 by[4];
    if constexpr (along || across) {
      std::uint64_t coordinate = std::uint64_t(t);
      if constexpr (along) coordinate += std::uint64_t(x.first_position);
      if constexpr (across) {
        const unsigned width = unsigned(x.grid.width);
        coordinate = head * pairs + 4 * piece < quarter ? unsigned(t) / width : unsigned(t) % width;
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) by[i] = cosine_and_sine<false>(turns[4 * piece + i] * coordinate);
    }
    float numbers[2][8];
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      widen(packet<token>{raw[which]}, numbers[which]);
      if constexpr (!std::is_same_v<typename Design::map_type, map::identity>) {
#pragma unroll
        for (float& its : numbers[which]) its = float(design.feature_map(approximate(its * factors[which])));
      }
    }
    if constexpr (along || across) {
      float sum = 0.0f;
#pragma unroll
      for (int i = 0; i < 8; ++i) sum = fmaf(numbers[0][i], numbers[1][i], sum);
      // All threads of a row are here, or none.
      const unsigned its_row = (pieces == 16 ? 0xffffu : 0xffu) << (int(threadIdx.x) % 32 / pieces * pieces);
      for (int distance = 1; distance < pieces; distance *= 2) sum += __shfl_xor_sync(its_row, sum, distance);
      if (piece == 0) own[(std::int64_t(batch) * tokens + t) * heads + head] = sum;
    }
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      if constexpr (along || across) turn_pairs(numbers[which], by);
      token* const to =
          (which == 0 ? queries : keys) + ((std::int64_t(batch) * tokens + t) * heads + head) * K + 8 * piece;
      *reinterpret_cast<uint4*>(to) = narrowed<token>(numbers[which]).words;
    }
  }
}

/// What it makes, at the beginning of the workspace: queries, keys, and q_i . k_i before positions.
template <class Design, class Precision> struct rewritten_keys {
  using token = typename Precision::token;

  index_t B, T, H, K;

  explicit rewritten_keys(const sequence_of<Design, Precision>& x)
      : B{x.k.extent(0)}, T{x.k.extent(1)}, H{x.k.extent(2)}, K{x.k.extent(3)} {}
  static std::size_t rounded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }
  std::size_t bytes_of_each() const { return rounded(std::size_t(B * T * H * K) * sizeof(token)); }
  std::size_t bytes() const {
    constexpr bool turns = sextant::detail::turns_1d<Design> || sextant::detail::turns_2d<Design>;
    return 2 * bytes_of_each() + (turns ? rounded(std::size_t(B * T * H) * sizeof(float)) : 0);
  }
  token* queries(const stream& on) const { return reinterpret_cast<token*>(on.memory.data); }
  token* keys(const stream& on) const { return reinterpret_cast<token*>(memory(on) + bytes_of_each()); }
  float* own(const stream& on) const { return reinterpret_cast<float*>(memory(on) + 2 * bytes_of_each()); }
  /// The workspace behind it.
  stream behind(stream on) const {
    on.memory.data = memory(on) + bytes(), on.memory.bytes -= bytes();
    return on;
  }
  status make(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) const {
    return launch(&rewrite_kernel<Design, Precision>, dim3(unsigned(B * H * ((T + 63) / 64))), dim3(256), 0, on.handle,
                  design, x, queries(on), keys(on), own(on));
  }

 private:
  static std::byte* memory(const stream& on) { return reinterpret_cast<std::byte*>(on.memory.data); }
};

}  // namespace sextant::gpu::wgmma
