// SPDX-License-Identifier: Apache-2.0
/// @file  Tokens in another order, keys apart, and 2x2 pixels as one, on the CPU.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/cpu/row_vectors.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Token t of y is token map(t) of x, plus token t of `plus`, if given. `map` is a copyable struct, index_t(index_t)
/// const (scan_order.hpp). plus may be y; y overlaps x nowhere.
template <block_backend On, class E, class Map>
status reorder(const On& on, std::type_identity_t<blocks::tokens<const E>> x, const Map& map, blocks::tokens<E> y,
               std::type_identity_t<blocks::tokens<const E>> plus = {}) {
  if (const status found = blocks::shapes::reorder<E>(x, y, plus); !found) return found;
  using Real = blocks::accumulator_of<E>;
  const index_t B = y.template extent<axis::batch>(), T = y.template extent<axis::time>();
  const index_t C = y.template extent<axis::value>();
  if (y.size() == 0) return {};
  each_run(on, B * T, 64, [&](index_t first, index_t last, int) {
    for (index_t i = first; i < last; ++i) {
      const index_t b = i / T, t = i % T;
      const E* const from = &x(b, map(t), 0);
      E* const to = &y(b, t, 0);
      if (plus) {
        const E* const also = &plus(b, t, 0);
        detail::vectors_of<Real>(C, [&](index_t c, auto whole, index_t n) {
          detail::store_some(detail::load_some<Real>(from + c, whole, n) + detail::load_some<Real>(also + c, whole, n),
                             to + c, whole, n);
        });
      } else {
        for (index_t c = 0; c < C; ++c) to[c] = from[c];
      }
    }
  });
  return {};
}

/// How many columns each half of a scan's keys and queries has where they are to be copied for it; 0: they are read as they lie,
/// as they always are on a CPU.
template <block_backend On, class E> index_t columns_of_keys(const On&, const blocks::rows<E>&) { return 0; }

/// The halves of x's rows, [n, 2 c], as those of y's, [n, 2 C], zeros behind each where C is more.
template <block_backend On, class E>
status spread_keys(const On& on, std::type_identity_t<blocks::rows<const E>> x, blocks::rows<E> y) {
  if (const status found = blocks::shapes::spread_keys<E>(x, y); !found) return found;
  const index_t from = x.extent(1) / 2, to = y.extent(1) / 2;
  each_run(on, y.extent(0), 64, [&](index_t first, index_t last, int) {
    for (index_t row = first; row < last; ++row)
      for (index_t c = 0; c < 2 * to; ++c) y(row, c) = c % to < from ? x(row, c / to * from + c % to) : E(0.0f);
  });
  return {};
}

/// 2x2 pixels of C channels as one of 4 C (Swin's patch merging): of rows and columns 2 i, 2 j first the pixel itself,
/// then the one below, the one to the right, the one below that. Zeros beyond a picture of odd size.
/// x [B, H, W, C], y [B ceil(H / 2) ceil(W / 2), 4 C].
template <block_backend On, class E>
status merge_patches(const On& on, std::type_identity_t<blocks::image<const E>> x, blocks::rows<E> y) {
  if (const status found = blocks::shapes::merge_patches<E>(x, y); !found) return found;
  const index_t H = x.template extent<axis::row>(), W = x.template extent<axis::column>();
  const index_t C = x.template extent<axis::value>(), h = (H + 1) / 2, w = (W + 1) / 2;
  if (y.size() == 0) return {};
  each_run(on, y.template extent<axis::row>(), 16, [&](index_t first, index_t last, int) {
    for (index_t p = first; p < last; ++p)
      for (index_t part = 0; part < 4; ++part) {
        const index_t i = p / w % h * 2 + part % 2, j = p % w * 2 + part / 2;
        E* const to = &y(p, part * C);
        const E* const from = i < H && j < W ? &x(p / (h * w), i, j, 0) : nullptr;
        for (index_t c = 0; c < C; ++c) to[c] = from != nullptr ? from[c] : E(0.0f);
      }
  });
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
