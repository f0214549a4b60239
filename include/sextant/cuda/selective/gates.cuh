// SPDX-License-Identifier: Apache-2.0
/// @file  What a token says to a channel: steps, gates, I v, shortcut and output gate; and how a forget gate is evaluated.
#pragma once

#include <sextant/cuda/ptx/convert.cuh>
#include <sextant/cuda/selective/layout.cuh>
#include <sextant/cuda/tile/activation.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::lanes {

/// Count numbers that lie together, in one access.
template <class Element, int Count> struct alignas(Count * sizeof(Element)) together { array<Element, Count> at; };
template <int Count, class Element>
__device__ __forceinline__ together<Element, Count> load_together(const Element* from) {
  return *reinterpret_cast<const together<Element, Count>*>(from);
}
template <class Element, int Count>
__device__ __forceinline__ void store_together(Element* to, const together<Element, Count>& all) {
  *reinterpret_cast<together<Element, Count>*>(to) = all;
}

/// Stored numbers as floats; exact.
template <class Token, int Count>
__device__ __forceinline__ void widen(const together<Token, Count>& stored, array<float, Count>& to) {
  if constexpr (sizeof(Token) == 2 && Count % 2 == 0) {
    const auto words = __builtin_bit_cast(together<unsigned, Count / 2>, stored);
#pragma unroll
    for (int i = 0; i < Count; i += 2) gpu::detail::widen_pair<Token>(words.at[i / 2], to[i], to[i + 1]);
  } else {
#pragma unroll
    for (int i = 0; i < Count; ++i) to[i] = ptx::as_float(stored.at[i]);
  }
}

/// The forget gate of a design in base 2.
template <class Layout> struct forget_of_design {
  using forget_type = typename Layout::forget_type;
  static constexpr bool by_log = sextant::detail::offers_log<forget_type, float>;
  static constexpr bool scaled_rates =
      by_log && sextant::detail::proportional_of<forget_type>() && rate_granularity<forget_type> != per::nothing;
  const forget_type& gate;

  /// F of a token's number and a rate from rate(); by the special function unit or by multiply-adds.
  __device__ __forceinline__ float operator()(float number, float a, bool by_polynomial = false) const {
    if constexpr (by_log) {
      float exponent = sextant::detail::call_log(gate, number, a);
      if constexpr (!scaled_rates) exponent *= log2_e;
      return by_polynomial ? exp2_by_polynomial(exponent) : ptx::exp2_approx(exponent);
    } else return (void)by_polynomial, sextant::detail::call_value(gate, number, a);
  }
  /// The rate of a channel and key, times log2(e) where the gate's logarithm is proportional to it.
  template <class Sequence>
  static __device__ __forceinline__ float rate(const Sequence& x, index_t h, index_t channel, index_t key) {
    constexpr per varies = rate_granularity<forget_type>;
    (void)h, (void)channel, (void)key;
    float a = 0;
    if constexpr (varies != per::nothing) {
      bool given = true;
      if constexpr (requires { forget_type::template default_rate<float>(h); }) {
        given = bool(x.a);
        if (!given) a = forget_type::template default_rate<float>(h);
      }
      if (given) {
        if constexpr (varies == per::head) a = x.a(h);
        else if constexpr (varies == per::key) a = x.a(h, key);
        else if constexpr (varies == per::channel) a = x.a(h, channel);
        else a = x.a(h, channel, key);
      }
    }
    return scaled_rates ? a * log2_e : a;
  }
};

/// What tokens say to `Pack` neighbouring channels: one number each.
template <class Layout, int Pack> struct channel_gates {
  using token = typename Layout::token;
  using design = typename Layout::design;
  using arrivals = typename Layout::arrivals;
  using stored = together<token, Pack>;
  const design& d;
  int at;                                   ///< the first channel, in the block
  array<float, Pack> bias, rate, shortcut;  ///< rate: of forget gates that are the same for all keys

  /// Channels `its_first` and on of the block whose first channel is `begin` of `V`.
  template <class Sequence>
  __device__ __forceinline__ channel_gates(const design& its_design, const Sequence& x, index_t h, int begin,
                                           int its_first, int V)
      : d{its_design}, at{its_first} {
#pragma unroll
    for (int i = 0; i < Pack; ++i) {
      const index_t known = begin + at + i < V ? begin + at + i : 0;
      bias[i] = rate[i] = shortcut[i] = 0;
      if constexpr (Layout::step_of_channel) bias[i] = x.bias ? float(x.bias(h, known)) : 0.0f;
      if constexpr (Layout::step_of_head) bias[i] = x.bias ? float(x.bias(h)) : 0.0f;
      if constexpr (Layout::decay == decay_kind::channel) rate[i] = forget_of_design<Layout>::rate(x, h, known, 0);
      if constexpr (Layout::learned) shortcut[i] = x.d(h, known);
    }
  }

  __device__ __forceinline__ stored load(const token* row_of_all, int t) const {
    return load_together<Pack>(row_of_all + t * Layout::channels + at);
  }
  /// Of token t of a round: what the forget gate reads or, where it is the same for all keys, its value; and w = I v.
  __device__ __forceinline__ void prepare(const arrivals& from, int t, array<float, Pack>& number,
                                          array<float, Pack>& w) const {
    array<float, Pack> delta, own, v;
    widen(load(from.v.at, t), v);
    if constexpr (Layout::step_of_channel) widen(load(from.dt.at, t), delta);
#pragma unroll
    for (int i = 0; i < Pack; ++i) {
      if constexpr (Layout::step_of_head) delta[i] = from.dt_head.at[t];
      if constexpr (Layout::step != per::nothing) delta[i] = softplus<Layout::exact>(delta[i] + bias[i]);
      own[i] = Layout::step != per::nothing ? delta[i] : 0.0f;
    }
    if constexpr (Layout::input_of_channel) widen(load(from.input.at, t), own);
#pragma unroll
    for (int i = 0; i < Pack; ++i) {
      if constexpr (Layout::input_of_head) own[i] = from.input_head.at[t];
      w[i] = Layout::has_input ? gate_value(d.input_gate, own[i], 0.0f) * v[i] : v[i];
      number[i] = 1;
    }
    if constexpr (Layout::decay == decay_kind::channel || Layout::decay == decay_kind::state) {
      if constexpr (Layout::forget_of_channel) widen(load(from.forget.at, t), number);
#pragma unroll
      for (int i = 0; i < Pack; ++i) {
        if constexpr (Layout::forget_of_head) number[i] = from.forget_head.at[t];
        if constexpr (!Layout::forget_of_channel && !Layout::forget_of_head) number[i] = delta[i];
        if constexpr (Layout::decay == decay_kind::channel)
          number[i] = forget_of_design<Layout>{d.forget_gate}(number[i], rate[i]);
      }
    }
  }

  /// What of a token its y needs last: v and the output gate, as they are stored.
  struct last {
    stored v, gate;
  };
  __device__ __forceinline__ last read_last(const arrivals& from, int t) const {
    last l{};
    if constexpr (Layout::learned) l.v = load(from.v.at, t);
    if constexpr (Layout::has_gate) l.gate = load(from.gate.at, t);
    return l;
  }
  /// y, as it is stored, from phi(q) S and its factor: the scale, over the norm.
  __device__ __forceinline__ stored finish(const float* sums, float factor, const last& l) const {
    [[maybe_unused]] array<float, Pack> v, gate;
    if constexpr (Layout::learned) widen(l.v, v);
    if constexpr (Layout::has_gate) widen(l.gate, gate);
    stored y;
#pragma unroll
    for (int i = 0; i < Pack; ++i) {
      float sum = sums[i] * factor;
      if constexpr (Layout::learned) sum = fmaf(shortcut[i], v[i], sum);
      if constexpr (Layout::has_gate) sum *= silu<Layout::exact>(gate[i]);
      y.at[i] = ptx::as_stored<token>(sum);
    }
    return y;
  }
};

}  // namespace sextant::gpu::lanes
