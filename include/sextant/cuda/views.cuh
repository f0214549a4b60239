// SPDX-License-Identifier: Apache-2.0
/// @file  What families of kernels ask of the views of a call.
#pragma once

#include <cstdint>  // uintptr_t

#include <sextant/tensor/sequence.hpp>

namespace sextant::gpu {

/// The sequences of a call: packed ones, or the batch.
template <class Sequence> index_t sequences_of(const Sequence& x) {
  return x.offsets ? x.offsets.size() - 1 : x.v.template extent<axis::batch>();
}

/// Whether rows, the last axis, are whole pieces of so many bytes at multiples of as many, their numbers one behind the other.
template <class View> bool rows_in_pieces(const View& rows, index_t bytes_of_piece) {
  constexpr index_t bytes = sizeof(typename View::element_type);
  if (index_t(reinterpret_cast<std::uintptr_t>(rows.data())) % bytes_of_piece != 0) return false;
  if (rows.extent(View::rank - 1) * bytes % bytes_of_piece != 0 || rows.stride(View::rank - 1) != 1) return false;
  for (int r = 0; r + 1 < View::rank; ++r)
    if (rows.extent(r) > 1 && rows.stride(r) * bytes % bytes_of_piece != 0) return false;
  return true;
}

}  // namespace sextant::gpu
