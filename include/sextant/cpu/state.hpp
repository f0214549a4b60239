// SPDX-License-Identifier: Apache-2.0
/// @file  The state of one head between the tiles of a call: in the caller's memory where that lies well, or scratch.
#pragma once

#include <sextant/cpu/tile.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Keys whose state is in registers at once, beside two vectors of channels.
inline constexpr int keys_in_registers = 4;

/// Keys of a row that both vectors and the registers of keys divide.
template <class Real> constexpr index_t padded_keys(index_t keys) {
  return (padded<Real>(keys) + keys_in_registers - 1) / keys_in_registers * keys_in_registers;
}

/// The initial state of a window: [keys] rows of ld numbers, zeros in what pads the keys and from w.values to `whole`.
template <class Real>
void read_state(const plan<Real>& p, const window& w, Real* to, index_t ld, index_t keys, index_t whole) {
  for (index_t key = 0; key < keys; ++key) {
    Real* const row = to + key * ld;
    const bool reads = p.S_in && key < p.width;
    if (reads) p.S_in.read(p.S_in.at(w.n, 0, w.h) + w.v * p.S_in.value + key * p.S_in.key, p.S_in.value, w.values, row);
    zero_tail(row, reads ? w.values : 0, whole);
  }
}

/// Rows of S, [keys][values]: read where the initial state is, written where the final one shall be.
template <class Real> struct state_block {
  const plan<Real>& p;
  const window& w;
  const Real* from = nullptr;
  index_t from_ld = 0;
  Real* to = nullptr;
  index_t to_ld = 0;
  index_t keys = 0;
  bool in_place = false;

  /// Rows that are there already and stay where they are.
  state_block(const plan<Real>& the_plan, const window& the_window, Real* rows, index_t ld, index_t all_keys)
      : p{the_plan}, w{the_window}, from{rows}, from_ld{ld}, to{rows}, to_ld{ld}, keys{all_keys} {}

  /// `scratch` holds padded_keys rows of ld numbers.
  [[gnu::noinline]] state_block(const plan<Real>& the_plan, const window& the_window, Real* scratch, index_t ld)
      : p{the_plan}, w{the_window} {
    in_place = direct(p.S_out);
    keys = in_place ? p.width : padded_keys<Real>(p.width);
    to = in_place ? reinterpret_cast<Real*>(place(p.S_out)) : scratch;
    to_ld = in_place ? p.S_out.key / p.S_out.element : ld;
    from = to, from_ld = to_ld;
    if (p.S_in && direct(p.S_in) && keys == p.width) {
      from = reinterpret_cast<const Real*>(place(p.S_in));
      from_ld = p.S_in.key / p.S_in.element;
    } else {
      read_state(p, w, to, to_ld, keys, in_place ? w.values : ld);
    }
  }
  /// After the first tile the state is read where it was written.
  void advance() { from = to, from_ld = to_ld; }
  /// Hands the state out, where it is not there already.
  void finish() const {
    if (!p.S_out || (in_place && from == to)) return;
    for (index_t key = 0; key < p.width; ++key)
      p.S_out.write(from + key * from_ld, w.values, place(p.S_out) + key * p.S_out.key, p.S_out.value);
  }

 private:
  std::byte* place(const tensor<Real>& S) const { return S.at(w.n, 0, w.h) + w.v * S.value; }
  bool direct(const tensor<Real>& S) const {
    return S && S.store == &store_row<Real, Real> && S.value == S.element && w.values % lanes<Real> == 0 &&
           p.width % keys_in_registers == 0;
  }
};

/// z of one head: zeros, or the initial one; zeros to the end of the row.
template <class Real> void read_normaliser(const plan<Real>& p, const window& w, Real* z, index_t ld) {
  zero(z, ld);
  if (p.z_in) p.z_in.read(p.z_in.at(w.n, 0, w.h), p.z_in.key, p.width, z);
}
/// Hands z out, once per head.
template <class Real> void write_normaliser(const plan<Real>& p, const window& w, const Real* z) {
  if (p.z_out && w.v == 0) p.z_out.write(z, p.width, p.z_out.at(w.n, 0, w.h), p.z_out.key);
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
