// SPDX-License-Identifier: Apache-2.0
// In the place of gpu.cpp where the build has no CUDA.
#include "run.hpp"

namespace evaluate {

namespace {
constexpr const char* why = "this build has no CUDA; there are cpu and cpu_serial";
}

std::string why_no_gpu() { return why; }

template <class Precision> sextant::status run_on_gpu(const options&, call<Precision>&) {
  return {sextant::errc::unsupported, why};
}

template sextant::status run_on_gpu(const options&, call<sextant::fp32>&);
template sextant::status run_on_gpu(const options&, call<sextant::fp64>&);
template sextant::status run_on_gpu(const options&, call<sextant::bf16>&);
template sextant::status run_on_gpu(const options&, call<sextant::fp16>&);

}  // namespace evaluate
