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
#include "cuda/recorded.hpp"
#include "language_judge.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr index_t V = judged_vocabulary;

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

/// B sequences of T tokens: all in one call, then all but five and those one by one from the state, in a graph from the
/// second one on.
template <class E, class Net> void check(const Net& net, index_t B, index_t T, double bound) {
  if (!has_gpu()) return;
  INFO(B, " sequences of ", T, ", bytes ", sizeof(E));
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
  cudaStream_t stream = nullptr;
  must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const auto on = [&](const device_memory& memory, std::size_t bytes) {
    return gpu::block_stream({.memory = {memory.data(), bytes}, .handle = stream}, products());
  };
  const auto room_for = [&](index_t count) {
    device_memory memory(models::workspace_bytes<E>(net, gpu::block_stream({}, products()), B, count));
    memory.fill(0xff);
    return memory;
  };
  const auto send = [&](const std::vector<std::int32_t>& some) {
    must(cudaMemcpy(given.data(), some.data(), some.size() * sizeof(std::int32_t), cudaMemcpyHostToDevice));
    must(cudaDeviceSynchronize());  // copies and fills are another stream's work
  };
  const auto call = [&](const gpu::block_stream& its, index_t count, blocks::rows<E> y, models::language_state past) {
    return forward(net, its, host.w, {reinterpret_cast<const std::int32_t*>(given.data()), {B, count}}, y, past);
  };
  const auto part = [&](index_t first, index_t count) {
    std::vector<std::int32_t> some;
    for (index_t b = 0; b < B; ++b)
      some.insert(some.end(), ids.begin() + (b * T + first), ids.begin() + (b * T + first + count));
    return some;
  };
  auto all = block_numbers<E>::poisoned(B * T * V, V);
  const device_memory for_all = room_for(T), for_one = room_for(1);
  send(ids);
  CHECK(bool(call(on(for_all, for_all.size()), T, {all.device(), {B * T, V}}, {})));
  must(cudaStreamSynchronize(stream));
  const double error = block_error(all, B * T, V, judge);
  MESSAGE("error ", error);
  CHECK(error <= bound);

  must(cudaMemset(state.data(), 0, state.size()));
  const index_t first = T - 5;
  auto last = block_numbers<E>::poisoned(B * V, V);
  const blocks::rows<E> to(last.device(), {B, V});
  const auto hold = [&](index_t t) {
    must(cudaStreamSynchronize(stream));
    CHECK(block_error(last, B, V, [&](index_t b, index_t v) { return judge(b * T + t, v); }) <= bound);
  };
  send(part(0, first));
  CHECK(bool(call(on(for_all, for_all.size()), first, to, {state.data()})));
  hold(first - 1);
  // What is refused moves no state.
  std::vector<std::byte> before(state.size()), after(state.size());
  state.give(before.data());
  for (std::size_t bytes = 0; bytes < for_one.size(); bytes += 1 + for_one.size() / 7)
    CHECK(call(on(for_one, bytes), 1, to, {state.data()}).code == errc::workspace);
  CHECK(call(on(for_one, for_one.size()), 1, to, {state.data() + 16}).code == errc::shape);
  must(cudaStreamSynchronize(stream));
  state.give(after.data());
  CHECK(before == after);

  send(part(first, 1));
  CHECK(bool(call(on(for_one, for_one.size()), 1, to, {state.data()})));
  hold(first);
  const recorded decode(stream, [&] { return call(on(for_one, for_one.size()), 1, to, {state.data()}); });
  for (index_t t = first + 1; t < T; ++t) {
    send(part(t, 1));
    decode.run();
    hold(t);
  }
  must(cudaStreamDestroy(stream));
}

}  // namespace

TEST_CASE("Mamba of two layers on a GPU, prefill and decode") {
  for (const index_t B : {1, 2, 7}) check<float>(judged_mamba, B, 70, 2e-5);
  check<bfloat16>(judged_mamba, 2, 70, 4e-2);
  check<bfloat16>(judged_mamba, 1, 6, 4e-2);
}
TEST_CASE("Mamba-2 of two layers on a GPU, prefill and decode") {
  for (const index_t B : {1, 2, 7}) check<float>(judged_mamba2, B, 70, 2e-5);
  check<bfloat16>(judged_mamba2, 2, 70, 4e-2);
  check<bfloat16>(judged_mamba2, 7, 6, 4e-2);
}
TEST_CASE("more experts than a GPU counts are refused before a layer moves its state") {
  if (!has_gpu()) return;
  constexpr auto net =
      judged_moe.with_sizes({.vocabulary = V, .model = 64, .layers = 2, .experts = 8193, .expert_hidden = 8});
  const auto w = blocks::bound_nowhere(net.weights<float>());
  device_memory ids(64), logits(V * sizeof(float)), state(models::state_bytes<float>(net, 1));
  device_memory room(models::workspace_bytes<float>(net, gpu::block_stream({}, products()), 1, 1));
  ids.fill(0), state.fill(0x3c);
  std::vector<std::byte> after(state.size());
  const gpu::block_stream on({.memory = {room.data(), room.size()}}, products());
  const status found = forward(net, on, w, {reinterpret_cast<const std::int32_t*>(ids.data()), {1, 1}},
                               blocks::rows<float>(reinterpret_cast<float*>(logits.data()), {1, V}), {state.data()});
  CHECK(found.code == errc::unsupported);
  must(cudaDeviceSynchronize());
  state.give(after.data());
  CHECK(after == std::vector<std::byte>(state.size(), std::byte{0x3c}));
}
TEST_CASE("MoE-Mamba of two layers on a GPU, prefill and decode") {
  for (const index_t B : {1, 2, 7}) check<float>(judged_moe, B, 70, 2e-5);
}
