// SPDX-License-Identifier: Apache-2.0
/// @file  Tiles: a few tokens of one head in accumulators, every part applied. All forms read and write through these.
#pragma once

#include <sextant/cpu/rotation.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Some tokens of one head of one sequence, and some of its channels.
struct window {
  index_t n = 0, h = 0;       // sequence, head
  index_t t = 0, count = 0;   // first token, number of tokens
  index_t v = 0, values = 0;  // first channel, number of channels
  // Rows of one head lie apart, so that no hardware foresees them: how many tokens ahead the caches are asked for them.
  index_t ahead = 0;
};

/// Whether a tensor's channels are numbers of type Real, one after another: read where they are.
template <class Real> bool is_plain(const tensor<Real>& x) {
  return x.load == &load_row<Real, Real> && x.value == x.element;
}

/// One row of a tensor per token: where the first one is, and the bytes from one to the next.
struct token_rows {
  std::byte* first;
  index_t step;
};
/// The rows of the window's tokens, of a head or key head.
template <class Real> token_rows rows_of(const plan<Real>& p, const tensor<Real>& x, const window& w, index_t head) {
  return {x.at(p.batch(w.n), p.place(w.n, w.t), head), p.direction() * x.time};
}

/// Asks the caches for the row that is `w.ahead` tokens ahead of token t of the window: `count` numbers `stride` bytes
/// apart from `offset` bytes on, if they lie one after another.
template <class Real>
SEXTANT_INLINE void ask_ahead(const plan<Real>& p, const tensor<Real>& x, const window& w, const token_rows& rows,
                              index_t t, index_t offset, index_t stride, index_t count) {
  if (w.ahead == 0 || stride != x.element || w.t + t + w.ahead >= p.length(w.n)) return;
  const std::byte* const row = rows.first + (t + w.ahead) * rows.step + offset;
  for (index_t i = 0; i < count * stride; i += 64) __builtin_prefetch(row + i, 0, 3);
}
/// One number per token: out[count].
template <class Real> void read_numbers(const plan<Real>& p, const tensor<Real>& x, const window& w, Real* out) {
  if (w.count == 0) return;
  const token_rows rows = rows_of(p, x, w, w.h);
  x.read(rows.first, rows.step, w.count, out);
}
/// One row per token, `count` numbers `stride` bytes apart from `offset` bytes on: out[w.count][ld], zeros to `whole`
/// (where that is 0, to ld).
template <class Real>
void read_rows(const plan<Real>& p, const tensor<Real>& x, const window& w, index_t head, index_t offset,
               index_t stride, index_t count, Real* out, index_t ld, index_t whole = 0) {
  const token_rows rows = rows_of(p, x, w, head);
  for (index_t t = 0; t < w.count; ++t) {
    ask_ahead(p, x, w, rows, t, offset, stride, count);
    x.read(rows.first + t * rows.step + offset, stride, count, out + t * ld);
    zero_tail(out + t * ld, count, whole > 0 ? whole : ld);
  }
}
/// The channels of the window: out[w.count][ld].
template <class Real>
void read_channels(const plan<Real>& p, const tensor<Real>& x, const window& w, Real* out, index_t ld,
                   index_t whole = 0) {
  read_rows(p, x, w, w.h, w.v * x.value, x.value, w.values, out, ld, whole);
}

/// phi of the queries or keys of key head g: plain[w.count][ld], and turned[w.count][ld] where the design has a
/// position (elsewhere `turned` is `plain`). `row` holds K numbers; zeros from `width` to ld.
template <class Real>
void read_mapped(const plan<Real>& p, const tensor<Real>& x, const window& w, index_t g, const rotation<Real>& turning,
                 bool is_key, Real* row, Real* turned, Real* plain, index_t ld) {
  const token_rows rows = rows_of(p, x, w, g);
  for (index_t t = 0; t < w.count; ++t) {
    Real* const to = plain + t * ld;
    Real* const raw = p.map_expands ? row : to;
    ask_ahead(p, x, w, rows, t, 0, x.key, p.keys);
    x.read(rows.first + t * rows.step, x.key, p.keys, raw);
    if (is_key && p.key_scale != Real(1))
      for (index_t i = 0; i < p.keys; ++i) raw[i] *= p.key_scale;
    if (p.apply_map != nullptr) p.apply_map(p.map, raw, p.keys, to);
    zero_tail(to, p.width, ld);
    if (p.position != position_kind::none) {
      turning.turn(p, w.n, w.t + t, t, to, turned + t * ld);
      zero_tail(turned + t * ld, p.width, ld);
    }
  }
}

/// row += bias, in whole vectors.
template <class Real> void add_bias(Real* row, const Real* bias, index_t count) {
  for (index_t i = 0; i < count; i += lanes<Real>)
    (simd<Real>::load(row + i) + simd<Real>::load(bias + i)).store(row + i);
}
/// delta = softplus(dt + bias) of the window: out[count] per head, out[count][ld] per channel. `bias` holds `bias_of`.
template <class Real> void read_step(const plan<Real>& p, const window& w, const Real* bias, Real* out, index_t ld) {
  if (p.step_varies == per::head) {
    read_numbers(p, p.dt, w, out);
    zero_tail(out, w.count, padded<Real>(w.count));
    add_bias(out, bias, w.count);
    softplus_numbers(out, w.count);
  } else if (p.step_varies == per::channel) {
    read_channels(p, p.dt, w, out, ld);
    for (index_t t = 0; t < w.count; ++t) add_bias(out + t * ld, bias, w.values);
    softplus_numbers(out, w.count * ld);
  }
}
/// The bias of the step, as `read_step` wants it: the window's channels, or one number `tokens` times.
template <class Real> void bias_of(const plan<Real>& p, const window& w, index_t tokens, Real* out, index_t ld) {
  const index_t count = p.step_varies == per::head ? padded<Real>(tokens) : ld;
  zero(out, count);
  if (!p.bias) return;
  if (p.step_varies == per::head) {
    p.bias.read(p.bias.at(0, 0, w.h), p.bias.element, 1, out);
    for (index_t i = 1; i < count; ++i) out[i] = out[0];
  } else {
    p.bias.read(p.bias.at(0, 0, w.h) + w.v * p.bias.value, p.bias.value, w.values, out);
  }
}

/// The forget gate's rate of a head: [1], [K'], [values] or [K'][values] in rows of ld numbers (keys in one row).
template <class Real> void rate_of(const plan<Real>& p, const window& w, Real* out, index_t ld) {
  const per varies = p.forget.rate_varies;
  if (varies == per::nothing) return;
  if (!p.a) {
    if (p.default_rate != nullptr) out[0] = p.default_rate(w.h);  // else the tensor is empty: no keys or no channels
    return;
  }
  const std::byte* from = p.a.at(0, 0, w.h);
  if (varies == per::head) {
    p.a.read(from, p.a.element, 1, out);
  } else if (varies == per::key) {
    p.a.read(from, p.a.key, p.width, out);
  } else {
    const index_t rows = varies == per::key_channel ? p.width : 1;
    for (index_t k = 0; k < rows; ++k) {
      p.a.read(from + k * p.a.key + w.v * p.a.value, p.a.value, w.values, out + k * ld);
      zero_tail(out + k * ld, w.values, ld);
    }
  }
}
/// Numbers that rate_of writes.
template <class Real> index_t rate_size(const plan<Real>& p, index_t ld) {
  switch (p.forget.rate_varies) {
    case per::nothing:
      return 0;
    case per::head:
      return lanes<Real>;
    case per::key:
      return padded<Real>(p.width);
    case per::channel:
      return ld;
    case per::key_channel:
      return p.width * ld;
  }
  return 0;
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
