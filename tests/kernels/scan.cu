// SPDX-License-Identifier: Apache-2.0
/// @file  The scan of pairs, for designs of the library's own parts.
// for: sm_90a sm_80
// The angles of rotations are taken in double, by functions that keep an array of their own:
// stack frame: scan_kernel
#include <sextant/cuda/scan.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void scan_kernels() {
  emit<gpu::scan, fp32>(linear_attention);
  emit<gpu::scan, fp64>(linear_attention);
}

}  // namespace sextant::test
