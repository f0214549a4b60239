// SPDX-License-Identifier: Apache-2.0
/// @file  What the laws are said with: answers of every form, pieces and mirror images of a call, bits compared.
#pragma once

#include <cstddef>  // byte, ptrdiff_t
#include <cstring>  // memcmp, strcmp
#include <limits>   // infinity
#include <string>   // string
#include <vector>   // vector

#include <doctest/doctest.h>

#include "calls.hpp"

namespace sextant::test {

using plan32 = cpu::plan<float>;

/// What a call wrote: y, and the final state.
template <class Precision> struct answer {
  std::vector<typename Precision::token> y;
  std::vector<typename Precision::state> S, z, m;
};
using answer32 = answer<fp32>;

template <class P> answer<P> written(tensors<P>& t) { return {t.y(), t.S(), t.z(), t.m()}; }

/// Runs a form on a plan that writes into `t`, whose outputs are poisoned first.
template <class P>
answer<P> answer_of(const planned_form<typename P::accumulator>& form, const cpu::plan<typename P::accumulator>& plan,
                    tensors<P>& t, int threads = 0) {
  t.poison();
  const status done = form.run(plan, threads);
  CHECK_MESSAGE(bool(done), done.what);
  return written(t);
}

/// visit(form, plan) for the forms that run a case, the chunked form also with chunks shorter than its own; failures name
/// the case and the form.
template <class Visit> void each_form_of(const any_case& c, const plan32& plan, const Visit& visit) {
  for (std::size_t i = 0; i < std::size(planned_forms<float>); ++i) {
    const planned_form<float>& form = planned_forms<float>[i];
    if (!c.runs[i]) continue;
    for (index_t chunk : {0, 16}) {
      if (chunk != 0 && std::strcmp(form.name, "chunked") != 0) continue;
      INFO(c.name, ", ", std::string(form.name), ", chunks of ", chunk);
      plan32 p = plan;
      p.chunk_length = chunk;
      visit(form, p);
    }
  }
}
inline bool is(const planned_form<float>& form, const char* name) { return std::strcmp(form.name, name) == 0; }

template <class E> bool same_bits(const std::vector<E>& a, const std::vector<E>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(E)) == 0);
}
template <class P> void check_same_bits(const answer<P>& a, const answer<P>& b) {
  CHECK(same_bits(a.y, b.y));
  CHECK(same_bits(a.S, b.S));
  CHECK(same_bits(a.z, b.z));
  CHECK(same_bits(a.m, b.m));
}
/// Equal up to rounding, as far as the case has these tensors.
inline void check_close(const any_case& c, const answer32& a, const answer32& b, double bound = tolerance<fp32>) {
  CHECK(relative_error(a.y, b.y) <= bound);
  CHECK(relative_error(a.S, b.S) <= bound);
  if (c.has_z) CHECK(relative_error(a.z, b.z) <= bound);
  if (c.has_m) CHECK(relative_error(a.m, b.m) <= bound);
}

// Other calls on the same memory -----------------------------------------------------------------------------------------

/// visit(tensor) for the tensors that have one row per token.
template <class Visit> void each_token_tensor(plan32& p, const Visit& visit) {
  for (auto* x : {&p.q, &p.k, &p.v, &p.y, &p.dt, &p.output_gate, &p.input.raw, &p.forget.raw}) visit(*x);
}
/// visit(tensor) for the parameters, which have one row per head.
template <class Visit> void each_parameter(plan32& p, const Visit& visit) {
  for (auto* x : {&p.bias, &p.a, &p.d, &p.lepe, &p.lepe_bias, &p.log_dt}) visit(*x);
}
/// visit(tensor) for the states.
template <class Visit> void each_state(plan32& p, const Visit& visit) {
  for (auto* x : {&p.S_in, &p.z_in, &p.m_in, &p.S_out, &p.z_out, &p.m_out}) visit(*x);
}
template <class Visit> void each_tensor(plan32& p, const Visit& visit) {
  each_token_tensor(p, visit);
  each_parameter(p, visit);
  each_state(p, visit);
}

/// The call on tokens [from, from + count) alone.
inline plan32 cut(plan32 p, index_t from, index_t count) {
  p.tokens = count;
  p.first_position += from;
  each_token_tensor(p, [&](cpu::tensor<float>& x) {
    if (x) x.data += from * x.time;
  });
  return p;
}
/// The call that starts from the state that this one ends with, in place.
inline plan32 continued(plan32 p) {
  p.S_in = p.S_out, p.z_in = p.z_out, p.m_in = p.m_out;
  return p;
}
/// The call on the last row of an axis first: `stride` is the member of a tensor that counts it.
inline void mirror(cpu::tensor<float>& x, index_t cpu::tensor<float>::*stride, index_t extent) {
  if (!x || extent == 0) return;
  x.data += (extent - 1) * (x.*stride);
  x.*stride = -(x.*stride);
}

/// The token tensors' memory, all but y: q, k, v, and whatever the gates read.
template <class P> std::size_t token_tensors(const tensors<P>& t) { return t.tokens.size(); }
inline constexpr std::size_t number_of_q = 1, number_of_k = 2, number_of_v = 3;

/// The numbers of token t in every batch of tensor `which`, changed but kept on their side of 0.
inline void change_token(tensors<fp32>& t, std::size_t which, const shape& s, index_t token) {
  auto& values = t.tokens[which];
  const std::size_t row = values.size() / std::size_t(s.B * s.T);
  for (index_t b = 0; b < s.B; ++b)
    for (std::size_t i = 0; i < row; ++i) {
      float& e = values[std::size_t(b * s.T + token) * row + i];
      e = e < 0 ? e / 2 - 0.125f : e / 2 + 0.125f;
    }
}
/// Whether the rows of y of the tokens [first, last) have the same bits.
inline bool same_tokens(const std::vector<float>& a, const std::vector<float>& b, const shape& s, index_t first, index_t last) {
  const std::size_t row = a.size() / std::size_t(s.B * s.T);
  for (index_t n = 0; n < s.B; ++n)
    for (index_t t = first; t < last; ++t)
      if (std::memcmp(&a[std::size_t(n * s.T + t) * row], &b[std::size_t(n * s.T + t) * row], row * sizeof(float)) != 0) return false;
  return true;
}

}  // namespace sextant::test
