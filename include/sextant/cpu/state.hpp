// SPDX-License-Identifier: Apache-2.0
/// @file  The state of one head between the tiles of a call: in the caller's memory where that lies well, else in scratch.
#pragma once

#include <sextant/cpu/tile.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Keys whose state is in registers at once, beside two vectors of channels.
inline constexpr int keys_in_registers = 4;

/// Keys of a row that both vectors and the registers of keys divide.
template <class Real> constexpr index_t padded_keys(index_t keys) {
  return (padded<Real>(keys) + keys_in_registers - 1) / keys_in_registers * keys_in_registers;
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

  /// `scratch` holds padded_keys rows of ld numbers.
  state_block(const plan<Real>& the_plan, const window& the_window, Real* scratch, index_t ld)
      : p{the_plan}, w{the_window} {
    const bool in_place = direct(p.S_out);
    keys = in_place ? p.width : padded_keys<Real>(p.width);
    to = in_place ? reinterpret_cast<Real*>(place(p.S_out)) : scratch;
    to_ld = in_place ? p.S_out.key / p.S_out.element : ld;
    from = to, from_ld = to_ld;
    if (!p.S_in) {
      for (index_t key = 0; key < keys; ++key) zero(to + key * to_ld, in_place ? w.values : ld);
    } else if (direct(p.S_in) && keys == p.width) {
      from = reinterpret_cast<const Real*>(place(p.S_in));
      from_ld = p.S_in.key / p.S_in.element;
    } else {
      for (index_t key = 0; key < p.width; ++key) {
        p.S_in.read(place(p.S_in) + key * p.S_in.key, p.S_in.value, w.values, to + key * to_ld);
        if (!in_place) zero_tail(to + key * to_ld, w.values, ld);
      }
      for (index_t key = p.width; key < keys; ++key) zero(to + key * to_ld, ld);
    }
  }
  /// After the first tile the state is read where it was written.
  void advance() { from = to, from_ld = to_ld; }
  /// Hands the state out, where it is not there already.
  void finish() const {
    if (!p.S_out || (direct(p.S_out) && from == to)) return;
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
