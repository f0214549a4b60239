// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of decode: one token of every sequence and head, the state streamed once through registers.
#pragma once

#include <sextant/cuda/decode_token.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu {

/// How the 128 threads of a block lie over a head's state [K', V]: `Columns` of them side by side, a packet of channels
/// each, and the others below them, `KeysPerThread` neighbouring keys each, whose packets are all on their way at once.
template <int Columns, int KeysPerThread> struct decode_tile {
  static constexpr int threads = 128, columns = Columns, rows = threads / Columns;
  static constexpr int keys_per_thread = KeysPerThread, keys = rows * KeysPerThread;  ///< keys of one pass
  static constexpr int parts = Columns < 32 ? threads / 32 : rows;  ///< sums of y that meet in shared memory
  template <class State> static constexpr int channels = Columns * packet<State>::count;
};

/// What a block keeps in shared memory, in floats from its start.
template <class Design, class State, class Tile> struct decode_memory {
  using forget_type = typename Design::forget_type;
  static constexpr per gate = granularity<forget_type>, raw = raw_granularity<forget_type>, rate = rate_granularity<forget_type>;
  static constexpr bool expands = sextant::detail::expanding_map<typename Design::map_type>;
  static constexpr bool key_gate = gate == per::key || (gate == per::key_channel && (raw == per::key || rate == per::key));
  static constexpr bool channel_gate =
      gate == per::channel || (gate == per::key_channel && (raw == per::channel || rate == per::channel));
  static constexpr int channels = Tile::template channels<State>;

  int pairs, gates_of_keys, inputs, gates_of_channels, added, factors, partial, divisors, rows, expanded, all;

  __host__ __device__ decode_memory(int K, int W) {
    int at = 0;
    const auto take = [&at](int floats) {
      const int here = at;
      at += (floats + 3) / 4 * 4;  // packets of four stay aligned
      return here;
    };
    pairs = take(2 * W);
    gates_of_keys = take(key_gate ? W : 0);
    inputs = take(channels);
    gates_of_channels = take(channel_gate ? channels : 0);
    added = take(sextant::detail::is_learned<Design> ? channels : 0);
    factors = take(sextant::detail::has_output_gate<Design> ? channels : 0);
    partial = take(Tile::parts * channels);
    divisors = take(Tile::threads / 32);
    rows = take(expands ? 2 * K : 0);
    expanded = take(expands ? 2 * W : 0);
    all = at;
  }
};

/// A thread's share of a gate that varies over keys and channels: the numbers that themselves vary over both.
template <class Design, int Keys, int Channels> struct gates_of_both {
  static constexpr bool both = granularity<typename Design::forget_type> == per::key_channel;
  static constexpr bool raw_of_both = raw_granularity<typename Design::forget_type> == per::key_channel;
  static constexpr bool rate_of_both = rate_granularity<typename Design::forget_type> == per::key_channel;
  float raw[raw_of_both ? Keys : 1][Channels], rate[rate_of_both ? Keys : 1][Channels];

  /// Reads those of `count` keys from k on, of the channels from v on.
  template <class Precision>
  __device__ __forceinline__ void read(const token_of<Design, Precision>& token, int k, int v, int count) {
    (void)token, (void)k, (void)v, (void)count;
    if constexpr (raw_of_both) {
#pragma unroll
      for (int p = 0; p < Keys; ++p)
#pragma unroll
        for (int j = 0; j < Channels; ++j)
          if (p < count) raw[p][j] = float(token.x.forget(token.b, token.t, token.h, k + p, v + j));
    }
    if constexpr (rate_of_both) {
      // Rates lie [H, V, K']: four keys of a channel side by side.
      const auto& a = token.x.a;
      const std::uintptr_t steps = std::uintptr_t(a.template stride<axis::value>() | a.template stride<axis::head>());
      if (Keys % 4 == 0 && count >= Keys && a.template stride<axis::key>() == 1 && steps % 4 == 0 && holds_packets(a.data()) && k % 4 == 0) {
#pragma unroll
        for (int j = 0; j < Channels; ++j)
#pragma unroll
          for (int p = 0; p + 3 < Keys; p += 4) {
            const float4 four = __ldg(reinterpret_cast<const float4*>(&a(token.h, v + j, k + p)));
            rate[p][j] = four.x, rate[p + 1][j] = four.y, rate[p + 2][j] = four.z, rate[p + 3][j] = four.w;
          }
      } else {
#pragma unroll
        for (int p = 0; p < Keys; ++p)
#pragma unroll
          for (int j = 0; j < Channels; ++j)
            if (p < count) rate[p][j] = a(token.h, v + j, k + p);
      }
    }
  }
  /// The gate of key p and channel j, from what varies per key, per channel and per head.
  __device__ __forceinline__ float value(const Design& design, int p, int j, float of_key, float of_channel,
                                         float raw_of_head, float rate_of_head) const {
    using forget_type = typename Design::forget_type;
    constexpr per r = raw_granularity<forget_type>, a = rate_granularity<forget_type>;
    const float x = r == per::key_channel ? raw[raw_of_both ? p : 0][j] : r == per::key ? of_key : r == per::channel ? of_channel : raw_of_head;
    const float y = a == per::key_channel ? rate[rate_of_both ? p : 0][j] : a == per::key ? of_key : a == per::channel ? of_channel : rate_of_head;
    return gate_value(design.forget_gate, x, y);
  }
};

/// One token of head blockIdx.y of sequence blockIdx.z: reads the state, updates it and writes it, each number by one
/// thread, and sums y over the keys. The blocks of a head share its tiles of channels. The normaliser is written only
/// where the head has one block; otherwise decode_normalisers does it afterwards.
///
/// Registers: the packets on their way (KeysPerThread each), y of the thread's channels and its share of u. Shared memory:
/// q, k and the gates per key; u = I (.) v, gates per channel, shortcut and output factor; the parts of y.
template <class Design, class Precision, class Tile>
__global__ void __launch_bounds__(Tile::threads)
    decode_heads(const __grid_constant__ Design design, const __grid_constant__ sequence_of<Design, Precision> x,
                 const __grid_constant__ decode_numbers numbers) {
  using state = typename Precision::state;
  using memory_type = decode_memory<Design, state, Tile>;
  using token_type = decode_token<Design, Precision>;
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
  const int thread = int(threadIdx.x), column = thread % Tile::columns, row = thread / Tile::columns;
  const index_t b = token.token.b, h = token.token.h;
  const auto& before = x.initial_state.S;
  const auto& after = x.final_state.S;

  head_gates gates;
  float qz = 0;  // this thread's share
  const int own = int(blockIdx.x) * C;
  for (int first = own; first < V; first += int(gridDim.x) * C) {
    const int v = first + column * lanes;

    // Everything sets out before anything is waited for: what the token says, then the state.
    const gate_numbers<float> of_head = token.read_head();
    const float m = token.read_m();
    key_reading key;
    if constexpr (!memory_type::expands)
      if (first == own && W > 0) key = token.read_key(of_head, thread < W ? thread : W - 1);
    channel_reading channel = token.read_channel(of_head, first + thread < V ? first + thread : V - 1);
    packet<state> S[P];
    gates_of_both<Design, P, lanes> both;
    int count = 0;  // of this thread's keys that exist
    const auto load = [&](int k) {
      count = v < V ? W - k : 0;
      const state* from = before.data() + b * before.template stride<axis::batch>() + h * before.template stride<axis::head>() +
                          k * before.template stride<axis::key>() + v;
#pragma unroll
      for (int p = 0; p < P; ++p, from += before.template stride<axis::key>()) {
        S[p] = {make_uint4(0, 0, 0, 0)};
        if (p < count && before) S[p] = load_packet(from);
      }
      both.read(token.token, k, v, count);
    };
    int k = row * P;
    load(k);

    // What the token says goes to shared memory.
    gates = token.gates(of_head, m);
    if (first == own) {
      if constexpr (memory_type::expands) {
        token.expand_rows(memory + at.rows, memory + at.expanded);
        key = token.read_key(of_head, thread < W ? thread : W - 1);
      }
#pragma unroll 1
      for (int i = thread; i < W;) {
        const key_numbers n = token.compute_key(gates, key, i);
        pairs[i] = make_float2(n.turned_q, n.turned_k);
        if constexpr (memory_type::key_gate) memory[at.gates_of_keys + i] = n.gate;
        if constexpr (token_type::normalises) {
          qz = qz + n.qz;
          if (gridDim.x == 1 && x.final_state.z) x.final_state.z(b, h, i) = state(n.z);
        }
        i += Tile::threads;
        if (i < W) key = token.read_key(of_head, i);
      }
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
    for (int step = Tile::columns; step < 32; step *= 2)
#pragma unroll
      for (int j = 0; j < lanes; ++j) y[j] = y[j] + __shfl_xor_sync(0xffffffffu, y[j], step);
    if (Tile::columns >= 32 || thread % 32 < Tile::columns) {
      float* const part = memory + at.partial + (Tile::columns < 32 ? thread / 32 : row) * C + column * lanes;
#pragma unroll
      for (int j = 0; j < lanes; j += 4) *reinterpret_cast<float4*>(part + j) = make_float4(y[j], y[j + 1], y[j + 2], y[j + 3]);
    }
    if constexpr (token_type::normalises) {
      if (first == own) {
        for (int step = 16; step > 0; step /= 2) qz = qz + __shfl_xor_sync(0xffffffffu, qz, step);
        if (thread % 32 == 0) memory[at.divisors + thread / 32] = qz;
      }
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
        for (int warp = 1; warp < Tile::threads / 32; ++warp) all = all + memory[at.divisors + warp];
        sum = sum / token.divisor(gates, all);
      }
      if constexpr (sextant::detail::is_learned<Design>) sum = sum + memory[at.added + c];
      if constexpr (sextant::detail::has_output_gate<Design>) sum = sum * memory[at.factors + c];
      x.y(b, 0, h, first + c) = typename Precision::token(sum);
    }
  }
  if constexpr (token_type::stabilises)
    if (gridDim.x == 1 && thread == 0 && x.final_state.m) x.final_state.m(b, h) = state(gates.m);
}

/// z and m of one head after the token, where several blocks shared the head and all had to read them first.
template <class Design, class Precision>
__global__ void __launch_bounds__(128)
    decode_normalisers(const __grid_constant__ Design design, const __grid_constant__ sequence_of<Design, Precision> x,
                       const __grid_constant__ decode_numbers numbers) {
  using state = typename Precision::state;
  extern __shared__ float4 decode_shared[];
  float* const memory = reinterpret_cast<float*>(decode_shared);
  const decode_token<Design, Precision> token(design, x, numbers, memory);
  const index_t b = token.token.b, h = token.token.h;
  const gate_numbers<float> of_head = token.read_head();
  const head_gates gates = token.gates(of_head, token.read_m());
  if constexpr (decode_token<Design, Precision>::expands) token.expand_rows(memory + 2 * token.W, memory);
  for (int i = int(threadIdx.x); i < token.W; i += int(blockDim.x)) {
    const key_numbers n = token.compute_key(gates, token.read_key(of_head, i), i);
    if (x.final_state.z) x.final_state.z(b, h, i) = state(n.z);
  }
  if constexpr (decode_token<Design, Precision>::stabilises) {
    __syncthreads();  // everyone has read m
    if (threadIdx.x == 0 && x.final_state.m) x.final_state.m(b, h) = state(gates.m);
  }
}

}  // namespace sextant::gpu
