// SPDX-License-Identifier: Apache-2.0
/// @file  The generic kernels for the library's own parts, compiled once for all tests of many designs.
#include <sextant/cuda/scan.cuh>

#include "cuda/generic.hpp"

namespace sextant::test {

namespace {

template <class Real> status run(const gpu::device_call<Real>& call, const gpu::library_parts& parts, bool by_scan) {
  device_memory scratch(by_scan ? gpu::scan::bytes_of_call(call, parts) : gpu::recurrent::bytes_of_call(call, parts));
  scratch.fill(0xff);
  const gpu::stream on{.memory = {scratch.data(), scratch.size()}};
  const bool is_placed = call.position != position_kind::none || call.lepe;
  const status done = by_scan     ? gpu::scan::run_call(call, parts, on)
                      : is_placed ? gpu::recurrent::run_call<true>(call, parts, on)
                                  : gpu::recurrent::run_call<false>(call, parts, on);
  must(cudaDeviceSynchronize());
  return done;
}

}  // namespace

status run_generic(const gpu::device_call<float>& call, const gpu::library_parts& parts, bool by_scan) {
  return run(call, parts, by_scan);
}
status run_generic(const gpu::device_call<double>& call, const gpu::library_parts& parts, bool by_scan) {
  return run(call, parts, by_scan);
}

}  // namespace sextant::test
