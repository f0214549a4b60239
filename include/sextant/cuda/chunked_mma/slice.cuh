// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: what a block has from its first token to its last.
#pragma once

#include <sextant/cuda/chunked_mma/output.cuh>
#include <sextant/cuda/chunked_mma/segments.cuh>

namespace sextant::gpu::mma {

/// One slice of one head's channels: its place in the call, and the state of 16 channels and 64 keys that each warp
/// holds.
template <class Token, bool Keyed, bool Turns, class Parts> struct head_slice {
  const device_call<float>& c;
  const Parts& parts;
  const block_plan& plan;
  unsigned char* const shared;
  const int lane, warp;
  const int slab, channel;   // of this warp's state: which 64 keys, the first of 16 channels within the block
  const int length, values;  // tokens, and channels of the block that exist
  head_gates<Token, Keyed, Parts> gates;
  slab_state S;

  /// Zeros wherever rows have padding, ones wherever there is no gate, the states as they are given. A barrier must
  /// follow.
  __device__ head_slice(const device_call<float>& call, const Parts& its_parts, const block_plan& its_plan,
                        unsigned char* memory, const stretch& s, const block_place& at)
      : c{call},
        parts{its_parts},
        plan{its_plan},
        shared{memory},
        lane{int(threadIdx.x) % 32},
        warp{int(threadIdx.x) / 32},
        slab{warp / (its_plan.slice / 16)},
        channel{warp % (its_plan.slice / 16) * 16},
        length{int(s.length)},
        values{int(call.values - at.first_channel < its_plan.slice ? call.values - at.first_channel : its_plan.slice)},
        gates{gate_reader<Token, Parts>{call, its_parts, int(s.batch), at.head}, lane} {
#pragma unroll 1
    for (int i = int(threadIdx.x) * 4; i < plan.bytes; i += int(blockDim.x) * 4)
      *reinterpret_cast<int*>(shared + i) = 0;
    __syncthreads();
    const chunk_memory<Token> rows(shared, plan, 0);
    const bool is_handed = plan.segments > 1 && !plan.states_only, is_given = plan.segments == 1;
#pragma unroll 1
    for (int i = int(threadIdx.x); i < 64; i += int(blockDim.x))
      rows.gates->from_start[i] = rows.gates->entering[i] = rows.gates->admitted[i] = 1.0f;
    float* const z = rows.z + plan.steps() * plan.keys();
    const handed_state before = handed(at, at.segment);
#pragma unroll 1
    for (int i = int(threadIdx.x); i < c.keys; i += int(blockDim.x)) {
      if (Keyed) rows.total[i] = 1.0f;
      if (is_handed && c.normalises()) z[i] = before.z[i];
      else if (is_given && c.z_in) z[i] = *number_of_head(c.z_in, at, i);
    }
#pragma unroll 1
    for (int i = int(threadIdx.x); i < values; i += int(blockDim.x)) {
      if (c.d) rows.d[i] = gates.reader.parameter(c.d.at(0, 0, at.head) + (at.first_channel + i) * c.d.value);
      if (plan.gate_rows && parts.input.from_step) rows.bias[i] = gates.reader.bias(at.first_channel + i);
    }
    if constexpr (Turns)
#pragma unroll 1
      for (int i = int(threadIdx.x); i < c.keys / 2; i += int(blockDim.x))
        rows.angles[i] = pair_turns{c}.of_pair(c.key_head(at.head), i);
    if (threadIdx.x == 0) {
      const double m = is_handed ? *before.m : is_given && c.m_in ? double(*number_of_head(c.m_in, at, 0)) : 0.0;
      gates.start(*rows.gates, plan.states_only ? no_stabiliser : m);
      place_rows(*rows.gates, s, at);
    }
    const state_place from = is_handed ? place_in(before, at) : is_given ? place_in(c.S_in, at) : state_place{};
#pragma unroll
    for (int i = 0; i < slab_keys / 2; ++i) S[i / 4][i % 4] = 0.0f;
    if (from.first) each_number(from, [&](float& mine, const float& its) { mine = its; });
  }
  /// The states as they are now: the call's by the last segment, else what the next one is handed. Those of the head by
  /// its first block.
  __device__ void finish() {
    const block_place at(c, plan);
    const bool hands_over = plan.states_only, ends = !hands_over && at.segment == plan.segments - 1;
    if (!hands_over && !ends) return;
    const handed_state next = handed(at, at.segment + 1);
    const state_place to = hands_over ? place_in(next, at) : place_in(c.S_out, at);
    if (to.first) each_number(to, [&](float& mine, float& its) { its = mine; });
    if (at.first_channel != 0) return;
    const chunk_memory<Token> rows(shared, plan, 0);
    __syncthreads();
    const float* const z = rows.z + plan.steps() * plan.keys();
#pragma unroll 1
    for (int i = int(threadIdx.x); i < c.keys; i += int(blockDim.x)) {
      if (hands_over) {
        if (c.normalises()) next.z[i] = z[i];
        if (Keyed) next.left[i] = rows.total[i];
        else if (i == 0) next.left[0] = ptx::exp2_approx(float(rows.gates->total));
      } else if (c.z_out) {
        *number_of_head(c.z_out, at, i) = z[i];
      }
    }
    if (threadIdx.x != 0) return;
    if (hands_over && gates.stabilises()) *next.own_m = rows.gates->m, *next.log_left = rows.gates->total;
    if (ends && c.m_out) *number_of_head(c.m_out, at, 0) = float(rows.gates->m);
  }

 private:
  /// Where a warp's part of a state lies: lane's first number, and bytes from key to key and from channel to channel.
  struct state_place {
    std::byte* first = nullptr;
    index_t key = 0, value = 0;
  };
  /// visit(S's, number) for all numbers of the lane that there are. Their place walks, and S turns before it, so that one
  /// piece of code has its turn with all keys: there are many.
  template <class Visit> __device__ void each_number(const state_place& place, const Visit& visit) {
    std::byte *near = place.first, *far = near + 8 * place.value;
    const bool has_near = channel_of(0) < values, has_far = channel_of(2) < values;
#pragma unroll 1
    for (int key = key_of(0), last = key + slab_keys; key < last;
         key += 8, near += 8 * place.key, far += 8 * place.key) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (key + i >= c.keys) continue;
        if (has_near) visit(S[0][i], *reinterpret_cast<float*>(near + i * place.key));
        if (has_far) visit(S[0][2 + i], *reinterpret_cast<float*>(far + i * place.key));
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float first = S[0][i];
#pragma unroll
        for (int j = 1; j < slab_keys / 8; ++j) S[j - 1][i] = S[j][i];
        S[slab_keys / 8 - 1][i] = first;
      }
    }
  }
  __device__ state_place place_in(std::byte* state, const block_place& at, index_t key, index_t value) const {
    return {state + key_of(0) * key + (at.first_channel + channel_of(0)) * value, key, value};
  }
  __device__ state_place place_in(const tensor<float>& x, const block_place& at) const {
    return x ? place_in(x.at(at.sequence, 0, at.head), at, x.key, x.value) : state_place{};
  }
  __device__ state_place place_in(const handed_state& x, const block_place& at) const {
    return place_in(reinterpret_cast<std::byte*>(x.S), at, c.values * index_t(sizeof(float)), sizeof(float));
  }
  __device__ int key_of(int i) const { return slab * slab_keys + i / 4 * 8 + lane % 4 * 2 + i % 2; }
  __device__ int channel_of(int i) const { return channel + lane / 4 + i % 4 / 2 * 8; }
  static __device__ float* number_of_head(const tensor<float>& x, const block_place& at, int key) {
    return reinterpret_cast<float*>(x.at(at.sequence, 0, at.head) + key * x.key);
  }
  __device__ handed_state handed(const block_place& at, int to) const {
    return handed_state(c, plan, at.sequence * c.heads + at.head, to);
  }

  /// Where the rows of all tensors lie.
  __device__ void place_rows(chunk_gates& to, const stretch& s, const block_place& at) const {
    const index_t key_head = c.key_head(at.head);
    const auto rows_of = [&](const tensor<float>& x, index_t head, int channel) -> row_source {
      return {x.at(s.batch, s.place(0), head) + channel * x.value, s.backwards ? -x.time : x.time};
    };
    const int keys = int(c.keys);
    const auto load = [&](const row_source& from, int place, int stride, int width, bool pieces) {
      to.loaded[to.feeds++] = feed_of<Token>(from, place, stride, width, pieces);
    };
    to.feeds = 0;
    load(rows_of(c.q, key_head, 0), plan.q, plan.q_stride, keys, plan.pieces_of_keys);
    load(rows_of(c.k, key_head, 0), plan.k, plan.k_stride, keys, plan.pieces_of_keys);
    load(rows_of(c.v, at.head, at.first_channel), plan.v, plan.v_stride, values, plan.pieces_of_values);
    if (plan.raw_rows) load(rows_of(c.forget_raw, at.head, 0), plan.raw, plan.raw_stride, keys, plan.pieces_of_raw);
    if (plan.gate_rows)
      load(rows_of(parts.input.from_step ? c.dt : c.input_raw, at.head, at.first_channel), plan.gate, plan.v_stride,
           values, plan.pieces_of_gate);
    to.feed_warps = plan.warps / (plan.states_only ? to.feeds - 1 : to.feeds);
    to.y = rows_of(c.y, at.head, at.first_channel);
    to.output_gate = rows_of(c.output_gate, at.head, at.first_channel);
    to.s = s;
    to.key_head = key_head;
    to.origin = c.sequence(at.sequence).first - (c.position == position_kind::rotary_1d ? c.first_position : 0);
  }
};

}  // namespace sextant::gpu::mma
