// SPDX-License-Identifier: Apache-2.0
/// @file  A call with the types of its design forgotten: shapes, tensors, and the parts that are but a choice.
#pragma once

#include <cstddef>           // byte
#include <initializer_list>  // initializer_list

#include <sextant/design/part.hpp>

namespace sextant {

/// Which part answers the distinction, by its name.
enum class norm_kind { none, sum, sum_undecayed, mean, abs_max };
/// The same for positions.
enum class position_kind { none, rotary_1d, rotary_2d };
/// The same for orders.
enum class order_kind { causal, reversed, global };

/// Where a tensor's numbers lie: strides in bytes from one batch (or sequence), token, head, key and channel to the next.
struct tensor_place {
  std::byte* data = nullptr;
  index_t batch = 0, time = 0, head = 0, key = 0, value = 0;  ///< in bytes
  index_t element = 1;                                        ///< bytes of one element

  SEXTANT_FN explicit operator bool() const { return data != nullptr; }
  SEXTANT_FN std::byte* at(index_t b, index_t t, index_t h) const { return data + b * batch + t * time + h * head; }
};

/// What a call computes on, for all designs alike; a backend adds how it calls the gates and the map. `Tensor` is a
/// tensor_place that knows how its backend reads a stored number as a Real.
template <class Real, class Tensor> struct call {
  index_t sequences = 0, tokens = 0, key_heads = 0, heads = 0, keys = 0, width = 0, values = 0;
  const index_t* offsets = nullptr;
  index_t offsets_stride = 0;

  Tensor q, k, v, y, dt, output_gate;        // of a time-invariant state space q and k are c and b, with no token's stride
  Tensor input_raw, forget_raw;              // what a gate reads of its own
  Tensor bias, a, d, lepe, lepe_bias, log_dt;  // parameters: batch and time strides are 0
  Tensor S_in, z_in, m_in, S_out, z_out, m_out;
  index_t lepe_row = 0, lepe_column = 0;     // bytes

  per step_varies = per::nothing;
  Real key_scale = Real(1), scale = Real(1), eps = Real(0);
  double rotary_base = 0;

  norm_kind norm = norm_kind::none;
  position_kind position = position_kind::none;
  order_kind order = order_kind::causal;
  index_t grid_height = 0, grid_width = 0, first_position = 0;

  SEXTANT_FN bool normalises() const { return norm != norm_kind::none; }
  /// Tokens of sequence n, and its first one.
  SEXTANT_FN index_t length(index_t n) const {
    return offsets == nullptr ? tokens : offsets[(n + 1) * offsets_stride] - offsets[n * offsets_stride];
  }
  SEXTANT_FN index_t first(index_t n) const { return offsets == nullptr ? 0 : offsets[n * offsets_stride]; }
  SEXTANT_FN index_t batch(index_t n) const { return offsets == nullptr ? n : 0; }
  /// Where token t of sequence n lies, t counting in the order in which the state meets the tokens.
  SEXTANT_FN index_t place(index_t n, index_t t) const {
    return first(n) + (order == order_kind::reversed ? length(n) - 1 - t : t);
  }
  /// +1, or -1 where the state meets the tokens backwards.
  SEXTANT_FN index_t direction() const { return order == order_kind::reversed ? -1 : 1; }
  SEXTANT_FN index_t key_head(index_t h) const { return h * key_heads / heads; }
  /// visit(tensor) for every tensor, given or not.
  template <class Visit> void each_tensor(const Visit& visit) {
    for (Tensor* t : {&q, &k, &v, &y, &dt, &output_gate, &input_raw, &forget_raw, &bias, &a, &d, &lepe, &lepe_bias, &log_dt, &S_in,
                      &z_in, &m_in, &S_out, &z_out, &m_out})
      visit(*t);
  }
  /// The longest sequence.
  index_t longest() const {
    index_t most = 0;
    for (index_t n = 0; n < sequences; ++n) most = length(n) > most ? length(n) : most;
    return most;
  }
};

}  // namespace sextant
