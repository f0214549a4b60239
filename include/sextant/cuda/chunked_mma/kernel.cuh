// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: the kernel.
#pragma once

#include <sextant/cuda/chunked_mma/output.cuh>
#include <sextant/cuda/chunked_mma/segments.cuh>

namespace sextant::gpu::mma {

/// A block: one slice of one head's channels through one sequence, chunk by chunk. In a chunk, with barriers between:
///   the next chunk's rows set out; maps; decays per key, which go into queries and keys; gates, and scores inside each step
///   of 16 tokens; weights; step by step Y^T = (S^T Q^T) from_start + V^T W^T and S^T = F S^T + (entering V)^T K, the state
///   in registers; y leaves.
template <class Token, bool Keyed, class Parts> struct slice_walk {
  using products = warp_products<Token>;

  const device_call<float>& c;
  const Parts& parts;
  const block_plan& plan;
  unsigned char* const shared;
  const int lane, warp;
  const int slab, channel;   // of this warp's state: which 64 keys, the first of 16 channels within the block
  const int length, values;  // tokens, and channels of the block that exist
  head_gates<Token, Keyed, Parts> gates;
  slab_state S;

  __device__ slice_walk(const device_call<float>& call, const Parts& its_parts, const block_plan& its_plan,
                        unsigned char* memory, const stretch& s, const block_place& place)
      : c{call},
        parts{its_parts},
        plan{its_plan},
        shared{memory},
        lane{int(threadIdx.x) % 32},
        warp{int(threadIdx.x) / 32},
        slab{warp / (its_plan.slice / 16)},
        channel{warp % (its_plan.slice / 16) * 16},
        length{int(s.length)},
        values{int(call.values - place.first_channel < its_plan.slice ? call.values - place.first_channel
                                                                      : its_plan.slice)},
        gates{gate_reader<Token, Parts>{call, its_parts, int(s.batch), place.head}, lane} {
    start(s, place);
  }

  /// Whether tokens decay, and enter, by factors of the head; whether a gate multiplies channels; whether z is not decayed.
  __device__ bool per_head() const { return !Keyed && (gates.forgets() || gates.stabilises()); }
  __device__ bool admits() const { return gates.admits() || gates.stabilises(); }
  __device__ bool gates_channels() const { return parts.input.raw == per::channel; }
  __device__ bool undecayed() const { return c.norm == norm_kind::sum_undecayed; }

  __device__ void run() {
    __syncthreads();
    const int chunks = (length + plan.tokens - 1) / plan.tokens;
    const stretch& s = reinterpret_cast<const chunk_gates*>(shared + plan.gates)->s;
    if (warp == 0) read_gates_ahead(0);
    for (int i = 1 - plan.stages; i < chunks; ++i) {
      __syncthreads();
      const int next = i + plan.stages - 1;
      if (next < chunks) load(next);
      ptx::commit_copies();
      if (i < 0) continue;
      if (plan.stages == 2) ptx::await_copies<1>();
      else ptx::await_copies<0>();
      __syncthreads();
      const chunk_memory<Token> memory(shared, plan, i % plan.stages);
      const int t = i * plan.tokens;
      if (plan.maps || gates_channels()) prepare(memory, t, count_of(i)), __syncthreads();
      if constexpr (Keyed) {
        if (undecayed()) normalise_undecayed(memory);
        if (warp == 0) compute_gates(memory, count_of(i));
        decay_keys(gates.reader, s, plan, memory, t, count_of(i));
        __syncthreads();
        const int* const steep = memory.gates->steep;
        if (steep[0] + steep[1] + steep[2] + steep[3] > 0) score_steep(plan, memory, int(c.keys)), __syncthreads();
        scale_rows(plan, memory, count_of(i));
        __syncthreads();
      } else if (warp == 0) {
        compute_gates(memory, count_of(i));
      }
      if (!plan.states_only) score(plan, memory, int(c.keys));
      __syncthreads();
      if (!plan.states_only) weigh(plan, memory, per_head(), admits(), wanted());
      if constexpr (Keyed && ends_one_sided<Token>) {
        make_one_sided(plan, memory, count_of(i));
        if (wanted() != summed::nothing) __syncthreads();
      }
      if (wanted() != summed::nothing) advance_normaliser(memory);
      __syncthreads();
      if (wanted() != summed::nothing && !plan.states_only)
        query_normaliser(c, plan, memory, per_head() && !undecayed() ? memory.gates->from_start : nullptr);
      advance(memory);
      if (Keyed && plan.states_only) add_up_decays(memory);
      __syncthreads();
      if (warp == 0) read_gates_ahead(t + plan.tokens);
      if (!plan.states_only) write_rows(c, plan, memory, values, t, count_of(i), gates_channels());
      if (Keyed && threadIdx.x < 4) memory.gates->steep[threadIdx.x] = 0;
    }
    finish();
  }

 private:
  __device__ int count_of(int chunk) const {
    const int left = length - chunk * plan.tokens;
    return left < plan.tokens ? left : plan.tokens;
  }
  /// Where a warp's part of a state lies: lane's first number, and bytes from key to key and from channel to channel.
  struct state_place {
    std::byte* first = nullptr;
    index_t key = 0, value = 0;

    /// Number i of the lane.
    __device__ float& operator[](int i) const {
      return *reinterpret_cast<float*>(first + (i / 4 * 8 + i % 2) * key + i % 4 / 2 * 8 * value);
    }
  };
  __device__ state_place place_in(std::byte* state, const block_place& at, index_t key, index_t value) const {
    return {state + key_of(0) * key + (at.first_channel + channel_of(0)) * value, key, value};
  }
  __device__ state_place place_in(const tensor<float>& x, const block_place& at) const {
    return x ? place_in(x.at(at.sequence, 0, at.head), at, x.key, x.value) : state_place{};
  }
  __device__ state_place place_in(const handed_state& x, const block_place& at) const {
    return place_in(reinterpret_cast<std::byte*>(x.S), at, c.values * index_t(sizeof(float)), sizeof(float));
  }
  __device__ bool state_exists(int i) const { return key_of(i) < c.keys && channel_of(i) < values; }
  static __device__ float* normaliser_at(const tensor<float>& x, const block_place& at, int key) {
    return reinterpret_cast<float*>(x.at(at.sequence, 0, at.head) + key * x.key);
  }
  __device__ handed_state handed(const block_place& at, int to) const {
    return handed_state(c, plan, at.sequence * c.heads + at.head, to);
  }

  /// Zeros wherever rows have padding, ones wherever there is no gate, the states as they are given.
  __device__ void start(const stretch& s, const block_place& at) {
    for (int i = int(threadIdx.x) * 4; i < plan.bytes; i += int(blockDim.x) * 4)
      *reinterpret_cast<int*>(shared + i) = 0;
    __syncthreads();
    const chunk_memory<Token> memory(shared, plan, 0);
    const bool is_handed = plan.segments > 1 && !plan.states_only, is_given = plan.segments == 1;
    for (int i = int(threadIdx.x); i < 64; i += int(blockDim.x))
      memory.gates->from_start[i] = memory.gates->entering[i] = memory.gates->admitted[i] = 1.0f;
    float* const z = memory.z + plan.steps() * plan.keys();
    for (int i = int(threadIdx.x); i < c.keys; i += int(blockDim.x)) {
      if (Keyed) memory.total[i] = 1.0f;
      if (is_handed && c.normalises()) z[i] = handed(at, at.segment).z[i];
      else if (is_given && c.z_in) z[i] = *normaliser_at(c.z_in, at, i);
    }
    if (threadIdx.x == 0) {
      gates.start(*memory.gates, c.m_in ? *normaliser_at(c.m_in, at, 0) : 0.0f);
      const auto rows_of = [&](const tensor<float>& x, index_t head, int channel) -> row_source {
        return {x.at(s.batch, s.place(0), head) + channel * x.value, s.backwards ? -x.time : x.time};
      };
      chunk_gates& rows = *memory.gates;
      const index_t key_head = c.key_head(at.head);
      rows.loaded[0] = rows_of(c.q, key_head, 0), rows.loaded[1] = rows_of(c.k, key_head, 0);
      rows.loaded[2] = rows_of(c.v, at.head, at.first_channel), rows.loaded[3] = rows_of(c.forget_raw, at.head, 0);
      rows.y = rows_of(c.y, at.head, at.first_channel);
      rows.output_gate = rows_of(c.output_gate, at.head, at.first_channel);
      rows.d = c.d ? c.d.at(0, 0, at.head) + at.first_channel * c.d.value : nullptr;
      rows.s = s;
    }
    const state_place from = is_handed  ? place_in(handed(at, at.segment), at)
                             : is_given ? place_in(c.S_in, at)
                                        : state_place{};
#pragma unroll
    for (int i = 0; i < slab_keys / 2; ++i) S[i / 4][i % 4] = from.first && state_exists(i) ? from[i] : 0.0f;
  }
  /// The states as they are now: the call's by the last segment, else what the next one is handed. Those of the head by its
  /// first block.
  __device__ void finish() {
    const block_place at(c, plan);
    const bool hands_over = plan.states_only, ends = !hands_over && at.segment == plan.segments - 1;
    if (!hands_over && !ends) return;
    const state_place to = hands_over ? place_in(handed(at, at.segment + 1), at) : place_in(c.S_out, at);
#pragma unroll
    for (int i = 0; i < slab_keys / 2; ++i)
      if (to.first && state_exists(i)) to[i] = S[i / 4][i % 4];
    if (at.first_channel != 0) return;
    const chunk_memory<Token> memory(shared, plan, 0);
    __syncthreads();
    const float* const z = memory.z + plan.steps() * plan.keys();
    for (int i = int(threadIdx.x); i < c.keys; i += int(blockDim.x)) {
      if (hands_over) {
        const handed_state next = handed(at, at.segment + 1);
        if (c.normalises()) next.z[i] = z[i];
        if (Keyed) next.left[i] = memory.total[i];
        else if (i == 0) next.left[0] = ptx::exp2_approx(float(memory.gates->total));
      } else if (c.z_out) {
        *normaliser_at(c.z_out, at, i) = z[i];
      }
    }
    if (ends && c.m_out && threadIdx.x == 0) *normaliser_at(c.m_out, at, 0) = float(memory.gates->m);
  }
  /// What decays per key have left of the segment's beginning.
  __device__ void add_up_decays(const chunk_memory<Token>& memory) {
    for (int key = int(threadIdx.x); key < plan.keys(); key += int(blockDim.x))
      for (int step = 0; step < plan.steps(); ++step) {
        const int at = step * plan.keys() + key;
        memory.total[key] *= ends_one_sided<Token> ? 1.0f + memory.first[at] : memory.first[at] * memory.second[at];
      }
  }
  __device__ int key_of(int i) const { return slab * slab_keys + i / 4 * 8 + lane % 4 * 2 + i % 2; }
  __device__ int channel_of(int i) const { return channel + lane / 4 + i % 4 / 2 * 8; }

  /// Sends for the rows of chunk i.
  __device__ void load(int i) {
    const chunk_memory<Token> memory(shared, plan, i % plan.stages);
    const int t = i * plan.tokens;
    const int count = count_of(i);
    // One piece of code for all tensors.
#pragma unroll 1
    for (int which = plan.states_only ? 1 : 0; which < (Keyed && plan.raw_rows ? 4 : 3); ++which) {
      Token* const to = which == 0 ? memory.q : which == 1 ? memory.k : which == 2 ? memory.v : memory.raw;
      const int stride = which == 0   ? plan.q_stride
                         : which == 1 ? plan.k_stride
                         : which == 2 ? plan.v_stride
                                      : plan.raw_stride;
      const bool pieces = which == 2 ? plan.pieces_of_values : which == 3 ? plan.pieces_of_raw : plan.pieces_of_keys;
      copy_rows(to, stride, memory.gates->loaded[which], t, count, plan.tokens, which == 2 ? values : int(c.keys),
                pieces);
    }
  }

  /// Maps, and input gates per channel.
  __device__ void prepare(const chunk_memory<Token>& memory, int t, int count) {
    if (plan.maps) {
#pragma unroll 1
      for (int which = 0; which < 2; ++which)
        map_rows(parts.map, which == 0 ? memory.q : memory.k, which == 0 ? plan.q_stride : plan.k_stride, count,
                 int(c.keys), which == 0 ? 1.0f : c.key_scale);
    }
    if (gates_channels()) {
      const int first = int(blockIdx.x) % plan.slices * plan.slice;
      for (int row = warp; row < count; row += int(blockDim.x) / 32)
        for (int i = lane; i < values; i += 32) {
          Token& v = memory.v[row * plan.v_stride + i];
          const float I = gates.reader.input_of_channel(memory.gates->s.place(t + row), first + i);
          v = ptx::as_stored<Token>(ptx::as_float(v) * I);
        }
    }
  }
  /// Gates of the head, by one warp; it reads ahead what the next chunk's are computed from.
  __device__ void compute_gates(const chunk_memory<Token>& memory, int count) {
    if (gates.any()) gates.compute(*memory.gates, count);
  }
  __device__ void read_gates_ahead(int next) {
    const int left = length - next;
    const stretch& s = reinterpret_cast<const chunk_gates*>(shared + plan.gates)->s;
    if (gates.any() && left > 0) gates.read_ahead(s, next, left < plan.tokens ? left : plan.tokens);
  }

  /// What the normaliser sums up of a step's own tokens; with decays per key that it does not share, it has done so.
  __device__ summed wanted() const {
    if (!c.normalises() || (Keyed && undecayed())) return summed::nothing;
    return undecayed() ? summed::scores : c.norm == norm_kind::abs_max ? summed::weights : summed::decayed;
  }
  /// A normaliser that does not share the decays per key has its turn before they go into queries and keys.
  __device__ void normalise_undecayed(const chunk_memory<Token>& memory) {
    if (!plan.states_only) score(plan, memory, int(c.keys));
    __syncthreads();
    if (!plan.states_only) sum_scores(plan, memory);
    mma::advance_normaliser(plan, memory, nullptr, nullptr);
    __syncthreads();
    if (!plan.states_only) query_normaliser(c, plan, memory, nullptr);
  }
  __device__ void advance_normaliser(const chunk_memory<Token>& memory) {
    const chunk_gates& gate = *memory.gates;
    const bool decays = per_head() && !undecayed();
    const float* const weights = c.norm == norm_kind::abs_max ? gate.entering : decays ? gate.left : nullptr;
    if constexpr (Keyed) advance_keyed_normaliser(plan, memory);
    else mma::advance_normaliser(plan, memory, weights, decays ? gate.taken : nullptr);
  }

  /// What the chunk sees of the state, and how the state moves on.
  __device__ void advance(const chunk_memory<Token>& memory) {
    if (warp >= plan.state_warps()) return;
    const bool scales = per_head() || admits();
    const chunk_gates& gate = *memory.gates;
    for (int step = 0; step < plan.steps(); ++step) {
      const int t = step * step_tokens, at = step * plan.keys() + slab * slab_keys + lane % 4 * 2;
      const bool one_sided = ends_one_sided<Token> || gate.steep[step];
      const auto first = [&](int j) { return load_pair(memory.first + at + 8 * j); };
      const auto second = [&](int j) { return load_pair(memory.second + at + 8 * j); };
      if (Keyed && !one_sided) multiply_keys(S, first);
      float Y[2][4] = {};
      if (!plan.states_only)
        products::template query_state<Keyed>(Y, S, memory.q + t * plan.q_stride + slab * slab_keys, plan.q_stride,
                                              lane);
      typename products::values V;
      products::load_values(V, memory.v + t * plan.v_stride + channel, plan.v_stride, lane);
      if (!plan.states_only) {
        if (per_head()) {
#pragma unroll
          for (int n = 0; n < 2; ++n) {
            const float2 by = load_pair(gate.from_start + t + 8 * n + lane % 4 * 2);
            Y[n][0] *= by.x, Y[n][1] *= by.y, Y[n][2] *= by.x, Y[n][3] *= by.y;
          }
        }
        if (slab == 0)
          products::apply_weights(Y, V, memory.weights + t * products::weight_stride,
                                  plan.tokens * products::weight_stride, lane);
        float* const y = memory.y + (slab * plan.tokens + t + lane % 4 * 2) * plan.y_stride + channel + lane / 4;
#pragma unroll
        for (int i = 0; i < 8; ++i) y[(i / 4 * 8 + i % 2) * plan.y_stride + i % 4 / 2 * 8] = Y[i / 4][i % 4];
      }
      if (scales) products::scale_values(V, gate.entering + t, lane);
      if constexpr (Keyed && ends_one_sided<Token>) decay(S, first);
      else if (Keyed && one_sided) multiply_keys(S, first), multiply_keys(S, second);
      if (per_head()) decay(S, [taken = gate.taken[step]](int) { return float2{taken, taken}; });
      products::enter(S, V, memory.k + t * plan.k_stride + slab * slab_keys, plan.k_stride, lane);
      if (Keyed && !one_sided) multiply_keys(S, second);
    }
  }
};

template <class Token, bool Keyed, class Parts>
__global__ void __launch_bounds__(512, 1)
    chunked_mma_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ Parts parts,
                       const __grid_constant__ block_plan plan) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  extern __shared__ __align__(16) unsigned char shared[];
  const block_place place(c, plan);
  slice_walk<Token, Keyed, Parts>(c, parts, plan, shared, cut(c.sequence(place.sequence), plan, place.segment), place)
      .run();
#endif
}

}  // namespace sextant::gpu::mma
