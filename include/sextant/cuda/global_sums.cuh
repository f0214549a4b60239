// SPDX-License-Identifier: Apache-2.0
/// @file  The global form on a GPU: sums over all tokens, then every token's answer.
#pragma once

#include <sextant/cuda/global/answers.cuh>
#include <sextant/cuda/launch.cuh>
#include <sextant/cuda/untyped_family.cuh>

namespace sextant::gpu {

/// The global form, for order::global (linear attention without a causal mask, MILA):
///   S = S_0 + sum of phi(k_t)^T (I_t (.) v_t),  z = z_0 + sum of phi(k_t),  then
///   y_t = (scale phi(q_t) S) / (phi(q_t) z + eps, or 1) + shortcut, times silu of the output gate.
/// Every design of that order but those with a map that expands or norm::abs_max; every precision, shape, stride, rotary
/// positions, packed sequences. Products in the call's own arithmetic, in three launches: sums of parts of the tokens, their
/// total in the order of the parts, answers. Deterministic. O(T K V) per head, 4 operations for each.
///
/// Workspace: the sums of every part, B H K V numbers for each and B H K more with a normaliser; parts are so many that there
/// are about four blocks for each multiprocessor.
struct global_sums : untyped_family<global_sums> {
  static constexpr const char* form = "global";
  template <class Design, class Precision>
  static constexpr bool runs = std::is_same_v<typename Design::order_type, order::global> &&
                               !sextant::detail::stabilises<Design> &&
                               sextant::detail::pointwise_map<typename Design::map_type>;

  template <class Design, class Precision> static bool takes(const Design& design, const sequence_of<Design, Precision>& x) {
    status found;
    return takes_call(make_call(design, x, found));
  }

  template <class Real> static bool takes_call(const device_call<Real>& c) {
    constexpr index_t most = index_t(1) << 30;
    if (c.width < 1 || c.values < 1) return false;
    const summing::division d = divide(c);
    const index_t heads = c.sequences * c.heads * d.channel_tiles;
    return heads * d.key_tiles * d.parts < most && heads * d.answer_blocks < most &&
           c.sequences * c.heads * c.width * (c.values + 1) / summing::threads < most;
  }
  template <class Real, class Parts> static std::size_t bytes_of_call(const device_call<Real>& c, const Parts&) {
    return std::size_t(divide(c).parts * summing::division::numbers_of_part(c)) * sizeof(Real);
  }
  template <class Real, class Parts>
  static status run_call(const device_call<Real>& c, const Parts& parts, const stream& on) {
    using namespace summing;
    const division d = divide(c);
    const index_t heads = c.sequences * c.heads, numbers = division::numbers_of_part(c);
    if (heads == 0) return {};
    Real* const workspace = reinterpret_cast<Real*>(on.memory.data);
    status done = launch(&sum_kernel<Real, Parts>, dim3(unsigned(heads * d.parts * d.key_tiles * d.channel_tiles)), dim3(threads),
                         sizeof(sum_memory<Real>), on.handle, c, parts, d, workspace);
    if (done)
      done = launch(&total_kernel<Real>, dim3(unsigned((numbers + threads - 1) / threads)), dim3(threads), 0, on.handle, c, d,
                    workspace);
    if (done && c.tokens > 0)
      done = launch(&answer_kernel<Real, Parts>, dim3(unsigned(heads * d.channel_tiles * d.answer_blocks)), dim3(threads),
                    sizeof(answer_memory<Real>), on.handle, c, parts, d, workspace);
    return done;
  }

 private:
  template <class Real> static summing::division divide(const device_call<Real>& c) {
    using namespace summing;
    const auto pieces = [](index_t of, index_t size) { return of > size ? (of + size - 1) / size : index_t(1); };
    division d;
    d.key_tiles = pieces(c.width, tile_keys);
    d.channel_tiles = pieces(c.values, tile_channels);
    const index_t heads = c.sequences * c.heads > 0 ? c.sequences * c.heads : 1;
    // Tokens of one sequence; of packed ones only their mean is known here, and blocks go on to what is left.
    const index_t length = c.offsets != nullptr && c.sequences > 0 ? pieces(c.tokens, c.sequences) : c.tokens;
    const index_t wanted = 4 * index_t(device_attribute(cudaDevAttrMultiProcessorCount));
    const index_t at_most = pieces(length, 2 * sum_memory<Real>::tokens), enough = pieces(wanted, heads * d.key_tiles * d.channel_tiles);
    d.parts = enough < at_most ? enough : at_most;
    d.answer_blocks = pieces(length, answer_memory<Real>::tokens);
    return d;
  }
};

}  // namespace sextant::gpu
