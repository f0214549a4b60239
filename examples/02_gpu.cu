// SPDX-License-Identifier: Apache-2.0
// The same verbs on a GPU: Mamba-2 over a prompt, then one token more from the state that it left.
//   nvcc -std=c++20 -O3 --expt-relaxed-constexpr -gencode arch=compute_90a,code=sm_90a -Iinclude examples/02_gpu.cu
#include <cstdio>
#include <vector>

#include <sextant/cuda/forward.cuh>
#include <sextant/design/presets.hpp>

namespace sx = sextant;

// `count` numbers of the device, all of them `number`.
template <class Number> Number* filled(sx::index_t count, float number) {
  const std::vector<Number> host(static_cast<std::size_t>(count), Number(number));
  Number* device = nullptr;
  cudaMalloc(&device, host.size() * sizeof(Number));
  cudaMemcpy(device, host.data(), host.size() * sizeof(Number), cudaMemcpyHostToDevice);
  return device;
}

int main() {
  int gpus = 0;
  const cudaError_t found = cudaGetDeviceCount(&gpus);
  if (found != cudaSuccess) return std::fprintf(stderr, "no GPU: %s\n", cudaGetErrorString(found)), 2;

  constexpr auto mixer = sx::mamba2;
  constexpr sx::index_t B = 1, T = 1024, H = 8, P = 64, N = 128;
  using token = sx::bfloat16;

  sx::sequence<decltype(mixer), sx::bf16> prompt;  // the tensors of Mamba-2, in memory of the device
  prompt.q = {filled<token>(B * T * N, 0.1f), {B, T, 1, N}};
  prompt.k = {filled<token>(B * T * N, 0.2f), {B, T, 1, N}};
  prompt.v = {filled<token>(B * T * H * P, 1), {B, T, H, P}};
  prompt.dt = {filled<token>(B * T * H, -2), {B, T, H}};
  prompt.a = {filled<float>(H, -1), {H}};
  prompt.d = {filled<float>(H * P, 1), {H, P}};
  prompt.y = {filled<token>(B * T * H * P, 0), {B, T, H, P}};
  prompt.final_state.S = {filled<float>(B * H * N * P, 0), {B, H, N, P}};

  sx::gpu::stream on;  // the default stream; the workspace, if there is any, is the caller's
  on.memory = {nullptr, sx::workspace_bytes(mixer, on, prompt)};
  if (on.memory.bytes > 0) cudaMalloc(&on.memory.data, on.memory.bytes);
  if (const sx::status done = sx::forward(mixer, on, prompt); !done) {
    std::fprintf(stderr, "%s\n", done.what);
    return 1;
  }

  sx::sequence<decltype(mixer), sx::bf16> token_after = prompt;  // its parameters, and tensors of one token
  token_after.q = {prompt.q.data(), {B, 1, 1, N}};
  token_after.k = {prompt.k.data(), {B, 1, 1, N}};
  token_after.v = {prompt.v.data(), {B, 1, H, P}};
  token_after.dt = {prompt.dt.data(), {B, 1, H}};
  token_after.y = {prompt.y.data(), {B, 1, H, P}};
  if (const sx::status done = sx::step(mixer, on, token_after, prompt.final_state); !done) {
    std::fprintf(stderr, "%s\n", done.what);
    return 1;
  }

  token y;
  const cudaError_t copied = cudaMemcpy(&y, prompt.y.data(), sizeof y, cudaMemcpyDeviceToHost);
  if (copied != cudaSuccess) return std::fprintf(stderr, "%s\n", cudaGetErrorString(copied)), 1;
  std::printf("%s, token %d: y = %g\n", sx::chosen_form(mixer, on, prompt), int(T), double(float(y)));
}
