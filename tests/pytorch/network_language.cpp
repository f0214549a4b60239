// SPDX-License-Identifier: Apache-2.0
/// @file  The language models that are compared with PyTorch: mamba-130m's and mamba2-130m's blocks, a few of them.
#include <sextant/models/language.hpp>

#include "network.hpp"

namespace sextant::tests {

namespace {

constexpr models::language_sizes few{.vocabulary = 500, .layers = 2};
constexpr auto of_experts = models::mamba_130m.with_sizes(
    {.vocabulary = 500, .model = 64, .layers = 2, .experts = 4, .expert_hidden = 96, .capacity_factor = 1});

const auto call = [](const auto& net, const auto& w, const safetensors::archive& input, std::vector<float>& logits,
                     std::vector<index_t>& shape) {
  const auto found = input.find("ids");
  if (!found || found->type != safetensors::dtype::i32 || found->shape.size() != 2)
    return status{errc::missing, "the input has no ids, I32 [B, T]"};
  const index_t B = found->shape[0], T = found->shape[1], V = net.sizes.vocabulary;
  std::vector<std::int32_t> ids(std::size_t(B * T));
  std::memcpy(ids.data(), found->bytes.data(), found->bytes.size());
  logits.resize(std::size_t(B * T * V));
  shape = {B * T, V};
  cpu::parallel on;
  std::vector<std::byte> memory(models::workspace_bytes<float>(net, on, B, T));
  on.memory = memory;
  return forward(net, on, w, {ids.data(), {B, T}}, {logits.data(), {B * T, V}});
};

}  // namespace

bool run_language(const errand& what, std::string& error) {
  const blocks::load_options options{.allowed = models::is_tied_head};
  if (what.name == "mamba") error = run(what, models::mamba_130m.with_sizes(few), call, options);
  else if (what.name == "mamba2") error = run(what, models::mamba2_130m.with_sizes(few), call, options);
  else if (what.name == "moe_mamba") error = run(what, of_experts, call, options);
  else return false;
  return true;
}

}  // namespace sextant::tests
