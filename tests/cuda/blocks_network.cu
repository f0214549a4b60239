// SPDX-License-Identifier: Apache-2.0
/// @file  A whole network on a GPU: MILA with a block to a stage, against itself written out plainly in double; odd pictures,
///        batches, in a graph and out of it.
#include <doctest/doctest.h>

#include <array>    // array
#include <cstring>  // memcmp

#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/cuda/forward.cuh>
#include <sextant/models/vision.hpp>

#include "cuda/block_numbers.cuh"
#include "cuda/block_products.cuh"
#include "cuda/recorded.hpp"
#include "models/plain_vision.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr index_t classes = 40;
constexpr auto net = models::mila_t.with_sizes({.embed = 64,
                                                .depths = {1, 1, 1, 1},
                                                .heads = {2, 4, 8, 16},
                                                .convolutional = true,
                                                .conditional_position = true,
                                                .classes = classes});

/// The network's weights on the host: numbers of a size that keeps what flows through it near 1, the same in every precision.
template <class E> struct host_weights {
  decltype(net.weights<E>()) w = net.weights<E>();
  std::vector<std::byte> memory;
  std::byte* at;
  host_weights() : memory(blocks::bytes(w) + 64) {
    at = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
    blocks::bind(w, at);
    random_numbers random{3};
    blocks::for_each_tensor(w, [&](const blocks::path&, const auto& t) {
      using element = typename std::remove_cvref_t<decltype(t)>::element;
      element* const numbers = t.room == 0 ? nullptr : const_cast<element*>(t.memory->data());
      const bool scale = t.rank == 1 && t.name[0] == 'w';
      for (index_t i = 0; i < t.room; ++i)
        numbers[i] = element(float(bfloat16(float(random() * 0.06 + (scale ? 1 : 0)))));
    });
  }
};

}  // namespace

TEST_CASE("MILA of one block to a stage in bfloat16 on pictures of any size, the same bits in a graph and out of it") {
  if (!has_gpu()) return;
  host_weights<double> exact;
  host_weights<bfloat16> host;
  device_memory weights(blocks::bytes(host.w));
  weights.take(host.at);
  blocks::bind(host.w, weights.data());
  cudaStream_t stream = nullptr;
  must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (const auto& [B, H, W] : {std::array<index_t, 3>{1, 64, 64}, {2, 70, 44}, {7, 32, 96}}) {
    INFO("batch ", B, " of ", H, " x ", W);
    block_numbers<bfloat16> picture(B * H * W * 3, 5);
    auto y = block_numbers<bfloat16>::poisoned(B * classes, classes);
    device_memory memory(models::workspace_bytes<bfloat16>(net, gpu::block_stream({}, products()), B, H, W));
    memory.fill(0xff);
    const auto run = [&] {
      const gpu::block_stream on({.memory = {memory.data(), memory.size()}, .handle = stream}, products());
      return bool(forward(net, on, host.w, blocks::image<const bfloat16>(picture.device(), {B, H, W, 3}),
                          blocks::rows<bfloat16>(y.device(), {B, classes})));
    };
    must(cudaDeviceSynchronize());  // what fills memory is another stream's work
    CHECK(run());
    must(cudaStreamSynchronize(stream));
    std::vector<std::vector<double>> scores;
    for (index_t b = 0; b < B; ++b)
      scores.push_back(tests::plain::scores(
          tests::plain::make(H, W, 3,
                             [&](index_t i, index_t j, index_t c) { return picture(((b * H + i) * W + j) * 3 + c); }),
          exact.w));
    const double error =
        block_error(y, B, classes, [&](index_t b, index_t c) { return scores[std::size_t(b)][std::size_t(c)]; });
    MESSAGE("error ", error);
    CHECK(error <= 3e-2);
    const auto first = y.host();
    recorded(stream, run).run();
    (void)y.fetch();
    CHECK(std::memcmp(first.data(), y.host().data(), first.size() * sizeof(bfloat16)) == 0);
  }
  must(cudaStreamDestroy(stream));
}
