// SPDX-License-Identifier: Apache-2.0
/// @file  What families share whose kernels serve a call without its design's types.
#pragma once

#include <sextant/cuda/call.cuh>
#include <sextant/cuda/parts.cuh>

namespace sextant::gpu {

/// The two questions of a family, answered by what `Family` has for calls without types:
///   bytes_of_call(call, parts)       bytes of workspace
///   run_call(call, parts, on)        the launches
/// A program of many designs compiles those once for all.
template <class Family> struct untyped_family {
  template <class Design, class Precision>
  [[gnu::noinline]] static std::size_t workspace_bytes(const Design& design, const sequence_of<Design, Precision>& x) {
    status found;
    return Family::bytes_of_call(make_call(design, x, found), choose_parts(design));
  }
  template <class Design, class Precision>
  [[gnu::noinline]] static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    status found;
    return Family::run_call(make_call(design, x, found), choose_parts(design), on);
  }
};

}  // namespace sextant::gpu
