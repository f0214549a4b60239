// SPDX-License-Identifier: Apache-2.0
/// @file  A problem's tensors in memory of the device, and the error of what a GPU makes of them.
#pragma once

#include <cstdio>   // fprintf
#include <cstdlib>  // abort
#include <utility>  // move
#include <vector>   // vector

#include <cuda_runtime.h>

#include <sextant/cuda/forward.cuh>

#include "cases.hpp"

namespace sextant::test {

/// Ends the program where CUDA itself fails: a test cannot go on from there.
inline void must(cudaError_t answer) {
  if (answer == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(answer));
  std::abort();
}

/// Whether there is a GPU; says that the test is skipped where there is none.
inline bool has_gpu() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return true;
  std::puts("skipped: there is no GPU here");
  return false;
}

/// Memory of the device that is freed at the end, a copy of some of the host's.
class device_memory {
 public:
  device_memory() = default;
  explicit device_memory(std::size_t bytes) : bytes_{bytes} { must(cudaMalloc(&data_, bytes == 0 ? 1 : bytes)); }
  device_memory(device_memory&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)}, bytes_{std::exchange(other.bytes_, 0)} {}
  device_memory& operator=(device_memory&& other) noexcept {
    return std::swap(data_, other.data_), std::swap(bytes_, other.bytes_), *this;
  }
  ~device_memory() { cudaFree(data_); }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  std::size_t size() const { return bytes_; }
  void take(const void* from) { must(cudaMemcpy(data_, from, bytes_, cudaMemcpyHostToDevice)); }
  void give(void* to) const { must(cudaMemcpy(to, data_, bytes_, cudaMemcpyDeviceToHost)); }
  void fill(int byte) { must(cudaMemset(data_, byte, bytes_)); }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Copies of the host's vectors in memory of the device.
class mirror {
 public:
  template <class Element> void take(std::vector<Element>& host) {
    device_memory copy(host.size() * sizeof(Element));
    copy.take(host.data());
    pieces_.push_back({reinterpret_cast<std::byte*>(host.data()), std::move(copy)});
  }
  /// The view of the host's numbers, on the device's.
  template <class Element, class... Axes> void move(view<Element, Axes...>& v) const {
    index_t extents[sizeof...(Axes)], strides[sizeof...(Axes)];
    for (int r = 0; r < int(sizeof...(Axes)); ++r) extents[r] = v.extent(r), strides[r] = v.stride(r);
    v = {static_cast<Element*>(moved(v.data())), extents, strides};
  }
  /// All numbers back to the host.
  void give() const {
    for (const piece& p : pieces_) p.device.give(p.host);
  }

 private:
  struct piece {
    std::byte* host;
    device_memory device;
  };
  void* moved(const void* host) const {
    if (host == nullptr) return nullptr;  // a tensor that was not given
    const auto* at = static_cast<const std::byte*>(host);
    for (const piece& p : pieces_)
      if (at >= p.host && (at < p.host + p.device.size() || at == p.host)) return p.device.data() + (at - p.host);
    return nullptr;
  }
  std::vector<piece> pieces_;
};

/// A call's tensors on the device: those of `p`, at first with its numbers.
template <class Design, class Precision> struct device_problem {
  problem<Design, Precision>& host;
  mirror memory;
  sequence_of<Design, Precision> x;

  explicit device_problem(problem<Design, Precision>& p) : host{p}, x{p.x} {
    for (auto& numbers : p.tokens) memory.take(numbers);
    for (auto& numbers : p.parameters) memory.take(numbers);
    for (auto& numbers : p.states) memory.take(numbers);
    memory.take(p.offsets);
    const auto move = [this](auto&... views) { (memory.move(views), ...); };
    move(x.q, x.k, x.v, x.y, x.initial_state.S, x.final_state.S, x.offsets);
    if constexpr (requires { x.initial_state.z; }) move(x.initial_state.z, x.final_state.z);
    if constexpr (requires { x.initial_state.m; }) move(x.initial_state.m, x.final_state.m);
    if constexpr (requires { x.dt; }) move(x.dt, x.bias);
    if constexpr (requires { x.input; }) move(x.input);
    if constexpr (requires { x.forget; }) move(x.forget);
    if constexpr (requires { x.a; }) move(x.a);
    if constexpr (requires { x.d; }) move(x.d);
    if constexpr (requires { x.lepe; }) move(x.lepe, x.lepe_bias);
    if constexpr (requires { x.gate; }) move(x.gate);
  }
  /// The answer, in the host's vectors.
  void give() const {
    must(cudaDeviceSynchronize());
    memory.give();
  }
};

/// How a call is made: compute(design, x, stream) and its workspace. Of the public verbs:
template <class Form> struct by_verb {
  Form form{};
  template <class D, class P> std::size_t bytes(const D& design, const sequence_of<D, P>& x) const {
    return workspace_bytes(design, form, gpu::stream{}, x);
  }
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    return forward(design, form, on, x);
  }
};
/// Of one family of kernels, whatever others would be preferred.
template <class Family> struct by_family {
  template <class D, class P> std::size_t bytes(const D& design, const sequence_of<D, P>& x) const {
    return Family::workspace_bytes(design, x);
  }
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    static_assert(Family::template runs<D, P>, "this family does not run the design");
    if (!Family::takes(design, x)) return {errc::unsupported, "this family does not take the shapes"};
    return Family::run(design, x, on);
  }
};

/// Runs a problem on the GPU, with a poisoned workspace of exactly the bytes asked for; the answer is in the host's vectors.
template <class Design, class Precision, class How>
status run_on_gpu(problem<Design, Precision>& p, const How& how) {
  device_problem<Design, Precision> device(p);
  device_memory scratch(how.bytes(p.design, device.x));
  scratch.fill(0xff);
  const status done = how.run(p.design, device.x, gpu::stream{.memory = {scratch.data(), scratch.size()}});
  device.give();
  return done;
}

/// The error of a call on the GPU against the recurrence in float64, on the same numbers.
template <class Precision = fp32, class Design, class How>
errors error_on_gpu(const Design& design, const shape& s, const wishes& wish, const How& how) {
  using through = storage_of<Precision>;
  auto judge = make_problem<fp64, through>(design, s, wish);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, through>(design, s, wish);
  if (const status done = run_on_gpu(answer, how); !done) {
    std::fprintf(stderr, "%s\n", done.what);
    return {std::numeric_limits<double>::quiet_NaN()};
  }
  return compare(answer, judge);
}

}  // namespace sextant::test
