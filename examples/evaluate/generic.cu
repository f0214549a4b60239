// SPDX-License-Identifier: Apache-2.0
// The GPU's generic kernels for the library's own parts: what every design of the switches runs.
#include "generic.hpp"

#include <cstring>  // strcmp

#include <sextant/cuda/scan.cuh>

#include "workspace.hpp"

namespace evaluate {

namespace {

namespace gpu = sextant::gpu;

template <class Family, class Real>
sextant::status run_as(const gpu::device_call<Real>& call, const gpu::library_parts& parts) {
  return with_workspace(Family::bytes_of_call(call, parts),
                        [&](const gpu::stream& on) { return Family::run_call(call, parts, on); });
}
template <class Real>
sextant::status run_named(const gpu::device_call<Real>& call, const gpu::library_parts& parts, const char* form) {
  return std::strcmp(form, gpu::scan::form) == 0 ? run_as<gpu::scan>(call, parts) : run_as<gpu::recurrent>(call, parts);
}

}  // namespace

sextant::status run_generic(const gpu::device_call<float>& call, const gpu::library_parts& parts, const char* form) {
  return run_named(call, parts, form);
}
sextant::status run_generic(const gpu::device_call<double>& call, const gpu::library_parts& parts, const char* form) {
  return run_named(call, parts, form);
}

}  // namespace evaluate
