// SPDX-License-Identifier: Apache-2.0
/// @file  Language models on a GPU against the same on the CPU in double: Mamba, Mamba-2, MoE-Mamba; all tokens in one call,
///        and then one by one from the state.
#include <doctest/doctest.h>

#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/blocks/initialise.hpp>
#include <sextant/cuda/forward.cuh>
#include <sextant/models/language.hpp>

#include "cuda/block_numbers.cuh"
#include "cuda/block_products.cuh"
#include "language_judge.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr index_t V = judged_vocabulary, B = 2, T = 70;

/// Weights on the host, begun with one seed.
template <class Net, class E> struct host_weights {
  decltype(std::declval<Net>().template weights<E>()) w;
  std::vector<std::byte> memory;
  std::byte* at;
  explicit host_weights(const Net& net) : w(net.template weights<E>()), memory(blocks::bytes(w) + 64) {
    at = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
    CHECK(blocks::initialise(w, {at, blocks::bytes(w)}, judged_seed));
  }
};

template <class E, class Net> void check(const Net& net, double bound) {
  if (!has_gpu()) return;
  std::vector<std::int32_t> ids;
  for (index_t i = 0; i < B * T; ++i) ids.push_back(std::int32_t((i * 7 + 3) % V));
  const std::vector<double> logits = logits_of(net, ids, B);
  REQUIRE(logits.size() == std::size_t(B * T * V));
  const auto judge = [&](index_t row, index_t v) { return logits[std::size_t(row * V + v)]; };

  host_weights<Net, E> host(net);
  device_memory weights(blocks::bytes(host.w));
  weights.take(host.at);
  blocks::bind(host.w, weights.data());
  device_memory given(ids.size() * sizeof(std::int32_t)), state(models::state_bytes<E>(net, B));
  const auto run = [&](const std::vector<std::int32_t>& some, blocks::rows<E> y, models::language_state past) {
    const index_t count = index_t(some.size()) / B;
    must(cudaMemcpy(given.data(), some.data(), some.size() * sizeof(std::int32_t), cudaMemcpyHostToDevice));
    device_memory memory(models::workspace_bytes<E>(net, gpu::block_stream({}, products()), B, count));
    memory.fill(0xff);
    const gpu::block_stream on({.memory = {memory.data(), memory.size()}}, products());
    CHECK(forward(net, on, host.w, {reinterpret_cast<const std::int32_t*>(given.data()), {B, count}}, y, past));
    must(cudaDeviceSynchronize());
  };
  auto all = block_numbers<E>::poisoned(B * T * V, V);
  run(ids, {all.device(), {B * T, V}}, {});
  const double error = block_error(all, B * T, V, judge);
  MESSAGE("error ", error);
  CHECK(error <= bound);

  must(cudaMemset(state.data(), 0, state.size()));
  for (index_t t = 0; t < T;) {
    const index_t count = t == 0 ? T - 5 : 1;
    std::vector<std::int32_t> some;
    for (index_t b = 0; b < B; ++b)
      some.insert(some.end(), ids.begin() + (b * T + t), ids.begin() + (b * T + t + count));
    t += count;
    auto last = block_numbers<E>::poisoned(B * V, V);
    run(some, {last.device(), {B, V}}, {state.data()});
    CHECK(block_error(last, B, V, [&](index_t b, index_t v) { return judge(b * T + t - 1, v); }) <= bound);
  }
}

}  // namespace

TEST_CASE("Mamba of two layers on a GPU, prefill and decode") {
  check<float>(judged_mamba, 2e-5);
  check<bfloat16>(judged_mamba, 4e-2);
}
TEST_CASE("Mamba-2 of two layers on a GPU, prefill and decode") {
  check<float>(judged_mamba2, 2e-5);
  check<bfloat16>(judged_mamba2, 4e-2);
}
TEST_CASE("MoE-Mamba of two layers on a GPU, prefill and decode") { check<float>(judged_moe, 2e-5); }
