// SPDX-License-Identifier: Apache-2.0
/// @file  The CPU as the examples' networks run on it; what gpu_machine is on a GPU.
#pragma once

#include <cstddef>  // byte, size_t
#include <cstring>  // memcpy
#include <vector>   // vector

#include <sextant/cpu/backend.hpp>
#include <sextant/status.hpp>

namespace ablation {

/// Memory from a multiple of 256 bytes on.
class host_memory {
 public:
  host_memory() = default;
  explicit host_memory(std::size_t bytes) : lines_((bytes + sizeof(line) - 1) / sizeof(line)), bytes_{bytes} {}

  std::byte* data() const { return lines_.empty() ? nullptr : const_cast<std::byte*>(lines_.front().bytes); }
  std::size_t size() const { return bytes_; }

 private:
  struct alignas(256) line {
    std::byte bytes[256];
  };
  std::vector<line> lines_;
  std::size_t bytes_ = 0;
};

/// A CPU of so many threads; 0: all.
class cpu_machine {
 public:
  using memory = host_memory;

  explicit cpu_machine(int threads) : threads_{threads} {}

  sextant::cpu::parallel on() const { return {{}, threads_}; }
  sextant::cpu::parallel on(const memory& workspace) const {
    return {sextant::workspace(workspace.data(), workspace.size()), threads_};
  }
  memory take(std::size_t bytes) const { return memory(bytes); }
  void send(void* to, const void* from, std::size_t bytes) const { copy(to, from, bytes); }
  void fetch(void* to, const void* from, std::size_t bytes) const { copy(to, from, bytes); }
  void wait() const {}

  /// A call that is made again and again, always on the same memory.
  struct again {
    template <class Call> sextant::status operator()(const cpu_machine&, const Call& call) { return call(); }
  };

 private:
  static void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  int threads_;
};

}  // namespace ablation
