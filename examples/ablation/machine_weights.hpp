// SPDX-License-Identifier: Apache-2.0
/// @file  Weights on a machine, of the CPU or a GPU.
#pragma once

#include <cstdint>      // uint64_t
#include <span>         // span
#include <string>       // string
#include <type_traits>  // is_same_v
#include <utility>      // move

#include <sextant/blocks/initialise.hpp>
#include <sextant/blocks/module.hpp>

#include "cpu_machine.hpp"

namespace ablation {

/// Fills weights by fill(memory of the host), which binds them and answers "" or what is wrong, and keeps them on the machine.
template <class Machine, class Weights, class Fill>
std::string fill_weights(const Machine& machine, Weights& w, typename Machine::memory& kept, const Fill& fill) {
  const std::size_t bytes = sextant::blocks::bytes(w);
  host_memory host(bytes);
  if (std::string error = fill(std::span<std::byte>(host.data(), bytes)); !error.empty()) return error;
  if constexpr (std::is_same_v<typename Machine::memory, host_memory>)
    kept = std::move(host);  // which stays where it is
  else {
    kept = machine.take(bytes);
    machine.send(kept.data(), host.data(), bytes);
    sextant::blocks::bind(w, kept.data());
  }
  return {};
}
/// The same with what training begins with.
template <class Machine, class Weights>
std::string begin_weights(const Machine& machine, Weights& w, typename Machine::memory& kept, std::uint64_t seed) {
  return fill_weights(machine, w, kept, [&](std::span<std::byte> memory) -> std::string {
    const sextant::status done = sextant::blocks::initialise(w, memory, seed);
    return done ? "" : done.what;
  });
}

}  // namespace ablation
