// SPDX-License-Identifier: Apache-2.0
/// @file  The kernel: a warp walks through the tokens of some channels of a head, round after round.
#pragma once

#include <sextant/cuda/selective/feed.cuh>
#include <sextant/cuda/selective/key_rows.cuh>
#include <sextant/cuda/selective/segments.cuh>
#include <sextant/cuda/selective/token.cuh>

namespace sextant::gpu::lanes {

/// While the first half of round r is multiplied, round r + 1 is prepared: what is one number per token and channel, once, by
/// one lane; phi of the keys, once for all channels. Then, or with it where lanes have one channel, y of round r - 1 is
/// finished. Rounds r + 2 and r + 3 are on their way. While a token is multiplied, the rows of the next one and its F
/// are on theirs, if few states leave registers for them.
template <class Design, class Precision, int Keys, int Lanes, int Own, int Warps> struct warp_walk {
  using layout = warp_layout<Design, Precision, Keys, Lanes, Own, Warps>;
  using token = typename layout::token;
  using arrivals = typename layout::arrivals;
  using two = array<float, 2>;
  using states_type = lane_states<layout>;
  using edges_type = segment_edges<layout>;
  using of_own = typename states_type::of_own;
  static constexpr int round = layout::round, stages = layout::stages, states = layout::states,
                       channels = layout::channels, pairs = layout::pairs, tended = layout::tended;
  /// Floats of a token in the table; the next one's begin half a turn of the banks further.
  static constexpr int of_table = pairs * 4 % 32 == 0 ? pairs * 4 + 16 : pairs * 4;
  static constexpr bool cuttable = Keys == 16 && Own == 2 && Warps == 1 && can_be_cut<layout>;
  static constexpr bool ahead = states <= 4;  ///< whether there are registers for the next token's rows and F
  using rows_type = std::conditional_t<ahead, kept_rows<layout>, rows_in_memory<layout>>;
  /// Whether rounds in which gates are near 1 are computed with their differences from 1: all rounds, where no rate says how
  /// near they are, or keys or channels share the work.
  static constexpr bool splits =
      (layout::decay == decay_kind::state || layout::decay == decay_kind::channel || layout::decay == decay_kind::row) &&
      forget_of_design<layout>::keeps_log;
  static constexpr bool chooses = splits && layout::decay == decay_kind::state && forget_of_design<layout>::scaled_rates;
  static_assert(Warps == 1 || !chooses, "warps that meet walk the same way");
  /// They are where a channel's slowest gate, on average over a lane's tokens of the round, is above 2^-1/64: with memories of
  /// more than 90 tokens.
  static constexpr float nearly_one = 0.015625f;

  /// What is known of a round before it is multiplied.
  struct preparation {
    /// phi(k), phi(q), and F where it is the same for all channels.
    alignas(16) array<float, layout::rows> rows;
    /// Of each warp, [channel][2]: what the forget gate reads or is, and w = I v.
    alignas(16) array<array<float, round * of_table>, Warps> tables;
    alignas(16) array<float, round> factor;  ///< of y, where the design divides
  };
  struct memory {
    array<arrivals, stages> ring;
    preparation of[2];  ///< even rounds, odd rounds
    array<parts_of_round<layout>, Warps> parts;
  };
  /// What is on its way from token to token and from round to round.
  struct pipeline {
    rows_type rows;                                             ///< of the token at work
    typename states_type::of_states F;                          ///< likewise, where there are registers for it
    of_own w, number;                                           ///< likewise: I v, and what the forget gate reads or is
    together<float, 2 * Own> behind;                            ///< the table's entries of the token after it
    array<typename gates_of_round<layout>::last, tended> last;  ///< of the round before, to be finished
    token* to;                                                  ///< where those go
    of_own span, lost;  ///< in a first pass: of the tokens up to here, and its rounding
    bool split;         ///< whether the next round's gates are near 1
  };

  const Design& design;
  memory& m;
  const float scale;
  const int thread = int(threadIdx.x), lane = thread % 32, warp = Warps == 1 ? 0 : thread / 32;
  const int p = layout::p_of(lane), q = layout::q_of(lane);
  const int pair = layout::pair_of(lane), first = layout::token_of(lane);  ///< what it tends
  states_type own;
  key_sums<layout> sums;
  two slowest;  ///< rates of the channels it tends, in size

  __device__ __forceinline__ void prepare(const gates_of_round<layout>& gates, int r, array<float4, tended>& to) const {
#pragma unroll
    for (int i = 0; i < tended; ++i) {
      two number, w;
      gates.prepare(m.ring[r % stages], first + i * (32 / pairs), number, w);
      to[i] = make_float4(number[0], w[0], number[1], w[1]);
    }
  }
  __device__ __forceinline__ void store(const array<float4, tended>& from, preparation& to) const {
#pragma unroll
    for (int i = 0; i < tended; ++i)
      *reinterpret_cast<float4*>(to.tables[warp] + (first + i * (32 / pairs)) * of_table + pair * 4) = from[i];
  }
  /// Whether a round's gates are near 1. Uniform in a warp.
  __device__ __forceinline__ bool are_near_one(const array<float4, tended>& of) const {
    if constexpr (chooses) {
      two sum = {};
#pragma unroll
      for (int i = 0; i < tended; ++i) sum[0] += of[i].x, sum[1] += of[i].z;
      const float least = fminf(fabsf(sum[0] * slowest[0]), fabsf(sum[1] * slowest[1]));
      return __any_sync(~0u, least < nearly_one * tended);
    } else return (void)of, splits;
  }
  /// Finishes the round before, whose sums over keys are given and whose factors lie in `from`, and of whose tokens `count`
  /// exist: all 8 where Whole.
  template <bool Whole>
  __device__ __forceinline__ void finish(const gates_of_round<layout>& gates, pipeline& now,
                                         const array<two, tended>& sums_of_keys, const preparation& from, int count,
                                         bool inside, int step) const {
#pragma unroll
    for (int i = 0; i < tended; ++i) {
      const int t = first + i * (32 / pairs);
      float factor = scale;
      if constexpr (layout::normalises) factor = from.factor[t];
      const auto y = gates.finish(sums_of_keys[i], factor, now.last[i]);
      if (inside && (Whole || t < count)) store_together(now.to + i * (32 / pairs) * step, y);
    }
    now.to += round * step;
  }
  /// Makes a token the one at work, whose row is given and whose entry of the table is known; and reads the entry behind it. `t`
  /// says which of its exponentials are polynomials; F is computed if it is `wanted`.
  __device__ __forceinline__ void turn_to(const float* row, int t, const float* entries_behind, bool wanted,
                                          pipeline& now) const {
    now.rows.load(row + q * states);
#pragma unroll
    for (int c = 0; c < Own; ++c) now.number[c] = now.behind.at[2 * c], now.w[c] = now.behind.at[2 * c + 1];
    if constexpr (layout::decay == decay_kind::row) {
#pragma unroll
      for (int i = 0; i < states; i += layout::vector) {
        const auto F = load_together<layout::vector>(row + 2 * Keys + q * states + i);
#pragma unroll
        for (int j = 0; j < layout::vector; ++j)
#pragma unroll
          for (int c = 0; c < Own; ++c) now.F[c][i + j] = F.at[j];
      }
    } else if constexpr (ahead) {
      if (wanted) own.decays(design.forget_gate, now.number, now.F, t);
    }
    now.behind = load_together<2 * Own>(entries_behind + p * 2 * Own);
  }

  /// Round r, of whose tokens `count` exist: all 8 where Whole. Without Outputs the state alone is computed, and the span.
  template <bool Whole, bool Outputs, bool Split>
  __device__ __forceinline__ void walk(const gates_of_round<layout>& gates, const key_mapping<layout>& mapping,
                                       token_feed<layout>& feed, pipeline& now, int r, int count, bool inside,
                                       int step) {
    preparation &here = m.of[r % 2], &after = m.of[(r + 1) % 2];
    feed.send(r + stages - 1);
    const auto keys_after = mapping.load(m.ring[(r + 1) % stages]);
    array<float4, tended> table_after;
    prepare(gates, r + 1, table_after);
    now.split = are_near_one(table_after);
    [[maybe_unused]] array<two, tended> sums_of_keys;  // of the round before
    if constexpr (Outputs) m.parts[warp].sum(lane, sums_of_keys);
    constexpr bool late = Own == 2;
    if constexpr (Outputs && !late) finish<true>(gates, now, sums_of_keys, after, round, inside && r > 0, step);
    [[maybe_unused]] float its_factor = 0;
    if constexpr (Outputs && layout::normalises)
      its_factor = sums.add(here.rows, count, thread, scale, float(design.norm.eps));

    array<of_own, round> part;
    of_own span = {};
#pragma unroll
    for (int t = 0; t < round; ++t) {
      if (t == round / 2) {
        mapping.store(keys_after, after.rows, r + 1);
        store(table_after, after);
        if constexpr (Outputs && layout::normalises) sums.store(its_factor, thread, here.factor);
        meet_warps<Warps>();
        if constexpr (Outputs && late) finish<true>(gates, now, sums_of_keys, after, round, inside && r > 0, step);
      }
      const rows_type row = now.rows;
      of_own w, number;
      typename states_type::of_states F;
#pragma unroll
      for (int c = 0; c < Own; ++c) {
        w[c] = now.w[c], number[c] = now.number[c];
        if constexpr (ahead && (!Split || layout::decay == decay_kind::row))
#pragma unroll
          for (int i = 0; i < states; ++i) F[c][i] = now.F[c][i];
      }
      if constexpr (!ahead && !Split) own.decays(design.forget_gate, number, F, t);
      const int next = (t + 1) % round, behind = (t + 2) % round;
      turn_to((t + 1 < round ? here : after).rows + layout::row_at(next), next,
              (t + 2 < round ? here : after).tables[warp] + behind * of_table, !Split || next == 0, now);
      if constexpr (!Outputs)
#pragma unroll
        for (int c = 0; c < Own; ++c) span[c] += sextant::detail::call_log(design.forget_gate, number[c], 1.0f);
#pragma unroll
      for (int c = 0; c < Own; ++c) part[t][c] = 0;
      if (Whole || t < count) {
        if constexpr (Split) {
          const forget_of_design<layout> gate{design.forget_gate};
          const auto exponent = [&](int c, int i) {
            if constexpr (layout::decay == decay_kind::row) return F[c][i];
            else if constexpr (layout::decay == decay_kind::channel) return number[c];
            else return gate.exponent(number[c], own.rate[c][i]);
          };
          own.template update_exactly<Outputs>(exponent, row, w, part[t]);
        } else own.template update<Outputs>(F, row, w, part[t]);
      }
    }

    if constexpr (Outputs) {
      m.parts[warp].store(part, lane);
#pragma unroll
      for (int i = 0; i < tended; ++i) now.last[i] = gates.read_last(m.ring[r % stages], first + i * (32 / pairs));
    }
    if constexpr (!Outputs)
#pragma unroll
      for (int c = 0; c < Own; ++c) {  // Kahan's sum: the same step thousands of times is rounded the same way
        const float addend = span[c] - now.lost[c], sum = now.span[c] + addend;
        now.lost[c] = (sum - now.span[c]) - addend, now.span[c] = sum;
      }
    feed.store_numbers(r + stages - 1);
    ptx::await_copies<1>();
    meet_warps<Warps>();
  }
  /// All whole rounds of `tokens`.
  template <bool Outputs>
  __device__ __forceinline__ void walk_all(const gates_of_round<layout>& gates, const key_mapping<layout>& mapping,
                                           token_feed<layout>& feed, pipeline& now, int tokens, bool inside, int step) {
    // Two rounds without a branch between them are 3 % quicker where there are registers for it.
    constexpr int at_once = Outputs && Keys == 16 && Own == 2 && !chooses ? 2 : 1;
#pragma unroll(at_once)
    for (int r = 0; r < tokens / round; ++r)
      if constexpr (chooses) {
        if (now.split) walk<true, Outputs, true>(gates, mapping, feed, now, r, round, inside, step);
        else walk<true, Outputs, false>(gates, mapping, feed, now, r, round, inside, step);
      } else walk<true, Outputs, splits>(gates, mapping, feed, now, r, round, inside, step);
  }

  /// Reads the state before the first token, and the gates' rates.
  template <class Sequence>
  __device__ __forceinline__ void begin(const Sequence& x, const block_place& at, int channel, bool there) {
    of_own least;
    own.begin(x, at, design.forget_gate, q, channel, there, least);
    if constexpr (chooses)
#pragma unroll
      for (int i = 0; i < 2; ++i)
        slowest[i] = Own == 2 ? least[i % Own] : __shfl_sync(~0u, least[0], layout::lane_of(2 * pair + i, 0));
  }

  template <class Sequence>
  __device__ __forceinline__ void run(const Sequence& x, block_place at, const segmentation& cut, int segment) {
    const int V = int(x.v.template extent<axis::value>()), K = int(x.k.template extent<axis::key>());
    const int first_channel = at.block * channels, channel = first_channel + Own * p;
    begin(x, at, channel, channel < V);
    pipeline now{};
    const edges_type edges{design, cut, q, channel, channel < V};
    bool forgotten = false;
    if constexpr (cuttable)
      if (cut.count > 1) {
        if (segment == 0) edges.keep(at, 0);
        else if (cut.first_pass) forgotten = edges.begin_first_pass(x, at, segment, own);
        else edges.begin(x, at, segment, own);
      }
    const int inside_block = warp * channels + 2 * pair;
    const gates_of_round<layout> gates(design, x, at.h, first_channel - warp * channels, inside_block, V);
    const bool inside = first_channel + 2 * pair < V;
    const key_mapping<layout> mapping(design, x, at, thread);
    if constexpr (layout::normalises) sums.begin(x.initial_state, at.n, at.h, K, lane);

    if (K < Keys) {  // keys beyond K: zeros that no copy and no map overwrites
      for (int i = thread; i < int((sizeof(m.ring) + sizeof(m.of)) / 16); i += layout::threads)
        reinterpret_cast<uint4*>(&m)[i] = uint4{};
      meet_warps<Warps>();
    }
    token_feed<layout> feed(x, at, m.ring, thread);
#pragma unroll
    for (int i = 0; i < stages - 1; ++i) feed.send(i), feed.store_numbers(i);
    ptx::await_copies<1>();
    meet_warps<Warps>();
    mapping.store(mapping.load(m.ring[0]), m.of[0].rows, 0);
    array<float4, tended> table;
    prepare(gates, 0, table);
    store(table, m.of[0]);
    now.split = are_near_one(table);
    meet_warps<Warps>();

    const int tokens = int(at.length), whole = tokens / round, left = tokens % round;
    const index_t stride = x.y.template stride<axis::time>() * (layout::reversed ? -1 : 1);
    const int step = int(stride);
    now.to = x.y.data() + at.batch() * x.y.template stride<axis::batch>() +
             at.template start<layout::reversed>() * x.y.template stride<axis::time>() +
             at.h * x.y.template stride<axis::head>() + first_channel + 2 * pair +
             (first - round) * stride;  // round -1
    now.behind = load_together<2 * Own>(m.of[0].tables[warp] + p * 2 * Own);
    turn_to(m.of[0].rows, 0, m.of[0].tables[warp] + of_table, true, now);
    if constexpr (cuttable)
      if (cut.first_pass && segment > 0) {
        walk_all<false>(gates, mapping, feed, now, tokens, inside, step);
        ptx::await_copies<0>();
        edges.store_span(x, at, segment, forgotten, now.span);
        return edges.store(x, at, segment, own);
      }
    walk_all<true>(gates, mapping, feed, now, tokens, inside, step);
    if (left > 0) walk<false, true, splits>(gates, mapping, feed, now, whole, left, inside, step);
    const int rounds = whole + (left > 0);
    array<two, tended> sums_of_keys;
    m.parts[warp].sum(lane, sums_of_keys);
    if (rounds > 0)
      finish<false>(gates, now, sums_of_keys, m.of[(rounds - 1) % 2], left > 0 ? left : round, inside, step);
    ptx::await_copies<0>();

    if constexpr (cuttable)
      if (cut.first_pass) return edges.store(x, at, segment, own);
    if (segment + 1 == cut.count) own.template end<Precision>(x.final_state, at, K, q, channel, channel < V);
    if constexpr (layout::normalises)
      if (at.block == 0) sums.end(x.final_state, at.n, at.h, K, lane);
  }
};

/// A warp has 32 Own / Lanes channels of a segment of a head of a sequence, a block those of `Warps` warps.
template <class Design, class Precision, int Keys, int Lanes, int Own, int Warps>
__global__ void __launch_bounds__(32 * Warps, (Keys == 16 && Own == 1 ? 16 : 8) / Warps)
    selective_kernel(const Design design, const sequence_of<Design, Precision> x, const segmentation cut) {
  using walk = warp_walk<Design, Precision, Keys, Lanes, Own, Warps>;
  extern __shared__ __align__(128) unsigned char memory_of_block[];
  const int segments = cut.count > 1 ? cut.count - 1 : 1;
  const int segment = int(blockIdx.x) % segments + int(cut.count > 1 && !cut.first_pass);
  const int warp = Warps == 1 ? 0 : int(threadIdx.x) / 32;
  walk{design, *reinterpret_cast<typename walk::memory*>(memory_of_block),
       float(design.scale(x.k.template extent<axis::key>()))}
      .run(x, block_place(x, int(blockIdx.x) / segments * Warps + warp), cut, segment);
}

}  // namespace sextant::gpu::lanes
