// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: how a call is divided among blocks and warps, and what a block keeps in shared memory.
#pragma once

#include <cstdint>      // uint32_t
#include <type_traits>  // is_same

#include <sextant/cuda/call.cuh>
#include <sextant/cuda/tile/approximate.cuh>

namespace sextant::gpu::pooling {

inline constexpr int unit_keys = 32;      ///< the most keys of a head
inline constexpr int unit_channels = 32;  ///< of a head: a unit of work is all tokens of 32 of its channels
inline constexpr int row_stride = 34;     ///< floats from a key of S to the next
inline constexpr int unit_numbers = unit_keys * row_stride + unit_keys;  ///< S, and z behind it
inline constexpr int taps = 9;                                           ///< of the convolution
inline constexpr int lane_numbers = 36;                                  ///< that a lane of a warp sums, of S and z
inline constexpr int pair_stride = unit_keys + 8;  ///< floats from one position's rotations to the next
inline constexpr int sequences_of_row = 1 << 15;   ///< of the grid: the y axis has no more

/// What a design asks of the kernel, by its types.
template <class Design, class Token> struct tile_traits {
  using token = Token;
  using design_type = Design;
  using input_type = typename Design::input_type;
  static constexpr bool exact = sizeof(Token) == 4;
  /// The scalar type of maps and gates.
  using part_scalar = std::conditional_t<exact, float, approximate>;
  static constexpr bool turns = sextant::detail::turns_2d<Design>;
  static constexpr bool normalises = sextant::detail::normalises<typename Design::norm_type>;
  static constexpr bool local = sextant::detail::is_local<Design>;
  static constexpr bool learned = sextant::detail::is_learned<Design>;
  static constexpr bool output_gate = sextant::detail::has_output_gate<Design>;
  static constexpr bool gated = !std::is_same_v<input_type, input::one>;
  static constexpr bool gate_rows = gated && raw_granularity<input_type> == per::channel;

  static constexpr int size = int(sizeof(Token));
  static constexpr int tokens = local ? 32 : 16;            ///< of a tile, what a warp takes at once
  static constexpr int stages = local ? 2 : exact ? 3 : 4;  ///< tiles of a warp in shared memory
  /// Whether a lane has four pixels in a row, else tokens g and g + 8 of 16.
  static constexpr bool four_in_a_row = local && exact;
  /// Whether a lane has channels 8 n + 2 r and + 1 of an answer, as a convolution's products have them, else 8 in a row.
  static constexpr bool in_pairs = local && !exact;
  static constexpr int row_bytes = unit_channels * size;
  /// From a row of a convolution's window to the next: of floats, lanes that read every fourth one meet in no bank.
  static constexpr int spread_bytes = exact ? row_bytes + 16 : row_bytes;
  /// Of queries or keys, of values, and of their gates.
  static constexpr int tile_bytes = tokens * row_bytes, value_bytes = tokens * (local ? spread_bytes : row_bytes),
                       gate_bytes = gate_rows ? value_bytes : 0;
  static constexpr int factor_bytes = (exact ? 16 : 8) * 32 * 16;  ///< of S as factors, of float in two parts
  /// The convolution's weights as factors, behind them a row of zeros, and what else it must know.
  static constexpr int zeros_at = !local || exact ? 0 : 5 * unit_channels * 8, known_at = zeros_at + row_bytes;
  static constexpr int taps_and_zeros = local ? known_at + 16 : 0;
  static_assert(taps_and_zeros <= unit_keys * row_stride * 4, "the taps lie where S was");
  /// Blocks of 8 warps for which a multiprocessor has registers.
  static constexpr int blocks_at_once = exact && local ? 1 : 2;
  /// Floats of each channel: the shortcut's weight or bias, then the taps.
  static constexpr int weights = local ? 1 + taps : learned ? 1 : 0;
};

/// How a call is divided. A block is a unit, 32 channels of a head in one sequence, or its share of it: the blocks of a cluster
/// share the tokens, and so do the warps of a block, tile by tile in turns.
struct tile_plan {
  int slices = 1;                    ///< units of a head
  int units = 1;                     ///< of a sequence
  int warp_bits = 2;                 ///< log2 of the warps of a block
  int block_bits = 0;                ///< log2 of the blocks of a cluster
  int positions = 0;                 ///< in the table of rotations
  int window = 0;                    ///< tokens whose values a convolution has in shared memory
  int window_rounds = 0;             ///< how many rounds that is, of tiles in the first pass
  std::uint32_t rounds_inverse = 0;  ///< ceil(2^32 / window_rounds), or 0 where no round is beyond the window
  std::uint32_t width_inverse = 0;   ///< ceil(2^32 / width of the picture); 0 for a width of 1
  bool two_rows = false;             ///< whether a tile of the second pass has 16 pixels and those below them
  double powers[16] = {};            ///< base^(-2^i / quarter), quarter = Hk K / 4
  // Where things lie in shared memory, in bytes.
  int queries = 0, values = 0, gates = 0, sums = 0, totals = 0, table = 0, factors = 0, weights = 0, taps = 0,
      bytes = 0;

  SEXTANT_FN int warps() const { return 1 << warp_bits; }
  SEXTANT_FN int blocks() const { return 1 << block_bits; }
  template <class Traits> SEXTANT_FN int chunk() const {
    return Traits::tokens << warp_bits;
  }  ///< tokens of a tile of each warp

  /// Lays out shared memory for sequences of so many tiles, and pictures of a width if the design has them. A convolution's
  /// window has all values of a block, or as many as leave room for the blocks that registers allow in so many bytes.
  template <class Traits> void lay_out(index_t tiles, int width, index_t room) {
    int at = 0;
    const auto take = [&](int& where, int size) { where = at, at += (size + 127) / 128 * 128; };
    take(queries, warps() * Traits::stages * Traits::tile_bytes);
    take(gates, warps() * Traits::stages * Traits::gate_bytes);
    take(sums, unit_numbers * 4);
    take(totals, block_bits > 0 ? unit_numbers * 4 : 0);
    if (block_bits == 0) totals = sums;
    take(table, positions * pair_stride * 4);
    take(factors, Traits::factor_bytes);
    take(weights, Traits::weights * unit_channels * 4);
    taps = totals;  // of which z alone is read when the taps are
    if constexpr (Traits::local) {
      const index_t share = (tiles + blocks() - 1) >> block_bits, all = share * Traits::tokens + 2 * width + 2;
      const index_t room_of_block = room / (Traits::blocks_at_once * (8 >> warp_bits)) - reserved_bytes;
      const index_t fit = (room_of_block - at) / Traits::spread_bytes - rows_again<Traits>;
      // Around a round, and one more on its way.
      const int least = (2 * width + 2 + 2 * chunk<Traits>()) / chunk<Traits>() + 1;
      window_rounds = int(fit / chunk<Traits>());
      if (window_rounds < least) window_rounds = least;
      rounds_inverse = 0, window = window_rounds * chunk<Traits>();
      if (all <= (fit > window ? fit : window)) window = int(all);
      else
        rounds_inverse =
            std::uint32_t(((std::uint64_t(1) << 32) + unsigned(window_rounds) - 1) / unsigned(window_rounds));
    }
    const int tiles_of_values = warps() * Traits::stages * Traits::value_bytes,
              passed = warps() / 2 * lane_numbers * 32 * 4;
    take(values, Traits::local              ? (window + rows_again<Traits>)*Traits::spread_bytes
                 : tiles_of_values > passed ? tiles_of_values
                                            : passed);
    bytes = at;
  }
  /// The place in a convolution's window of the first tile's first row of a round in the first pass.
  template <class Traits> SEXTANT_FN int window_of_round(int round) const {
#ifdef __CUDA_ARCH__
    round -= int(__umulhi(unsigned(round), rounds_inverse)) * window_rounds;
#endif
    return round * chunk<Traits>();
  }
  /// Whether a block's window has what tiles of two rows need: all its values, or those around a round and the one before it.
  template <class Traits> bool has_two_rows(index_t tiles, int width) const {
    return window >=
           (rounds_inverse == 0 ? tiles * Traits::tokens + 2 * width + 2 : 2 * chunk<Traits>() + 4 * width + 1);
  }
  /// Rows of the window that stand behind its last one too, of floats, so that six rows in a row are.
  template <class Traits> static constexpr int rows_again = Traits::exact ? 5 : 0;
  static constexpr int reserved_bytes = 1024;  ///< of shared memory, for the system, from each block
};

/// Row and column of a pixel.
struct pixel {
  int row, column;
};
__device__ __forceinline__ pixel pixel_of(int t, int width, std::uint32_t width_inverse) {
  const int row = width_inverse == 0 ? t : int(__umulhi(unsigned(t), width_inverse));
  return {row, t - row * width};
}

/// Of the pixels of a picture's first, third, ... rows number `number`, and which token it is; the one below it is a width
/// further. Beyond the last one that one again. For widths of 2 and more.
struct upper_pixel {
  pixel where;
  int token;
};
__device__ __forceinline__ upper_pixel upper_pixel_of(int number, int pixels, int width, std::uint32_t width_inverse) {
  number = min(number, pixels / 2 - 1);
  const int pairs_above = int(__umulhi(unsigned(number), width_inverse)), in_rows_above = pairs_above * width;
  return {{2 * pairs_above, number - in_rows_above}, number + in_rows_above};
}

/// What a warp works on.
struct warp_place {
  int lane, g, r, warp;  ///< g = lane / 4, r = lane % 4, as products have them
  int rank;              ///< of the block in its cluster
  int n, h, key_head;    ///< sequence and heads
  int first_channel, channels;
  int batch, first, length;  ///< of the sequence's tokens
  int first_token, tiles;    ///< of the block, and tiles of Traits::tokens
  int rounds;  ///< in which the warp has a tile each; where warps wait for each other the block's, all but the last

  template <class Traits>
  __device__ __forceinline__ static warp_place of(const device_call<float>& c, const tile_plan& p) {
    warp_place at;
    // Read anew each time, so that a place that is made again need not be kept in registers meanwhile.
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    at.lane = thread & 31, at.g = at.lane >> 2, at.r = at.lane & 3;
    at.warp = __shfl_sync(~0u, thread >> 5, 0);  // the same for all lanes, as the compiler then knows
    at.rank = int(blockIdx.x) & (p.blocks() - 1);
    const int unit = int(blockIdx.x) >> p.block_bits;
    at.n = int(blockIdx.z) * sequences_of_row + int(blockIdx.y);
    at.h = p.slices == 1 ? unit : unit / p.slices;
    at.key_head = c.key_heads == c.heads ? at.h : at.h * int(c.key_heads) / int(c.heads);
    at.first_channel = (unit - at.h * p.slices) * unit_channels;
    at.channels = min(int(c.values) - at.first_channel, unit_channels);
    const stretch s = c.sequence(at.n);
    at.batch = int(s.batch), at.first = int(s.first), at.length = int(s.length);
    if constexpr (Traits::turns || Traits::local) at.length = min(at.length, int(c.grid_height * c.grid_width));
    const int all = (at.length + Traits::tokens - 1) / Traits::tokens, share = (all + p.blocks() - 1) >> p.block_bits;
    at.first_token = at.rank * share * Traits::tokens;
    at.tiles = max(min(share, all - at.rank * share), 0);
    at.rounds = (at.tiles + p.warps() - 1 - (Traits::local ? 0 : at.warp)) >> p.warp_bits;
    return at;
  }
  /// Whether the warp has a tile in a round, and that tile's first token.
  template <class Traits> __device__ __forceinline__ bool has_tile(const tile_plan& p, int round) const {
    return !Traits::local || (round << p.warp_bits) + warp < tiles;
  }
  template <class Traits> __device__ __forceinline__ int token_of(const tile_plan& p, int round) const {
    return first_token + warp * Traits::tokens + (round * Traits::tokens << p.warp_bits);
  }
  /// Number `number` of the head's row of the sequence's first token.
  template <class Traits>
  __device__ __forceinline__ std::byte* row_of(const tensor<float>& x, int head, int number) const {
    return x.at(batch, first, head) + number * Traits::size;
  }
};

/// The tokens of a tile of answers: 32 in a row, or 16 pixels and those below them.
template <bool TwoRows> struct tile_tokens {
  int first;  ///< token of the tile, or of the upper pixels
  int length, width;
  std::uint32_t width_inverse;

  __device__ __forceinline__ tile_tokens(const device_call<float>& c, const tile_plan& p, const warp_place& at, int t)
      : first{TwoRows ? t / 2 : t}, length{at.length}, width{int(c.grid_width)}, width_inverse{p.width_inverse} {}
  __device__ __forceinline__ upper_pixel upper(int row) const {
    return upper_pixel_of(first + row, length, width, width_inverse);
  }
  /// The tokens of rows g, g + 8, g + 16 and g + 24, and whether there is one.
  __device__ __forceinline__ void of_rows(int g, int (&t)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) t[i] = !TwoRows ? first + g + 8 * i : i < 2 ? upper(g + 8 * i).token : t[i - 2] + width;
  }
  __device__ __forceinline__ bool has(int token) const { return TwoRows || token < length; }
};

/// A row of token t, from that of the first one. In one instruction, which the compiler makes five of.
template <class Byte> __device__ __forceinline__ Byte* row_of_token(Byte* first, index_t step, int t) {
  Byte* row;
  asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(row) : "r"(t), "r"(int(step)), "l"(first));
  return row;
}

}  // namespace sextant::gpu::pooling
