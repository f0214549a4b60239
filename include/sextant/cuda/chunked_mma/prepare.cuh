// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: queries and keys through map and positions, values through gates.
#pragma once

#include <sextant/cuda/chunked_mma/gates.cuh>
#include <sextant/cuda/tile/rotation.cuh>

namespace sextant::gpu::mma {

/// visit(row, key) for four neighbouring keys of a row at a time, each thread always the same keys.
template <class Visit> __device__ __forceinline__ void each_four(int keys, int rows, const Visit& visit) {
  const int shift = 32 - __clz((keys + 3) / 4 - 1);  // of the threads of a row
  const int key = (int(threadIdx.x) & ((1 << shift) - 1)) * 4, rows_at_once = int(blockDim.x) >> shift;
  if (key >= keys) return;
#pragma unroll 1
  for (int row = int(threadIdx.x) >> shift; row < rows; row += rows_at_once) visit(row, key);
}

/// visit(map) with what a number of a query or key becomes.
template <class Token, class Map, class Visit>
__device__ __forceinline__ void with_map(const Map& map, const Visit& visit) {
  using scalar = part_scalar<Token>;
  map.parts.template visit<int>(map.which, [&](const auto& its) {
    visit([&its](float x) { return float(its(scalar(x))); });
    return 0;
  });
}
/// Four numbers of a row from number `key` on, mapped; those that are not there stay 0.
template <class Map> __device__ __forceinline__ float4 mapped(const Map& map, float4 x, int key, int keys) {
  x.x = map(x.x), x.y = map(x.y), x.z = map(x.z), x.w = map(x.w);
  if (key + 4 > keys) {
    if (key + 1 >= keys) x.y = 0.0f;
    if (key + 2 >= keys) x.z = 0.0f;
    x.w = 0.0f;
  }
  return x;
}
__device__ __forceinline__ float4 times(float4 x, float by) { return {x.x * by, x.y * by, x.z * by, x.w * by}; }

/// Maps `count` rows of queries and keys in their place.
template <class Token, class Map>
__device__ void map_rows(const Map& map, const block_plan& plan, const chunk_memory<Token>& memory, int keys,
                         float key_scale, int count) {
  with_map<Token>(map, [&](const auto& its) {
    each_four(keys, count, [&](int row, int key) {
      Token *const q = memory.q + row * plan.q_stride + key, *const k = memory.k + row * plan.k_stride + key;
      store_four(q, mapped(its, load_four(q), key, keys));
      store_four(k, mapped(its, times(load_four(k), key_scale), key, keys));
    });
  });
}

/// How positions turn the pairs of a head's keys: by a share of a whole turn for each unit of their coordinate, kept in
/// fixed point, in which whole turns cost nothing and distances between tokens are as exact far away as at the first.
struct pair_turns {
  const device_call<float>& c;

  /// The turns of pair `pair` of all pairs of a key head, in units of 2^-64.
  __device__ std::uint64_t of_pair(index_t key_head, index_t pair) const {
    if (c.position != position_kind::rotary_2d) return turns_per_unit(c.rotary_base, double(pair), double(c.width / 2));
    const index_t quarter = c.key_heads * c.width / 4;
    return turns_per_unit(c.rotary_base, double((key_head * (c.width / 2) + pair) % quarter), double(quarter));
  }
  /// What turns pair `pair` of the token at `place` of its sequence, with rotary_1d counted from position 0.
  __device__ index_t coordinate(index_t place, index_t key_head, index_t pair) const {
    if (c.position == position_kind::rotary_1d) return place;
    const bool by_row = key_head * (c.width / 2) + pair < c.key_heads * c.width / 4;
    const unsigned at = unsigned(place), width = unsigned(c.grid_width);  // a sequence is shorter than 2^30
    return by_row ? at / width : at % width;
  }
};

/// v_t I_t of an input gate per channel, in the place of its raw numbers, which are gone; v stays as it is. bfloat16 keeps
/// what rounding takes away.
template <class Token, class Parts>
__device__ void gate_values(const gate_reader<Token, Parts>& reader, const block_plan& plan,
                            const chunk_memory<Token>& memory, int count) {
  using scalar = part_scalar<Token>;
  const auto& input = reader.parts.input;
  input.parts.template visit<int>(input.which, [&](const auto& gate) {
    if constexpr (raw_granularity<std::remove_cvref_t<decltype(gate)>> == per::channel)
      each_four(plan.slice, count, [&](int row, int channel) {
        const int place = row * plan.v_stride + channel;
        Token* const at = memory.gate + place;
        const float4 v = load_four(memory.v + place), raw = load_four(at);
        const float4 bias = load_four(memory.bias + channel);
        const auto gated = [&](float x, float its_raw, float its_bias) {
          const scalar from = input.from_step ? math::softplus(scalar(its_raw + its_bias)) : scalar(its_raw);
          return x * float(gate_value(gate, from, scalar(0.0f)));
        };
        const float4 y{gated(v.x, raw.x, bias.x), gated(v.y, raw.y, bias.y), gated(v.z, raw.z, bias.z),
                       gated(v.w, raw.w, bias.w)};
        store_four(at, y);
        if constexpr (has_parts<Token>) store_rest(memory.v_rest + place, y);
      });
    return 0;
  });
}

}  // namespace sextant::gpu::mma
