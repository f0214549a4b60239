// SPDX-License-Identifier: Apache-2.0
/// @file  Vim and VMamba on a GPU against the same on the CPU in double: odd pictures, batches, in a graph and out of it.
#include <doctest/doctest.h>

#include <array>    // array
#include <cstring>  // memcmp

#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/blocks/initialise.hpp>
#include <sextant/cuda/forward.cuh>

#include "cuda/block_numbers.cuh"
#include "cuda/block_products.cuh"
#include "cuda/recorded.hpp"
#include "pictures_judge.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class E, class On>
std::size_t scratch_bytes(const models::vim& net, const On& on, index_t B, index_t, index_t) {
  return models::workspace_bytes<E>(net, on, B);
}
template <class E, class On>
std::size_t scratch_bytes(const models::vmamba& net, const On& on, index_t B, index_t H, index_t W) {
  return models::workspace_bytes<E>(net, on, B, H, W);
}

template <class E, class Net> void hold(const Net& net, index_t B, index_t H, index_t W, double bound) {
  INFO(B, " pictures of ", H, " x ", W, ", bytes ", sizeof(E));
  const index_t classes = net.sizes.classes;
  block_numbers<E> picture(B * H * W * 3, 5);
  std::vector<double> pixels;
  for (index_t i = 0; i < B * H * W * 3; ++i) pixels.push_back(picture(i));
  const std::vector<double> scores = scores_of(net, pixels, B, H, W);
  REQUIRE(scores.size() == std::size_t(B * classes));

  auto w = net.template weights<E>();
  std::vector<std::byte> host(blocks::bytes(w) + 64);
  std::byte* const at = host.data() + (64 - reinterpret_cast<std::uintptr_t>(host.data()) % 64) % 64;
  REQUIRE(bool(blocks::initialise(w, {at, blocks::bytes(w)}, judged_pictures_seed)));
  device_memory weights(blocks::bytes(w));
  weights.take(at);
  blocks::bind(w, weights.data());
  auto y = block_numbers<E>::poisoned(B * classes, classes);
  device_memory memory(scratch_bytes<E>(net, gpu::block_stream({}, products()), B, H, W));
  memory.fill(0xff);
  cudaStream_t stream = nullptr;
  must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const auto run = [&](std::size_t bytes) {
    const gpu::block_stream on({.memory = {memory.data(), bytes}, .handle = stream}, products());
    return forward(net, on, w, blocks::image<const E>(picture.device(), {B, H, W, 3}),
                   blocks::rows<E>(y.device(), {B, classes}));
  };
  must(cudaDeviceSynchronize());  // what fills memory is another stream's work
  CHECK(run(memory.size() / 2).code == errc::workspace);
  CHECK(bool(run(memory.size())));
  must(cudaStreamSynchronize(stream));
  const double error =
      block_error(y, B, classes, [&](index_t b, index_t c) { return scores[std::size_t(b * classes + c)]; });
  MESSAGE("error ", error);
  CHECK(error <= bound);
  const auto first = y.host();

  recorded(stream, [&] { return run(memory.size()); }).run();
  (void)y.fetch();
  CHECK(std::memcmp(first.data(), y.host().data(), first.size() * sizeof(E)) == 0);
  must(cudaStreamDestroy(stream));
}

}  // namespace

TEST_CASE("Vim of three layers on a GPU") {
  if (!has_gpu()) return;
  for (const index_t B : {1, 2, 7}) {
    hold<float>(judged_vim, B, 40, 40, 2e-5);
    hold<bfloat16>(judged_vim, B, 40, 40, 4e-2);
  }
}

TEST_CASE("VMamba of few layers on a GPU, pictures of any size") {
  if (!has_gpu()) return;
  for (const auto& [B, H, W] : {std::array<index_t, 3>{1, 64, 64}, {2, 70, 45}, {7, 33, 57}, {1, 3, 1}}) {
    hold<float>(judged_vmamba, B, H, W, 2e-5);
    hold<bfloat16>(judged_vmamba, B, H, W, 4e-2);
  }
  hold<float>(judged_vmamba_wide, 2, 51, 38, 2e-5);
  hold<bfloat16>(judged_vmamba_wide, 2, 51, 38, 4e-2);
}
