// SPDX-License-Identifier: Apache-2.0
/// @file  How a block divides the memory that a backend carries: its own arrays, and the rest for what it calls.
#pragma once

#include <cstddef>  // byte, size_t

#include <sextant/config.hpp>
#include <sextant/workspace.hpp>

namespace sextant::blocks {

/// Takes arrays off a workspace, each from a multiple of 256 bytes on. Without a workspace it counts: nobody may touch what
/// it hands out then, and bytes() says what the same calls need of a workspace that begins anywhere.
class pool {
 public:
  static constexpr std::size_t line = 256;

  constexpr pool() = default;
  explicit pool(workspace memory) : all(memory) {
    const std::size_t off = reinterpret_cast<std::size_t>(memory.data) % line;
    used = off == 0 ? 0 : line - off;
  }

  template <class E> E* take(index_t count) {
    std::byte* const at = all.data == nullptr ? nowhere(used) : all.data + used;
    used += (std::size_t(count) * sizeof(E) + line - 1) / line * line;
    return reinterpret_cast<E*>(at);
  }
  /// Whether all that was taken is there.
  bool holds() const { return used <= all.bytes; }
  std::size_t bytes() const { return used == 0 ? 0 : used + line; }
  /// The same backend with what is left of its memory.
  template <class On> On rest(const On& on) const {
    On same = on;
    same.memory = workspace(all.data == nullptr ? nullptr : all.data + used, all.bytes - used);
    return same;
  }

  /// Memory that is not there, for tensors of which only the sizes are asked.
  static std::byte* nowhere(std::size_t offset = 0) { return reinterpret_cast<std::byte*>(line + offset); }

 private:
  workspace all{};
  std::size_t used = 0;
};

}  // namespace sextant::blocks
