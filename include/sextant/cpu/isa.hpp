// SPDX-License-Identifier: Apache-2.0
/// @file  Which vector instructions the compiler may use, and the namespace that keeps them apart from others.
#pragma once

#include <sextant/config.hpp>

// SEXTANT_CPU_ISA    names the inline namespace of everything that depends on the instructions: two files of one
// program
//                    compiled with different -march then hold different functions, and no linker picks the wrong one.
// SEXTANT_CPU_BYTES  is the width of a vector register in bytes; 0 means one number at a time. SEXTANT_CPU_FMA,
// SEXTANT_CPU_F16C  stand for a fused multiply-add and for conversions of IEEE half in hardware. Defining
// SEXTANT_CPU_SCALAR before the first include asks for one number at a time. So does compiling as CUDA, where a
// function for host and device, as every gate is, must not touch a vector: .cpp files are the place of CPU work.
#if defined(SEXTANT_CPU_SCALAR) || defined(__CUDACC__) || !defined(__GNUC__)
#define SEXTANT_CPU_ISA scalar
#define SEXTANT_CPU_BYTES 0
#elif defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__) && \
    defined(__FMA__) && defined(__F16C__)
#define SEXTANT_CPU_ISA avx512
#define SEXTANT_CPU_BYTES 64
#define SEXTANT_CPU_FMA 1
#define SEXTANT_CPU_F16C 1
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define SEXTANT_CPU_ISA avx2_fma_f16c
#define SEXTANT_CPU_BYTES 32
#define SEXTANT_CPU_FMA 1
#define SEXTANT_CPU_F16C 1
#elif defined(__AVX2__) && defined(__FMA__)
#define SEXTANT_CPU_ISA avx2_fma
#define SEXTANT_CPU_BYTES 32
#define SEXTANT_CPU_FMA 1
#elif defined(__AVX2__)
#define SEXTANT_CPU_ISA avx2
#define SEXTANT_CPU_BYTES 32
#elif defined(__AVX__)
#define SEXTANT_CPU_ISA avx
#define SEXTANT_CPU_BYTES 32
#elif defined(__SSE2__)
#define SEXTANT_CPU_ISA sse2
#define SEXTANT_CPU_BYTES 16
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define SEXTANT_CPU_ISA neon
#define SEXTANT_CPU_BYTES 16
#else
#define SEXTANT_CPU_ISA generic
#define SEXTANT_CPU_BYTES 16
#endif

#define SEXTANT_TEXT_OF(name) #name
#define SEXTANT_TEXT(name) SEXTANT_TEXT_OF(name)

/// The CPU backend. Open the part that is compiled per instruction set as `namespace sextant::cpu::inline
/// SEXTANT_CPU_ISA`.
namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The vector instructions this file was compiled for: "avx512", "avx2_fma_f16c", "sse2", "scalar" and so on.
inline constexpr const char* instruction_set = SEXTANT_TEXT(SEXTANT_CPU_ISA);

/// Numbers of type `Real` in one vector register: 16, 8 or 4 floats; half as many doubles; 1 without vectors.
template <class Real>
inline constexpr int native_lanes = SEXTANT_CPU_BYTES == 0 ? 1 : SEXTANT_CPU_BYTES / static_cast<int>(sizeof(Real));

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA

#undef SEXTANT_TEXT
#undef SEXTANT_TEXT_OF
