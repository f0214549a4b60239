// SPDX-License-Identifier: Apache-2.0
/// @file  The models on a GPU, for tokens of any type.
#pragma once

#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/cuda/forward.cuh>

#include "../ablation/gpu_machine.cuh"
#include "model_run.hpp"

namespace generate {

/// make_of() on a GPU.
template <class E, class Net>
std::unique_ptr<model> make_on_gpu(const Net& net, const request& what, const sextant::safetensors::archive& file,
                                   std::string& error) {
  try {
    return make_of<E>(std::make_shared<const ablation::gpu_machine>(), net, what, file, error);
  } catch (const std::runtime_error& e) {
    error = std::string("backend cuda: ") + e.what();
    return {};
  }
}
template <class E> inline constexpr makers makers_on_gpu{&make_on_gpu<E, mamba_model>, &make_on_gpu<E, mamba2_model>};

}  // namespace generate
