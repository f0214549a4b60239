// SPDX-License-Identifier: Apache-2.0
/// @file  What a token says to a channel: steps, gates, I v, shortcut and output gate; and how a forget gate is evaluated.
#pragma once

#include <cstdint>  // uint32_t

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

/// Two floats as they are stored, to nearest even.
template <class Token> __device__ __forceinline__ together<Token, 2> narrowed(const array<float, 2>& from) {
  if constexpr (sizeof(Token) == 2)
    return __builtin_bit_cast(together<Token, 2>, gpu::detail::round_pair<Token>(from[0], from[1]));
  else return {{Token(from[0]), Token(from[1])}};
}

/// The forget gate of a design in base 2.
template <class Layout> struct forget_of_design {
  using forget_type = typename Layout::forget_type;
  static constexpr bool by_log = sextant::detail::offers_log<forget_type, float>;
  static constexpr bool scaled_rates =
      by_log && sextant::detail::proportional_of<forget_type>() && rate_granularity<forget_type> != per::nothing;
  const forget_type& gate;

  /// log2(F) of a token's number and a rate from rate().
  __device__ __forceinline__ float exponent(float number, float a) const {
    const float x = sextant::detail::call_log(gate, number, a);
    return scaled_rates ? x : x * log2_e;
  }
  /// F, by the special function unit or by multiply-adds. The unit's exponent is raised by `shift`, in float.
  __device__ __forceinline__ float operator()(float number, float a, bool by_polynomial = false,
                                              float shift = 0) const {
    if constexpr (by_log) {
      const float x = exponent(number, a);
      if (by_polynomial) return exp2_by_polynomial<Layout::exact>(x);
      return ptx::exp2_approx(Layout::exact ? x + shift : x);
    } else return (void)by_polynomial, (void)shift, sextant::detail::call_value(gate, number, a);
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

/// What tokens say to two neighbouring channels: one number each.
template <class Layout> struct channel_gates {
  using token = typename Layout::token;
  using design = typename Layout::design;
  using arrivals = typename Layout::arrivals;
  using stored = together<token, 2>;
  using two = array<float, 2>;
  const design& d;
  int at;                    ///< the first of them, among the block's
  two bias, rate, shortcut;  ///< rate: of forget gates that are the same for all keys

  /// Channels `its_first` and its neighbour of the block of warps whose first channel is `begin` of `V`.
  template <class Sequence>
  __device__ __forceinline__ channel_gates(const design& its_design, const Sequence& x, index_t h, int begin,
                                           int its_first, int V)
      : d{its_design}, at{its_first} {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const index_t known = begin + at + i < V ? begin + at + i : 0;
      bias[i] = rate[i] = shortcut[i] = 0;
      if constexpr (Layout::step_of_channel) bias[i] = x.bias ? float(x.bias(h, known)) : 0.0f;
      if constexpr (Layout::step_of_head) bias[i] = x.bias ? float(x.bias(h)) : 0.0f;
      if constexpr (Layout::decay == decay_kind::channel) rate[i] = forget_of_design<Layout>::rate(x, h, known, 0);
      if constexpr (Layout::learned) shortcut[i] = x.d(h, known);
    }
  }

  /// What token t of a round says in the tensor that begins at number First.
  template <int First> __device__ __forceinline__ stored load(const arrivals& from, int t) const {
    return load_together<2>(from.tokens + First + t * Layout::of_block + at);
  }
  /// Of token t of a round: what the forget gate reads or, where it is the same for all keys, its value; and w = I v.
  __device__ __forceinline__ void prepare(const arrivals& from, int t, two& number, two& w) const {
    two delta, own, v;
    widen(load<Layout::v_at>(from, t), v);
    if constexpr (Layout::step_of_channel) widen(load<Layout::dt_at>(from, t), delta);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if constexpr (Layout::step_of_head) delta[i] = from.dt_head.at[t];
      if constexpr (Layout::step != per::nothing) delta[i] = softplus<Layout::exact>(delta[i] + bias[i]);
      own[i] = Layout::step != per::nothing ? delta[i] : 0.0f;
    }
    if constexpr (Layout::input_of_channel) widen(load<Layout::input_at>(from, t), own);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if constexpr (Layout::input_of_head) own[i] = from.input_head.at[t];
      w[i] = Layout::has_input ? gate_value(d.input_gate, own[i], 0.0f) * v[i] : v[i];
      number[i] = 1;
    }
    if constexpr (Layout::decay == decay_kind::channel || Layout::decay == decay_kind::state) {
      if constexpr (Layout::forget_of_channel) widen(load<Layout::forget_at>(from, t), number);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if constexpr (Layout::forget_of_head) number[i] = from.forget_head.at[t];
        if constexpr (!Layout::forget_of_channel && !Layout::forget_of_head) number[i] = delta[i];
        if constexpr (Layout::decay == decay_kind::channel)
          number[i] = forget_of_design<Layout>{d.forget_gate}(number[i], rate[i], Layout::exact);
      }
    }
  }

  /// What of a token its y needs last: v and the output gate, as they are stored.
  struct last {
    together<std::uint32_t, sizeof(stored) / 4> v, gate;
  };
  __device__ __forceinline__ last read_last(const arrivals& from, int t) const {
    last l{};
    if constexpr (Layout::learned) l.v = __builtin_bit_cast(decltype(l.v), load<Layout::v_at>(from, t));
    if constexpr (Layout::has_gate) l.gate = __builtin_bit_cast(decltype(l.gate), load<Layout::gate_at>(from, t));
    return l;
  }
  /// y, as it is stored, from phi(q) S and its factor: the scale, over the norm.
  __device__ __forceinline__ stored finish(const two& sums, float factor, const last& l) const {
    [[maybe_unused]] two v, gate;
    if constexpr (Layout::learned) widen(__builtin_bit_cast(stored, l.v), v);
    if constexpr (Layout::has_gate) widen(__builtin_bit_cast(stored, l.gate), gate);
    two y;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      y[i] = sums[i] * factor;
      if constexpr (Layout::learned) y[i] = fmaf(shortcut[i], v[i], y[i]);
      if constexpr (Layout::has_gate) y[i] *= silu<Layout::exact>(gate[i]);
    }
    return narrowed<token>(y);
  }
};

}  // namespace sextant::gpu::lanes
