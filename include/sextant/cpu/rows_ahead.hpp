// SPDX-License-Identifier: Apache-2.0
/// @file  Rows of memory that will be read soon, asked for a little at a time.
#pragma once

#include <cstddef>  // byte

#include <sextant/cpu/isa.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Rows of several tensors, token after token, that the caches are asked for while something else is computed. Rows of
/// one head lie far apart, on pages of their own, so that no hardware foresees them. One row at a time with work
/// between: a core waits for few lines at once, and whatever stands behind the requests waits with them.
struct rows_ahead {
  struct stream {
    const std::byte* next;
    index_t step, bytes;
  };
  static constexpr int most_streams = 6;

  stream streams[most_streams] = {};
  int count = 0, at = 0;
  index_t tokens = 0;  // left
  index_t every = 1, calls = 0;

  /// No rows, until add().
  void begin(index_t the_tokens) { count = at = 0, calls = 0, tokens = the_tokens; }
  void add(const std::byte* first, index_t step, index_t bytes) {
    if (count < most_streams) streams[count++] = {first, step, bytes};
  }
  /// Rows that are left before any is asked for.
  index_t rows() const { return tokens * count; }
  /// All rows within so many calls of ask(), as far as it can be.
  void spread(index_t all_calls) { every = rows() > 0 && all_calls > rows() ? all_calls / rows() : 1; }
  SEXTANT_INLINE void ask() {
    if (++calls < every) return;
    calls = 0;
    ask_row();
  }
  SEXTANT_INLINE void ask_row() {
    if (tokens <= 0) return;
    stream& from = streams[at];
    for (index_t i = 0; i < from.bytes; i += 64) __builtin_prefetch(from.next + i, 0, 3);
    from.next += from.step;
    if (++at == count) at = 0, --tokens;
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
