// SPDX-License-Identifier: Apache-2.0
/// @file  How a call is divided into chunks of tokens, columns of channels, and items for the workers.
#pragma once

#include <sextant/cpu/gates.hpp>
#include <sextant/cpu/matrix.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Numbers from one row of scratch to the next: whole vectors, and no multiple of 256 bytes, which would crowd the rows
/// of a panel into a few sets of the cache.
template <class Real> constexpr index_t row_length(index_t count) {
  const index_t length = padded<Real>(count);
  return length * index_t(sizeof(Real)) % 256 == 0 ? length + index_t(64 / sizeof(Real)) : length;
}

/// The division of a call. A column is a block of channels of one head. An item holds some columns of one key head,
/// which share its queries, keys and scores, or all columns of several key heads, whose rows are neighbours in memory.
struct chunk_division {
  index_t length = 1;     ///< tokens of a chunk
  index_t block = 1;      ///< channels of a column
  index_t blocks = 1;     ///< columns of a head
  index_t columns = 0;    ///< columns of a key head
  index_t unit = 1;       ///< columns that stay together
  index_t parts = 1;      ///< items of a key head
  index_t key_heads = 0;  ///< key heads of a sequence
  index_t bundles = 0;    ///< items of a sequence, of one key head's part or of several key heads

  /// The first key head of bundle b; its last one is the next bundle's first.
  index_t first_key_head(index_t b) const { return key_heads * b / bundles; }
  /// The first column of a part.
  index_t first_column(index_t part) const { return columns / unit * part / parts * unit; }
  /// Columns of the largest item.
  index_t most_columns() const {
    return bundles == 0 ? 0 : (columns / unit + parts - 1) / parts * unit * ((key_heads + bundles - 1) / bundles);
  }
  index_t items(index_t sequences) const { return sequences * bundles * parts; }
};

/// The division of a plan among workers.
/// - Chunks: as many tokens as asked for (512 at most), else four tiles of a product's rows: with fewer, tiles begin
///   and end too often, with more, scores cost too much, whatever the numbers of keys and channels.
/// - Items: as many columns as keep their states near, for neighbouring heads share pages and lines of memory; but
///   something for every worker, and as much for one as for the other.
template <class Real> chunk_division divide_chunks(const plan<Real>& p, int workers) {
  constexpr index_t most_tokens = 512, most_values = 512, state_bytes = 640 * 1024;
  chunk_division d;
  d.length = p.chunk_length > 0 ? p.chunk_length : 4 * detail::wide_rows;
  if (d.length > most_tokens) d.length = most_tokens;

  if (p.heads == 0 || p.key_heads == 0 || p.sequences == 0) return d;
  const index_t team = workers;
  d.blocks = p.values > most_values ? (p.values + most_values - 1) / most_values : 1;
  while (p.sequences * p.heads * d.blocks < team && p.values > d.blocks * 64) d.blocks *= 2;
  d.block = padded<Real>(p.values > 0 ? (p.values + d.blocks - 1) / d.blocks : 1);
  if (p.values > 0) d.blocks = (p.values + d.block - 1) / d.block;
  d.columns = p.heads / p.key_heads * d.blocks;
  d.key_heads = p.key_heads;

  // The z and m of a head are read and written by all its columns: where that may be the same memory, by one worker.
  if ((p.z_in && p.z_out) || (p.m_in && p.m_out)) d.unit = d.blocks;
  const index_t units = d.columns / d.unit, all = p.key_heads * units;
  const index_t bytes = p.width * row_length<Real>(d.block) * index_t(sizeof(Real)) * d.unit;
  const index_t fit = bytes == 0 ? all : bytes < state_bytes ? state_bytes / bytes : 1;
  index_t items = (all + fit - 1) / fit;  // of a sequence
  // A table of an image's angles belongs to one key head.
  if (p.position == position_kind::rotary_2d && items < p.key_heads) items = p.key_heads;
  while (p.sequences * items < 4 * team && p.sequences * items % team != 0 && items < all) ++items;
  d.bundles = items < p.key_heads ? items : p.key_heads;
  d.parts = (items + p.key_heads - 1) / p.key_heads;
  if (d.parts > units) d.parts = units;
  return d;
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
