// SPDX-License-Identifier: Apache-2.0
/// @file  A state space that is the same for every token: its recurrence, and the convolution that it also is.
#pragma once

#include <vector>  // vector

#include <sextant/reference/token.hpp>

namespace sextant::reference {

/// The discretised pairs of channel v of head h: x_m <- state_m x_m + input_m u, y = sum_m Re(output_m x_m).
template <class Real> struct channel_pairs { std::vector<complex<Real>> state, input, output; };
/// Those pairs, from a design and its tensors.
template <class Design, class Precision>
channel_pairs<typename Precision::accumulator> discretise(const Design& design, const sequence_of<Design, Precision>& x,
                                                          index_t h, index_t v) {
  using real = typename Precision::accumulator;
  channel_pairs<real> pairs;
  const auto number = [&](const auto& tensor, index_t m) {
    return complex<real>{real(tensor(h, v, 2 * m)), real(tensor(h, v, 2 * m + 1))};
  };
  for (index_t m = 0; m < x.c.template extent<axis::key>() / 2; ++m) {
    const discretised<real> d = design.forget_gate(math::exp(real(x.log_dt(h, v))), number(x.a, m));
    pairs.state.push_back(d.state);
    pairs.input.push_back(x.b ? d.input * number(x.b, m) : d.input);
    pairs.output.push_back(real(2) * number(x.c, m));
  }
  return pairs;
}

/// Pair m of the initial state, 0 where there is none.
template <class Real, class Sequence>
complex<Real> initial_pair(const Sequence& x, index_t n, index_t h, index_t m, index_t v) {
  if (!x.initial_state.S) return {Real(0), Real(0)};
  return {Real(x.initial_state.S(n, h, 2 * m, v)), Real(x.initial_state.S(n, h, 2 * m + 1, v))};
}

/// y and the final state of a time-invariant state space by the recurrence:
///   x_m <- state_m x_m + input_m (I v),  y = scale sum_m Re(output_m x_m) + shortcut
/// Every scalar type; cost O(B T H V K); deterministic. The shapes are the caller's care.
template <class Design, class Precision>
requires(time_invariant<typename Design::forget_type>) void recurrent(const Design& design,
                                                                      const sequence_of<Design, Precision>& x) {
  using real = typename Precision::accumulator;
  const tokens<Design, Precision> token{design, x};
  const real scale = real(design.scale(token.keys()));
  for (index_t n = 0; n < token.sequences(); ++n)
    for (index_t h = 0; h < token.heads(); ++h)
      for (index_t v = 0; v < token.values(); ++v) {
        const channel_pairs<real> pairs = discretise(design, x, h, v);
        const std::size_t count = pairs.state.size();
        std::vector<complex<real>> state;
        for (std::size_t m = 0; m < count; ++m) state.push_back(initial_pair<real>(x, n, h, index_t(m), v));
        for (index_t t = 0; t < token.length(n); ++t) {
          const real u = token.input(n, t, h, v) * token.value(n, t, h, v);
          real sum = real(0);
          for (std::size_t m = 0; m < count; ++m) {
            state[m] = pairs.state[m] * state[m] + u * pairs.input[m];
            sum = sum + (pairs.output[m] * state[m]).re;
          }
          const real y = token.output(scale * sum + token.shortcut(n, t, h, v), n, t, h, v);
          x.y(token.batch(n), token.place(n, t), h, v) = typename Precision::token(y);
        }
        for (std::size_t m = 0; m < count; ++m)
          if (x.final_state.S) {
            x.final_state.S(n, h, 2 * index_t(m), v) = typename Precision::state(state[m].re);
            x.final_state.S(n, h, 2 * index_t(m) + 1, v) = typename Precision::state(state[m].im);
          }
      }
}

/// y of the same by the other view of it, a causal convolution:
///   y_t = scale (sum_{s<=t} kernel_{t-s} (I v)_s + Re(sum_m output_m state_m^{t+1} x_m)) + shortcut,
///   kernel_l = Re(sum_m output_m input_m state_m^l)
/// x is the initial state; the final one is not written. Cost O(B H V T (T + K)).
template <class Design, class Precision>
requires(time_invariant<typename Design::forget_type>) void quadratic(const Design& design,
                                                                      const sequence_of<Design, Precision>& x) {
  using real = typename Precision::accumulator;
  const tokens<Design, Precision> token{design, x};
  const real scale = real(design.scale(token.keys()));
  for (index_t n = 0; n < token.sequences(); ++n)
    for (index_t h = 0; h < token.heads(); ++h)
      for (index_t v = 0; v < token.values(); ++v) {
        const channel_pairs<real> pairs = discretise(design, x, h, v);
        std::vector<real> kernel, echo, u;  // echo: of the initial state
        std::vector<complex<real>> power(pairs.state.size(), complex<real>{real(1), real(0)});
        for (index_t t = 0; t < token.length(n); ++t) {
          kernel.push_back(real(0)), echo.push_back(real(0));
          for (std::size_t m = 0; m < power.size(); ++m) {
            kernel.back() = kernel.back() + (pairs.output[m] * pairs.input[m] * power[m]).re;
            power[m] = pairs.state[m] * power[m];
            const complex<real> before = initial_pair<real>(x, n, h, index_t(m), v);
            echo.back() = echo.back() + (pairs.output[m] * power[m] * before).re;
          }
          u.push_back(token.input(n, t, h, v) * token.value(n, t, h, v));
          real sum = echo.back();
          for (std::size_t s = 0; s < u.size(); ++s) sum = sum + kernel[u.size() - 1 - s] * u[s];
          const real y = token.output(scale * sum + token.shortcut(n, t, h, v), n, t, h, v);
          x.y(token.batch(n), token.place(n, t), h, v) = typename Precision::token(y);
        }
      }
}

}  // namespace sextant::reference
