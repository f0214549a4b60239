// SPDX-License-Identifier: Apache-2.0
/// @file  The family of kernels for state spaces that are the same for every token, in chunks on the matrix units.
#pragma once

#include <sextant/cuda/state_space.cuh>
#include <sextant/cuda/state_space/chunks.cuh>

namespace sextant::gpu {

/// Chunks of 8 tokens as products of matrices in TF32, with powers of the gate in registers: what tokens say to the state,
/// the state to tokens, and tokens to one another. The 16 rows of a product are 16 streams, so that no lane waits for another's
/// state: whole sequences where there are 16 of them, else segments, whose first states a pass before finds. Up to 16 streams
/// in all are one launch, which needs no workspace.
///
/// Runs time-invariant designs of 16-bit tokens without input gate, output gate and convolution of v, causal or reversed.
/// Takes K up to 64 and channels that lie one behind the other, all heads' together, in rows of whole pieces of 16 bytes;
/// packed sequences too. From sm_80 on. Deterministic. Cost: 2 K + 8 multiply-adds for each token and channel.
struct state_space_chunked {
  static constexpr const char* form = "chunked";

  template <class Design, class Precision>
  static constexpr bool runs = time_invariant<typename Design::forget_type> && sizeof(typename Precision::token) == 2 &&
                               std::is_same_v<typename Precision::accumulator,
                                              float>&& std::is_same_v<typename Design::input_type, input::one> &&
                               !sextant::detail::has_output_gate<Design> && !sextant::detail::is_local<Design>;

  template <class Design, class Precision> static bool takes(const Design&, const sequence_of<Design, Precision>& x) {
    return state_space::pairs_of(x) <= 32 && x.v.template extent<axis::time>() >= 64 &&
           x.v.template extent<axis::time>() < (index_t(1) << 30) && rows_fit(x.v) && rows_fit(x.y) &&
           sequences_of(x) < 65536 && state_space::channels_of(x) < (index_t(1) << 30) &&
           device_attribute(cudaDevAttrComputeCapabilityMajor) >= 8;
  }
  /// Of the discretised pairs, and the states between the parts of sequences that are cut.
  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design&, const sequence_of<Design, Precision>& x) {
    return bytes_of(x, cuts_of(x));
  }
  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    return run_cut(design, x, on, cuts_of(x));
  }

  /// How sequences are cut: into segments, and these, for the pass that finds their first states, into parts. at_once: one
  /// launch does it all, for at most 16 streams and no parts.
  struct cuts {
    int segments = 1, parts = 1;
    bool at_once = false;
  };
  /// With cuts of the caller's choice, none for packed sequences, for which the workspace must be enough.
  template <class Design, class Precision>
  static status run_cut(const Design& design, const sequence_of<Design, Precision>& x, const stream& on, cuts cut) {
    const index_t channels = state_space::channels_of(x), sequences = sequences_of(x);
    if (channels == 0 || sequences == 0) return {};
    diagonal::call_of<float> c;
    c.pairs = int(state_space::pairs_of(x));
    c.scale = float(design.scale(x.c.template extent<axis::key>()));
    c.table = reinterpret_cast<float*>(on.memory.data);
    const index_t of_part = index_t(cut.segments) * cut.parts * diagonal::chunk;
    c.of_segment = (x.v.template extent<axis::time>() + of_part - 1) / of_part * diagonal::chunk;
    // No more than there are tokens for: all but the last are whole.
    c.segments = int((x.v.template extent<axis::time>() + c.of_segment * cut.parts - 1) / (c.of_segment * cut.parts));
    c.parts = cut.parts;
    const index_t direction =
        std::is_same_v<typename Design::order_type, order::reversed> ? -diagonal::stage : diagonal::stage;
    c.v_stage = direction * x.v.template stride<axis::time>(),
    c.y_stage = direction * x.y.template stride<axis::time>();
    c.ends = cut.at_once ? nullptr : c.table + state_space::table_numbers(x);
    if (cut.at_once)
      return c.pairs <= 8    ? run_at_once<2>(design, x, on, c)
             : c.pairs <= 16 ? run_at_once<4>(design, x, on, c)
                             : run_at_once<8>(design, x, on, c);
    if (const status done = state_space::discretise(design, x, c, on); !done) return done;
    if (c.pairs <= 8) return run_tiles<2>(design, x, on, c);
    return c.pairs <= 16 ? run_tiles<4>(design, x, on, c) : run_tiles<8>(design, x, on, c);
  }
  template <class Design, class Precision>
  static std::size_t bytes_of(const sequence_of<Design, Precision>& x, cuts cut) {
    return cut.at_once ? 0 : state_space::bytes_of(x, cut.segments > 1 ? cut.segments * cut.parts : 1);
  }

 private:
  /// Whether channel c of all heads lies c numbers behind the first, in rows of pieces of 16 bytes.
  template <class View> static bool rows_fit(const View& rows) {
    const index_t H = rows.template extent<axis::head>(), V = rows.template extent<axis::value>();
    if (reinterpret_cast<std::uintptr_t>(rows.data()) % 16 != 0 || H * V % 8 != 0) return false;
    if ((V > 1 && rows.template stride<axis::value>() != 1) || (H > 1 && rows.template stride<axis::head>() != V))
      return false;
    return rows.template stride<axis::batch>() % 8 == 0 && rows.template stride<axis::time>() % 8 == 0;
  }
  template <class Design, class Precision> static cuts cuts_of(const sequence_of<Design, Precision>& x) {
    const index_t sequences = sequences_of(x), tokens = x.v.template extent<axis::time>();
    if (x.offsets || sequences == 0) return {};
    // Enough streams that every multiprocessor has a block, if segments of 256 tokens are.
    const index_t blocks = (state_space::channels_of(x) + diagonal::columns - 1) / diagonal::columns;
    index_t wanted = device_attribute(cudaDevAttrMultiProcessorCount) / (blocks > 0 ? blocks : 1) * diagonal::rows;
    if (wanted < diagonal::rows) wanted = diagonal::rows;
    const index_t most = tokens / 256;
    index_t segments = wanted / sequences < most ? wanted / sequences : most;
    // One launch, where its 16 streams are enough, but not so long that the registers that it lacks cost more than launches; parts
    // save a quarter of the time where segments are few and long.
    const index_t at_once = diagonal::rows / sequences;
    if (at_once > 1 && at_once >= segments && tokens <= (at_once > 4 ? 32768 : 2048)) return {int(at_once), 1, true};
    if (segments < 2) return {};
    // The last segment needs no first pass: where the others are few, halves of theirs are as many streams.
    const int parts = segments <= 4 ? 2 : 1;
    return {int(segments), parts};
  }
  template <int Tiles, class Design, class Precision>
  static status run_at_once(const Design& design, const sequence_of<Design, Precision>& x, const stream& on,
                            const diagonal::call_of<float>& c) {
    const unsigned blocks = unsigned((state_space::channels_of(x) + diagonal::columns - 1) / diagonal::columns);
    return launch(diagonal::state_space_at_once_kernel<Design, Precision, Tiles>, dim3(blocks),
                  dim3(diagonal::chunk_threads),
                  sizeof(diagonal::chunk_memory<typename Precision::token, Tiles, true, true>), on.handle, design, x, c,
                  int(sequences_of(x) * c.segments));
  }
  template <int Tiles, class Design, class Precision>
  static status run_tiles(const Design& design, const sequence_of<Design, Precision>& x, const stream& on,
                          diagonal::call_of<float> c) {
    const unsigned blocks = unsigned((state_space::channels_of(x) + diagonal::columns - 1) / diagonal::columns);
    using stored = typename Precision::token;
    const auto start = [&](auto kernel, std::size_t bytes, index_t of_sequence) {
      const index_t streams = sequences_of(x) * of_sequence;
      return launch(kernel, dim3(blocks, unsigned((streams + diagonal::rows - 1) / diagonal::rows)),
                    dim3(diagonal::chunk_threads), bytes, on.handle, design, x, c, int(streams));
    };
    if (c.segments > 1) {
      c.first_pass = true;
      const status first = start(diagonal::chunked_state_space_kernel<Design, Precision, Tiles, false>,
                                 sizeof(diagonal::chunk_memory<stored, Tiles, false>), (c.segments - 1) * c.parts);
      if (!first) return first;
      c.first_pass = false;
    }
    return start(diagonal::chunked_state_space_kernel<Design, Precision, Tiles, true>,
                 sizeof(diagonal::chunk_memory<stored, Tiles, true>), c.segments);
  }
};

}  // namespace sextant::gpu
