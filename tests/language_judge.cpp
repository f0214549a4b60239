// SPDX-License-Identifier: Apache-2.0
#include "language_judge.hpp"

#include <cstddef>  // byte
#include <span>     // span

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/initialise.hpp>
#include <sextant/sextant.hpp>

namespace sextant::test {

namespace {

struct alignas(blocks::tensor_alignment) line {
  std::byte bytes[blocks::tensor_alignment];
};

template <class Net> std::vector<double> judged(const Net& net, const std::vector<std::int32_t>& ids, index_t batch) {
  auto w = net.template weights<double>();
  std::vector<line> memory(blocks::bytes(w) / sizeof(line));
  const index_t time = index_t(ids.size()) / batch, n = batch * time, V = net.sizes.vocabulary;
  std::vector<double> logits(std::size_t(n * V));
  std::vector<std::byte> scratch(models::workspace_bytes<double>(net, cpu::serial{}, batch, time));
  if (!blocks::initialise(w, std::as_writable_bytes(std::span(memory)), judged_seed) ||
      !forward(net, cpu::serial{scratch}, w, {ids.data(), {batch, time}}, {logits.data(), {n, V}}))
    logits.clear();
  return logits;
}

}  // namespace

std::vector<double> logits_of(const models::language<std::remove_const_t<decltype(mamba)>>& net,
                              const std::vector<std::int32_t>& ids, index_t batch) {
  return judged(net, ids, batch);
}
std::vector<double> logits_of(const models::language<std::remove_const_t<decltype(mamba2)>>& net,
                              const std::vector<std::int32_t>& ids, index_t batch) {
  return judged(net, ids, batch);
}

}  // namespace sextant::test
