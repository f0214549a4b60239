// SPDX-License-Identifier: Apache-2.0
/// @file  What decode makes of a token before it touches the state: a head's keys, channels, gates and normaliser.
#pragma once

#include <sextant/cuda/tile/token.cuh>

namespace sextant::gpu::decoding {

/// The numbers of a call that the host works out once.
struct call_numbers {
  float scale = 1;         ///< in front of q
  float key_scale = 1;     ///< what the map multiplies keys by
  float eps = 0;           ///< of the norm
  double half_turns = 0;   ///< position / pi, for rotations
  double octaves = 0;      ///< log2 of the ratio of the angles of neighbouring pairs
};

/// The gates that are one number per head, with abs_max's stabiliser already in them.
struct head_gates {
  float forget = 1, input = 1;
  float m = 0;
};

/// What is read of one key: its query and key, those it is turned with, its normaliser, its gate.
struct key_reading {
  float q = 0, k = 0, partner_q = 0, partner_k = 0, z = 0;
  gate_numbers<float> gate{};
};
/// What is computed of it.
struct key_numbers {
  float turned_q, turned_k;  ///< mapped and turned: what meets the state
  float gate = 1;            ///< of a gate per key its value; of one per key and channel, what varies over keys alone
  float qz = 0, z = 0;       ///< this key's share of q z, and z after the token
};

/// What is read of one channel, and what is computed of it.
struct channel_reading {
  float v = 0, d = 0, output = 0;
  gate_numbers<float> gate{};
};
struct channel_numbers {
  float u;           ///< I v
  float gate = 1;    ///< as key_numbers' gate
  float added = 0;   ///< by the shortcut
  float factor = 1;  ///< by the output gate
};

/// One token of one head in the hands of a block.
template <class Design, class Precision> struct block_token {
  using forget_type = typename Design::forget_type;
  using map_type = typename Design::map_type;
  static constexpr per input_gate = granularity<typename Design::input_type>, forget_gate = granularity<forget_type>;
  static constexpr per forget_raw = raw_granularity<forget_type>, forget_rate = rate_granularity<forget_type>;
  static constexpr bool expands = sextant::detail::expanding_map<map_type>;
  static constexpr bool normalises = sextant::detail::normalises<typename Design::norm_type>;
  static constexpr bool stabilises = sextant::detail::stabilises<Design>;

  const token_of<Design, Precision> token;
  const call_numbers& numbers;
  int K, W;               ///< keys as given, and of the state
  const float* expanded;  ///< [2, W], q and k of an expanding map

  __device__ __forceinline__ block_token(const Design& design, const sequence_of<Design, Precision>& x,
                                          const call_numbers& n, const float* rows)
      : token{design, x, index_t(blockIdx.z), 0, index_t(blockIdx.y)}, numbers{n},
        K{int(x.k.template extent<axis::key>())}, W{int(state_width<map_type>(K))}, expanded{rows} {}

  __device__ __forceinline__ gate_numbers<float> read_head() const {
    gate_numbers<float> of;
    token.template read<per::head>(of, 0, 0);
    return of;
  }
  __device__ __forceinline__ float read_m() const {
    if constexpr (stabilises) return token.x.initial_state.m ? float(token.x.initial_state.m(token.b, token.h)) : 0.0f;
    else return 0;
  }
  __device__ __forceinline__ head_gates gates(const gate_numbers<float>& of, float m) const {
    head_gates g;
    if constexpr (stabilises) {
      const float log_f = token.log_forget(of), log_i = token.log_input(of);
      g.m = math::max(log_f + m, log_i);
      g.forget = math::exp(log_f + m - g.m);
      g.input = math::exp(log_i - g.m);
    } else {
      if constexpr (forget_gate == per::nothing || forget_gate == per::head) g.forget = token.forget(of);
      if constexpr (input_gate == per::nothing || input_gate == per::head) g.input = token.input(of);
    }
    return g;
  }

  /// Reads key i < W; where the map expands, after expand_rows.
  __device__ __forceinline__ key_reading read_key(const gate_numbers<float>& of_head, int i) const {
    const auto& x = token.x;
    key_reading r;
    r.gate = of_head;
    token.template read<per::key>(r.gate, i, 0);
    const auto at = [&](int key, float& q, float& k) {
      if constexpr (expands) q = expanded[key], k = expanded[W + key];
      else {
        q = float(x.q(token.b, token.t, token.key_head(), key));
        k = float(x.k(token.b, token.t, token.key_head(), key));
      }
    };
    at(i, r.q, r.k);
    if constexpr (sextant::detail::turns_1d<Design>) at(i ^ 1, r.partner_q, r.partner_k);
    if constexpr (normalises) r.z = x.initial_state.z ? float(x.initial_state.z(token.b, token.h, i)) : 0.0f;
    return r;
  }
  __device__ __forceinline__ key_numbers compute_key(const head_gates& head, const key_reading& r, int i) const {
    const auto mapped = [&](float raw, float scale) {
      if constexpr (expands) return raw;
      else return token.design.feature_map(raw * scale);
    };
    const float q = mapped(r.q, 1), k = mapped(r.k, numbers.key_scale);
    key_numbers n{q, k};
    if constexpr (sextant::detail::turns_1d<Design>) {
      double angle = numbers.half_turns * exp2(-numbers.octaves * double(i / 2));  // in units of pi
      angle -= 2 * rint(angle / 2);
      float s, c;
      sincospif(float(angle), &s, &c);
      if (i % 2 == 0) s = -s;  // re cos - im sin, or im cos + re sin
      n.turned_q = q * c + mapped(r.partner_q, 1) * s;
      n.turned_k = k * c + mapped(r.partner_k, numbers.key_scale) * s;
    }
    if constexpr (forget_gate == per::key) n.gate = token.forget(r.gate);
    else if constexpr (forget_raw == per::key) n.gate = token.forget_raw(r.gate);
    else if constexpr (forget_rate == per::key) n.gate = r.gate.rate;
    if constexpr (normalises) {
      if constexpr (stabilises) n.z = head.forget * r.z + head.input * k;
      else if constexpr (!sextant::detail::normaliser_decays<typename Design::norm_type>) n.z = r.z + k;
      else n.z = (forget_gate == per::key ? n.gate : head.forget) * r.z + k;
      n.qz = q * n.z;
    }
    return n;
  }

  /// Reads channel v < V.
  __device__ __forceinline__ channel_reading read_channel(const gate_numbers<float>& of_head, int v) const {
    const auto& x = token.x;
    channel_reading r;
    r.gate = of_head;
    token.template read<per::channel>(r.gate, 0, v);
    r.v = float(x.v(token.b, token.t, token.h, v));
    if constexpr (sextant::detail::is_learned<Design>) r.d = float(x.d(token.h, v));
    if constexpr (sextant::detail::has_output_gate<Design>) r.output = float(x.gate(token.b, token.t, token.h, v));
    return r;
  }
  __device__ __forceinline__ channel_numbers compute_channel(const head_gates& head, const channel_reading& r) const {
    channel_numbers n{(input_gate == per::channel ? token.input(r.gate) : head.input) * r.v};
    if constexpr (forget_gate == per::channel) n.gate = token.forget(r.gate);
    else if constexpr (forget_raw == per::channel) n.gate = token.forget_raw(r.gate);
    else if constexpr (forget_rate == per::channel) n.gate = r.gate.rate;
    if constexpr (sextant::detail::is_learned<Design>) n.added = r.d * r.v;
    if constexpr (sextant::detail::has_output_gate<Design>) n.factor = math::silu(r.output);
    return n;
  }

  /// What scale q S is divided by, from q z.
  __device__ __forceinline__ float divisor(const head_gates& head, float qz) const {
    if constexpr (stabilises) return math::max(math::abs(numbers.scale * qz), math::exp(-head.m)) + numbers.eps;
    else return qz + numbers.eps;
  }

  /// q and k of an expanding map into `rows` [2, W] by way of `raw` [2, K]: by all threads where the map says what any
  /// single number is, else by one thread each. Ends with a barrier.
  __device__ __forceinline__ void expand_rows(float* raw, float* rows) const {
    const auto& map = token.design.feature_map;
    const int thread = int(threadIdx.x), threads = int(blockDim.x);
    for (int i = thread; i < K; i += threads) {
      raw[i] = float(token.x.q(token.b, token.t, token.key_head(), i));
      raw[K + i] = float(token.x.k(token.b, token.t, token.key_head(), i)) * numbers.key_scale;
    }
    __syncthreads();
    const float *const query = raw, *const key = raw + K;
    if constexpr (requires { map.element(query, index_t(K), index_t(0)); }) {
      for (int i = thread; i < W; i += threads) {
        rows[i] = map.element(query, index_t(K), index_t(i));
        rows[W + i] = map.element(key, index_t(K), index_t(i));
      }
    } else {  // in two warps, so that query and key go on side by side
      if (thread == 0) map.expand(query, index_t(K), rows);
      if (thread == 32) map.expand(key, index_t(K), rows + W);
    }
    __syncthreads();
  }
};

}  // namespace sextant::gpu::decoding
