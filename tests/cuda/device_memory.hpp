// SPDX-License-Identifier: Apache-2.0
/// @file  Memory of the device for tests: copies of the host's numbers, and back. Any compiler may include it.
#pragma once

#include <cstdio>   // fprintf, puts
#include <cstdlib>  // abort
#include <utility>  // exchange, move
#include <vector>   // vector

#include <cuda_runtime_api.h>

#include "problem.hpp"

namespace sextant::test {

/// Ends the program where CUDA itself fails: a test cannot go on from there.
inline void must(cudaError_t answer) {
  if (answer == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(answer));
  std::abort();
}

/// Whether there is a GPU; says that the test is skipped where there is none.
inline bool has_gpu() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return true;
  std::puts("skipped: there is no GPU here");
  return false;
}

/// Memory of the device that is freed at the end, a copy of some of the host's.
class device_memory {
 public:
  device_memory() = default;
  explicit device_memory(std::size_t bytes) : bytes_{bytes} { must(cudaMalloc(&data_, bytes == 0 ? 1 : bytes)); }
  device_memory(device_memory&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)}, bytes_{std::exchange(other.bytes_, 0)} {}
  device_memory& operator=(device_memory&& other) noexcept {
    return std::swap(data_, other.data_), std::swap(bytes_, other.bytes_), *this;
  }
  ~device_memory() { cudaFree(data_); }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  std::size_t size() const { return bytes_; }
  void take(const void* from) { must(cudaMemcpy(data_, from, bytes_, cudaMemcpyHostToDevice)); }
  void give(void* to) const { must(cudaMemcpy(to, data_, bytes_, cudaMemcpyDeviceToHost)); }
  void fill(int byte) { must(cudaMemset(data_, byte, bytes_)); }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Copies of the host's vectors in memory of the device.
class mirror {
 public:
  template <class Element> void take(std::vector<Element>& host) {
    device_memory copy(host.size() * sizeof(Element));
    copy.take(host.data());
    pieces_.push_back({reinterpret_cast<std::byte*>(host.data()), std::move(copy)});
  }
  /// All numbers of a problem.
  template <class Precision> void take(tensors<Precision>& p) {
    for (auto& numbers : p.tokens) take(numbers);
    for (auto& numbers : p.parameters) take(numbers);
    for (auto& numbers : p.states) take(numbers);
    take(p.offsets);
  }
  /// Where the copy of one of the host's numbers lies; null for none.
  template <class Number> Number* moved(Number* host) const {
    if (host == nullptr) return nullptr;  // a tensor that was not given
    auto* const at = reinterpret_cast<const std::byte*>(host);
    for (const piece& p : pieces_)
      if (at >= p.host && (at < p.host + p.device.size() || at == p.host))
        return reinterpret_cast<Number*>(p.device.data() + (at - p.host));
    return nullptr;
  }
  /// The view of the host's numbers, on the device's.
  template <class Element, class... Axes> void move(view<Element, Axes...>& v) const {
    index_t extents[sizeof...(Axes)], strides[sizeof...(Axes)];
    for (int r = 0; r < int(sizeof...(Axes)); ++r) extents[r] = v.extent(r), strides[r] = v.stride(r);
    v = {moved(v.data()), extents, strides};
  }
  /// All numbers back to the host.
  void give() const {
    for (const piece& p : pieces_) p.device.give(p.host);
  }

 private:
  struct piece {
    std::byte* host;
    device_memory device;
  };
  std::vector<piece> pieces_;
};

}  // namespace sextant::test
