// SPDX-License-Identifier: Apache-2.0
/// @file  Neighbouring numbers of a row in the registers of a lane, and the functions that are applied to them.
#pragma once

#include <cstddef>      // size_t
#include <type_traits>  // conditional, is_same

#include <sextant/blocks/shapes.hpp>
#include <sextant/cuda/launch.cuh>
#include <sextant/cuda/ptx/convert.cuh>
#include <sextant/cuda/tile/activation.cuh>
#include <sextant/cuda/tile/packet.cuh>

/// Kernels of the operations of blocks.
namespace sextant::gpu::blockwise {

using blocks::activation, blocks::after_convolution, blocks::image, blocks::rows, blocks::tokens;
namespace modules = blocks::modules;

/// What sums of stored numbers are taken in: float, of doubles double.
template <class E> using real_of = blocks::accumulator_of<E>;

/// Stored numbers that one instruction moves: 16 bytes of them (`Whole`), or one where rows are not whole pieces.
template <class E, bool Whole> struct piece {
  static constexpr int count = Whole ? 16 / int(sizeof(E)) : 1;
  std::conditional_t<Whole, uint4, E> stored;
};

template <bool Whole, class E> __device__ __forceinline__ piece<E, Whole> load_piece(const E* from) {
  return {*reinterpret_cast<const decltype(piece<E, Whole>::stored)*>(from)};
}
template <bool Whole, class E> __device__ __forceinline__ void store_piece(E* to, const piece<E, Whole>& p) {
  *reinterpret_cast<decltype(piece<E, Whole>::stored)*>(to) = p.stored;
}

/// The numbers of a piece, exactly.
template <class E, bool Whole>
__device__ __forceinline__ void widen(const piece<E, Whole>& p, real_of<E> (&to)[piece<E, Whole>::count]) {
  if constexpr (!Whole) {
    if constexpr (std::is_same_v<E, double>) to[0] = p.stored;
    else to[0] = gpu::ptx::as_float(p.stored);
  } else if constexpr (std::is_same_v<E, double>) {
    to[0] = __hiloint2double(int(p.stored.y), int(p.stored.x));
    to[1] = __hiloint2double(int(p.stored.w), int(p.stored.z));
  } else {
    gpu::widen(gpu::packet<E>{p.stored}, to);
  }
}
/// Numbers as a piece, each rounded to nearest even.
template <class E, bool Whole>
__device__ __forceinline__ piece<E, Whole> narrowed(const real_of<E> (&from)[piece<E, Whole>::count]) {
  if constexpr (!Whole) {
    if constexpr (std::is_same_v<E, double>) return {from[0]};
    else return {gpu::ptx::as_stored<E>(from[0])};
  } else if constexpr (std::is_same_v<E, double>) {
    return {{unsigned(__double2loint(from[0])), unsigned(__double2hiint(from[0])), unsigned(__double2loint(from[1])),
             unsigned(__double2hiint(from[1]))}};
  } else {
    return {gpu::narrowed<E>(from).words};
  }
}

/// The numbers at an address as reals.
template <bool Whole, class E>
__device__ __forceinline__ void load_reals(const E* from, real_of<E> (&to)[piece<E, Whole>::count]) {
  widen<E, Whole>(load_piece<Whole>(from), to);
}
template <bool Whole, class E>
__device__ __forceinline__ void store_reals(E* to, const real_of<E> (&from)[piece<E, Whole>::count]) {
  store_piece<Whole>(to, narrowed<E, Whole>(from));
}

/// `Count` neighbouring weights. Where `Whole`, they start at a multiple of 16 bytes.
template <bool Whole, class Real, std::size_t Count>
__device__ __forceinline__ void load_weights(const Real* from, Real (&to)[Count]) {
  constexpr int count = 16 / int(sizeof(Real));
  if constexpr (Whole && int(Count) % count == 0) {
#pragma unroll
    for (int i = 0; i < int(Count); i += count) {
      Real some[count];
      load_reals<true>(from + i, some);
#pragma unroll
      for (int j = 0; j < count; ++j) to[i + j] = some[j];
    }
  } else {
#pragma unroll
    for (int j = 0; j < int(Count); ++j) to[j] = from[j];
  }
}

/// silu in the accuracy that E needs.
template <class E> __device__ __forceinline__ real_of<E> silu_of(real_of<E> x) {
  if constexpr (std::is_same_v<E, double>) return x / (1 + ::exp(-x));
  else return gpu::silu<std::is_same_v<E, float>>(x);
}

/// 1 / sqrt(x), of floats off by 2 units of the last place at most.
template <class Real> __device__ __forceinline__ Real inverse_root(Real x) {
  if constexpr (sizeof(Real) == 8) return Real(1) / ::sqrt(x);
  else return rsqrtf(x);
}

/// x = act(x), number by number.
template <class E, std::size_t Count> __device__ __forceinline__ void activate(activation act, real_of<E> (&x)[Count]) {
  using real = real_of<E>;
  constexpr real root_half = real(0.70710678118654752440);
  switch (act) {
    case activation::none:
      break;
    case activation::relu:
#pragma unroll
      for (auto& e : x) e = e < 0 ? real(0) : e;  // a NaN stays
      break;
    case activation::gelu:
#pragma unroll
      for (auto& e : x) {
        if constexpr (std::is_same_v<E, double>) e = real(0.5) * e * ::erfc(-e * root_half);
        else e = 0.5f * e * (1.0f + ::erff(e * root_half));
      }
      break;
    case activation::silu:
#pragma unroll
      for (auto& e : x) e = silu_of<E>(e);
      break;
    case activation::softplus:
#pragma unroll
      for (auto& e : x) {
        if constexpr (std::is_same_v<E, double>) e = (e > 0 ? e : 0) + ::log1p(::exp(e > 0 ? -e : e));
        else e = gpu::softplus<std::is_same_v<E, float>>(e);
      }
      break;
  }
}

/// Whether the rows of a view are whole pieces: addresses and strides multiples of 16 bytes, `last` numbers too.
template <class E, class... Axes> bool has_pieces(const view<E, Axes...>& x, index_t last) {
  constexpr index_t count = 16 / index_t(sizeof(E));
  bool whole = last % count == 0 && gpu::holds_packets(x.data());
  for (int r = 0; r + 1 < x.rank; ++r) whole = whole && (x.stride(r) % count == 0 || x.extent(r) <= 1);
  return whole;
}

/// Whether the pixels of a picture lie as rows of equal distance.
template <class View> bool are_rows(const View& x) {
  const index_t step = x.stride(2);
  return (x.extent(1) <= 1 || x.stride(1) == x.extent(2) * step) &&
         (x.extent(0) <= 1 || x.stride(0) == x.extent(1) * x.extent(2) * step);
}

/// Blocks of `threads` for `count` items.
inline dim3 blocks_for(index_t count, int threads) { return dim3(unsigned((count + threads - 1) / threads)); }

/// More items than a launch has threads for.
inline status too_many() { return {errc::shape, "more elements than one launch on a GPU has threads for"}; }
inline constexpr index_t most_items = index_t(1) << 37;

}  // namespace sextant::gpu::blockwise
