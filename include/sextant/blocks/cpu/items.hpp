// SPDX-License-Identifier: Apache-2.0
/// @file  How the CPU's operations of blocks divide their rows among the workers of a backend.
#pragma once

#include <concepts>  // convertible_to
#include <cstddef>   // byte, size_t

#include <sextant/cpu/backend.hpp>

namespace sextant::cpu {

/// What an operation of blocks runs on: cpu::serial or cpu::parallel.
template <class On> concept block_backend = requires(const On& on) {
  { workers(on) } -> std::convertible_to<int>;
  on.memory.bytes;
};

/// body(item, worker) for every item; items of like cost.
template <block_backend On, class Body> void each_item(const On& on, index_t items, const Body& body) {
  for_each_item(
      on, items, const_cast<void*>(static_cast<const void*>(&body)),
      [](void* raw, index_t item, int worker) { (*static_cast<const Body*>(raw))(item, worker); }, true);
}

/// body(first, last, worker) for runs of neighbouring rows: a few for each worker, but no more runs than `least` rows in
/// each would make.
template <block_backend On, class Body> void each_run(const On& on, index_t count, index_t least, const Body& body) {
  const index_t most = index_t(workers(on)) * 4;
  const index_t fewest = least > 1 ? least : 1;
  index_t runs = (count + fewest - 1) / fewest;
  if (runs > most) runs = most;
  if (runs > workers(on)) runs -= runs % workers(on);  // as many for each
  if (workers(on) == 1 && runs > 1) runs = 1;
  each_item(on, runs, [&](index_t run, int worker) { body(count * run / runs, count * (run + 1) / runs, worker); });
}

/// Memory for every worker by itself.
template <class On> std::byte* worker_memory(const On& on, std::size_t own, int worker) {
  return aligned(on.memory.data) + std::size_t(worker) * round_to_line(own);
}
/// Bytes of workspace that give each of so many workers `own` bytes.
constexpr std::size_t worker_bytes(int workers, std::size_t own) {
  return std::size_t(workers) * round_to_line(own) + line_bytes;
}

}  // namespace sextant::cpu
