// SPDX-License-Identifier: Apache-2.0
/// @file  In the place of on_gpu.cuh where the build has no CUDA.
#include <sextant/tensor/precision.hpp>

#include "gpu.hpp"

namespace ablation {

template <class Precision> std::string measure_on_gpu(const variant&, const void*, const std::string&, int, result&) {
  return why_no_gpu();
}

template std::string measure_on_gpu<sextant::fp32>(const variant&, const void*, const std::string&, int, result&);
template std::string measure_on_gpu<sextant::fp64>(const variant&, const void*, const std::string&, int, result&);
template std::string measure_on_gpu<sextant::bf16>(const variant&, const void*, const std::string&, int, result&);
template std::string measure_on_gpu<sextant::fp16>(const variant&, const void*, const std::string&, int, result&);

}  // namespace ablation
