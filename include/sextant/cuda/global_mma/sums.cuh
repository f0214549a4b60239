// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync, the first pass: S and z of a unit, summed over warps, blocks and the initial state.
#pragma once

#include <sextant/cuda/global_mma/products.cuh>
#include <sextant/cuda/global_mma/rotations.cuh>
#include <sextant/cuda/ptx/cluster.cuh>

namespace sextant::gpu::pooling {

/// phi of a stored number. elu + 1 of 16-bit tokens takes four instructions, where the compiler chooses between two results.
template <class Traits, class Map> __device__ __forceinline__ float mapped(const Map& map, float x) {
  if constexpr (std::is_same_v<Map, sextant::map::elu_plus_one> && !Traits::exact) {
    float y = ptx::exp2_approx(x * log2_e);
    asm("{ .reg .pred above; setp.gt.f32 above, %1, 0f00000000; @above add.f32 %0, %1, 0f3F800000; }"
        : "+f"(y)
        : "f"(x));
    return y;
  } else return float(map(typename Traits::part_scalar(x)));
}

/// The input gates of a lane's tokens and channels.
template <class Traits> struct unit_gates {
  const typename Traits::design_type& design;
  const device_call<float>& c;
  const warp_place& at;
  float bias[4] = {};  ///< of the channels of a lane's values, or of the head

  __device__ __forceinline__ unit_gates(const typename Traits::design_type& its_design, const device_call<float>& call,
                                        const warp_place& place)
      : design{its_design}, c{call}, at{place} {
    if constexpr (Traits::gated && reads_step<typename Traits::input_type>) {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const int channel = Traits::gate_rows ? tile_products<Traits>::channel_of(at, n) : 0;
        if (c.bias && channel < at.channels)
          bias[n] = c.bias.of_channel(0, 0, at.h, Traits::gate_rows ? at.first_channel + channel : 0);
      }
    }
  }
  /// The gate of a raw number, of the lane's channel n.
  __device__ __forceinline__ float value(float raw, int n) const {
    using scalar = typename Traits::part_scalar;
    if constexpr (reads_step<typename Traits::input_type>) raw = softplus<Traits::exact>(raw + bias[n]);
    return float(gate_value(design.input_gate, scalar(raw), scalar(0.0f)));
  }
  /// The gate of token t, where it is one for all channels.
  __device__ __forceinline__ float of_token(int t) const {
    float raw = 0;
    if constexpr (raw_granularity<typename Traits::input_type> == per::head)
      raw = (reads_step<typename Traits::input_type> ? c.dt : c.input_raw).of_channel(at.batch, at.first + t, at.h, 0);
    return value(raw, 0);
  }
};

/// What a lane sums: S, and z of keys 4 g .. 4 g + 3 over its tokens.
struct lane_sums {
  pooled S = {};
  float z[4] = {};

  /// Number i of lane_numbers.
  __device__ __forceinline__ float& number(int i) { return i < 32 ? S[i / 16][i / 4 % 4][i % 4] : z[i - 32]; }
};

/// Sums over a warp's tiles.
template <class Traits>
__device__ __forceinline__ void pool_tiles(const typename Traits::design_type& design, const device_call<float>& c,
                                           const tile_plan& p, const warp_place& at, const warp_feed<Traits>& feed,
                                           const float* rotations, lane_sums& sums) {
  using products = tile_products<Traits>;
  using map_type = typename Traits::design_type::map_type;
  const lane_rotations turn(rotations, c, p, at, 2 * at.g);
  const unit_gates<Traits> gates(design, c, at);
  const bool key_there = 4 * at.g < c.width;
  constexpr int tokens = products::at_once / 4;  // of a lane
#pragma unroll 1
  for (int step = 0; step < at.rounds; ++step) {
    ptx::await_copies<Traits::stages - 2>();
    __syncwarp();
    feed.template send<true>(step + Traits::stages - 1);
    ptx::commit_copies();
    if (!at.has_tile<Traits>(p, step)) continue;
    const unsigned char *const tile = feed.tile(step), *const value_tile = feed.values(step);
    const bool whole = at.token_of<Traits>(p, step) + Traits::tokens <= at.length && c.width == unit_keys;
    // One after the other, for the sake of registers.
#pragma unroll 1
    for (int first = 0; first < Traits::tokens; first += products::at_once) {
      const int t = at.token_of<Traits>(p, step) + first + at.r;  // and t + 4, ...
      typename products::keys x;
      products::load_keys(x, tile, at, first);
#pragma unroll
      for (int j = 0; j < tokens; ++j)
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          if constexpr (requires(const map_type m) { m.template key_scale<float>(index_t(1)); }) x[j][k] *= c.key_scale;
          x[j][k] = mapped<Traits>(design.feature_map, x[j][k]);
        }
      if (!whole)
#pragma unroll
        for (int j = 0; j < tokens; ++j)
#pragma unroll
          for (int k = 0; k < 4; ++k)
            if (!key_there || t + 4 * j >= at.length) x[j][k] = 0.0f;
      if constexpr (Traits::normalises)
#pragma unroll
        for (int k = 0; k < 4; ++k)
#pragma unroll
          for (int j = 0; j < tokens; j += 2) sums.z[k] += x[j][k] + x[j + 1][k];
      if constexpr (Traits::turns)
#pragma unroll
        for (int j = 0; j < tokens; ++j) turn_pairs(x[j], 0, *turn.of(t + 4 * j));
      if constexpr (Traits::gated && !Traits::gate_rows) {
#pragma unroll
        for (int j = 0; j < tokens; ++j)
          if (t + 4 * j < at.length) {
            const float gate = gates.of_token(t + 4 * j);
#pragma unroll
            for (int k = 0; k < 4; ++k) x[j][k] *= gate;
          }
      }
      typename products::values V;
      products::load_values(V, value_tile, at, first);
      if constexpr (Traits::gate_rows) {
        typename products::values raw;
        products::load_values(raw, feed.gates(step), at, first);
        products::admit(V, raw, [&](float number, int n, int token) {
          const float gate = gates.value(number, n);
          return whole || t + 4 * token < at.length ? gate : 0.0f;
        });
      }
      products::pool(sums.S, x, V);
    }
  }
  // A warp without a tile has not waited for the weights that it copied.
  if (Traits::weights > 0 && at.rounds == 0) ptx::await_copies<0>();
}

/// Where a warp's sums are passed on, S in two halves and z: to tiles of values or, where a convolution needs those, to the tiles
/// of keys, the warp's own and that of the one they go to, that are no longer in use while the others wait for queries.
template <class Traits> struct passed_sums {
  float4* S[2];
  float4* z;

  __device__ __forceinline__ passed_sums(const tile_plan& p, const warp_place& at, unsigned char* shared, int from,
                                         int to) {
    if constexpr (Traits::local) {
      const auto used = [&](int warp) {
        const int tile = warp * Traits::stages + (at.rounds + 1) % Traits::stages;
        return reinterpret_cast<float4*>(shared + p.queries + tile * Traits::tile_bytes) + at.lane;
      };
      S[0] = used(from), S[1] = used(to), z = reinterpret_cast<float4*>(shared + p.factors) + to * 32 + at.lane;
    } else {
      S[0] = reinterpret_cast<float4*>(shared + p.values) + to * lane_numbers * 8 + at.lane;
      S[1] = S[0] + 4 * 32, z = S[1] + 4 * 32;
    }
  }
};

/// Adds up what the warps have summed, the upper half of them to the lower half, again and again: S[32][row_stride] and z[32]. All
/// threads of the block.
template <class Traits>
__device__ __forceinline__ void add_warps(const tile_plan& p, const warp_place& at, lane_sums& sums,
                                          unsigned char* shared, float* to) {
  __syncthreads();  // the tiles that lie there have been used
  for (int half = p.warps() / 2; half > 0; half /= 2) {
    if (at.warp >= half && at.warp < 2 * half) {
      const passed_sums<Traits> passed(p, at, shared, at.warp, at.warp - half);
      const auto four = [&](int i) {
        return float4{sums.number(i), sums.number(i + 1), sums.number(i + 2), sums.number(i + 3)};
      };
#pragma unroll
      for (int i = 0; i < 32; i += 4) passed.S[i / 16][i % 16 * 8] = four(i);
      *passed.z = four(32);
    }
    __syncthreads();
    if (at.warp < half) {
      const passed_sums<Traits> passed(p, at, shared, at.warp + half, at.warp);
#pragma unroll
      for (int i = 0; i < lane_numbers; i += 4) {
        const float4 other = i < 32 ? passed.S[i / 16 % 2][i % 16 * 8] : *passed.z;
        sums.number(i) += other.x, sums.number(i + 1) += other.y, sums.number(i + 2) += other.z,
            sums.number(i + 3) += other.w;
      }
    }
    if (half > 1) __syncthreads();
  }
  if (at.warp == 0) {
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      const int m = i / 16, n = i / 4 % 4, e = i % 4;
      to[(4 * at.g + 2 * m + e / 2) * row_stride + tile_products<Traits>::channel_of_sum(at, n, e)] = sums.S[m][n][e];
    }
    if constexpr (Traits::normalises) {
#pragma unroll
      for (float& its : sums.z) its += __shfl_xor_sync(~0u, its, 1), its += __shfl_xor_sync(~0u, its, 2);
      if (at.r == 0) {
#pragma unroll
        for (int k = 0; k < 4; ++k) to[unit_keys * row_stride + 4 * at.g + k] = sums.z[k];
      }
    }
  }
  __syncthreads();
}

/// visit(tensor, place in it, which of unit_numbers) for each number of a unit's state that `S` and `z` have; by all threads.
template <class Traits, class Visit>
__device__ __forceinline__ void each_of_state(const device_call<float>& c, const tile_plan& p, const warp_place& at,
                                              const tensor<float>& S, const tensor<float>& z, bool all_z,
                                              const Visit& visit) {
  const int thread = at.warp * 32 + at.lane, threads = p.warps() * 32, keys = int(c.width);
  if (S)
    for (int i = thread; i < keys * unit_channels; i += threads) {
      const int key = i / unit_channels, channel = i % unit_channels;
      if (channel < at.channels)
        visit(S, S.at(at.n, 0, at.h) + key * S.key + (at.first_channel + channel) * S.value,
              key * row_stride + channel);
    }
  if (Traits::normalises && z && (all_z || at.first_channel == 0))
    for (int i = thread; i < keys; i += threads) visit(z, z.at(at.n, 0, at.h) + i * z.key, unit_keys * row_stride + i);
}

/// The initial state and the sums of the cluster's blocks, in the order of the blocks, in `totals`; and as the final state. All
/// threads; `sums` are the block's own.
template <class Traits>
__device__ __forceinline__ void total_cluster(const device_call<float>& c, const tile_plan& p, const warp_place& at,
                                              float* sums, float* totals) {
  // One block brings the initial state in, before any of them may write the final one to its place.
  if (at.rank == 0 && (c.S_in || c.z_in)) {
    each_of_state<Traits>(c, p, at, c.S_in, c.z_in, true,
                          [&](const tensor<float>& x, const std::byte* from, int i) { sums[i] += x.read(from); });
    __syncthreads();
  }
  if (p.block_bits > 0) {
    ptx::arrive_at_cluster();
    ptx::await_cluster();
    for (int i = 4 * (at.warp * 32 + at.lane); i < unit_numbers; i += 4 * 32 * p.warps()) {
      float4 sum = ptx::load_of_block(sums + i, 0);
      for (int b = 1; b < p.blocks(); ++b) {
        const float4 other = ptx::load_of_block(sums + i, unsigned(b));
        sum.x += other.x, sum.y += other.y, sum.z += other.z, sum.w += other.w;
      }
      *reinterpret_cast<float4*>(totals + i) = sum;
    }
    ptx::arrive_at_cluster();  // has read the others' sums
    __syncthreads();
  }
  if (at.rank == 0 && (c.S_out || c.z_out))
    each_of_state<Traits>(c, p, at, c.S_out, c.z_out, false,
                          [&](const tensor<float>& x, std::byte* to, int i) { x.write(to, totals[i]); });
}

}  // namespace sextant::gpu::pooling
