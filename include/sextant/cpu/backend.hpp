// SPDX-License-Identifier: Apache-2.0
/// @file  The CPU backends: one thread, or OpenMP's. They carry the workspace and run the items of a form.
#pragma once

#include <cstddef>  // byte, size_t
#include <cstdint>  // uintptr_t

#ifdef _OPENMP
#include <omp.h>  // omp_get_max_threads, omp_get_thread_num
#endif

#include <sextant/workspace.hpp>

namespace sextant {

namespace cpu {

// One name with OpenMP and another without, so that a program may hold both kinds of translation unit.
#ifdef _OPENMP
inline namespace with_openmp {
#else
inline namespace without_openmp {
#endif

/// OpenMP over sequences, heads and blocks of channels; the calling thread alone where the compiler has no OpenMP.
/// Results do not depend on the number of threads beyond rounding: a fixed number gives the same bits every time.
struct parallel {
  static constexpr const char* name = "cpu::parallel";
  sextant::workspace memory{};
  int threads = 0;  ///< 0: as many as OpenMP offers
};

}  // inline namespace

/// The calling thread alone.
struct serial {
  static constexpr const char* name = "cpu::serial";
  sextant::workspace memory{};
};

/// Bytes of a cache line; the parts of a workspace start on multiples of it.
inline constexpr std::size_t line_bytes = 64;
/// The next multiple of line_bytes.
constexpr std::size_t round_to_line(std::size_t bytes) { return (bytes + line_bytes - 1) / line_bytes * line_bytes; }

/// The number of threads that a call on the backend may use.
inline int workers(const serial&) { return 1; }

/// The number of threads that a call on the backend may use: 1 without OpenMP.
inline int workers(const parallel& on) {
#ifdef _OPENMP
  return on.threads > 0 ? on.threads : omp_get_max_threads();
#else
  return (void)on, 1;
#endif
}

/// body(context, item, worker) for every item, on this thread.
inline void for_each_item(const serial&, index_t items, void* context,
                          void (*body)(void* context, index_t item, int worker), bool = false) {
  for (index_t item = 0; item < items; ++item) body(context, item, 0);
}

/// body(context, item, worker) for every item, on as many threads as there are workers or items. Short items that are
/// `alike` go to the threads in runs of neighbours, the same ones in every call: a thread finds its states where it
/// left them. Others go to whoever is free.
inline void for_each_item(const parallel& on, index_t items, void* context,
                          void (*body)(void* context, index_t item, int worker), bool alike = false) {
#ifdef _OPENMP
  const int team = int(workers(on) < items ? workers(on) : items);
  if (team > 1 && alike) {
#pragma omp parallel for schedule(static) num_threads(team)
    for (index_t item = 0; item < items; ++item) body(context, item, omp_get_thread_num());
    return;
  }
  if (team > 1) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
    for (index_t item = 0; item < items; ++item) body(context, item, omp_get_thread_num());
    return;
  }
#endif
  (void)on, (void)alike;
  for_each_item(serial{}, items, context, body);
}

/// Takes arrays, each on its own cache line, off a piece of memory. With no memory it counts the bytes, and nobody may
/// touch what it hands out.
struct arena {
  std::uintptr_t memory = 0;
  std::size_t used = 0;

  template <class Element> Element* take(index_t count) {
    Element* const at = reinterpret_cast<Element*>(memory + used);
    used += round_to_line(std::size_t(count) * sizeof(Element));
    return at;
  }
};

/// The first multiple of line_bytes behind `memory`.
inline std::byte* aligned(std::byte* memory) {
  return memory + (line_bytes - reinterpret_cast<std::uintptr_t>(memory) % line_bytes) % line_bytes;
}

}  // namespace cpu
}  // namespace sextant
