// SPDX-License-Identifier: Apache-2.0
/// @file  Memory of a GPU that is freed at the end.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>    // byte, size_t
#include <stdexcept>  // runtime_error
#include <utility>    // exchange, move

namespace ablation {

/// Throws the driver's sentence where CUDA fails.
inline void must(cudaError_t answer) {
  if (answer != cudaSuccess) throw std::runtime_error(cudaGetErrorString(answer));
}

/// Memory of the device.
class device_memory {
 public:
  device_memory() = default;
  explicit device_memory(std::size_t bytes) : bytes_{bytes} {
    if (bytes > 0) must(cudaMalloc(&data_, bytes));
  }
  device_memory(device_memory&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)}, bytes_{std::exchange(other.bytes_, 0)} {}
  device_memory& operator=(device_memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~device_memory() { cudaFree(data_); }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  std::size_t size() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace ablation
