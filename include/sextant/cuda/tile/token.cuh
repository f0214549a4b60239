// SPDX-License-Identifier: Apache-2.0
/// @file  What one token says to one head: the gates' numbers as read, apart from what the gates make of them.
#pragma once

#include <sextant/tensor/sequence.hpp>

namespace sextant::gpu {

/// What the gates of a design read. Those that it does not read are no instructions.
template <class Real> struct gate_numbers {
  Real dt = 0, bias = 0;  ///< the raw step size and its bias
  Real input = 0;         ///< the raw input gate
  Real forget = 0;        ///< the raw forget gate
  Real rate = 0;          ///< the forget gate's learned rate
};

/// One token of one head: place `t` of batch `b`, head `h`. Reading and computing are apart, so that a kernel can have all
/// it needs on the way before it waits for any of it.
template <class Design, class Precision> struct token_of {
  using real = typename Precision::accumulator;
  using input_type = typename Design::input_type;
  using forget_type = typename Design::forget_type;

  const Design& design;
  const sequence_of<Design, Precision>& x;
  index_t b, t, h;

  /// The head of q and k that head h reads.
  __device__ __forceinline__ index_t key_head() const {
    if constexpr (std::is_same_v<typename Design::heads_type, heads::multi>) return h;
    else if constexpr (std::is_same_v<typename Design::heads_type, heads::single>) return 0;
    else return index_t(unsigned(h) * unsigned(x.k.template extent<axis::head>()) / unsigned(x.v.template extent<axis::head>()));
  }

  /// Reads the numbers that vary over `Level`, of key k and channel v; the others stay as they are.
  template <per Level> __device__ __forceinline__ void read(gate_numbers<real>& to, index_t k, index_t v) const {
    (void)k, (void)v;
    if constexpr (sextant::detail::step_granularity<Design> == Level) {
      if constexpr (Level == per::channel) {
        to.dt = real(x.dt(b, t, h, v));
        to.bias = x.bias ? real(x.bias(h, v)) : real(0);
      } else {
        to.dt = real(x.dt(b, t, h));
        to.bias = x.bias ? real(x.bias(h)) : real(0);
      }
    }
    if constexpr (reads_own<input_type> && raw_granularity<input_type> == Level) {
      if constexpr (Level == per::channel) to.input = real(x.input(b, t, h, v));
      else to.input = real(x.input(b, t, h));
    }
    if constexpr (reads_own<forget_type> && raw_granularity<forget_type> == Level) {
      if constexpr (Level == per::head) to.forget = real(x.forget(b, t, h));
      else if constexpr (Level == per::key) to.forget = real(x.forget(b, t, h, k));
      else if constexpr (Level == per::channel) to.forget = real(x.forget(b, t, h, v));
      else to.forget = real(x.forget(b, t, h, k, v));
    }
    if constexpr (rate_granularity<forget_type> == Level) {
      if constexpr (requires { forget_type::template default_rate<real>(h); })
        if (!x.a) return void(to.rate = forget_type::template default_rate<real>(h));
      if constexpr (Level == per::head) to.rate = real(x.a(h));
      else if constexpr (Level == per::key) to.rate = real(x.a(h, k));
      else if constexpr (Level == per::channel) to.rate = real(x.a(h, v));
      else to.rate = real(x.a(h, v, k));
    }
  }

  /// delta = softplus(dt + bias).
  __device__ __forceinline__ real step(const gate_numbers<real>& of) const { return math::softplus(of.dt + of.bias); }
  /// What the gates are called with besides the rate.
  __device__ __forceinline__ real input_raw(const gate_numbers<real>& of) const {
    if constexpr (reads_step<input_type>) return step(of);
    else return of.input;
  }
  __device__ __forceinline__ real forget_raw(const gate_numbers<real>& of) const {
    if constexpr (reads_step<forget_type>) return step(of);
    else return of.forget;
  }
  /// The gates, and their natural logarithms.
  __device__ __forceinline__ real input(const gate_numbers<real>& of) const {
    return gate_value(design.input_gate, input_raw(of), real(0));
  }
  __device__ __forceinline__ real forget(const gate_numbers<real>& of) const {
    return gate_value(design.forget_gate, forget_raw(of), of.rate);
  }
  __device__ __forceinline__ real log_input(const gate_numbers<real>& of) const {
    return gate_log(design.input_gate, input_raw(of), real(0));
  }
  __device__ __forceinline__ real log_forget(const gate_numbers<real>& of) const {
    return gate_log(design.forget_gate, forget_raw(of), of.rate);
  }
};

}  // namespace sextant::gpu
