// SPDX-License-Identifier: Apache-2.0
/// @file  The least time that a call can take on a GPU: what it must move and compute, over what the chip can.
#pragma once

#include <cmath>             // log
#include <cstddef>           // size_t
#include <initializer_list>  // initializer_list
#include <type_traits>       // is_same

#include <sextant/design/describe.hpp>
#include <sextant/design/design.hpp>
#include <sextant/tensor/precision.hpp>
#include <sextant/tensor/sequence.hpp>

namespace sextant::bench {

/// What a chip can do, per second.
struct ceilings {
  double bytes = 0;  ///< of its memory, reads and writes together
  double flops = 0;  ///< of its matrix units, bf16 operands
  double exps = 0;   ///< of its special function units
  double slots = 0;  ///< instructions of single threads that its schedulers issue
};

/// An H200 by its counts: 132 processors at 1.98 GHz with 16 special functions and 128 threads' instructions a cycle, and
/// the largest copies and matrix products seen.
inline constexpr ceilings h200_largest{4.3e12, 790e12, 132 * 16 * 1.98e9, 132 * 128 * 1.98e9};

/// Bytes per second, read and written, of a copy of so many bytes in all on an H200, ramp and tail of the launch included:
/// straight lines between measured sizes, over the logarithm of the size.
inline double h200_copy_rate(double bytes) {
  constexpr struct {
    double bytes, rate;
  } seen[] = {{32e6, 2.76e12}, {64e6, 3.23e12}, {128e6, 3.7e12}, {270e6, 3.85e12}, {540e6, 4.05e12}, {2e9, 4.12e12}};
  constexpr std::size_t n = sizeof seen / sizeof *seen;
  if (bytes <= seen[0].bytes) return seen[0].rate;
  for (std::size_t i = 1; i < n; ++i)
    if (bytes <= seen[i].bytes) {
      const double part = std::log(bytes / seen[i - 1].bytes) / std::log(seen[i].bytes / seen[i - 1].bytes);
      return seen[i - 1].rate + part * (seen[i].rate - seen[i - 1].rate);
    }
  return seen[n - 1].rate;
}
/// An H200 at the copy rate of the call's size.
inline ceilings h200(double bytes) {
  ceilings c = h200_largest;
  c.bytes = h200_copy_rate(bytes);
  return c;
}

/// What a call must do at least.
struct work {
  double bytes = 0;  ///< every tensor once; states where the call has them
  double flops = 0;  ///< of matrix products
  double exps = 0;
  double slots = 0;
};

/// The times in milliseconds that each of a chip's resources needs for a call.
struct resource_times {
  double memory = 0, matrix = 0, special = 0, issue = 0;

  /// The longest of them: no version runs faster.
  double floor_ms() const {
    double most = memory;
    for (double t : {matrix, special, issue}) most = t > most ? t : most;
    return most;
  }
  /// Which one that is.
  const char* binds() const {
    const double most = floor_ms();
    return most == memory    ? "memory"
           : most == matrix  ? "matrix units"
           : most == special ? "special functions"
                             : "issue";
  }
};
inline resource_times times_of(const work& w, const ceilings& c) {
  return {1e3 * w.bytes / c.bytes, 1e3 * w.flops / c.flops, 1e3 * w.exps / c.exps, 1e3 * w.slots / c.slots};
}

/// The families of kernels, each with its own formula.
enum class family {
  selective,    ///< gates per channel, or per key and channel: a recurrence per number of the state
  chunked,      ///< gates per head, or none: matrix products in chunks of 64 tokens
  vector_gate,  ///< gates per key: the same, keys and queries scaled
  second_order, ///< squares of scores, by a state of products of keys or without one
  global,       ///< sums over all tokens, then products
  decode,       ///< one token: the state read and written
  state_space,  ///< the same for every token: products in chunks of 8 tokens, or a recurrence per pair
};

/// The family that a forward pass of the design belongs to.
template <class Design> constexpr family family_of() {
  constexpr per gate = granularity<typename Design::forget_type>;
  if (time_invariant<typename Design::forget_type>) return family::state_space;
  if (std::is_same_v<typename Design::order_type, order::global>) return family::global;
  if (gate == per::channel || gate == per::key_channel) return family::selective;
  if (std::is_same_v<typename Design::map_type, map::squared> && gate != per::key) return family::second_order;
  return gate == per::key ? family::vector_gate : family::chunked;
}

/// The least work of a forward pass, T tokens of H heads in B sequences, K' keys and V channels:
///   bytes  q, k, v, y, raw gates and steps, each once
///   flops  chunked: per token and head 2 64 (K' + V) + 4 K' V, and scores once for two heads that share q and k;
///          vector_gate, in steps of 16 tokens: 2 16 (K' + V) + 4 K' V; second_order: the fewer of
///          2 64 (K + V) + 4 K' V (and 4 K^2 for a normaliser's z) and T (K + V); global: 4 K' V; selective: none
///   exps   those of gates, steps and maps; chunked: 8 per token and head for the decays inside a chunk; vector_gate: one for
///          each number of q and of k
///   slots  selective: 5 for each number of the state (decay, its exponential, input, state, sum); chunked 0.2 and
///          vector_gate 0.45 for each (1635 of 128 keys by 64 channels, 7300 of 128 by 128, counted in compiled kernels);
///          global: 36 for each number of v, counted too
/// A state space that is the same for every token: 2 K' + 8 products for each number of v, in TF32 at half the rate of bf16,
/// where tokens have 16 bits; else 3.25 slots for each number of the state. It needs no exponentials.
template <class Precision, class Design> work forward_work(const Design& design, problem_size s) {
  const operation_counts c = count<Precision>(design, s);
  const double K = double(state_width<typename Design::map_type>(s.K)), V = double(s.V);
  const double token_heads = double(s.B) * double(s.T) * double(s.H), chunk = 64;
  constexpr bool gated = granularity<typename Design::forget_type> != per::nothing;
  work w{double(c.bytes), 0, double(c.exps), 0};
  const double chunk_flops = token_heads * (2 * chunk * ((s.Hk < s.H ? K / 2 : K) + V) + 4 * K * V);
  switch (family_of<Design>()) {
    case family::selective:
      w.slots = 5 * token_heads * K * V;
      break;
    case family::chunked:
      w.flops = chunk_flops;
      w.exps += gated ? 8 * token_heads : 0;
      w.slots = 1635.0 / (128 * 64) * token_heads * K * V;
      break;
    case family::vector_gate:
      w.flops = token_heads * (2 * 16 * (K + V) + 4 * K * V);
      w.exps += 2 * token_heads * K;
      w.slots = 7300.0 / (128 * 128) * token_heads * K * V;
      break;
    case family::state_space:
      if (sizeof(typename Precision::token) == 2) w.flops = 2 * 2 * token_heads * V * (2 * K + 8);
      else w.slots = 3.25 * token_heads * K * V;
      break;
    case family::second_order: {
      const double given = double(s.K), rows = given + V;
      const double of_z = sextant::detail::normalises<typename Design::norm_type> ? 4 * given * given : 0;
      const double linear = 2 * chunk * rows + 4 * K * V + of_z, quadratic = double(s.T) * rows;
      w.flops = token_heads * (linear < quadratic ? linear : quadratic);
      break;
    }
    default:
      w.flops = 4 * token_heads * K * V;
      w.slots = 36 * token_heads * V;
  }
  return w;
}

/// The least work of one step of decoding: the state in and out, and the token. 4 slots for each number of the state, 5
/// where it is stored in 16 bits, 7 where its gate is its own.
template <class Precision, class Design> work step_work(const Design& design, problem_size s) {
  s.T = 1;
  const operation_counts c = count<Precision>(design, s);
  const double K = double(state_width<typename Design::map_type>(s.K));
  const double heads = double(s.B) * double(s.H), numbers = heads * K * double(s.V);
  constexpr double size = sizeof(typename Precision::state), real = sizeof(typename Precision::accumulator);
  constexpr bool own_gate = granularity<typename Design::forget_type> == per::key_channel;
  double bytes = double(c.bytes) + real * double(c.parameters) + 2 * size * numbers;
  if (sextant::detail::normalises<typename Design::norm_type>) bytes += 2 * size * heads * K;
  return {bytes, 0, double(c.exps), (own_gate ? 7 : size == 2 ? 5 : 4) * numbers};
}

}  // namespace sextant::bench
