// SPDX-License-Identifier: Apache-2.0
/// @file  The family of kernels for state spaces that are the same for every token: S4D, by its recurrence.
#pragma once

#include <sextant/cuda/launch.cuh>
#include <sextant/cuda/state_space/step.cuh>
#include <sextant/cuda/views.cuh>

namespace sextant::gpu {

/// The recurrence itself, token after token: pairs in registers, those of a channel in 1 to 32 lanes; channels of all heads
/// over the others. A first launch discretises all pairs in float64 once for all sequences. Where channels and sequences
/// leave the GPU idle, sequences are cut into segments: a first pass finds the state that each leaves behind, which powers
/// of the gate carry on.
///
/// Runs every time-invariant design; takes every stride and precision, any T, K up to 512 (256 in double). Deterministic.
/// Cost: 6.5 multiply-adds for each pair, token and channel, up to 1.7 times that in segments.
struct state_space {
  static constexpr const char* form = "recurrent";

  template <class Design, class Precision> static constexpr bool runs = time_invariant<typename Design::forget_type>;

  template <class Design, class Precision> static bool takes(const Design&, const sequence_of<Design, Precision>& x) {
    using real = typename Precision::accumulator;
    return pairs_of(x) <= 32 * diagonal::pairs_of_lane<real> && x.v.template extent<axis::time>() < (index_t(1) << 31);
  }
  /// Of the discretised pairs, and n + 1 states for sequences cut into n segments.
  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design&, const sequence_of<Design, Precision>& x) {
    return bytes_of(x, segments_of(x));
  }
  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    return run_cut(design, x, on, segments_of(x));
  }
  /// With a number of segments of the caller's choice, 1 for packed sequences, for which the workspace must be enough.
  template <class Design, class Precision>
  static status run_cut(const Design& design, const sequence_of<Design, Precision>& x, const stream& on, int segments) {
    using real = typename Precision::accumulator;
    constexpr int pairs = diagonal::pairs_of_lane<real>;
    const index_t channels = channels_of(x), sequences = sequences_of(x), tokens = x.v.template extent<axis::time>();
    if (channels == 0 || sequences == 0) return {};
    diagonal::call_of<real> c;
    c.pairs = int(pairs_of(x));
    c.scale = real(design.scale(x.c.template extent<axis::key>()));
    c.lanes = lanes_of<real>(c.pairs);
    c.table = reinterpret_cast<real*>(on.memory.data);
    c.of_segment = (tokens + 8 * segments - 1) / (8 * segments) * 8;
    c.segments = segments > 1 ? int((tokens + c.of_segment - 1) / c.of_segment) : 1;
    c.ends = c.table + table_numbers(x);
    if (const status done = discretise(design, x, c, on); !done) return done;
    if (tokens == 1 && !x.offsets && sequences < 65535 * diagonal::step_sequences &&
        fills_by_channels(channels * sequences)) {
      const dim3 grid(unsigned((channels + diagonal::threads - 1) / diagonal::threads),
                      unsigned((sequences + diagonal::step_sequences - 1) / diagonal::step_sequences));
      return launch(diagonal::step_state_space_kernel<Design, Precision>, grid, dim3(diagonal::threads), 0, on.handle,
                    design, x, c);
    }
    const index_t of_block = diagonal::threads / c.lanes, blocks = (channels + of_block - 1) / of_block;
    // Enough blocks to fill the GPU; the others' sequences come one after another, with the same pairs in registers.
    const index_t wanted = (32 * index_t(device_attribute(cudaDevAttrMultiProcessorCount)) + blocks - 1) / blocks;
    const index_t groups = tokens > 64 || sequences < wanted ? sequences : wanted;
    const auto start = [&](int of_sequence) {
      const dim3 grid(unsigned(blocks * of_sequence), unsigned(groups < 65535 ? groups : 65535));
      return launch(diagonal::state_space_kernel<Design, Precision, pairs>, grid, dim3(diagonal::threads), 0, on.handle,
                    design, x, c);
    };
    if (c.segments == 1) return start(1);
    c.first_pass = true;
    if (const status first = start(c.segments - 1); !first) return first;
    c.first_pass = false;
    return start(c.segments);
  }
  template <class Design, class Precision>
  static std::size_t bytes_of(const sequence_of<Design, Precision>& x, int segments) {
    using real = typename Precision::accumulator;
    const index_t states = segments > 1 ? sequences_of(x) * (segments + 1) * channels_of(x) * pairs_of(x) * 2 : 0;
    return std::size_t(table_numbers(x) + states) * sizeof(real);
  }

  // What the chunked form's kernels are started with too.

  /// Fills the table of pairs.
  template <class Design, class Precision>
  static status discretise(const Design& design, const sequence_of<Design, Precision>& x,
                           const diagonal::call_of<typename Precision::accumulator>& c, const stream& on) {
    const index_t all = channels_of(x) * c.pairs;
    if (all == 0) return {};
    return launch(diagonal::discretise_kernel<Design, Precision>,
                  dim3(unsigned((all + diagonal::threads - 1) / diagonal::threads)), dim3(diagonal::threads), 0,
                  on.handle, design, x, c);
  }
  template <class Sequence> static index_t pairs_of(const Sequence& x) { return x.c.template extent<axis::key>() / 2; }
  template <class Sequence> static index_t channels_of(const Sequence& x) {
    return x.v.template extent<axis::head>() * x.v.template extent<axis::value>();
  }
  template <class Sequence> static index_t table_numbers(const Sequence& x) {
    return pairs_of(x) * channels_of(x) * diagonal::fields;
  }

 private:
  /// Whether one token of so many channels of sequences keeps the GPU busy with a thread for four of them.
  static bool fills_by_channels(index_t all) {
    return all >= 256 * diagonal::step_sequences * index_t(device_attribute(cudaDevAttrMultiProcessorCount));
  }
  /// Lanes of a channel.
  template <class Real> static int lanes_of(int pairs) {
    int lanes = 1;
    while (lanes * diagonal::pairs_of_lane<Real> < pairs) lanes *= 2;
    return lanes;
  }
  /// Segments that bring 16 warps to each multiprocessor, of 128 tokens at least.
  template <class Design, class Precision> static int segments_of(const sequence_of<Design, Precision>& x) {
    using real = typename Precision::accumulator;
    const index_t tokens = x.v.template extent<axis::time>();
    const index_t warps = sequences_of(x) * channels_of(x) * lanes_of<real>(int(pairs_of(x))) / 32 + 1;
    const index_t wanted = 16 * index_t(device_attribute(cudaDevAttrMultiProcessorCount)), most = tokens / 128;
    if (x.offsets || wanted < 2 * warps) return 1;
    const index_t segments = wanted / warps < most ? wanted / warps : most;
    return segments < 2 ? 1 : segments < 256 ? int(segments) : 256;
  }
};

}  // namespace sextant::gpu
