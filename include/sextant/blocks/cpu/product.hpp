// SPDX-License-Identifier: Apache-2.0
/// @file  The matrix product of linear layers and convolutions on the CPU, in the way that suits the number of rows.
#pragma once

#include <cstddef>  // size_t

#include <sextant/blocks/cpu/many_rows.hpp>
#include <sextant/blocks/cpu/some_rows.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// Bytes of workspace of product() for n rows or fewer. `copies`: whether source() may want to copy rows.
template <class E> std::size_t product_bytes(index_t n, index_t O, index_t I, int workers, bool copies) {
  const index_t some = some_rows<E>::most(O, I);
  const std::size_t bytes = worker_bytes(workers, some_rows<E>(n < some ? n : some, O, I, workers).own_bytes());
  if (n <= some) return bytes;
  const std::size_t of_many = worker_bytes(workers, many_rows<E>(n, O, I, workers, copies).own_bytes());
  return bytes > of_many ? bytes : of_many;
}

/// The n rows x W^T and what follows them. source(first, height, copies) gives rows of x as numbers of the type that is
/// computed with; it may write them to its last argument, [height][I], if `copies` or E is another type. row(i) is a
/// row_of_result.
template <class On, class E, class Source, class Row>
void product(const On& on, index_t n, const blocks::modules::linear<E>& w, bool copies, blocks::activation activation,
             const Source& source, const Row& row) {
  const index_t I = w.inputs(), O = w.outputs();
  if (n <= some_rows<E>::most(O, I))
    product_of_some(on, some_rows<E>(n, O, I, workers(on)), w, activation, source, row);
  else product_of_many(on, many_rows<E>(n, O, I, workers(on), copies), n, w, activation, source, row);
}

}  // namespace detail

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
