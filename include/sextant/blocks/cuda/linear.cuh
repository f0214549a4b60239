// SPDX-License-Identifier: Apache-2.0
/// @file  Linear layers on a GPU by cuBLASLt, with bias, activation and addition in its epilogue where it has them.
#pragma once

#include <cstdint>           // uintptr_t
#include <initializer_list>  // initializer_list

#include <sextant/blocks/cuda/elementwise.cuh>
#include <sextant/blocks/cuda/few_rows.cuh>
#include <sextant/blocks/cuda/products.cuh>

namespace sextant::gpu {

namespace blockwise {

template <class E>
inline constexpr cudaDataType_t cuda_type = std::is_same_v<E, double>     ? CUDA_R_64F
                                            : std::is_same_v<E, float>    ? CUDA_R_32F
                                            : std::is_same_v<E, bfloat16> ? CUDA_R_16BF
                                                                          : CUDA_R_16F;

/// The greatest power of two up to 16 bytes that all addresses and row lengths are multiples of.
template <class E>
int alignment_of(std::initializer_list<const void*> addresses, std::initializer_list<index_t> steps) {
  std::uintptr_t all = 16;
  for (const void* p : addresses) all |= reinterpret_cast<std::uintptr_t>(p);
  for (const index_t step : steps) all |= std::uintptr_t(step) * sizeof(E);
  return int(all & (~all + 1));
}

}  // namespace blockwise

/// y = act(x W^T + b) (.) times + plus. One product of cuBLASLt, sums in float (double for double; no TF32), with the bias, relu
/// and, for tokens of 16 bits, gelu (by its tanh formula, which is off by 5e-4 at most) in its epilogue, and plus where no function
/// comes before it; what is left is one more pass over y. y may be plus where neither times nor a function comes before
/// it, and is never times: anything else is errc::unsupported. Up to four rows of whole pieces, but for double, are a kernel of our
/// own, with gelu as it is. Deterministic. No workspace but that of `on.products`.
template <class E>
status linear(const block_stream& on, std::type_identity_t<blocks::rows<const E>> x,
              const blocks::modules::linear<E>& w, std::type_identity_t<blocks::rows<E>> y,
              const std::type_identity_t<blocks::after_linear<E>>& after = {}) {
  using blocks::activation;
  if (const status fits = blocks::shapes::linear<E>(x, w, y, after); !fits) return fits;
  if (y.size() == 0) return {};
  if (on.products == nullptr) return {errc::missing, "linear: a block_stream needs matrix_products"};
  constexpr bool small = sizeof(E) == 2, doubles = sizeof(E) == 8;
  const bool later_plus = after.plus && (after.times || after.act != activation::none);
  const bool fused_act = !doubles && (after.act == activation::relu || (small && after.act == activation::gelu));
  const bool fused_bias = !doubles && w.biased();
  const cublasLtEpilogue_t epilogue = !fused_act ? (fused_bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT)
                                      : after.act == activation::relu
                                          ? (fused_bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU)
                                          : (fused_bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU);
  const bool fused_plus = after.plus && !later_plus;
  const auto plus = fused_plus ? after.plus : blocks::rows<const E>{};
  // What is added or multiplied later must not lie where the product goes.
  if ((later_plus && after.plus.data() == y.data()) || (after.times && after.times.data() == y.data()))
    return {errc::unsupported, "linear: on a GPU times, and a plus behind times or an activation, may not be y"};
  if constexpr (!doubles) {
    const bool whole = blockwise::has_pieces(x, w.inputs()) && holds_packets(w.weight.data()) &&
                       w.weight.stride(0) % (16 / index_t(sizeof(E))) == 0;
    if (y.extent(0) <= blockwise::few_rows && whole && w.outputs() < index_t(1) << 30 && w.inputs() < index_t(1) << 30)
      return blockwise::run_few_rows<E>(on, {.x = x.data(),
                                             .w = w.weight.data(),
                                             .bias = w.bias.data(),
                                             .times = after.times.data(),
                                             .plus = after.plus.data(),
                                             .y = y.data(),
                                             .of_x = x.stride(0),
                                             .of_w = w.weight.stride(0),
                                             .of_times = after.times.stride(0),
                                             .of_plus = after.plus.stride(0),
                                             .of_y = y.stride(0),
                                             .rows = int(y.extent(0)),
                                             .inputs = int(w.inputs()),
                                             .outputs = int(w.outputs()),
                                             .act = after.act});
  }
  const auto step = [](const auto& v, index_t length) { return v.extent(0) > 1 ? v.stride(0) : length; };
  blockwise::rows<const E> weight(w.weight.data(), {w.outputs(), w.inputs()}, {w.weight.stride(0), 1});
  product_shape shape{};
  std::memset(&shape, 0, sizeof shape);
  shape.rows = y.extent(0), shape.outputs = y.extent(1), shape.inputs = x.extent(1);
  shape.of_x = step(x, x.extent(1)), shape.of_weight = step(weight, w.inputs()), shape.of_y = step(y, y.extent(1));
  shape.of_plus = fused_plus ? step(plus, y.extent(1)) : 0;
  shape.numbers = int(blockwise::cuda_type<E>), shape.epilogue = int(epilogue), shape.adds = fused_plus;
  shape.alignment = blockwise::alignment_of<E>({x.data(), weight.data(), plus.data(), y.data(), w.bias.data()},
                                               {shape.of_x, shape.of_weight, shape.of_plus, shape.of_y});
  const status done = on.products->run(shape, x.data(), weight.data(), fused_bias ? w.bias.data() : nullptr,
                                       plus.data(), y.data(), on.handle);
  const bool later_bias = w.biased() && !fused_bias, later_act = after.act != activation::none && !fused_act;
  if (!done || !(later_bias || later_act || after.times || later_plus)) return done;
  return blockwise::run_elementwise<E>(on, blocks::rows<const E>(y), later_bias ? w.bias.data() : nullptr,
                                       later_act ? after.act : activation::none, after.times,
                                       later_plus ? after.plus : blocks::rows<const E>{}, y);
}

/// Bytes of workspace that linear() needs of its stream: none, cuBLASLt's is the products' own.
template <class E> std::size_t linear_bytes(const stream&, index_t, const blocks::modules::linear<E>&) { return 0; }

}  // namespace sextant::gpu
