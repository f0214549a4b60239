// SPDX-License-Identifier: Apache-2.0
/// @file  Operations of blocks on tokens of 16 bits and of float.
// for: sm_90a sm_80
#include <sextant/blocks/cuda/operations.cuh>

namespace sextant::test {

struct from_behind {
  index_t T;
  SEXTANT_FN index_t operator()(index_t t) const { return T - 1 - t; }
};

template <class E> void emit_block_operations() {
  namespace modules = blocks::modules;
  const gpu::block_stream on;
  const blocks::rows<E> r;
  const blocks::rows<float> stream;
  const blocks::image<E> p;
  const blocks::tokens<E> t;
  (void)depthwise_3x3(on, p, modules::depthwise<E>(8), p);
  (void)depthwise_3x3_layer_norm(on, p, modules::depthwise<E>(8), p, modules::layer_norm<E>(8), r);
  (void)convolution(on, p, modules::convolution<E>(16, 16, {.kernel = 3}), p);
  (void)two_convolutions<E>(on, p, modules::convolution<E>(32, 256, {.kernel = 3, .stride = 2}),
                            modules::convolution<E>(256, 64, {}), p);
  (void)layer_norm(on, r, modules::layer_norm<E>(8), r);
  (void)rms_norm(on, r, modules::rms_norm<E>(8), r);
  (void)add_layer_norm(on, r, r, modules::layer_norm<E>(8), r, r);
  (void)add_rms_norm(on, stream, r, modules::rms_norm<E>(8), stream, r);
  (void)gated_rms_norm(on, r, r, modules::rms_norm<E>(8), r);
  (void)causal_conv1d(on, t, modules::conv1d<E>(8), t);
  (void)causal_conv1d_step(on, r, modules::conv1d<E>(8), t, r);
  (void)linear(on, r, modules::linear<E>(8, 8), r);
  (void)layer_norm_feed_forward<E>(on, r, modules::layer_norm<E>(64), modules::linear<E>(64, 256),
                                   modules::linear<E>(256, 64), r);
  (void)feed_forward<E>(on, r, modules::linear<E>(64, 256), modules::linear<E>(256, 64), r, r);
  (void)token_mean(on, t, r);
  (void)merge_patches(on, p, r);
  (void)reorder(on, t, from_behind{3}, t);
}

void block_kernels() {
  emit_block_operations<bfloat16>();
  emit_block_operations<float>();
}

}  // namespace sextant::test
