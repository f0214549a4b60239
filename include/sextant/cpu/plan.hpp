// SPDX-License-Identifier: Apache-2.0
/// @file  A call with its types forgotten: what the CPU's forms run on, compiled once for all designs.
#pragma once

#include <sextant/call/call.hpp>
#include <sextant/cpu/backend.hpp>
#include <sextant/design/discretisation.hpp>
#include <sextant/status.hpp>

namespace sextant::cpu {

/// Reads `count` stored numbers that lie `stride` elements apart into a row of Real.
template <class Real> using load_function = void (*)(const void* from, index_t stride, index_t count, Real* to);
/// Rounds a row of Real to the stored type.
template <class Real> using store_function = void (*)(const Real* from, index_t count, void* to, index_t stride);

/// A tensor of the call, and how its rows are read and written.
template <class Real> struct tensor : tensor_place {
  load_function<Real> load = nullptr;
  store_function<Real> store = nullptr;

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

/// One pair of a time-invariant state space, discretised.
using discretise_function = discretised<double> (*)(const void* gate, double delta, complex<double> a);

/// One gate: the part, its two functions, its raw tensor and what it varies over.
template <class Real> struct gate_plan {
  const void* part = nullptr;
  gate_function<Real> value = nullptr, logarithm = nullptr;
  tensor<Real> raw;
  per varies = per::nothing, raw_varies = per::nothing, rate_varies = per::nothing;
  bool is_one = false, from_step = false;
};

/// A call and its parts, every part behind a function that fills a tile. Forms are templates on Real alone, so a
/// thousand designs share one instantiation of each form, and a part's functions are shared by all its designs.
template <class Real> struct plan : call<Real, tensor<Real>> {
  gate_plan<Real> input, forget;
  Real (*default_rate)(index_t head) = nullptr;
  discretise_function discretise = nullptr;  // null: gates, queries and keys are of tokens

  const void* map = nullptr;
  map_function<Real> apply_map = nullptr;  // null: identity
  bool map_expands = false;
  product_function<Real> map_product = nullptr;  // null: the map knows no product
  index_t chunk_length = 0;                      ///< tokens of a chunk that the caller asks for; 0: the form's choice
};

}  // namespace sextant::cpu
