// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of decode: one token of every sequence and head, the state streamed once through registers.
#pragma once

#include <sextant/cuda/decode/gates.cuh>
#include <sextant/cuda/decode/tile.cuh>
#include <sextant/cuda/decode/token.cuh>
#include <sextant/cuda/ptx/cluster.cuh>
#include <sextant/cuda/ptx/early_launch.cuh>

namespace sextant::gpu::decoding {

/// One token of head blockIdx.y of sequence blockIdx.z: reads the state, updates it and writes it, each number by one
/// thread, and sums y over the keys. The blocks of a head share its tiles of channels. All of them read the normaliser;
/// the first of them writes it once all have, where they are one cluster; else step_normalisers does it afterwards.
///
/// Registers: the packets on their way (KeysPerThread each), y of the thread's channels and its share of u.
template <class Design, class Precision, class Tile>
__global__ void __launch_bounds__(Tile::threads)
    step_heads(const __grid_constant__ Design design, const __grid_constant__ sequence_of<Design, Precision> x,
               const __grid_constant__ call_numbers numbers) {
  ptx::wait_for_launch_before();
  using state = typename Precision::state;
  using memory_type = shared_layout<Design, state, Tile>;
  using token_type = block_token<Design, Precision>;
  constexpr int lanes = packet<state>::count, P = Tile::keys_per_thread, C = Tile::template channels<state>;
  constexpr per forget = granularity<typename Design::forget_type>;
  constexpr bool forgets = token_type::stabilises || !std::is_same_v<typename Design::forget_type, forget::one>;

  extern __shared__ float4 decode_shared[];
  float* const memory = reinterpret_cast<float*>(decode_shared);
  const int K = int(x.k.template extent<axis::key>());
  const memory_type at(K, int(state_width<typename Design::map_type>(K)));
  const token_type token(design, x, numbers, memory + at.expanded);
  float2* const pairs = reinterpret_cast<float2*>(memory + at.pairs);
  const int W = token.W, V = int(x.v.template extent<axis::value>());
  const int thread = int(threadIdx.x), column = Tile::column_of(thread), row = Tile::row_of(thread);
  const index_t b = token.token.b, h = token.token.h;
  const auto& before = x.initial_state.S;
  const auto& after = x.final_state.S;

  const int first = int(blockIdx.x) * C, v = first + column * lanes;  // the block's channels, the thread's

  // Everything sets out before anything is waited for: the state, then what the token says.
  packet<state> S[P];
  gates_of_both<Design, P, lanes> both;
  int count = 0;  // of this thread's keys that exist
  const auto load = [&](int k) {
    count = v < V ? W - k : 0;
    const state* from = before.data() + b * before.template stride<axis::batch>() +
                        h * before.template stride<axis::head>() + k * before.template stride<axis::key>() + v;
#pragma unroll
    for (int p = 0; p < P; ++p, from += before.template stride<axis::key>()) {
      S[p] = {make_uint4(0, 0, 0, 0)};
      if (p < count && before) S[p] = load_packet(from);
    }
    both.read(token.token, k, v, count);
  };
  int k = row * P;
  load(k);
  const gate_numbers<float> of_head = token.read_head();
  const float m = token.read_m();
  key_reading key;
  if constexpr (!memory_type::expands) key = token.read_key(of_head, thread < W ? thread : W - 1);
  channel_reading channel = token.read_channel(of_head, first + thread < V ? first + thread : V - 1);

  // What the token says goes to shared memory.
  const head_gates gates = token.gates(of_head, m);
  if constexpr (memory_type::expands) {
    token.expand_rows(memory + at.rows, memory + at.expanded);
    key = token.read_key(of_head, thread < W ? thread : W - 1);
  }
  float qz = 0;  // this thread's share
#pragma unroll 1
  for (int i = thread; i < W;) {
    const key_numbers n = token.compute_key(gates, key, i);
    pairs[i] = make_float2(n.turned_q, n.turned_k);
    if constexpr (memory_type::key_gate) memory[at.gates_of_keys + i] = n.gate;
    if constexpr (token_type::normalises) {
      qz = qz + n.qz;
      memory[at.normaliser + i] = n.z;
    }
    i += Tile::threads;
    if (i < W) key = token.read_key(of_head, i);
  }
#pragma unroll 1
  for (int c = thread; c < C;) {
    const channel_numbers n = token.compute_channel(gates, channel);
    memory[at.inputs + c] = n.u;
    if constexpr (memory_type::channel_gate) memory[at.gates_of_channels + c] = n.gate;
    if constexpr (sextant::detail::is_learned<Design>) memory[at.added + c] = n.added;
    if constexpr (sextant::detail::has_output_gate<Design>) memory[at.factors + c] = n.factor;
    c += Tile::threads;
    if (c < C) channel = token.read_channel(of_head, first + c < V ? first + c : V - 1);
  }
  __syncthreads();
  ptx::let_next_launch_begin();  // not before: its blocks would be in the way of the loads
  if constexpr (token_type::normalises) ptx::arrive_at_cluster();  // z and m of before have been read

  float y[lanes] = {}, u[lanes], of_channel[lanes] = {};
#pragma unroll
  for (int j = 0; j < lanes; j += 4) {
    const float4 four = *reinterpret_cast<const float4*>(memory + at.inputs + column * lanes + j);
    u[j] = four.x, u[j + 1] = four.y, u[j + 2] = four.z, u[j + 3] = four.w;
    if constexpr (memory_type::channel_gate) {
      const float4 gate = *reinterpret_cast<const float4*>(memory + at.gates_of_channels + column * lanes + j);
      of_channel[j] = gate.x, of_channel[j + 1] = gate.y, of_channel[j + 2] = gate.z, of_channel[j + 3] = gate.w;
    }
  }
  while (true) {
    state* to = after.data() + b * after.template stride<axis::batch>() + h * after.template stride<axis::head>() +
                k * after.template stride<axis::key>() + v;
#pragma unroll
    for (int p = 0; p < P; ++p, to += after.template stride<axis::key>()) {
      if (p >= count) break;
      const float2 pair = pairs[k + p];
      const float of_key = memory_type::key_gate ? memory[at.gates_of_keys + k + p] : 1.0f;
      float s[lanes];
      widen(S[p], s);
#pragma unroll
      for (int j = 0; j < lanes; ++j) {
        float gate = gates.forget;
        if constexpr (forget == per::key) gate = of_key;
        else if constexpr (forget == per::channel) gate = of_channel[j];
        else if constexpr (forget == per::key_channel)
          gate = both.value(design, p, j, of_key, of_channel[j], token.token.forget_raw(of_head), of_head.rate);
        if constexpr (forgets) s[j] = gate * s[j] + pair.y * u[j];
        else s[j] = s[j] + pair.y * u[j];
        y[j] = y[j] + pair.x * s[j];
      }
      if (after) store_packet(to, narrowed<state>(s));
    }
    k += Tile::keys;
    if (k - row * P >= W) break;
    load(k);
  }

  // y over the rows: within the warp, then in shared memory.
#pragma unroll
  for (int step = Tile::warp_columns; step < 32; step *= 2)
#pragma unroll
    for (int j = 0; j < lanes; ++j) y[j] = y[j] + __shfl_xor_sync(0xffffffffu, y[j], step);
  if (thread % 32 < Tile::warp_columns) {
    float* const part = memory + at.partial + Tile::part_of(thread) * C + column * lanes;
#pragma unroll
    for (int j = 0; j < lanes; j += 4)
      *reinterpret_cast<float4*>(part + j) = make_float4(y[j], y[j + 1], y[j + 2], y[j + 3]);
  }
  if constexpr (token_type::normalises) {
    for (int step = 16; step > 0; step /= 2) qz = qz + __shfl_xor_sync(0xffffffffu, qz, step);
    if (thread % 32 == 0) memory[at.divisors + thread / 32] = qz;
  }
  __syncthreads();
#pragma unroll 1
  for (int c = thread; c < C && first + c < V; c += Tile::threads) {
    float sum = memory[at.partial + c];
#pragma unroll
    for (int part = 1; part < Tile::parts; ++part) sum = sum + memory[at.partial + part * C + c];
    sum = numbers.scale * sum;
    if constexpr (token_type::normalises) {
      float all = memory[at.divisors];
      for (int warp = 1; warp < Tile::warps; ++warp) all = all + memory[at.divisors + warp];
      sum = sum / token.divisor(gates, all);
    }
    if constexpr (sextant::detail::is_learned<Design>) sum = sum + memory[at.added + c];
    if constexpr (sextant::detail::has_output_gate<Design>) sum = sum * memory[at.factors + c];
    x.y(b, 0, h, first + c) = typename Precision::token(sum);
  }
  if constexpr (token_type::normalises) {
    ptx::await_cluster();
    if (ptx::cluster_blocks() == gridDim.x && blockIdx.x == 0) {
      if (x.final_state.z)
        for (int i = thread; i < W; i += Tile::threads) x.final_state.z(b, h, i) = state(memory[at.normaliser + i]);
      if constexpr (token_type::stabilises)
        if (thread == 0 && x.final_state.m) x.final_state.m(b, h) = state(gates.m);
    }
  }
}

/// z and m of one head after the token, where the blocks of a head are no cluster: all have to read them first.
template <class Design, class Precision>
__global__ void __launch_bounds__(128)
    step_normalisers(const __grid_constant__ Design design, const __grid_constant__ sequence_of<Design, Precision> x,
                     const __grid_constant__ call_numbers numbers) {
  using state = typename Precision::state;
  extern __shared__ float4 decode_shared[];
  float* const memory = reinterpret_cast<float*>(decode_shared);
  const block_token<Design, Precision> token(design, x, numbers, memory);
  const index_t b = token.token.b, h = token.token.h;
  const gate_numbers<float> of_head = token.read_head();
  const head_gates gates = token.gates(of_head, token.read_m());
  if constexpr (block_token<Design, Precision>::expands) token.expand_rows(memory + 2 * token.W, memory);
  for (int i = int(threadIdx.x); i < token.W; i += int(blockDim.x)) {
    const key_numbers n = token.compute_key(gates, token.read_key(of_head, i), i);
    if (x.final_state.z) x.final_state.z(b, h, i) = state(n.z);
  }
  if constexpr (block_token<Design, Precision>::stabilises) {
    __syncthreads();  // everyone has read m
    if (threadIdx.x == 0 && x.final_state.m) x.final_state.m(b, h) = state(gates.m);
  }
}

}  // namespace sextant::gpu::decoding
