// SPDX-License-Identifier: Apache-2.0
/// @file  Global form, the first pass: sums over a sequence's tokens, by parts and in all.
#pragma once

#include <sextant/cuda/global/rows.cuh>

namespace sextant::gpu::summing {

/// How a call is divided among blocks, and what it keeps in the workspace, in numbers:
///   S [parts][sequences][heads][W][V], z [parts][sequences][heads][W]; the first part becomes the total.
struct division {
  index_t parts = 1;                          ///< stretches of a sequence that are summed apart
  index_t key_tiles = 1, channel_tiles = 1;
  index_t answer_blocks = 1;                  ///< that share the tokens of a sequence in the second pass

  template <class Real> SEXTANT_FN static index_t numbers_of_part(const device_call<Real>& c) {
    return c.sequences * c.heads * c.width * (c.values + (c.normalises() ? 1 : 0));
  }
  template <class Real> SEXTANT_FN static index_t S_at(const device_call<Real>& c, index_t part, index_t n, index_t h) {
    return part * numbers_of_part(c) + (n * c.heads + h) * c.width * c.values;
  }
  template <class Real> SEXTANT_FN static index_t z_at(const device_call<Real>& c, index_t part, index_t n, index_t h) {
    return part * numbers_of_part(c) + c.sequences * c.heads * c.width * c.values + (n * c.heads + h) * c.width;
  }
};

/// What a block of the first pass keeps in shared memory.
template <class Real> struct sum_memory {
  static constexpr int tokens = 32;
  struct tiles {
    Real plain[tokens * tile_keys], turned[tokens * tile_keys], u[tokens * tile_channels];
  };
  union {
    tiles tile;
    four<Real> partial[threads][4];  ///< at the end: the sums of each thread
  };
  pair_angles angles;
};

/// S = sum of phi(k_t)^T (I_t (.) v_t) over one part of a sequence's tokens, for a tile of keys and channels, and z = sum of
/// phi(k_t). A thread has 4 keys by 4 channels; where the tile is smaller than 64 x 64 several threads have the same ones and
/// share the tokens, and their sums are added in the order of the threads.
template <class Real, class Parts>
__global__ void __launch_bounds__(threads)
    sum_kernel(const __grid_constant__ device_call<Real> c, const __grid_constant__ Parts parts,
               const __grid_constant__ division d, Real* workspace) {
  extern __shared__ __align__(32) unsigned char shared[];
  auto& memory = *reinterpret_cast<sum_memory<Real>*>(shared);
  index_t block = index_t(blockIdx.x);
  const auto take = [&block](index_t of) {
    const index_t it = block % of;
    block /= of;
    return it;
  };
  const index_t channel_tile = take(d.channel_tiles), key_tile = take(d.key_tiles), part = take(d.parts);
  const index_t h = take(c.heads), n = block;
  const index_t first_key = key_tile * tile_keys, first_channel = channel_tile * tile_channels;
  const int keys = int(c.width - first_key < tile_keys ? c.width - first_key : tile_keys);
  const int channels = int(c.values - first_channel < tile_channels ? c.values - first_channel : tile_channels);

  const head_tokens<Real, Parts> tokens(c, parts, n, h);
  const row_tiles<Real, Parts> rows{tokens};
  const index_t share = (tokens.s.length + d.parts - 1) / d.parts;
  const index_t first = part * share, behind = first + share < tokens.s.length ? first + share : tokens.s.length;

  constexpr int T = sum_memory<Real>::tokens;
  const int across = (channels + 3) / 4, of_slice = (keys + 3) / 4 * across, slices = threads / of_slice < T ? threads / of_slice : T;
  const int slice = int(threadIdx.x) / of_slice, key = int(threadIdx.x) % of_slice / across * 4;
  const int channel = int(threadIdx.x) % across * 4;
  const bool sums_z = c.normalises() && channel_tile == 0 && int(threadIdx.x) < keys;
  Real sums[4][4] = {}, z = Real(0);
  rows.prepare(memory.angles, first_key);
  for (index_t t = first; t < behind; t += T) {
    const int count = int(behind - t < T ? behind - t : T);
    rows.load(true, t, count, T, first_key, keys, memory.tile.plain, tile_keys);
    for (int i = int(threadIdx.x); i < T * tile_channels; i += threads) {
      const int row = i / tile_channels, at = i % tile_channels;
      const index_t token = tokens.s.first + t + row;
      const bool exists = row < count && at < channels;
      memory.tile.u[i] = exists ? tokens.value(token, first_channel + at) * tokens.input(token, first_channel + at) : Real(0);
    }
    __syncthreads();
    if (rows.turns()) {
      rows.turn(memory.angles, t, T, memory.tile.plain, memory.tile.turned, tile_keys);
      __syncthreads();
    }
    if (sums_z)
      for (int row = 0; row < count; ++row) z += memory.tile.plain[row * tile_keys + int(threadIdx.x)];
    if (slice < slices) {
      const Real* const k = rows.turns() ? memory.tile.turned : memory.tile.plain;
      for (int row = slice; row < T; row += slices) {
        const auto its_k = *reinterpret_cast<const four<Real>*>(k + row * tile_keys + key);
        const auto its_u = *reinterpret_cast<const four<Real>*>(memory.tile.u + row * tile_channels + channel);
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[i][j] += its_k.at[i] * its_u.at[j];
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) memory.partial[threadIdx.x][i] = {{sums[i][0], sums[i][1], sums[i][2], sums[i][3]}};
  __syncthreads();
  Real* const S = workspace + division::S_at(c, part, n, h);
  for (int i = int(threadIdx.x); i < keys * channels; i += threads) {
    const int its_key = i / channels, its_channel = i % channels;
    const int owner = its_key / 4 * across + its_channel / 4;
    Real sum = Real(0);
    for (int s = 0; s < slices; ++s) sum += memory.partial[s * of_slice + owner][its_key % 4].at[its_channel % 4];
    S[(first_key + its_key) * c.values + first_channel + its_channel] = sum;
  }
  if (sums_z) workspace[division::z_at(c, part, n, h) + first_key + int(threadIdx.x)] = z;
}

/// Adds the parts up, in their order, on top of the initial state; the total stands where the first part was, and in the
/// final state. A thread per number.
template <class Real>
__global__ void __launch_bounds__(threads)
    total_kernel(const __grid_constant__ device_call<Real> c, const __grid_constant__ division d, Real* workspace) {
  const index_t all = division::numbers_of_part(c), states = c.sequences * c.heads * c.width * c.values;
  const index_t i = index_t(blockIdx.x) * threads + index_t(threadIdx.x);
  if (i >= all) return;
  const bool is_z = i >= states;
  const index_t at = is_z ? i - states : i / c.values, channel = is_z ? 0 : i % c.values;
  const index_t key = at % c.width, h = at / c.width % c.heads, n = at / c.width / c.heads;
  const tensor<Real>&in = is_z ? c.z_in : c.S_in, &out = is_z ? c.z_out : c.S_out;
  Real sum = in ? in.of_both(n, 0, h, key, channel) : Real(0);
  for (index_t part = 0; part < d.parts; ++part) sum += workspace[part * all + i];
  workspace[i] = sum;
  if (out) out.write(out.at(n, 0, h) + key * out.key + channel * out.value, sum);
}

}  // namespace sextant::gpu::summing
