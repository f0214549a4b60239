// SPDX-License-Identifier: Apache-2.0
#include "pictures_judge.hpp"

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

template <class Net>
std::vector<double> judged(const Net& net, const std::vector<double>& pictures, index_t B, index_t H, index_t W,
                           std::size_t scratch_bytes) {
  auto w = net.template weights<double>();
  std::vector<line> memory((blocks::bytes(w) + sizeof(line) - 1) / sizeof(line));
  std::vector<double> scores(std::size_t(B * net.sizes.classes));
  std::vector<std::byte> scratch(scratch_bytes);
  if (!blocks::initialise(w, std::as_writable_bytes(std::span(memory)), judged_pictures_seed) ||
      !forward(net, cpu::serial{scratch}, w, {pictures.data(), {B, H, W, 3}}, {scores.data(), {B, net.sizes.classes}}))
    scores.clear();
  return scores;
}

}  // namespace

std::vector<double> scores_of(const models::vim& net, const std::vector<double>& pictures, index_t B, index_t H,
                              index_t W) {
  return judged(net, pictures, B, H, W, models::workspace_bytes<double>(net, cpu::serial{}, B));
}
std::vector<double> scores_of(const models::vmamba& net, const std::vector<double>& pictures, index_t B, index_t H,
                              index_t W) {
  return judged(net, pictures, B, H, W, models::workspace_bytes<double>(net, cpu::serial{}, B, H, W));
}

}  // namespace sextant::test
