// SPDX-License-Identifier: Apache-2.0
/// @file  The networks on a GPU, for tokens of any type.
#pragma once

#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/cuda/forward.cuh>

#include "../ablation/gpu_machine.cuh"
#include "networks_run.hpp"

namespace classify {

/// run() on a GPU.
template <class E> answer run_on_gpu(const request& what, std::span<const float> picture) {
  try {
    return run_on<E>(ablation::gpu_machine(), what, picture);
  } catch (const std::exception& e) {
    answer refused;
    refused.error = std::string("backend cuda: ") + e.what();
    return refused;
  }
}

}  // namespace classify
