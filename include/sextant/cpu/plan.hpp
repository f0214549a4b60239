// SPDX-License-Identifier: Apache-2.0
/// @file  A call with its types forgotten: what the CPU's forms run on, compiled once for all designs.
#pragma once

#include <sextant/cpu/backend.hpp>
#include <sextant/design/part.hpp>
#include <sextant/status.hpp>

namespace sextant::cpu {

/// Reads `count` stored numbers that lie `stride` elements apart into a row of Real.
template <class Real> using load_function = void (*)(const void* from, index_t stride, index_t count, Real* to);
/// Rounds a row of Real to the stored type.
template <class Real> using store_function = void (*)(const Real* from, index_t count, void* to, index_t stride);

/// A tensor of the call: strides in bytes from one batch (or sequence), token, head, key and channel to the next.
template <class Real> struct tensor {
  std::byte* data = nullptr;
  index_t batch = 0, time = 0, head = 0, key = 0, value = 0;  ///< in bytes
  index_t element = 1;                                        ///< bytes of one element
  load_function<Real> load = nullptr;
  store_function<Real> store = nullptr;

  explicit operator bool() const { return data != nullptr; }
  std::byte* at(index_t b, index_t t, index_t h) const { return data + b * batch + t * time + h * head; }
  /// `count` numbers from `from`, `stride` bytes apart.
  void read(const std::byte* from, index_t stride, index_t count, Real* to) const {
    load(from, stride / element, count, to);
  }
  void write(const Real* from, index_t count, std::byte* to, index_t stride) const {
    store(from, count, to, stride / element);
  }
};

/// Numbers that a gate reads over a box of (token, key, channel): strides in elements, 0 where they do not vary.
template <class Real> struct operand {
  const Real* data = nullptr;
  index_t token = 0, key = 0, lane = 0;
};
/// The gate's value (or logarithm) over a box of tokens x keys x lanes, into [token][key][lane] with the given strides.
/// Lanes are whatever is contiguous in the operands: channels, keys or tokens.
template <class Real>
using gate_function = void (*)(const void* gate, index_t tokens, index_t keys, index_t lanes, operand<Real> x,
                               operand<Real> a, Real* out, index_t out_token, index_t out_key);
/// phi of K numbers in place, or from `x` to the `width` numbers of `phi`.
template <class Real> using map_function = void (*)(const void* map, const Real* x, index_t K, Real* phi);
/// A row of products q.k becomes one of products phi(q).phi(k).
template <class Real> using product_function = void (*)(const void* map, Real* row, index_t count);

/// One gate: the part, its two functions, its raw tensor and what it varies over.
template <class Real> struct gate_plan {
  const void* part = nullptr;
  gate_function<Real> value = nullptr, logarithm = nullptr;
  tensor<Real> raw;
  per varies = per::nothing, raw_varies = per::nothing, rate_varies = per::nothing;
  bool is_one = false, from_step = false;
};

enum class norm_kind { none, sum, sum_undecayed, mean, abs_max };
enum class position_kind { none, rotary_1d, rotary_2d };
enum class order_kind { causal, reversed, global };

/// A call: shapes, tensors and parts, every part behind a function that fills a tile. Forms are templates on Real
/// alone, so a thousand designs share one instantiation of each form, and a part's functions are shared by all its
/// designs.
template <class Real> struct plan {
  index_t sequences = 0, tokens = 0, key_heads = 0, heads = 0, keys = 0, width = 0, values = 0;
  const index_t* offsets = nullptr;
  index_t offsets_stride = 0;

  tensor<Real> q, k, v, y, dt, output_gate;
  tensor<Real> bias, a, d, lepe, lepe_bias;  // parameters: batch and time strides are 0
  tensor<Real> S_in, z_in, m_in, S_out, z_out, m_out;
  index_t lepe_row = 0, lepe_column = 0;     // bytes

  gate_plan<Real> input, forget;
  per step_varies = per::nothing;
  Real (*default_rate)(index_t head) = nullptr;

  const void* map = nullptr;
  map_function<Real> apply_map = nullptr;  // null: identity
  bool map_expands = false;
  product_function<Real> map_product = nullptr;  // null: the map knows no product
  Real key_scale = Real(1), scale = Real(1), eps = Real(0);
  double rotary_base = 0;

  norm_kind norm = norm_kind::none;
  position_kind position = position_kind::none;
  order_kind order = order_kind::causal;
  index_t grid_height = 0, grid_width = 0, first_position = 0;
  index_t chunk_length = 0;  ///< tokens of a chunk that the caller asks for; 0: the form's choice

  bool normalises() const { return norm != norm_kind::none; }
  /// Tokens of sequence n, and its first one.
  index_t length(index_t n) const {
    return offsets == nullptr ? tokens : offsets[(n + 1) * offsets_stride] - offsets[n * offsets_stride];
  }
  index_t first(index_t n) const { return offsets == nullptr ? 0 : offsets[n * offsets_stride]; }
  index_t batch(index_t n) const { return offsets == nullptr ? n : 0; }
  /// Where token t of sequence n lies, t counting in the order in which the state meets the tokens.
  index_t place(index_t n, index_t t) const {
    return first(n) + (order == order_kind::reversed ? length(n) - 1 - t : t);
  }
  /// +1, or -1 where the state meets the tokens backwards.
  index_t direction() const { return order == order_kind::reversed ? -1 : 1; }
  index_t key_head(index_t h) const { return h * key_heads / heads; }
  /// The longest sequence.
  index_t longest() const {
    index_t most = 0;
    for (index_t n = 0; n < sequences; ++n) most = length(n) > most ? length(n) : most;
    return most;
  }
};

}  // namespace sextant::cpu
