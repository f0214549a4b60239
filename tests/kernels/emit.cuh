// SPDX-License-Identifier: Apache-2.0
/// @file  How a family's kernels come to be compiled without a call.
#pragma once

#include <sextant/cuda/stream.cuh>
#include <sextant/design/presets.hpp>
#include <sextant/tensor/sequence.hpp>

namespace sextant::test {

/// Makes the compiler write all kernels by which a family may compute a design.
template <class Family, class Precision, class Design> void emit(const Design& design) {
  static_assert(Family::template runs<Design, Precision>, "this family does not run the design");
  (void)Family::run(design, sequence_of<Design, Precision>{}, gpu::stream{});
}

}  // namespace sextant::test
