// SPDX-License-Identifier: Apache-2.0
/// @file  Norms over the numbers of a row on a GPU, alone, behind an addition or behind a gate.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cuda/norm/kernel.cuh>
#include <sextant/blocks/shapes.hpp>

namespace sextant::gpu {

/// y = (x - mean) / sqrt(variance + eps) (.) weight + bias over each row: the mean first, then the mean square of what is
/// left. y may be x. Reads x once (rows of up to 4096 numbers of 16 bits; longer and odd ones three times, from the caches)
/// and writes y once.
template <class E>
status layer_norm(const stream& on, std::type_identity_t<blocks::rows<const E>> x,
                  const blocks::modules::layer_norm<E>& w, std::type_identity_t<blocks::rows<E>> y) {
  if (const status fits = blocks::shapes::norm<E>(x, w, y); !fits) return fits;
  return blockwise::run_norm<blockwise::row_norm::layer, blockwise::norm_source::plain>(
      on, blockwise::norm_call<E>::of(x, w.weight.data(), w.bias.data(), w.eps, y), y);
}

/// y = x / sqrt(mean(x^2) + eps) (.) weight over each row. Otherwise as layer_norm.
template <class E>
status rms_norm(const stream& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::modules::rms_norm<E>& w,
                std::type_identity_t<blocks::rows<E>> y) {
  if (const status fits = blocks::shapes::norm<E>(x, w, y); !fits) return fits;
  return blockwise::run_norm<blockwise::row_norm::rms, blockwise::norm_source::plain>(
      on, blockwise::norm_call<E>::of(x, w.weight.data(), nullptr, w.eps, y), y);
}

/// sum = x + delta, y = layer_norm(sum), in one pass; x and sum, the residual stream, may be of another type. The norm is that of
/// the sum as it is stored. sum may be x, y may be delta.
template <class E, class S>
status add_layer_norm(const stream& on, std::type_identity_t<blocks::rows<const S>> x,
                      std::type_identity_t<blocks::rows<const E>> delta, const blocks::modules::layer_norm<E>& w,
                      blocks::rows<S> sum, std::type_identity_t<blocks::rows<E>> y) {
  if (const status fits = blocks::shapes::add_norm<E, S>(x, delta, w, sum, y); !fits) return fits;
  auto c = blockwise::norm_call<E, S>::of(x, w.weight.data(), w.bias.data(), w.eps, y);
  c.take(delta, sum);
  return blockwise::run_norm<blockwise::row_norm::layer, blockwise::norm_source::sum>(on, c, y);
}

/// sum = x + delta, y = rms_norm(sum), likewise.
template <class E, class S>
status add_rms_norm(const stream& on, std::type_identity_t<blocks::rows<const S>> x,
                    std::type_identity_t<blocks::rows<const E>> delta, const blocks::modules::rms_norm<E>& w,
                    blocks::rows<S> sum, std::type_identity_t<blocks::rows<E>> y) {
  if (const status fits = blocks::shapes::add_norm<E, S>(x, delta, w, sum, y); !fits) return fits;
  auto c = blockwise::norm_call<E, S>::of(x, w.weight.data(), nullptr, w.eps, y);
  c.take(delta, sum);
  return blockwise::run_norm<blockwise::row_norm::rms, blockwise::norm_source::sum>(on, c, y);
}

/// y = u / sqrt(mean(u^2) + eps) (.) weight, u = x silu(z) (Mamba-2), the mean over each of `groups` equal parts of a row.
/// y may be x or z.
template <class E>
status gated_rms_norm(const stream& on, std::type_identity_t<blocks::rows<const E>> x,
                      std::type_identity_t<blocks::rows<const E>> z, const blocks::modules::rms_norm<E>& w,
                      std::type_identity_t<blocks::rows<E>> y, index_t groups = 1) {
  if (const status fits = blocks::shapes::gated_norm<E>(x, z, w, y, groups); !fits) return fits;
  auto c = blockwise::norm_call<E>::of(x, w.weight.data(), nullptr, w.eps, y);
  c.more = z.data(), c.of_more = z.stride(0), c.groups = groups;
  return blockwise::run_norm<blockwise::row_norm::rms, blockwise::norm_source::gated>(on, c, y);
}

}  // namespace sextant::gpu
