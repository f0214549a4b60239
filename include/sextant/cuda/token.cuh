// SPDX-License-Identifier: Apache-2.0
/// @file  What one token says, for kernels that serve every design: its gates, its mapped and turned rows, its output.
#pragma once

#include <sextant/cuda/call.cuh>
#include <sextant/cuda/parts.cuh>

namespace sextant::gpu {

namespace detail {
/// softplus, compiled once for a kernel that calls it in many places.
template <class Real> [[gnu::noinline]] __device__ Real softplus_apart(Real x) { return math::softplus(x); }
}  // namespace detail

/// The tokens of one head of one sequence.
template <class Real, class Parts> struct head_tokens {
  const device_call<Real>& c;
  const Parts& parts;
  stretch s;
  index_t n, h, key_head;

  __device__ head_tokens(const device_call<Real>& call, const Parts& its_parts, index_t sequence, index_t head)
      : c{call}, parts{its_parts}, s{call.sequence(sequence)}, n{sequence}, h{head}, key_head{call.key_head(head)} {}

  /// delta = softplus(dt + bias) of the token at `at`.
  __device__ Real step(index_t at, index_t channel) const {
    const bool wide = c.step_varies == per::channel;
    Real x = c.dt.of_channel(s.batch, at, h, wide ? channel : 0);
    if (c.bias) x += c.bias.of_channel(0, 0, h, wide ? channel : 0);
    return detail::softplus_apart(x);
  }
  /// What the input gate reads.
  __device__ Real input_raw(index_t at, index_t channel) const {
    if (parts.input.raw == per::nothing) return Real(0);
    if (parts.input.from_step) return step(at, channel);
    return c.input_raw.of_channel(s.batch, at, h, parts.input.raw == per::channel ? channel : 0);
  }
  __device__ Real input(index_t at, index_t channel) const {
    return parts.input.is_one ? Real(1) : parts.input.value(input_raw(at, channel), Real(0));
  }
  /// What the forget gate reads where that varies over nothing but heads and channels.
  __device__ Real forget_raw(index_t at, index_t channel) const {
    if (parts.forget.from_step) return step(at, channel);
    if (parts.forget.raw == per::head) return c.forget_raw.of_channel(s.batch, at, h, 0);
    if (parts.forget.raw == per::channel) return c.forget_raw.of_channel(s.batch, at, h, channel);
    return Real(0);
  }
  __device__ bool reads_keys() const { return parts.forget.raw == per::key || parts.forget.raw == per::key_channel; }
  /// Whether the forget gate is the same for all keys and channels, for all keys.
  __device__ bool forgets_per_head() const { return !varies_over_channels() && !varies_over_keys(); }
  __device__ bool varies_over_keys() const {
    return reads_keys() || parts.forget.rate == per::key || parts.forget.rate == per::key_channel;
  }
  __device__ bool varies_over_channels() const {
    return parts.forget.raw == per::channel || parts.forget.raw == per::key_channel ||
           parts.forget.rate == per::channel || parts.forget.rate == per::key_channel;
  }
  __device__ Real rate(index_t k, index_t channel) const {
    const per P = parts.forget.rate;
    if (P == per::nothing) return Real(0);
    if (!c.a) return parts.forget.template default_rate<Real>(h);
    return c.a.of_both(0, 0, h, P == per::head || P == per::channel ? 0 : k,
                       P == per::head || P == per::key ? 0 : channel);
  }
  /// The forget gate at (k, channel); `raw` is forget_raw(at, channel).
  __device__ Real forget(index_t at, index_t k, index_t channel, Real raw) const {
    if (parts.forget.is_one) return Real(1);
    if (reads_keys())
      raw = c.forget_raw.of_both(s.batch, at, h, k, parts.forget.raw == per::key_channel ? channel : 0);
    return parts.forget.value(raw, rate(k, channel));
  }
  __device__ Real value(index_t at, index_t channel) const { return c.v.read(c.v.at(s.batch, at, h) + channel * c.v.value); }

  /// Loads the K numbers of the query or key of the token at `at`, mapped where the map does not expand, by the threads
  /// first, first + threads, ... A barrier must follow before they are read, and expand() where the map expands.
  __device__ void load_row(bool is_key, index_t at, Real* row, index_t first, index_t threads) const {
    const tensor<Real>& from = is_key ? c.k : c.q;
    const std::byte* const row_at = from.at(s.batch, at, key_head);
#pragma unroll 1
    for (index_t i = first; i < c.keys; i += threads) {
      Real x = from.read(row_at + i * from.key);
      if (is_key) x *= c.key_scale;
      row[i] = parts.map.expands ? x : parts.map.value(x);
    }
  }
  /// Turns the mapped row of the token at `at` into `turned`, pair by pair.
  __device__ void turn(index_t at, const Real* row, Real* turned, index_t first, index_t threads) const {
    const index_t pairs = c.width / 2, place = at - s.first;
    const double log_base = log(c.rotary_base);
#pragma unroll 1
    for (index_t m = first; m < pairs; m += threads) {
      index_t coordinate = place + c.first_position, of_pair = m, pairs_of_turn = pairs;
      if (c.position != position_kind::rotary_1d) {
        const index_t quarter = c.key_heads * c.width / 4, pair = key_head * pairs + m;
        coordinate = pair < quarter ? place / c.grid_width : place % c.grid_width;
        of_pair = pair % quarter, pairs_of_turn = quarter;
      }
      const double angle = double(coordinate) * exp(-log_base * double(of_pair) / double(pairs_of_turn));
      double sine, cosine;
      sincos(angle, &sine, &cosine);
      const Real re = row[2 * m], im = row[2 * m + 1];
      turned[2 * m] = re * Real(cosine) - im * Real(sine);
      turned[2 * m + 1] = re * Real(sine) + im * Real(cosine);
    }
  }

  /// What q.S is divided by, from q.z and the stabiliser m.
  __device__ Real divisor(Real qz, Real m) const {
    switch (c.norm) {
      case norm_kind::none: return Real(1);
      case norm_kind::abs_max: return math::max(math::abs(c.scale * qz), math::exp(-m)) + c.eps;
      case norm_kind::mean: return qz + Real(s.length) * c.eps;
      default: return qz + c.eps;
    }
  }
  /// y of one channel, from q.S and its divisor, where it belongs. `Local`: whether it may have a convolution added.
  template <bool Local = true> __device__ void store(index_t at, index_t channel, Real qS, Real its_divisor) const {
    Real y = c.scale * qS / its_divisor;
    if (c.d) y += c.d.of_channel(0, 0, h, channel) * value(at, channel);
    if constexpr (Local)
      if (c.lepe) y += neighbours(at, channel);
    if (c.output_gate) y *= math::silu(c.output_gate.of_channel(s.batch, at, h, channel));
    c.y.write(c.y.at(s.batch, at, h) + channel * c.y.value, y);
  }

 private:
  /// The 3 x 3 convolution around the pixel at `at`.
  __device__ Real neighbours(index_t at, index_t channel) const {
    const index_t pixel = at - s.first, row = pixel / c.grid_width, column = pixel % c.grid_width;
    Real sum = c.lepe_bias ? c.lepe_bias.of_channel(0, 0, h, channel) : Real(0);
#pragma unroll 1
    for (int i = -1; i <= 1; ++i)
#pragma unroll 1
      for (int j = -1; j <= 1; ++j) {
        const index_t y = row + i, x = column + j;
        if (y < 0 || y >= c.grid_height || x < 0 || x >= c.grid_width || y * c.grid_width + x >= s.length) continue;
        sum += c.lepe.read(c.lepe.at(0, 0, h) + channel * c.lepe.value + (i + 1) * c.lepe_row + (j + 1) * c.lepe_column) *
               value(s.first + y * c.grid_width + x, channel);
      }
    return sum;
  }
};

}  // namespace sextant::gpu
