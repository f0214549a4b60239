// SPDX-License-Identifier: Apache-2.0
/// @file  A network by its name: begun, saved, or computed from files. What the tests against PyTorch run.
#pragma once

#include <cstddef>      // byte, size_t
#include <cstdint>      // int32_t, uint64_t
#include <cstring>      // memcpy
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/initialise.hpp>
#include <sextant/interop/checkpoint.hpp>
#include <sextant/sextant.hpp>

namespace sextant::tests {

/// What to do with a network: begin it with a seed and save its weights, or load them and save the logits of an input.
struct errand {
  std::string name{}, weights{}, input{}, output{};
  bool begins = false;
  std::uint64_t seed = 0;
};

struct alignas(blocks::tensor_alignment) line {
  std::byte bytes[blocks::tensor_alignment];
};

/// Does the errand with a network whose call is call(net, on, weights, input archive, logits, shape of logits): sizes
/// logits and computes them. Returns "" or what went wrong.
template <class Net, class Call>
std::string run(const errand& what, const Net& net, const Call& call, blocks::load_options options = {}) {
  auto w = net.template weights<float>();
  std::vector<line> lines(blocks::bytes(w) / sizeof(line));
  const auto memory = std::as_writable_bytes(std::span(lines));
  if (what.begins) {
    if (const status done = blocks::initialise(w, memory, what.seed); !done) return done.what;
    return blocks::save(w, what.weights);
  }
  if (std::string error = blocks::load(w, memory, what.weights, options); !error.empty()) return error;
  safetensors::file input;
  if (std::string error = input.open(what.input); !error.empty()) return error;
  std::vector<float> logits;
  std::vector<index_t> shape;
  if (const status done = call(net, w, *input, logits, shape); !done) return done.what;
  const safetensors::source result[] = {
      {"logits", safetensors::dtype::f32, shape, std::as_bytes(std::span<const float>(logits))}};
  return safetensors::write(what.output, result);
}

/// Does the errand with a vision network, or a language model, of this name; false where there is none.
bool run_vision(const errand& what, std::string& error);
bool run_language(const errand& what, std::string& error);

}  // namespace sextant::tests
