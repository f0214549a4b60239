// SPDX-License-Identifier: Apache-2.0
/// @file  The vision networks that are compared with PyTorch: MILA-T and every row of the ablation, Vim-T, VMamba-T.
#include <sextant/models/vim.hpp>
#include <sextant/models/vision.hpp>
#include <sextant/models/vmamba.hpp>

#include "network.hpp"

namespace sextant::tests {

namespace {

const auto call = [](const auto& net, const auto& w, const safetensors::archive& input, std::vector<float>& logits,
                     std::vector<index_t>& shape) {
  const auto found = input.find("x");
  if (!found || found->type != safetensors::dtype::f32 || found->shape.size() != 4)
    return status{errc::missing, "the input has no x, F32 [B, H, W, 3]"};
  const index_t B = found->shape[0], H = found->shape[1], W = found->shape[2], classes = net.sizes.classes;
  std::vector<float> x(std::size_t(found->count()));
  std::memcpy(x.data(), found->bytes.data(), found->bytes.size());
  logits.resize(std::size_t(B * classes));
  shape = {B, classes};
  cpu::parallel on;
  std::size_t bytes = 0;
  if constexpr (requires { models::workspace_bytes<float>(net, on, B, H, W); })
    bytes = models::workspace_bytes<float>(net, on, B, H, W);
  else bytes = models::workspace_bytes<float>(net, on, B);  // Vim's pictures are of one size
  std::vector<std::byte> memory(bytes);
  on.memory = memory;
  return forward(net, on, w, {x.data(), {B, H, W, found->shape[3]}}, {logits.data(), {B, classes}});
};

/// APE has a row for each token of one size of picture.
constexpr auto small_positions = [] {
  auto net = models::linear_swin_t.with_absolute_position();
  net.sizes.picture = 64;
  return net;
}();

}  // namespace

bool run_vision(const errand& what, std::string& error) {
  const auto is = [&](std::string_view name) { return what.name == name; };
  constexpr auto base = models::linear_swin_t;
  if (is("mila")) error = run(what, models::mila_t, call);
  else if (is("baseline")) error = run(what, base, call);
  else if (is("input_gate")) error = run(what, base.with(input::softplus<per::channel>{}), call);
  else if (is("forget_gate"))
    error = run(what, base.with(forget::selective{}, order::causal{}, norm::sum_undecayed{}), call);
  else if (is("shortcut")) error = run(what, base.with(shortcut::learned{}), call);
  else if (is("no_norm")) error = run(what, base.with(norm::none{}), call);
  else if (is("single_head")) error = run(what, base.with(heads::single{}), call);
  else if (is("block_sub")) error = run(what, base.with(block::mila{}), call);
  else if (is("block_all")) error = run(what, base.with(block::mamba{}), call);
  else if (is("ape")) error = run(what, small_positions, call);
  else if (is("lepe")) error = run(what, base.with(shortcut::local{}), call);
  else if (is("cpe")) error = run(what, base.with_conditional_position(), call);
  else if (is("rope")) error = run(what, base.with(position::rotary_2d{}), call);
  else if (is("vim")) error = run(what, models::vim_t, call);
  else if (is("vmamba")) error = run(what, models::vmamba_t, call);
  else return false;
  return true;
}

}  // namespace sextant::tests
