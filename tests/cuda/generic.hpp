// SPDX-License-Identifier: Apache-2.0
/// @file  The GPU's generic forms on designs of the library's own parts. A design costs the compiler as little here as on
/// the CPU: what it becomes is a call without types, and the kernels for those are compiled once, in generic.cu.
#pragma once

#include <sextant/cuda/call.cuh>
#include <sextant/cuda/parts.cuh>

#include "cases.hpp"
#include "cuda/device_memory.hpp"

namespace sextant::test {

/// How exact the generic forms are: fp32 sums over keys in another order, and gates by the device's exp.
template <class Precision> inline constexpr double generic_tolerance = tolerance<Precision>;
template <> inline constexpr double generic_tolerance<fp32> = 5e-5;

/// Runs the recurrence or the scan on a call whose tensors are the device's, with a poisoned workspace.
status run_generic(const gpu::device_call<float>& call, const gpu::library_parts& parts, bool by_scan);
status run_generic(const gpu::device_call<double>& call, const gpu::library_parts& parts, bool by_scan);

/// The answer of a problem by the recurrence or the scan, in the host's vectors.
template <class Design, class Precision> status answer_generic(problem<Design, Precision>& p, bool by_scan) {
  status found;
  auto call = gpu::make_call(p.design, p.x, found);
  if (!found) return found;
  mirror device;
  device.take(p);
  call.each_tensor([&](auto& tensor) { tensor.data = device.moved(tensor.data); });
  call.offsets = device.moved(call.offsets);
  const status done = run_generic(call, gpu::choose_parts(p.design), by_scan);
  must(cudaDeviceSynchronize());
  device.give();
  return done;
}

}  // namespace sextant::test
