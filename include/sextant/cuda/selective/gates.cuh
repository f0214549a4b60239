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
template <class Traits> struct forget_of_design {
  using forget_type = typename Traits::forget_type;
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
      if (by_polynomial) return exp2_by_polynomial<Traits::exact>(x);
      return ptx::exp2_approx(Traits::exact ? x + shift : x);
    } else return (void)by_polynomial, (void)shift, sextant::detail::call_value(gate, number, a);
  }
  /// Whether a gate that several keys or channels share is kept as its log2(F), of which more is left near F = 1.
  static constexpr bool keeps_log = by_log && Traits::exact;
  /// What such a gate is kept as.
  __device__ __forceinline__ float shared(float number, float a) const {
    if constexpr (keeps_log) return exponent(number, a);
    else return (*this)(number, a);
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

/// What tokens say to two neighbouring channels: one number each. `Traits` are a design's, or a layout's.
template <class Traits> struct channel_gates {
  using token = typename Traits::token;
  using design = typename Traits::design;
  using stored = together<token, 2>;
  using two = array<float, 2>;
  const design& d;
  two bias, rate, shortcut;  ///< rate: of forget gates that are the same for all keys

  /// Channels `first` and its neighbour, of `V`.
  template <class Sequence>
  __device__ __forceinline__ channel_gates(const design& its_design, const Sequence& x, index_t h, int first, int V)
      : d{its_design} {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const index_t known = first + i < V ? first + i : 0;
      bias[i] = rate[i] = shortcut[i] = 0;
      if constexpr (Traits::step_of_channel) bias[i] = x.bias ? float(x.bias(h, known)) : 0.0f;
      if constexpr (Traits::step_of_head) bias[i] = x.bias ? float(x.bias(h)) : 0.0f;
      if constexpr (Traits::decay == decay_kind::channel) rate[i] = forget_of_design<Traits>::rate(x, h, known, 0);
      if constexpr (Traits::learned) shortcut[i] = x.d(h, known);
    }
  }

  /// Two numbers as they are stored.
  using words = together<std::uint32_t, sizeof(stored) / 4>;
  static __device__ __forceinline__ void widen_words(const words& from, two& to) {
    widen(__builtin_bit_cast(stored, from), to);
  }
  /// A token's numbers as they are stored, those of the head as floats; of tensors that the design has.
  struct said {
    words v, dt, forget, input;
    float dt_head, forget_head, input_head;
  };
  /// What the forget gate reads of a token or, where it is the same for all keys, what it is kept as; and w = I v.
  __device__ __forceinline__ void prepare(const said& its, two& number, two& w) const {
    two delta, own, v;
    widen_words(its.v, v);
    if constexpr (Traits::step_of_channel) widen_words(its.dt, delta);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if constexpr (Traits::step_of_head) delta[i] = its.dt_head;
      if constexpr (Traits::step != per::nothing) delta[i] = softplus<Traits::exact>(delta[i] + bias[i]);
      own[i] = Traits::step != per::nothing ? delta[i] : 0.0f;
    }
    if constexpr (Traits::input_of_channel) widen_words(its.input, own);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if constexpr (Traits::input_of_head) own[i] = its.input_head;
      w[i] = Traits::has_input ? gate_value(d.input_gate, own[i], 0.0f) * v[i] : v[i];
      number[i] = 1;
    }
    if constexpr (Traits::decay == decay_kind::channel || Traits::decay == decay_kind::state) {
      if constexpr (Traits::forget_of_channel) widen_words(its.forget, number);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if constexpr (Traits::forget_of_head) number[i] = its.forget_head;
        if constexpr (!Traits::forget_of_channel && !Traits::forget_of_head) number[i] = delta[i];
        if constexpr (Traits::decay == decay_kind::channel)
          number[i] = forget_of_design<Traits>{d.forget_gate}.shared(number[i], rate[i]);
      }
    }
  }

  /// What of a token its y needs last: v and the output gate, as they are stored.
  struct last {
    words v, gate;
  };
  /// y, as it is stored, from phi(q) S and its factor: the scale, over the norm.
  __device__ __forceinline__ stored finish(const two& sums, float factor, const last& l) const {
    [[maybe_unused]] two v, gate;
    if constexpr (Traits::learned) widen_words(l.v, v);
    if constexpr (Traits::has_gate) widen_words(l.gate, gate);
    two y;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      y[i] = sums[i] * factor;
      if constexpr (Traits::learned) y[i] = fmaf(shortcut[i], v[i], y[i]);
      if constexpr (Traits::has_gate) y[i] *= silu<Traits::exact>(gate[i]);
    }
    return narrowed<token>(y);
  }
};

/// The same of the tokens of a round, as they have arrived in shared memory.
template <class Layout> struct gates_of_round : channel_gates<Layout> {
  using base = channel_gates<Layout>;
  using arrivals = typename Layout::arrivals;
  using typename base::last, typename base::said, typename base::two, typename base::words;
  int at;  ///< the first of the two channels, among the block's

  /// Channels `its_first` and its neighbour of the block of warps whose first channel is `begin` of `V`.
  template <class Sequence>
  __device__ __forceinline__ gates_of_round(const typename base::design& d, const Sequence& x, index_t h, int begin,
                                            int its_first, int V)
      : base(d, x, h, begin + its_first, V), at{its_first} {}

  /// What token t of a round says in the tensor that begins at number First.
  template <int First> __device__ __forceinline__ words load(const arrivals& from, int t) const {
    return *reinterpret_cast<const words*>(from.tokens + First + t * Layout::of_block + at);
  }
  __device__ __forceinline__ void prepare(const arrivals& from, int t, two& number, two& w) const {
    said its;
    its.v = load<Layout::v_at>(from, t);
    if constexpr (Layout::step_of_channel) its.dt = load<Layout::dt_at>(from, t);
    if constexpr (Layout::step_of_head) its.dt_head = from.dt_head.at[t];
    if constexpr (Layout::forget_of_channel) its.forget = load<Layout::forget_at>(from, t);
    if constexpr (Layout::forget_of_head) its.forget_head = from.forget_head.at[t];
    if constexpr (Layout::input_of_channel) its.input = load<Layout::input_at>(from, t);
    if constexpr (Layout::input_of_head) its.input_head = from.input_head.at[t];
    base::prepare(its, number, w);
  }
  __device__ __forceinline__ last read_last(const arrivals& from, int t) const {
    last l{};
    if constexpr (Layout::learned) l.v = load<Layout::v_at>(from, t);
    if constexpr (Layout::has_gate) l.gate = load<Layout::gate_at>(from, t);
    return l;
  }
};

}  // namespace sextant::gpu::lanes
