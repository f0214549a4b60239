// SPDX-License-Identifier: Apache-2.0
/// @file  The memory that a backend carries for its calls.
#pragma once

#include <cstddef>  // byte, size_t

#include <sextant/config.hpp>

namespace sextant {

/// Memory that a call may scribble on, of at least workspace_bytes(...) bytes; from any container of bytes. A GPU's
/// backend wants memory of the device.
struct workspace {
  std::byte* data = nullptr;
  std::size_t bytes = 0;

  workspace() = default;
  constexpr workspace(std::byte* memory, std::size_t size) : data{memory}, bytes{size} {}
  template <class Container>
    requires requires(Container& c) { static_cast<std::byte*>(c.data()), c.size(); }
  constexpr workspace(Container& c) : data{c.data()}, bytes{c.size()} {}
};

}  // namespace sextant
