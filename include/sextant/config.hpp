// SPDX-License-Identifier: Apache-2.0
/// @file  What every header needs: the language check, the function annotation and the index type.
#pragma once

#include <cstdint>  // int64_t

#if !defined(__cpp_concepts) || __cpp_concepts < 201907L
#error "Sextant needs C++20: add -std=c++20 (g++ 12, clang 14 or nvcc 13, or newer), or link sextant::sextant in CMake."
#endif

/// Annotation of every function that a kernel may call: a gate, a feature map, a scalar function. Callable on the
/// host and, where nvcc or clang compiles CUDA, on the device; empty elsewhere.
#ifdef __CUDACC__
#define SEXTANT_FN __host__ __device__
#else
#define SEXTANT_FN
#endif

/// For the library's own short functions, which must disappear into the loop that calls them: a call that stays a call
/// would spill every vector register. Host and device, as SEXTANT_FN.
#define SEXTANT_INLINE [[gnu::always_inline]] inline SEXTANT_FN

namespace sextant {

/// Sizes, indices and strides: signed, in elements (not bytes) unless a name says otherwise.
using index_t = std::int64_t;

}  // namespace sextant
