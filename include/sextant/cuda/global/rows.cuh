// SPDX-License-Identifier: Apache-2.0
/// @file  Global form: rows of queries and keys in tiles of shared memory, mapped and turned.
#pragma once

#include <sextant/cuda/token.cuh>

namespace sextant::gpu::summing {

inline constexpr int threads = 256;
inline constexpr int tile_keys = 64, tile_channels = 64;  ///< the most that a block has of each

/// Four neighbouring numbers, moved together.
template <class Real> struct alignas(4 * sizeof(Real)) four {
  Real at[4];
};

/// Angles of the pairs of a tile of keys, in half turns for each unit of the coordinate that turns them.
struct pair_angles {
  double half_turns[tile_keys / 2];
  bool by_row[tile_keys / 2];  ///< of rotary_2d: the row of the picture turns it, else the column
};

/// The tokens of one head as tiles of rows.
template <class Real, class Parts> struct row_tiles {
  const head_tokens<Real, Parts>& tokens;

  __device__ bool turns() const { return tokens.c.position != position_kind::none; }

  /// The angles of the pairs from key `first_key` on. A barrier must follow.
  __device__ void prepare(pair_angles& to, index_t first_key) const {
    const auto& c = tokens.c;
    const index_t pair = first_key / 2 + index_t(threadIdx.x);
    if (!turns() || threadIdx.x >= tile_keys / 2 || 2 * pair >= c.width) return;
    constexpr double pi = 3.14159265358979323846;
    double exponent = 2 * double(pair) / double(c.width);
    bool by_row = false;
    if (c.position == position_kind::rotary_2d) {
      const index_t quarter = c.key_heads * c.width / 4, of_all = tokens.key_head * (c.width / 2) + pair;
      exponent = double(of_all % quarter) / double(quarter);
      by_row = of_all < quarter;
    }
    to.half_turns[threadIdx.x] = exp(-log(c.rotary_base) * exponent) / pi;
    to.by_row[threadIdx.x] = by_row;
  }
  /// phi of `keys` numbers from first_key on, of `count` tokens from the sequence's token t on; rows lie `stride` apart and
  /// are filled up with zeros to `rows` rows. A barrier must follow.
  __device__ void load(bool is_key, index_t t, int count, int rows, index_t first_key, int keys, Real* plain, int stride) const {
    const auto& from = is_key ? tokens.c.k : tokens.c.q;
    for (int i = int(threadIdx.x); i < rows * tile_keys; i += threads) {
      const int row = i / tile_keys, key = i % tile_keys;
      Real x = Real(0);
      if (row < count && key < keys) {
        x = from.read(from.at(tokens.s.batch, tokens.s.first + t + row, tokens.key_head) + (first_key + key) * from.key);
        if (is_key) x *= tokens.c.key_scale;
        x = tokens.parts.map.value(x);
      }
      plain[row * stride + key] = x;
    }
  }
  /// The rows that load() left in `plain`, turned pair by pair. A barrier must follow.
  __device__ void turn(const pair_angles& angles, index_t t, int rows, const Real* plain, Real* turned, int stride) const {
    const auto& c = tokens.c;
    for (int i = int(threadIdx.x); i < rows * (tile_keys / 2); i += threads) {
      const int row = i / (tile_keys / 2), pair = i % (tile_keys / 2);
      index_t coordinate = t + row + c.first_position;
      if (c.position == position_kind::rotary_2d)
        coordinate = angles.by_row[pair] ? (t + row) / c.grid_width : (t + row) % c.grid_width;
      // Whole turns go in double; what is left is exact enough in the call's own type.
      double angle = double(coordinate) * angles.half_turns[pair];
      angle -= 2 * rint(0.5 * angle);
      Real sine, cosine;
      sine_and_cosine(Real(angle), sine, cosine);
      const Real re = plain[row * stride + 2 * pair], im = plain[row * stride + 2 * pair + 1];
      turned[row * stride + 2 * pair] = re * cosine - im * sine;
      turned[row * stride + 2 * pair + 1] = re * sine + im * cosine;
    }
  }

 private:
  static __device__ void sine_and_cosine(float half_turns, float& sine, float& cosine) { sincospif(half_turns, &sine, &cosine); }
  static __device__ void sine_and_cosine(double half_turns, double& sine, double& cosine) { sincospi(half_turns, &sine, &cosine); }
};

}  // namespace sextant::gpu::summing
