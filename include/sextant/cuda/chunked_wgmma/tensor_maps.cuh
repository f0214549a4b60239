// SPDX-License-Identifier: Apache-2.0
/// @file  Tensors as the bulk copy engine sees them: which it can copy, and the maps by which it does.
#pragma once

#include <cuda.h>          // CUtensorMap, cuTensorMapEncodeTiled's type
#include <cuda_runtime.h>  // cudaGetDriverEntryPointByVersion

#include <cstdint>  // uintptr_t

#include <sextant/call/bind.hpp>
#include <sextant/cuda/launch.cuh>
#include <sextant/tensor/precision.hpp>
#include <sextant/tensor/view.hpp>

namespace sextant::gpu::wgmma {

/// Whether the copy engine takes a view [B, T, H, row]: rows without gaps, everything at multiples of 16 bytes. Views have
/// their types forgotten here: this is compiled once for all tensors of a call.
[[gnu::noinline]] inline bool can_be_mapped(const sextant::detail::any_view& x) {
  const index_t unit = 16 / x.element, longest = index_t(1) << 31;
  if (reinterpret_cast<std::uintptr_t>(x.data) % 16 != 0 || x.strides[3] != 1) return false;
  for (int axis = 0; axis < 4; ++axis)
    if (x.extents[axis] < 1 || x.extents[axis] >= longest) return false;
  for (int axis = 0; axis < 3; ++axis)
    if (x.extents[axis] > 1 && (x.strides[axis] < 1 || x.strides[axis] % unit != 0 || x.strides[axis] >= longest))
      return false;
  return true;
}
/// The map of a view [B, T, H, row] that can_be_mapped(), for boxes of so many tokens by 64 numbers of one head, swizzled
/// over 128 bytes. The driver's function is asked for at run time, so that programs need not be linked with the driver.
[[gnu::noinline]] inline status map_boxes(CUtensorMap& map, const sextant::detail::any_view& x,
                                          CUtensorMapDataType type, unsigned tokens) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t answer =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
  if (answer != cudaSuccess || function == nullptr) return {errc::launch, "the driver has no cuTensorMapEncodeTiled"};
  const auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);

  const cuuint64_t extents[4] = {cuuint64_t(x.extents[3]), cuuint64_t(x.extents[2]), cuuint64_t(x.extents[1]),
                                 cuuint64_t(x.extents[0])};
  cuuint64_t strides[3];
  for (int i = 0; i < 3; ++i)
    strides[i] = x.extents[2 - i] > 1 ? cuuint64_t(x.strides[2 - i] * x.element) : 16;  // of one element: any will do
  const cuuint32_t box[4] = {64, 1, tokens, 1}, steps[4] = {1, 1, 1, 1};
  const CUresult made =
      encode(&map, type, 4, x.data, extents, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return made == CUDA_SUCCESS ? status{} : status{errc::launch, "the driver refused a tensor map"};
}
/// The same of a view.
template <class View> bool can_be_mapped(const View& x) { return can_be_mapped(sextant::detail::forget_types(x)); }
/// The same of a view.
template <class View> status map_boxes(CUtensorMap& map, const View& x, unsigned tokens = 64) {
  constexpr bool is_bfloat16 = std::is_same_v<std::remove_const_t<typename View::element_type>, bfloat16>;
  return map_boxes(map, sextant::detail::forget_types(x),
                   is_bfloat16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, tokens);
}

}  // namespace sextant::gpu::wgmma
