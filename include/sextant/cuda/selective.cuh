// SPDX-License-Identifier: Apache-2.0
/// @file  The family of kernels for forget gates that vary over channels: Mamba's selective scan, and what is near it.
#pragma once

#include <sextant/cuda/launch.cuh>
#include <sextant/cuda/selective/calls.cuh>
#include <sextant/cuda/selective/kernel.cuh>

namespace sextant::gpu {

/// The recurrence itself, token after token, with channels over the lanes of a warp and their states in registers, for forget
/// gates of each key and channel (Mamba-1) and of each channel, and for gates of each key where keys are few; also without a
/// forget gate, or with one of a head, beside an input gate of each channel where keys are few.
///
/// Runs every order but the global one, any input gate, forget gates that vary over channels or read a tensor per key, not
/// both, pointwise maps, rotary positions, no convolution of v, norm::none and norm::sum_undecayed; tokens of bfloat16, half or
/// float with sums in float. Takes K up to 64 (16 for gates of keys) and V whose rows are multiples of 16 bytes and lie so,
/// any T; K of 16, 32 or 64 where a gate is no number at a rate of 0. Deterministic. Cost: B T H K V exponentials (16 per
/// clock and multiprocessor) and 8 to 9 instructions for each; every token tensor is read once, q and k once for every 16
/// channels, from L2.
struct selective {
  static constexpr const char* form = "recurrent";

  /// Whether gates vary over channels: a forget gate, for which there is no other form; or an input gate alone, which
  /// matrix products are told of number by number. Of tokens of float, gates of a head are left to sums of their logarithms.
  template <class Design, class Precision>
  static constexpr bool has_a_reason =
      !lanes::same_for_all<typename Design::forget_type> ||
      (granularity<typename Design::input_type> == per::channel &&
       (std::is_same_v<typename Design::forget_type, forget::one> || sizeof(typename Precision::token) == 2));

  template <class Design, class Precision>
  static constexpr bool runs =
      has_a_reason<Design, Precision> &&
      lanes::decay_kind_of<typename Design::forget_type>() != lanes::decay_kind::other &&
      lanes::meets_tokens_in_turn<Design, Precision> &&
      (std::is_same_v<typename Design::norm_type, norm::none> ||
       std::is_same_v<typename Design::norm_type, norm::sum_undecayed>);

  template <class Design, class Precision>
  static bool takes(const Design& design, const sequence_of<Design, Precision>& x) {
    using traits = lanes::design_traits<Design, Precision>;
    const index_t K = x.k.template extent<axis::key>();
    if (!lanes::takes_keys(design, K, K <= 16 || traits::forget_of_key ? 16 : K <= 32 ? 32 : 64)) return false;
    if (!lanes::fits_a_grid(x)) return false;
    if constexpr (lanes::same_for_all<typename Design::forget_type>) {
      // few keys, and channels that fill the GPU: elsewhere products are faster
      if (K > 16 || blocks_of(x, 8) < 4 * device_attribute(cudaDevAttrMultiProcessorCount))
        return false;
    }
    const auto fits = [](const auto& rows) { return rows_fit(rows); };
    return fits(x.q) && fits(x.k) && lanes::rows_of_channels_fit<Design, Precision>(x, fits);
  }

  /// What the first pass over a sequence cut into segments leaves: B H (n - 1) (K + 1) V floats for n segments. 0 where
  /// there are channels enough.
  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design&, const sequence_of<Design, Precision>& x) {
    return bytes_of(x, segments_of(x));
  }

  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    return run_cut(design, x, on, segments_of(x));
  }
  /// With a number of segments of the caller's choice, for which the workspace must be enough; at most T / 8. Calls that
  /// cannot be cut, of more than 16 keys among them, have one.
  template <class Design, class Precision>
  static status run_cut(const Design& design, const sequence_of<Design, Precision>& x, const stream& on, int segments) {
    using traits = lanes::design_traits<Design, Precision>;
    if constexpr (traits::forget_of_key || lanes::same_for_all<typename Design::forget_type>) {
      return run_warps<16, 4, 2, 1>(design, x, on, 1);
    } else {
      // tokens of float take twice the room in shared memory: fewer channels to a warp
      if (x.k.template extent<axis::key>() > 32) {
        if constexpr (traits::exact) return run_warps<64, 8, 2, 1>(design, x, on, 1);
        else return run_warps<64, 4, 2, 2>(design, x, on, 1);
      }
      if (x.k.template extent<axis::key>() > 16) {
        if constexpr (traits::exact) return run_warps<32, 8, 2, 1>(design, x, on, 1);
        else return is_wide(x) ? run_warps<32, 4, 2, 2>(design, x, on, 1) : run_warps<32, 8, 2, 4>(design, x, on, 1);
      }
      return segments > 1 || is_wide(x) ? run_warps<16, 4, 2, 1>(design, x, on, segments)
                                        : run_warps<16, 4, 1, 1>(design, x, on, 1);
    }
  }
  template <class Sequence> static std::size_t bytes_of(const Sequence& x, int segments) {
    const index_t numbers = (x.k.template extent<axis::key>() + 1) * x.v.template extent<axis::value>();
    return segments > 1 ? std::size_t(heads_of(x) * (segments - 1) * numbers) * sizeof(float) : 0;
  }

 private:
  /// Rows of whole pieces of 16 bytes, at multiples of 16 bytes; 8 tokens are less than 2 GiB apart.
  template <class View> static bool rows_fit(const View& rows) {
    const index_t apart = rows.template stride<axis::time>() * index_t(sizeof(*rows.data())) * 8;
    return rows_in_pieces(rows, 16) && apart < (index_t(1) << 31) && apart > -(index_t(1) << 31);
  }

  template <class Sequence> static index_t blocks_of_head(const Sequence& x, int channels) {
    return (x.v.template extent<axis::value>() + channels - 1) / channels;
  }
  template <class Sequence> static index_t blocks_of(const Sequence& x, int channels) {
    return sequences_of(x) * x.v.template extent<axis::head>() * blocks_of_head(x, channels);
  }
  /// 16 channels to a warp, or 8: whichever leaves the busiest of the GPU's schedulers, 4 to a multiprocessor, with less to do.
  /// A warp of 8 channels costs 6 tenths of one of 16.
  template <class Sequence> static bool is_wide(const Sequence& x) {
    const index_t many = 4 * index_t(device_attribute(cudaDevAttrMultiProcessorCount));
    if (many == 0) return true;
    const index_t wide = (blocks_of(x, 16) + many - 1) / many, narrow = (blocks_of(x, 8) + many - 1) / many;
    return narrow * 6 >= wide * 10;
  }
  template <class Design, class Precision> static int segments_of(const sequence_of<Design, Precision>& x) {
    if constexpr (lanes::can_be_cut<lanes::warp_layout<Design, Precision, 16, 4, 2, 1>>)
      if (!x.offsets && x.k.template extent<axis::key>() <= 16)
        return lanes::segments_for(blocks_of(x, 16), x.v.template extent<axis::time>(),
                                   device_attribute(cudaDevAttrMultiProcessorCount));
    return 1;
  }

  template <int Keys, int Lanes, int Own, int Warps, class Design, class Precision>
  static status run_warps(const Design& design, const sequence_of<Design, Precision>& x, const stream& on,
                          int segments) {
    using walk = lanes::warp_walk<Design, Precision, Keys, Lanes, Own, Warps>;
    return run_kernel(lanes::selective_kernel<Design, Precision, Keys, Lanes, Own, Warps>, walk::layout::of_block,
                      32 * Warps, sizeof(typename walk::memory), design, x, on, segments);
  }
  /// One of the kernels, of so many channels, threads and bytes of shared memory to a block.
  template <class Kernel, class Design, class Precision>
  [[gnu::noinline]] static status run_kernel(Kernel* kernel, int channels, int threads, std::size_t bytes,
                                             const Design& design, const sequence_of<Design, Precision>& x,
                                             const stream& on, int segments) {
    if (blocks_of(x, channels) == 0) return {};
    lanes::segmentation cut = lanes::cut_into(segments, x.v.template extent<axis::time>());
    const auto start = [&](index_t of_block) {
      const dim3 grid(unsigned(blocks_of_head(x, channels) * of_block), unsigned(x.v.template extent<axis::head>()),
                      unsigned(sequences_of(x)));
      return launch(kernel, grid, dim3(unsigned(threads)), bytes, on.handle, design, x, cut);
    };
    if (cut.count <= 1) return start(1);
    cut.ends = reinterpret_cast<float*>(on.memory.data);
    cut.spans = cut.ends +
                heads_of(x) * (cut.count - 1) * x.k.template extent<axis::key>() * x.v.template extent<axis::value>();
    cut.first_pass = true;
    if (const status first = start(cut.count - 1); !first) return first;
    cut.first_pass = false;
    return start(cut.count - 1);
  }
  template <class Sequence> static index_t heads_of(const Sequence& x) {
    return x.v.template extent<axis::batch>() * x.v.template extent<axis::head>();
  }
};

}  // namespace sextant::gpu
