// SPDX-License-Identifier: Apache-2.0
/// @file  Copies of a call's tensors in a GPU's memory.
#pragma once

#include <cstddef>  // byte, size_t

#include <sextant/tensor/sequence.hpp>

#include "device_memory.hpp"

namespace ablation {

/// Calls visit(view) with every tensor that a row of the table has.
template <class Sequence, class Visit> void for_each_tensor(Sequence& x, const Visit& visit) {
  if constexpr (requires { x.q; }) visit(x.q), visit(x.k);
  else visit(x.c), visit(x.log_dt);
  visit(x.v), visit(x.y);
  if constexpr (requires { x.dt; }) visit(x.dt), visit(x.bias);
  if constexpr (requires { x.forget; }) visit(x.forget);
  if constexpr (requires { x.a; }) visit(x.a);
  if constexpr (requires { x.d; }) visit(x.d);
  if constexpr (requires { x.lepe; }) visit(x.lepe), visit(x.lepe_bias);
}

/// A call's dense tensors, one after the other in one piece of the device's memory. y holds NaN until a call writes it.
template <class Sequence> class device_copy {
 public:
  Sequence x;

  explicit device_copy(const Sequence& host) : x{host}, memory_{bytes_of(host)} {
    std::byte* next = memory_.data();
    for_each_tensor(x, [&](auto& tensor) { next = move_to(next, tensor); });
    must(cudaMemset(x.y.data(), 0xff, bytes_in(x.y)));
  }

  /// Bytes of such copies, each beginning at a multiple of 256.
  static std::size_t bytes_of(const Sequence& host) {
    std::size_t bytes = 0;
    for_each_tensor(host, [&bytes](const auto& tensor) { bytes += padded(bytes_in(tensor)); });
    return bytes;
  }
  /// y, back to the host.
  template <class Element> void fetch_y(Element* to) const {
    must(cudaMemcpy(to, x.y.data(), bytes_in(x.y), cudaMemcpyDeviceToHost));
  }

 private:
  static std::size_t padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }
  template <class Tensor> static std::size_t bytes_in(const Tensor& tensor) {
    return std::size_t(tensor.size()) * sizeof *tensor.data();
  }
  template <class Element, class... Axes>
  static std::byte* move_to(std::byte* at, sextant::view<Element, Axes...>& to) {
    if (to.data() == nullptr) return at;
    const std::size_t bytes = bytes_in(to);
    must(cudaMemcpy(at, to.data(), bytes, cudaMemcpyHostToDevice));
    sextant::index_t extents[sizeof...(Axes)];
    for (int r = 0; r < int(sizeof...(Axes)); ++r) extents[r] = to.extent(r);
    to = {reinterpret_cast<Element*>(at), extents};
    return at + padded(bytes);
  }
  device_memory memory_;
};

}  // namespace ablation
