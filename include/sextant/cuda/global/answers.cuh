// SPDX-License-Identifier: Apache-2.0
/// @file  Global form, the second pass: every token's answer from the sums.
#pragma once

#include <sextant/cuda/global/sums.cuh>

namespace sextant::gpu::summing {

/// What a block of the second pass keeps in shared memory.
template <class Real> struct answer_memory {
  static constexpr int tokens = 128, stride = tile_keys + 1;  ///< threads that read a column meet no bank twice
  alignas(4 * sizeof(Real)) Real S[tile_keys * tile_channels];
  Real plain[tokens * stride], turned[tokens * stride];  ///< turned: in the end q S, row by row
  Real z[tile_keys], divisor[tokens];
  pair_angles angles;
};

/// y_t = (scale phi(q_t) S) / divisor, and what the design adds to it, for a tile of channels of one head: a thread has 4
/// tokens by 4 channels. The blocks of a head take its tiles of tokens in turns.
template <class Real, class Parts>
__global__ void __launch_bounds__(threads, 1)
    answer_kernel(const __grid_constant__ device_call<Real> c, const __grid_constant__ Parts parts,
                  const __grid_constant__ division d, const Real* workspace) {
  extern __shared__ __align__(32) unsigned char shared[];
  auto& memory = *reinterpret_cast<answer_memory<Real>*>(shared);
  index_t block = index_t(blockIdx.x);
  const index_t first_block = block % d.answer_blocks;
  block /= d.answer_blocks;
  const index_t first_channel = block % d.channel_tiles * tile_channels;
  block /= d.channel_tiles;
  const index_t h = block % c.heads, n = block / c.heads;
  const int channels = int(c.values - first_channel < tile_channels ? c.values - first_channel : tile_channels);

  const head_tokens<Real, Parts> tokens(c, parts, n, h);
  const row_tiles<Real, Parts> rows{tokens};
  const Real* const S = workspace + division::S_at(c, 0, n, h);
  const Real* const z = workspace + division::z_at(c, 0, n, h);

  constexpr int stride = answer_memory<Real>::stride, most = answer_memory<Real>::tokens;
  const int across = (channels + 3) / 4, groups = threads / across < most / 4 ? threads / across : most / 4;
  const int token = int(threadIdx.x) / across, channel = int(threadIdx.x) % across * 4;  // token, token + groups, ...
  const int tile_tokens = 4 * groups;
  for (index_t t = first_block * tile_tokens; t < tokens.s.length; t += d.answer_blocks * tile_tokens) {
    const int count = int(tokens.s.length - t < tile_tokens ? tokens.s.length - t : tile_tokens);
    Real sums[4][4] = {}, qz = Real(0);
    for (index_t first_key = 0; first_key < c.width; first_key += tile_keys) {
      const int keys = int(c.width - first_key < tile_keys ? c.width - first_key : tile_keys);
      __syncthreads();
      rows.prepare(memory.angles, first_key);
      rows.load(false, t, count, tile_tokens, first_key, keys, memory.plain, stride);
      for (int i = int(threadIdx.x); i < tile_keys * tile_channels; i += threads) {
        const int key = i / tile_channels, at = i % tile_channels;
        memory.S[i] = key < keys && at < channels ? S[(first_key + key) * c.values + first_channel + at] : Real(0);
      }
      if (c.normalises() && int(threadIdx.x) < keys) memory.z[threadIdx.x] = z[first_key + int(threadIdx.x)];
      __syncthreads();
      if (rows.turns()) {
        rows.turn(memory.angles, t, tile_tokens, memory.plain, memory.turned, stride);
        __syncthreads();
      }
      if (c.normalises() && int(threadIdx.x) < count)
        for (int key = 0; key < keys; ++key) qz += memory.plain[int(threadIdx.x) * stride + key] * memory.z[key];
      const Real* const q = rows.turns() ? memory.turned : memory.plain;
      if (token < groups)
        for (int key = 0; key < keys; ++key) {
          const auto row = *reinterpret_cast<const four<Real>*>(memory.S + key * tile_channels + channel);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const Real its_q = q[(token + i * groups) * stride + key];
#pragma unroll
            for (int j = 0; j < 4; ++j) sums[i][j] += its_q * row.at[j];
          }
        }
    }
    if (int(threadIdx.x) < count) memory.divisor[threadIdx.x] = tokens.divisor(qz, Real(0));
    __syncthreads();
    Real* const qS = memory.turned;
    if (token < groups)
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) qS[(token + i * groups) * stride + channel + j] = sums[i][j];
    __syncthreads();
#pragma unroll 1
    for (int i = int(threadIdx.x); i < count * channels; i += threads) {
      const int row = i / channels, at = i % channels;
      tokens.store(tokens.s.first + t + row, first_channel + at, qS[row * stride + at], memory.divisor[row]);
    }
  }
}

}  // namespace sextant::gpu::summing
