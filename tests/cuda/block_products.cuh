// SPDX-License-Identifier: Apache-2.0
/// @file  cuBLASLt for tests: a handle, a table and 8 MB that live as long as the program.
#pragma once

#include <sextant/blocks/cuda/products.cuh>

#include "cuda/device_memory.hpp"

namespace sextant::test {

inline gpu::matrix_products& products() {
  static cublasLtHandle_t handle = nullptr;
  static const device_memory memory{std::size_t(8) << 20};
  static gpu::matrix_products its((cublasLtCreate(&handle), handle), {memory.data(), memory.size()});
  return its;
}

}  // namespace sextant::test
