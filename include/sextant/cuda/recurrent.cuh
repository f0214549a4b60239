// SPDX-License-Identifier: Apache-2.0
/// @file  The recurrent form for every design, every shape and every precision: the plain one that is always right.
#pragma once

#include <sextant/cuda/launch.cuh>
#include <sextant/cuda/token.cuh>
#include <sextant/cuda/untyped_family.cuh>

namespace sextant::gpu {

/// The scratch of one block, in shared memory if it fits there and else in the workspace.
struct block_memory {
  std::size_t bytes = 0;  ///< of one block
  bool is_shared = true;
  index_t channels = 1;  ///< that a block holds
  index_t blocks = 0;    ///< of a head

  /// The most channels, and no more than `most`, whose scratch of `fixed` + channels `each` bytes fits shared memory.
  static block_memory fit(index_t values, index_t most, std::size_t fixed, std::size_t each, bool whole_head) {
    block_memory m;
    const index_t all = values > 0 ? values : 1;
    const std::size_t room = shared_bytes_of_block();
    m.channels = whole_head || all < most ? all : most;
    while (!whole_head && m.channels > 1 && fixed + std::size_t(m.channels) * each > room)
      m.channels = (m.channels + 1) / 2;
    m.bytes = (fixed + std::size_t(m.channels) * each + 15) / 16 * 16;
    m.is_shared = m.bytes <= room;
    m.blocks = (all + m.channels - 1) / m.channels;
    return m;
  }
  /// Bytes that `count` blocks take of the workspace.
  std::size_t workspace(index_t count) const { return is_shared ? 0 : std::size_t(count) * bytes; }
};

/// Whether a call's z or m come and go in the same place, so that one block must hold all channels of a head: others would
/// read what the first has written.
template <class Real> bool in_place_per_head(const device_call<Real>& c) {
  return (c.z_in && c.z_in.data == c.z_out.data) || (c.m_in && c.m_in.data == c.m_out.data);
}

/// A block of the recurrent kernel: some channels of one head of one sequence; threads share keys and channels.
///   scratch: S [W][channels], the token's query and key [W], mapped and turned, z [W], sums over keys [slices][channels]
/// `Placed`: whether the design may ask where a token is, by positions or a convolution; those that never do share a kernel
/// whose code is a sixth shorter.
template <class Real, class Parts, bool Placed> struct recurrent_block {
  static constexpr int threads = 256;

  const device_call<Real>& c;
  head_tokens<Real, Parts> tokens;
  index_t channels, first_channel, count;  // channels held, the first of them, those there are
  index_t columns, slices, column, slice;  // threads: columns of channels, slices of keys
  Real *S, *q_raw, *k_raw, *q, *k, *q_turned, *k_turned, *z, *u, *raw, *sums, *qz_sums;
  Real m = Real(0), forgotten = Real(1), entered = Real(1);

  /// Numbers of scratch besides the channels', and for each channel.
  static std::size_t fixed(const device_call<Real>& c, bool expands) {
    const index_t rows = 2 + (c.position != position_kind::none ? 2 : 0) + (c.normalises() ? 1 : 0);
    return std::size_t(rows * c.width + (expands ? 2 * c.keys : 0) + threads);
  }
  static std::size_t each(const device_call<Real>& c) { return std::size_t(c.width + 2 + threads); }

  __device__ recurrent_block(const device_call<Real>& call, const Parts& parts, index_t n, index_t h, index_t from,
                             index_t held, Real* memory)
      : c{call}, tokens{call, parts, n, h}, channels{held}, first_channel{from} {
    count = c.values - from < held ? c.values - from : held;
    int wide = 1;
    while (wide < held && wide < 32) wide *= 2;
    columns = wide, slices = threads / wide;
    column = int(threadIdx.x) % wide, slice = int(threadIdx.x) / wide;
    const auto take = [&memory](index_t numbers) { return memory += numbers, memory - numbers; };
    S = take(c.width * channels);
    u = take(channels), raw = take(channels);
    sums = take(slices * channels), qz_sums = take(slices);
    q = take(c.width), k = take(c.width);
    const bool turns = Placed && c.position != position_kind::none;
    q_turned = turns ? take(c.width) : q, k_turned = turns ? take(c.width) : k;
    z = take(c.normalises() ? c.width : 0);
    q_raw = parts.map.expands ? take(c.keys) : q, k_raw = parts.map.expands ? take(c.keys) : k;
  }

  __device__ void read_state() {
#pragma unroll 1
    for (index_t key = slice; key < c.width; key += slices)
#pragma unroll 1
      for (index_t i = column; i < channels; i += columns) {
        const bool given = c.S_in && i < count;
        S[key * channels + i] = given ? c.S_in.of_both(tokens.n, 0, tokens.h, key, first_channel + i) : Real(0);
      }
    if (c.normalises())
#pragma unroll 1
      for (index_t i = threadIdx.x; i < c.width; i += threads)
        z[i] = c.z_in ? c.z_in.of_key(tokens.n, 0, tokens.h, i) : Real(0);
    if (c.m_in) m = c.m_in.of_key(tokens.n, 0, tokens.h, 0);
    __syncthreads();
  }
  /// The first block of a head hands out its z and m.
  __device__ void write_state() {
    __syncthreads();
    if (c.S_out)
#pragma unroll 1
      for (index_t key = slice; key < c.width; key += slices)
#pragma unroll 1
        for (index_t i = column; i < count; i += columns)
          c.S_out.write(c.S_out.at(tokens.n, 0, tokens.h) + key * c.S_out.key + (first_channel + i) * c.S_out.value,
                        S[key * channels + i]);
    if (first_channel != 0) return;
    if (c.z_out)
#pragma unroll 1
      for (index_t i = threadIdx.x; i < c.width; i += threads)
        c.z_out.write(c.z_out.at(tokens.n, 0, tokens.h) + i * c.z_out.key, z[i]);
    if (c.m_out && threadIdx.x == 0) c.m_out.write(c.m_out.at(tokens.n, 0, tokens.h), m);
  }

  /// The rows, values and gates of the token at `at`.
  __device__ void load(index_t at) {
    // Queries and keys by one piece of code, here and below: it is long.
#pragma unroll 1
    for (int is_key = 0; is_key < 2; ++is_key)
      tokens.load_row(is_key, at, is_key ? k_raw : q_raw, threadIdx.x, threads);
#pragma unroll 1
    for (index_t i = threadIdx.x; i < count; i += threads) {
      const index_t channel = first_channel + i;
      u[i] = tokens.value(at, channel);
      if (c.norm != norm_kind::abs_max) u[i] *= tokens.input(at, channel);
      raw[i] = tokens.forget_raw(at, channel);
    }
    if (count <= 0 && threadIdx.x == 0) raw[0] = tokens.forgets_per_head() ? tokens.forget_raw(at, 0) : Real(0);
    __syncthreads();
    if (tokens.parts.map.expands) {
#pragma unroll 1
      for (int is_key = 0; is_key < 2; ++is_key)
        tokens.parts.map.expand(is_key ? k_raw : q_raw, c.keys, is_key ? k : q, c.width, threadIdx.x, threads);
      __syncthreads();
    }
    if constexpr (Placed) {
      if (c.position == position_kind::none) return;
#pragma unroll 1
      for (int is_key = 0; is_key < 2; ++is_key)
        tokens.turn(at, is_key ? k : q, is_key ? k_turned : q_turned, threadIdx.x, threads);
      __syncthreads();
    }
  }
  /// What abs_max's stabiliser makes of the two gates of the token at `at`.
  __device__ void stabilise(index_t at) {
    const Real log_f = tokens.parts.forget.logarithm(tokens.forget_raw(at, 0), tokens.rate(0, 0));
    const Real log_i = tokens.parts.input.logarithm(tokens.input_raw(at, 0), Real(0));
    const Real before = m;
    m = math::max(log_f + before, log_i);
    forgotten = math::exp(log_f + before - m);
    entered = math::exp(log_i - m);
  }
  /// One token: into the state and z where it `updates`; y where it `reads`.
  __device__ void meet(index_t at, bool updates, bool reads) {
    load(at);
    const bool stabilised = c.norm == norm_kind::abs_max, over_keys = tokens.varies_over_keys() && !stabilised;
    if (stabilised && updates) stabilise(at);
#pragma unroll 1
    for (index_t i = column; i < count; i += columns) {
      const index_t channel = first_channel + i;
      Real F = forgotten, qS = Real(0);
      bool gated = updates && !stabilised;  // whether the gate is still to be computed
      for (index_t key = slice; key < c.width; key += slices) {
        Real& s = S[key * channels + i];
        if (gated) F = tokens.forget(at, key, channel, raw[i]), gated = over_keys;
        if (updates) s = F * s + k_turned[key] * (entered * u[i]);
        qS += q_turned[key] * s;
      }
      sums[slice * channels + i] = qS;
    }
    if (c.normalises() && column == 0) {
      const bool decays = !stabilised && c.norm != norm_kind::sum_undecayed;
      Real qz = Real(0);
      for (index_t key = slice; key < c.width; key += slices) {
        if (updates) {
          const Real F = decays ? tokens.forget(at, key, 0, raw[0]) : forgotten;
          z[key] = F * z[key] + entered * k[key];
        }
        qz += q[key] * z[key];
      }
      qz_sums[slice] = qz;
    }
    __syncthreads();
    if (reads)
#pragma unroll 1
      for (index_t i = threadIdx.x; i < count; i += threads) {
        Real qS = Real(0), qz = Real(0);
#pragma unroll 1
        for (index_t j = 0; j < slices; ++j) qS += sums[j * channels + i];
        if (c.normalises())
#pragma unroll 1
          for (index_t j = 0; j < slices; ++j) qz += qz_sums[j];
        tokens.template store<Placed>(at, first_channel + i, qS, tokens.divisor(qz, m));
      }
    __syncthreads();
  }
  __device__ void run() {
    const bool global = c.order == order_kind::global;
    read_state();
    const int passes = global ? 2 : 1;
#pragma unroll 1
    for (int pass = 0; pass < passes; ++pass)
#pragma unroll 1
      for (index_t t = 0; t < tokens.s.length; ++t) meet(tokens.s.place(t), pass == 0, pass == passes - 1);
    write_state();
  }
};

template <class Real, class Parts, bool Placed>
__global__ void __launch_bounds__(256, 2)
    recurrent_kernel(const __grid_constant__ device_call<Real> c, const __grid_constant__ Parts parts,
                     const __grid_constant__ block_memory memory, Real* workspace) {
  extern __shared__ __align__(16) unsigned char shared[];
  Real* const scratch = memory.is_shared ? reinterpret_cast<Real*>(shared)
                                         : workspace + index_t(blockIdx.x) * index_t(memory.bytes / sizeof(Real));
  const unsigned head = blockIdx.x / unsigned(memory.blocks), part = blockIdx.x % unsigned(memory.blocks);
  const unsigned sequence = head / unsigned(c.heads), of_sequence = head - sequence * unsigned(c.heads);
  const index_t first = index_t(part) * memory.channels;
  recurrent_block<Real, Parts, Placed>(c, parts, sequence, of_sequence, first, memory.channels, scratch).run();
}

/// The recurrence, token by token, one block per sequence, head and up to 32 channels; S in shared memory, or in the
/// workspace where one channel's keys do not fit there. Every design, shape, stride and precision; about 2 us a token, so
/// it is what other forms are checked against and what takes the calls they refuse. O(T K' V) per head.
struct recurrent : untyped_family<recurrent> {
  static constexpr const char* form = "recurrent";
  template <class Design, class Precision> static constexpr bool runs = true;

  template <class Real> static block_memory memory(const device_call<Real>& c, bool expands) {
    // The threads of a block: recurrent_block::each() counts the partial sums of one channel as if it had all slices.
    using block = recurrent_block<Real, int, true>;
    return block_memory::fit(c.values, 32, block::fixed(c, expands) * sizeof(Real), block::each(c) * sizeof(Real),
                             in_place_per_head(c));
  }
  template <class Design, class Precision> static bool takes(const Design&, const sequence_of<Design, Precision>&) {
    return true;
  }

  template <class Real, class Parts> static std::size_t bytes_of_call(const device_call<Real>& c, const Parts& parts) {
    const block_memory m = memory(c, parts.map.expands);
    return m.workspace(c.sequences * c.heads * m.blocks);
  }
  template <class Design, class Precision>
  [[gnu::noinline]] static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    using namespace sextant::detail;
    status found;
    constexpr bool placed = is_local<Design> || turns_1d<Design> || turns_2d<Design>;
    return run_call<placed>(make_call(design, x, found), choose_parts(design), on);
  }
  template <bool Placed = true, class Real, class Parts>
  static status run_call(const device_call<Real>& c, const Parts& parts, const stream& on) {
    const block_memory m = memory(c, parts.map.expands);
    const index_t blocks = c.sequences * c.heads * m.blocks;
    if (blocks == 0) return {};
    return launch(&recurrent_kernel<Real, Parts, Placed>, dim3(unsigned(blocks)), dim3(256), m.is_shared ? m.bytes : 0,
                  on.handle, c, parts, m, reinterpret_cast<Real*>(on.memory.data));
  }
};

}  // namespace sextant::gpu
