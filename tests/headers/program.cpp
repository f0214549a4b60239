// SPDX-License-Identifier: Apache-2.0
/// @file  A few designs against the reference, small enough to be compiled by every compiler for every instruction set.
#include <cmath>    // abs, isnan
#include <cstddef>  // byte
#include <cstdint>  // uint32_t
#include <cstdio>   // printf
#include <limits>   // numeric_limits
#include <vector>   // vector

#include <sextant/reference/recurrent.hpp>
#include <sextant/sextant.hpp>

namespace {

using sextant::index_t;
constexpr index_t B = 1, T = 37, K = 5, V = 19;  // no multiple of any vector's width

// Numbers in (-1, 1), the same for every precision: multiples of 1/64, which bfloat16 holds exactly.
template <class Number> std::vector<Number> numbers(index_t count, std::uint32_t seed) {
  std::vector<Number> made;
  for (index_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    made.push_back(Number(float(int(seed >> 25) - 64) / 64.0f));
  }
  return made;
}

// The tensors of a call of H heads, y and the state filled with NaN.
template <class Design, class Precision> struct call {
  using token = typename Precision::token;
  using real = typename Precision::accumulator;
  std::vector<token> q, k, v, raw, y;
  std::vector<real> rate, S;
  sextant::sequence<Design, Precision> x;

  explicit call(index_t H)
      : q(numbers<token>(B * T * H * K, 1)),
        k(numbers<token>(B * T * H * K, 2)),
        v(numbers<token>(B * T * H * V, 3)),
        raw(numbers<token>(B * T * H * V, 4)),
        y(std::size_t(B * T * H * V), token(std::numeric_limits<float>::quiet_NaN())),
        rate(numbers<real>(H * V * K, 5)),
        S(std::size_t(B * H * K * V), std::numeric_limits<real>::quiet_NaN()) {
    for (real& a : rate) a = -std::abs(a);
    x.q = {q.data(), {B, T, H, K}};
    x.k = {k.data(), {B, T, H, K}};
    x.v = {v.data(), {B, T, H, V}};
    x.y = {y.data(), {B, T, H, V}};
    x.final_state.S = {S.data(), {B, H, K, V}};
    if constexpr (requires { x.dt; }) x.dt = {raw.data(), {B, T, H, V}};
    if constexpr (requires { x.forget; }) x.forget = {raw.data(), {B, T, H, K}};
    if constexpr (requires { x.a; }) x.a = {rate.data(), {H, V, K}};
    if constexpr (requires { x.d; }) x.d = {rate.data(), {H, V}};
  }
};

// max|got - wanted| / max|wanted|; NaN where either is.
template <class Number, class Judge> double error(const std::vector<Number>& got, const std::vector<Judge>& wanted) {
  double most = 0, worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(double(got[i]) - double(wanted[i]));
    if (std::isnan(difference)) return difference;
    if (difference > worst) worst = difference;
    if (std::abs(double(wanted[i])) > most) most = std::abs(double(wanted[i]));
  }
  return worst / most;
}

template <class Precision, class Design, class Form, class On>
bool agrees(const char* name, const Design& design, const Form& form, On on, index_t H, double tolerance) {
  call<Design, sextant::fp64> judge(H);
  sextant::reference::recurrent(design, judge.x);

  call<Design, Precision> tried(H);
  std::vector<std::byte> memory(sextant::workspace_bytes(design, form, on, tried.x), std::byte{0xff});
  on.memory = memory;
  const sextant::status done = sextant::forward(design, form, on, tried.x);
  const double y = error(tried.y, judge.y), S = error(tried.S, judge.S);
  const bool good = done && y <= tolerance && S <= tolerance;
  if (!good) std::printf("%s, %s on %s: %s, error %g of y and %g of S\n", name, Form::name, On::name, done.what, y, S);
  return good;
}

}  // namespace

int main() {
  using namespace sextant;
  bool good = true;
  // Rounding of y to bfloat16 is 2^-9; the rest is fp32's, 37 tokens long.
  good &= agrees<fp32>("mamba", mamba, form::automatic{}, cpu::parallel{}, 1, 2e-6);
  good &= agrees<fp32>("mamba", mamba, form::recurrent{}, cpu::serial{}, 1, 2e-6);
  good &= agrees<fp32>("gla", gla, form::automatic{}, cpu::serial{}, 2, 2e-6);
  good &= agrees<fp64>("gla", gla, form::recurrent{}, cpu::parallel{}, 2, 1e-14);
  good &= agrees<bf16>("linear attention", linear_attention, form::automatic{}, cpu::parallel{}, 2, 3e-3);
  std::printf("%s: %s\n", cpu::instruction_set, good ? "agrees" : "does not agree");
  return good ? 0 : 1;
}
