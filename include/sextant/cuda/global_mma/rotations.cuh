// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: the table of rotations of a block's pairs, and its use.
#pragma once

#include <sextant/cuda/global_mma/plan.cuh>

namespace sextant::gpu::pooling {

/// Whether the row of the picture turns a pair of a key head, else the column. All four pairs from a multiple of 4 on are turned
/// by the same.
__device__ __forceinline__ bool turned_by_row(const device_call<float>& c, int key_head, int pair) {
  return key_head * int(c.width / 2) + pair < int(c.key_heads * c.width / 4);
}

/// Fills table[position][pair] with the cosine and sine of each pair at every row of the picture that the block has, or every
/// column, and pairs beyond the keys with a turn by nothing; a barrier must follow. A thread has one pair and every so manieth
/// position. Angles are taken in double up to the half turn; for tokens of 16 bits a thread takes two, and multiplies its way
/// from one position to the next.
template <class Traits>
__device__ __forceinline__ void fill_rotations(const device_call<float>& c, const tile_plan& p, const warp_place& at,
                                               float* table) {
  const int thread = at.warp * 32 + at.lane, pair = thread % (unit_keys / 2), apart = p.warps() * 2;
  if (at.tiles == 0) return;
  const int quarter = int(c.key_heads * c.width / 4), of_all = at.key_head * int(c.width / 2) + pair;
  const bool rows = of_all < quarter;
  // theta_m = base^(-m / quarter), in half turns
  double theta = 2 * pair < c.width ? 0.318309886183790671538 : 0.0;
  for (int i = 0, m = rows ? of_all : of_all - quarter; m != 0; ++i, m >>= 1)
    if ((m & 1) != 0) theta *= p.powers[i];
  const auto rotation = [theta](int position) {
    double angle = double(position) * theta;
    angle -= 2 * rint(0.5 * angle);
    float2 by;
    sincospif(float(angle), &by.y, &by.x);
    return by;
  };
  // The last tile may reach beyond the last pixel.
  const int width = int(c.grid_width), last = at.first_token + at.tiles * Traits::tokens - 1;
  const int from = rows ? pixel_of(at.first_token, width, p.width_inverse).row : 0;
  const int to = min(rows ? pixel_of(last, width, p.width_inverse).row : width - 1, p.positions - 1);
  int i = from + thread / (unit_keys / 2);
  float2 by = rotation(i);
  const float2 step = Traits::exact ? float2{} : rotation(apart);
  for (; i <= to; i += apart) {
    *reinterpret_cast<float2*>(table + i * pair_stride + 2 * pair) = by;
    if constexpr (Traits::exact) by = rotation(i + apart);
    else by = {by.x * step.x - by.y * step.y, by.x * step.y + by.y * step.x};
  }
}

/// The rotations that one lane needs: of pairs `pair`, pair + 1, ... of its unit.
struct lane_rotations {
  const float* table;
  int width;
  std::uint32_t width_inverse;
  bool rows;

  __device__ __forceinline__ lane_rotations(const float* all, const device_call<float>& c, const tile_plan& p,
                                            const warp_place& at, int pair)
      : table{all + 2 * pair},
        width{int(c.grid_width)},
        width_inverse{p.width_inverse},
        rows{turned_by_row(c, at.key_head, pair)} {}
  /// Those of token t.
  __device__ __forceinline__ const float4* of(int t) const { return at(pixel_of(t, width, width_inverse)); }
  __device__ __forceinline__ const float4* at(const pixel& where) const {
    return reinterpret_cast<const float4*>(table + (rows ? where.row : where.column) * pair_stride);
  }
};

/// Turns two pairs, the numbers from x[first] on.
template <std::size_t Count>
__device__ __forceinline__ void turn_pairs(float (&x)[Count], int first, const float4& by) {
  const float a = x[first], b = x[first + 1], c = x[first + 2], d = x[first + 3];
  x[first] = a * by.x - b * by.y, x[first + 1] = a * by.y + b * by.x;
  x[first + 2] = c * by.z - d * by.w, x[first + 3] = c * by.w + d * by.z;
}

}  // namespace sextant::gpu::pooling
