// SPDX-License-Identifier: Apache-2.0
/// @file  In the place of gpu.cpp and on_gpu.cuh where the build has no CUDA.
#include "gpu.hpp"

namespace ablation {

std::string why_no_gpu() { return "this build has no CUDA backend; use cpu or cpu_serial"; }
std::string gpu_name() { return "none"; }

template <class Precision>
results run_on_gpu(const request&, std::span<const float>, const std::function<void(const char*)>&) {
  return {{}, why_no_gpu()};
}

using say_type = const std::function<void(const char*)>&;
template results run_on_gpu<sextant::fp32>(const request&, std::span<const float>, say_type);
template results run_on_gpu<sextant::fp64>(const request&, std::span<const float>, say_type);
template results run_on_gpu<sextant::bf16>(const request&, std::span<const float>, say_type);
template results run_on_gpu<sextant::fp16>(const request&, std::span<const float>, say_type);

}  // namespace ablation
