// SPDX-License-Identifier: Apache-2.0
/// @file  The tensors of a call made in a GPU's memory, full of random numbers in the ranges that trained models have.
#pragma once

#include <cstdint>  // uint32_t, uint64_t
#include <memory>   // unique_ptr
#include <vector>   // vector

#include <cuda_runtime.h>

#include <sextant/cuda/forward.cuh>

#include "cases.hpp"
#include "replay.cuh"

namespace sextant::bench {

/// Numbers spread evenly over [low, high), the same for the same seed on every machine.
template <class Element>
__global__ void fill_evenly(Element* to, index_t count, std::uint32_t seed, float low, float high) {
  for (index_t i = index_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += index_t(gridDim.x) * blockDim.x) {
    std::uint64_t z = (std::uint64_t(seed) << 40) + std::uint64_t(i) + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    to[i] = Element(low + (high - low) * (float(std::uint32_t(z >> 40)) * 0x1p-24f));
  }
}

/// Range of a tensor's numbers.
struct range {
  float low, high;
};

/// Owns the tensors of one call in memory of the device. Steps are softplus of -4.5 to -2.5 (0.011 to 0.079), rates of
/// -16 to -1 as state space models start with, gates near 1; q and k are not negative where a design divides by their sums.
template <class Design, class Precision> class device_call {
 public:
  sequence_of<Design, Precision> x{};
  index_t bytes = 0;  ///< of all tensors, states included

  /// `states`: whether the call has an initial state and leaves its final one in the same place.
  device_call(const test::shape& s, std::uint32_t seed, bool states) : seed_{seed * 64} {
    using input_type = typename Design::input_type;
    using forget_type = typename Design::forget_type;
    const index_t W = state_width<typename Design::map_type>(s.K);
    const range sign = test::divides<Design> ? range{0, 1} : range{-1, 1};
    if constexpr (requires { x.q; }) {
      make(x.q, {s.B, s.T, s.Hk, s.K}, sign);
      make(x.k, {s.B, s.T, s.Hk, s.K}, sign);
    } else {
      make(x.c, {s.H, s.V, s.K}, {-1, 1});
      make(x.log_dt, {s.H, s.V}, {-7, -2});
    }
    make(x.v, {s.B, s.T, s.H, s.V}, {-1, 1});
    make(x.y, {s.B, s.T, s.H, s.V}, {-1, 1});
    if constexpr (sextant::detail::step_granularity<Design> == per::head) {
      make(x.dt, {s.B, s.T, s.H}, {-4.5f, -2.5f});
      make(x.bias, {s.H}, {-0.1f, 0.1f});
    } else if constexpr (sextant::detail::step_granularity<Design> == per::channel) {
      make(x.dt, {s.B, s.T, s.H, s.V}, {-4.5f, -2.5f});
      make(x.bias, {s.H, s.V}, {-0.1f, 0.1f});
    }
    if constexpr (reads_own<input_type>) {
      if constexpr (raw_granularity<input_type> == per::head) make(x.input, {s.B, s.T, s.H}, {-1, 1});
      else make(x.input, {s.B, s.T, s.H, s.V}, {-1, 1});
    }
    if constexpr (reads_own<forget_type>) {
      constexpr per raw = raw_granularity<forget_type>;
      const range gate = test::reads_logarithm<forget_type>                           ? range{-0.1f, 0}
                         : std::is_same_v<forget_type, forget::softplus>              ? range{-4, -2}
                         : std::is_same_v<forget_type, forget::log_sigmoid<per::key>> ? range{-1, 1}
                                                                                      : range{2, 6};
      if constexpr (raw == per::head) make(x.forget, {s.B, s.T, s.H}, gate);
      else if constexpr (raw == per::key) make(x.forget, {s.B, s.T, s.H, W}, gate);
      else if constexpr (raw == per::channel) make(x.forget, {s.B, s.T, s.H, s.V}, gate);
      else make(x.forget, {s.B, s.T, s.H, W, s.V}, gate);
    }
    constexpr per rate = rate_granularity<forget_type>;
    const range rates = std::is_same_v<forget_type, forget::constant> ? range{-0.03f, -0.001f} : range{-16, -1};
    if constexpr (rate == per::head) make(x.a, {s.H}, rates);
    else if constexpr (rate == per::key) make(x.a, {s.H, W}, rates);
    else if constexpr (rate == per::channel) make(x.a, {s.H, s.V}, rates);
    else if constexpr (rate == per::key_channel) make(x.a, {s.H, s.V, W}, rates);
    if constexpr (requires { x.d; }) make(x.d, {s.H, s.V}, {-1, 1});
    if constexpr (requires { x.lepe; }) {
      make(x.lepe, {s.H, s.V, 3, 3}, {-1, 1});
      make(x.lepe_bias, {s.H, s.V}, {-1, 1});
    }
    if constexpr (requires { x.grid; })
      x.grid = s.grid_width > 0 ? image_grid{s.T / s.grid_width, s.grid_width} : image_grid{1, s.T};
    if constexpr (requires { x.gate; }) make(x.gate, {s.B, s.T, s.H, s.V}, {-1, 1});
    if (states) {
      make(x.final_state.S, {s.B, s.H, W, s.V}, {-1, 1});
      x.initial_state.S = x.final_state.S;
      if constexpr (requires { x.final_state.z; }) {
        make(x.final_state.z, {s.B, s.H, W}, {0.5f, 1.5f});
        x.initial_state.z = x.final_state.z;
      }
      if constexpr (requires { x.final_state.m; }) {
        make(x.final_state.m, {s.B, s.H}, {-1, 1});
        x.initial_state.m = x.final_state.m;
      }
    }
    must(cudaDeviceSynchronize());
  }

 private:
  template <class Element, class... Axes>
  void make(view<Element, Axes...>& to, const index_t (&extents)[sizeof...(Axes)], range numbers) {
    using stored = std::remove_const_t<Element>;
    index_t count = 1;
    for (index_t e : extents) count *= e;
    void* piece = nullptr;
    must(cudaMalloc(&piece, std::size_t(count) * sizeof(stored) + 16));
    memory_.emplace_back(piece);
    fill_evenly<<<1056, 256>>>(static_cast<stored*>(piece), count, ++seed_, numbers.low, numbers.high);
    must(cudaGetLastError());
    bytes += count * index_t(sizeof(stored));
    to = {static_cast<stored*>(piece), extents};
  }
  struct free {
    void operator()(void* piece) const { cudaFree(piece); }
  };
  std::vector<std::unique_ptr<void, free>> memory_;
  std::uint32_t seed_;
};

}  // namespace sextant::bench
