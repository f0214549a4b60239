// SPDX-License-Identifier: Apache-2.0
/// @file  How a family's kernels come to be compiled without a call.
#pragma once

#include <type_traits>  // remove_cvref

#include <sextant/cuda/stream.cuh>
#include <sextant/design/presets.hpp>
#include <sextant/tensor/sequence.hpp>

#include "cases.hpp"

namespace sextant::test {

/// Makes the compiler write all kernels by which a family may compute a design.
template <class Family, class Precision, class Design> void emit(const Design& design) {
  static_assert(Family::template runs<Design, Precision>, "this family does not run the design");
  (void)Family::run(design, sequence_of<Design, Precision>{}, gpu::stream{});
}

/// The same for a design with each single switch the other way, where the family runs it.
template <class Family, class Precision, class Design> void emit_flipped(const Design& design) {
  each_flip_of("", design, [](const char*, const auto& other) {
    if constexpr (Family::template runs<std::remove_cvref_t<decltype(other)>, Precision>)
      emit<Family, Precision>(other);
  });
}

}  // namespace sextant::test
