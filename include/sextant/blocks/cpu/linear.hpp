// SPDX-License-Identifier: Apache-2.0
/// @file  Linear layers on the CPU.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/few_rows.hpp>
#include <sextant/blocks/cpu/product.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Bytes of workspace of linear() for n rows.
template <block_backend On, class E>
std::size_t linear_bytes(const On& on, index_t n, const blocks::modules::linear<E>& w) {
  if (n <= detail::few_rows) return 0;
  return detail::product_bytes<E>(n, w.outputs(), w.inputs(), workers(on), false);
}

/// y = act(x W^T + b) (.) times + plus, with sums in float (double for double). y overlaps x nowhere; times and plus
/// may be y. n O I multiply-adds; tiles of rows and outputs go to the workers; up to four rows
/// take no workspace, and every weight is read once.
template <block_backend On, class E>
status linear(const On& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::modules::linear<E>& w,
              std::type_identity_t<blocks::rows<E>> y, std::type_identity_t<blocks::after_linear<E>> after = {}) {
  if (const status found = blocks::shapes::linear<E>(x, w, y, after); !found) return found;
  const index_t n = x.template extent<axis::row>(), I = w.inputs();
  if (y.size() == 0) return {};
  if (on.memory.bytes < linear_bytes(on, n, w))
    return {errc::workspace, "linear: fewer bytes than linear_bytes() says"};
  const auto result = [&](index_t i) {
    return detail::row_of_result<E>{blocks::row_at(y, i), blocks::row_at(after.times, i), blocks::row_at(after.plus, i),
                                    nullptr};
  };
  if (n <= detail::few_rows) return detail::product_of_few(on, x, w, after.act, result), status{};
  detail::product(
      on, n, w, false, after.act,
      [&](index_t first, index_t height, blocks::accumulator_of<E>* copies) {
        return detail::as_real(blocks::row_at(x, first), x.template stride<axis::row>(), height, I, copies);
      },
      result);
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
