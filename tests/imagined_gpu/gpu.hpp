// SPDX-License-Identifier: Apache-2.0
/// @file  A GPU that is not there: what it says of itself can be chosen, launches are looked at and written down, and nothing is
/// computed. For what the host decides: which kernels take a call, how they are launched, how much memory they want.
#pragma once

#include <string>  // string
#include <vector>  // vector

#include <cuda_runtime_api.h>

#include "problem.hpp"

namespace sextant::test {

/// A launch, and whether a GPU would refuse it: an empty or too large grid or block, more shared memory than was allowed.
struct launched {
  std::string kernel;
  dim3 blocks, threads;
  std::size_t shared_bytes = 0;
  bool possible = true;
};

/// The GPU at hand: an H200, unless a test says otherwise.
struct imagined_gpu {
  int major = 9, multiprocessors = 132, shared_of_block = 227 * 1024, shared_of_multiprocessor = 228 * 1024;
  int code = 90;                   ///< for which compute capability kernels are compiled
  std::vector<launched> launches;  ///< since it was last cleared
};
/// The only one.
imagined_gpu& the_gpu();

/// Memory that nobody reads.
inline std::byte* somewhere() { return reinterpret_cast<std::byte*>(std::uintptr_t(1) << 40); }
/// A call of a size whose tensors lie nowhere, one number behind the other.
template <class Precision, class Design>
problem<Design, Precision> imagined_problem(const Design& design, const shape& s, const wishes& w = {}) {
  // Views are made for a call of one token of one sequence, and then stretched.
  shape small = s;
  small.B = small.T = s.B * s.T == 0 ? 0 : 1;
  auto p = make_problem<Precision>(design, small, w);
  const auto stretch_tokens = [&](auto& x) {
    constexpr int rank = std::remove_reference_t<decltype(x)>::rank;
    index_t extents[std::size_t(rank)], strides[std::size_t(rank)], size = 1;
    for (int r = rank - 1; r >= 0; --r)
      extents[r] = r == 0 ? s.B : r == 1 ? s.T : x.extent(r), strides[r] = size, size *= extents[r];
    x = {reinterpret_cast<decltype(x.data())>(somewhere()), extents, strides};
  };
  auto& x = p.x;
  if constexpr (requires { x.q; }) stretch_tokens(x.q), stretch_tokens(x.k);
  stretch_tokens(x.v), stretch_tokens(x.y);
  if constexpr (requires { x.dt; }) stretch_tokens(x.dt);
  if constexpr (requires { x.input; }) stretch_tokens(x.input);
  if constexpr (requires { x.forget; }) stretch_tokens(x.forget);
  if constexpr (requires { x.gate; }) stretch_tokens(x.gate);
  x.initial_state = {}, x.final_state = {};
  if constexpr (requires { x.grid; })
    x.grid = s.grid_width > 0 ? image_grid{s.T / s.grid_width, s.grid_width} : image_grid{1, s.T};
  p.size = s;
  return p;
}

/// The view with its first number elsewhere.
template <class Element, class... Axes>
view<Element, Axes...> shifted(const view<Element, Axes...>& x, index_t numbers) {
  index_t extents[sizeof...(Axes)], strides[sizeof...(Axes)];
  for (std::size_t r = 0; r < sizeof...(Axes); ++r) extents[r] = x.extent(int(r)), strides[r] = x.stride(int(r));
  return {x.data() + numbers, extents, strides};
}
/// The view with another stride of one axis.
template <class Element, class... Axes>
view<Element, Axes...> spread(const view<Element, Axes...>& x, int axis, index_t stride) {
  index_t extents[sizeof...(Axes)], strides[sizeof...(Axes)];
  for (std::size_t r = 0; r < sizeof...(Axes); ++r)
    extents[r] = x.extent(int(r)), strides[r] = int(r) == axis ? stride : x.stride(int(r));
  return {x.data(), extents, strides};
}

}  // namespace sextant::test
