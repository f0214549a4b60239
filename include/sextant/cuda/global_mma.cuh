// SPDX-License-Identifier: Apache-2.0
/// @file  The global form by the tensor cores: heads of up to 32 keys, in one launch.
#pragma once

#include <cmath>  // pow

#include <sextant/cuda/global_mma/kernel.cuh>
#include <sextant/cuda/launch.cuh>

namespace sextant::gpu {

/// The global form, for order::global (MILA, linear attention without a mask):
///   S = S_0 + sum of phi(k_t)^T (I_t (.) v_t),  z = z_0 + sum of phi(k_t),  then
///   y_t = (scale phi(q_t) S) / (phi(q_t) z + eps, or 1) + shortcut, times silu of the output gate,
/// the products' queries and keys turned by rotary_2d. One launch, no workspace: the blocks of a cluster share the tokens of
/// some heads, add up each other's sums in their order and answer. q, k and y pass through memory once, v twice with a
/// shortcut. Products of bfloat16, of float16, of what comes of them in TF32, and of float by three in TF32. Deterministic.
///
/// Runs every design of that order with a pointwise map, but for abs_max and rotary_1d; tokens of bfloat16, float16 and float
/// with sums in float. Takes 8, 16, 24 or 32 keys, channels of a head and strides that make pieces of 16 bytes (8 channels for
/// float too), any number of tokens, packed sequences; of rotary_2d pictures whose longer side's table of rotations fits
/// into shared memory, and Hk K a multiple of 16 up to 2^18. With more than 32 channels the normaliser's final state may not take
/// the place of the initial one.
struct global_mma {
  static constexpr const char* form = "global";

  template <class Design, class Precision>
  static constexpr bool runs = [] {
    using namespace sextant::detail;
    using token = typename Precision::token;
    return std::is_same_v<typename Design::order_type, order::global> && !stabilises<Design> && !turns_1d<Design> &&
           pointwise_map<typename Design::map_type> &&
           (sizeof(token) == 2 || std::is_same_v<token, float>)&&std::is_same_v<typename Precision::state, float> &&
           std::is_same_v<typename Precision::accumulator, float>;
  }();

  template <class Design, class Precision>
  static bool takes(const Design& design, const sequence_of<Design, Precision>& x) {
    using traits = traits_of<Design, Precision>;
    status found;
    const auto c = make_call(design, x, found);
    constexpr index_t most = index_t(1) << 30;
    if (c.width < 8 || c.width > pooling::unit_keys || c.width % 8 != 0 || c.values < 1 || c.values % 8 != 0)
      return false;
    if (c.tokens >= most || c.sequences >= most || c.heads * c.key_heads >= most || units_of(c) * 8 >= most)
      return false;
    if (!in_pieces(c.q, c.q.key) || !in_pieces(c.k, c.k.key) || !in_pieces(c.v, c.v.value) ||
        !in_pieces(c.y, c.y.value))
      return false;
    if (traits::output_gate && !in_pieces(c.output_gate, c.output_gate.value)) return false;
    if constexpr (traits::gate_rows) {
      const auto& raw = reads_step<typename Design::input_type> ? c.dt : c.input_raw;
      if (!in_pieces(raw, raw.value)) return false;
    }
    if (traits::turns && (c.key_heads * c.width % 16 != 0 || c.key_heads * c.width > (index_t(1) << 18))) return false;
    // Units of one head begin with the same z, which one of them stores.
    if (traits::normalises && c.values > pooling::unit_channels && c.z_in && c.z_in.data == c.z_out.data) return false;
    if ((traits::turns || traits::local) && c.tokens > 0 &&
        (c.grid_width < 1 || c.grid_height * c.grid_width * c.grid_width >= (index_t(1) << 32)))
      return false;
    // Longer sides would not fit into shared memory, nor their bytes into the plan.
    constexpr index_t side = 4096;
    if ((traits::turns || traits::local) && (c.grid_width > side || (traits::turns && c.grid_height > side)))
      return false;
    if (device_attribute(cudaDevAttrComputeCapabilityMajor) < 8) return false;
    return std::size_t(plan_of<traits>(design, c).bytes) <= shared_bytes_of_block();
  }
  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design&, const sequence_of<Design, Precision>&) {
    return 0;
  }
  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    status found;
    const auto c = make_call(design, x, found);
    return run_plan<Design, Precision>(design, c, plan_of<traits_of<Design, Precision>>(design, c), on);
  }

  template <class Design, class Precision> using traits_of = pooling::tile_traits<Design, typename Precision::token>;

  /// How a call is divided among so many multiprocessors with so much shared memory each.
  template <class Traits>
  static pooling::tile_plan plan_of(const typename Traits::design_type& design, const device_call<float>& c,
                                    index_t multiprocessors = device_attribute(cudaDevAttrMultiProcessorCount),
                                    index_t room = device_attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor)) {
    pooling::tile_plan p;
    p.slices = int((c.values + pooling::unit_channels - 1) / pooling::unit_channels);
    p.units = int(units_of(c));
    const index_t width = c.grid_width, units = c.sequences * p.units, tiles = tiles_of<Traits>(c);
    if constexpr (Traits::turns) {
      const index_t rows = width > 0 ? c.grid_height + (Traits::tokens - 2 + width) / width : 0;
      p.positions = int(rows > width ? rows : width);
      const double quarter = double(c.key_heads * c.width) / 4;
      for (int i = 0; i < 16; ++i) p.powers[i] = std::pow(design.position.base, -double(1 << i) / quarter);
    }
    if ((Traits::turns || Traits::local) && width > 1)
      p.width_inverse = std::uint32_t(((std::uint64_t(1) << 32) + std::uint64_t(width) - 1) / std::uint64_t(width));
    // Where the units are more than the blocks that fit at once, they come in waves. A wave takes as long as each warp's tiles,
    // and two more for all else, and a multiprocessor works on some 12 warps as on fewer.
    pooling::tile_plan chosen;
    index_t least = -1;
    for (p.warp_bits = 0; p.warp_bits <= 3; ++p.warp_bits) {
      if (p.warp_bits > 0 && (index_t(1) << p.warp_bits) > tiles) break;
      lay_out<Traits>(p, c, room);
      const index_t by_memory = room / (p.bytes + pooling::tile_plan::reserved_bytes),
                    by_registers = Traits::blocks_at_once * (8 >> p.warp_bits);
      if (by_memory < 1 && p.warp_bits > 0) break;
      index_t fit = by_memory < by_registers ? by_memory : by_registers;
      if (fit < 1) fit = 1;
      const index_t waves = (units + fit * multiprocessors - 1) / (fit * multiprocessors),
                    of_each = units / multiprocessors + 1;
      const index_t warps = (of_each < fit ? of_each : fit) << p.warp_bits,
                    rounds = (tiles + p.warps() - 1) >> p.warp_bits;
      const index_t cost = waves * (rounds + 2) * (warps > 12 ? warps : 12);
      if (least < 0 || cost <= least) least = cost, chosen = p;
    }
    // A few units are shared by blocks, while each warp has two tiles.
    const auto more = [&] {
      const index_t blocks = index_t(2) << chosen.block_bits;
      return tiles >= 2 * (blocks << chosen.warp_bits) && units * blocks <= 2 * multiprocessors;
    };
    if (has_clusters<Traits>())
      while (chosen.block_bits < 3 && more()) ++chosen.block_bits;
    lay_out<Traits>(chosen, c, room);
    if (chosen.block_bits > 0 && std::size_t(chosen.bytes) > shared_bytes_of_block()) {
      chosen.block_bits = 0;  // what a cluster adds up takes room too
      lay_out<Traits>(chosen, c, room);
    }
    return chosen;
  }
  /// Lays out a plan's shared memory, of which a multiprocessor has so much.
  template <class Traits>
  static void lay_out(pooling::tile_plan& p, const device_call<float>& c,
                      index_t room = device_attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor)) {
    // Of packed sequences only their mean length is known here: any may have all tokens.
    const index_t tiles = c.offsets != nullptr ? tiles_of<Traits>(c.tokens) : tiles_of<Traits>(c);
    p.template lay_out<Traits>(tiles, int(c.grid_width), room);
    // A block that has a whole picture, with as many upper rows as lower ones.
    p.two_rows = Traits::in_pairs && p.width_inverse != 0 && p.block_bits == 0 && c.offsets == nullptr &&
                 c.grid_height % 2 == 0 && c.tokens == c.grid_height * c.grid_width &&
                 p.template has_two_rows<Traits>(tiles, int(c.grid_width));
  }
  /// Runs a call as a plan says.
  template <class Design, class Precision>
  static status run_plan(const Design& design, const device_call<float>& c, const pooling::tile_plan& p,
                         const stream& on) {
    if (c.sequences == 0 || p.units == 0) return {};
    const index_t of_row = c.sequences < pooling::sequences_of_row ? c.sequences : index_t(pooling::sequences_of_row);
    const dim3 grid(unsigned(p.units << p.block_bits), unsigned(of_row), unsigned((c.sequences + of_row - 1) / of_row));
    return launch_clusters(unsigned(p.blocks()), &pooling::global_mma_kernel<Design, typename Precision::token>, grid,
                           dim3(unsigned(32 * p.warps())), std::size_t(p.bytes), on.handle, design, c, p);
  }

 private:
  template <class Traits> static index_t tiles_of(index_t length) {
    return (length + Traits::tokens - 1) / Traits::tokens;
  }
  template <class Traits> static index_t tiles_of(const device_call<float>& c) {
    return tiles_of<Traits>(c.offsets != nullptr && c.sequences > 0 ? c.tokens / c.sequences : c.tokens);
  }
  static index_t units_of(const device_call<float>& c) {
    return c.heads * ((c.values + pooling::unit_channels - 1) / pooling::unit_channels);
  }
  /// Whether the current device has this program's kernels in code that knows clusters.
  template <class Traits> static bool has_clusters() {
    cudaFuncAttributes attributes;
    return device_attribute(cudaDevAttrComputeCapabilityMajor) >= 9 &&
           cudaFuncGetAttributes(&attributes,
                                 pooling::global_mma_kernel<typename Traits::design_type, typename Traits::token>) ==
               cudaSuccess &&
           attributes.binaryVersion >= 90 && attributes.ptxVersion >= 90;
  }
};

}  // namespace sextant::gpu
