// SPDX-License-Identifier: Apache-2.0
/// @file  A Switch layer's routes and products, for tokens of 16 bits and of float.
// for: sm_90a sm_80
#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/blocks/moe.hpp>

namespace sextant::test {

template <class E> void emit_switch_layer(blocks::buffers& from) {
  const gpu::stream on;
  const blocks::rows<E> r;
  const blocks::moe_routes<E> routes(blocks::moe_sizes{}, 8, from);
  const view<const E, axis::head, axis::row, axis::column> w;
  (void)gpu::route_to_one<E>(on, r, routes);
  (void)gpu::linear_of_tokens<E>(on, r, routes, w, blocks::activation::relu, r, r);
  (void)gpu::linear_of_places<E>(on, r, routes, w, r);
  (void)gpu::bring_back<E>(on, r, routes, r, r);
}

void switch_kernels(blocks::buffers& from) {
  emit_switch_layer<bfloat16>(from);
  emit_switch_layer<float>(from);
}

}  // namespace sextant::test
