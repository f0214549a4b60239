// SPDX-License-Identifier: Apache-2.0
/// @file  How a call is divided into chunks of tokens, columns of channels, and items for the workers.
#pragma once

#include <sextant/cpu/gates.hpp>

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

/// The division of a plan among workers. Chunks: as many tokens as asked for (512 at most), else whole tiles of matrix
/// rows; fewer where gates per key must stay in range, or where rows of many keys would leave the cache. Items: as many
/// columns as keep their state in the second cache, but enough items for every worker.
template <class Real> chunk_division divide_chunks(const plan<Real>& p, int workers) {
  constexpr index_t most_tokens = 512, most_values = 512, state_bytes = 384 * 1024;
  chunk_division d;
  const index_t own = gate_tiles<Real>::varies(p) == per::key || p.width > 512 ? 24 : 48;
  d.length = p.chunk_length > 0 ? p.chunk_length : own;
  if (d.length > most_tokens) d.length = most_tokens;
  const index_t longest = p.longest() > 0 ? p.longest() : 1;
  if (d.length > longest) d.length = longest;

  if (p.heads == 0 || p.key_heads == 0) return d;
  const index_t groups = p.sequences * p.key_heads, heads = p.heads / p.key_heads, enough = 2 * index_t(workers);
  d.blocks = p.values > most_values ? (p.values + most_values - 1) / most_values : 1;
  while (groups * heads * d.blocks < enough && p.values > d.blocks * 128) d.blocks *= 2;
  d.block = padded<Real>(p.values > 0 ? (p.values + d.blocks - 1) / d.blocks : 1);
  if (p.values > 0) d.blocks = (p.values + d.block - 1) / d.block;
  d.columns = heads * d.blocks;

  // The z and m of a head are read and written by all its columns: where that may be the same memory, by one worker.
  if ((p.z_in && p.z_out) || (p.m_in && p.m_out)) d.unit = d.blocks;
  const index_t units = d.columns / d.unit;
  const index_t bytes = p.width * row_length<Real>(d.block) * index_t(sizeof(Real)) * d.unit;
  const index_t fit = bytes == 0 ? groups * units : bytes < state_bytes ? state_bytes / bytes : 1;
  d.parts = (units + fit - 1) / fit;
  while (groups * d.parts < enough && d.parts < units) ++d.parts;
  // A table of an image's angles belongs to one key head.
  index_t together = d.parts > 1 || p.position == position_kind::rotary_2d ? 1 : fit / units;
  if (together > p.key_heads) together = p.key_heads;
  d.key_heads = p.key_heads;
  d.bundles = (p.key_heads + together - 1) / together;
  while (p.sequences * d.bundles * d.parts < enough && d.bundles < p.key_heads) ++d.bundles;
  return d;
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
