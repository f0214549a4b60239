// SPDX-License-Identifier: Apache-2.0
/// @file  What the pages in docs/ show and no example contains: snippets.py finds each of their lines here or in an example.
#include <doctest/doctest.h>

#include <string>
#include <tuple>
#include <vector>

#include <sextant/sextant.hpp>

namespace sx = sextant;

namespace {

constexpr auto mixer = sextant::linear_attention.with(sextant::forget::exponential{}, sextant::norm::none{});

constexpr auto with_input_gate = sextant::linear_attention.with(sextant::input::softplus<sextant::per::channel>{});

constexpr auto with_forget_gate =
    sextant::linear_attention.with(sextant::forget::selective{}, sextant::norm::sum_undecayed{});

constexpr auto trapezoid = sextant::s4d.with(sextant::forget::diagonal<sextant::discretisation::bilinear>{});

constexpr auto with_shortcut = sextant::linear_attention.with(sextant::shortcut::learned{});

constexpr auto without_norm = sextant::linear_attention.with(sextant::norm::none{});

constexpr auto single_head = sextant::linear_attention.with(sextant::heads::single{});

static_assert(sextant::block::transformer::parameters(96) == 12 * 96 * 96 + 13 * 96);
static_assert(sextant::block::mila::parameters(64) == 56704);

constexpr auto sweep = std::tuple{sextant::mila, sextant::mila.with(sextant::shortcut::none{}),
                                  sextant::mila.with(sextant::position::none{})};

/// Mamba-2 on numbers that rise and fall: T tokens in one call, or in T steps.
struct mamba2_call {
  static constexpr sx::index_t B = 1, T = 12, H = 2, P = 3, N = 4;
  std::vector<float> q = wave(T * N, 1), k = wave(T * N, 2), v = wave(T * H * P, 3), dt = wave(T * H, 4), a = {-1, -2},
                     d = wave(H * P, 5), y = std::vector<float>(std::size_t(T * H * P)),
                     S = std::vector<float>(std::size_t(H * N * P));

  static std::vector<float> wave(sx::index_t count, int phase) {
    std::vector<float> w;
    for (sx::index_t i = 0; i < count; ++i) w.push_back(float((i * 7 + phase * 3) % 11) / 5.5f - 1);
    return w;
  }
  sx::sequence<decltype(sx::mamba2)> tensors() {
    sx::sequence<decltype(sx::mamba2)> s;
    s.q = {q.data(), {B, T, 1, N}};
    s.k = {k.data(), {B, T, 1, N}};
    s.v = {v.data(), {B, T, H, P}};
    s.dt = {dt.data(), {B, T, H}};
    s.a = {a.data(), {H}};
    s.d = {d.data(), {H, P}};
    s.y = {y.data(), {B, T, H, P}};
    return s;
  }
  bool decode(std::vector<std::byte>& memory) {
    sx::sequence<decltype(sx::mamba2)> x = tensors();
    sx::state<decltype(sx::mamba2)> state;
    state.S = {S.data(), {B, H, N, P}};  // zeros before the first token
    for (sx::index_t t = 0; t < T; ++t) {
      x.q = {q.data() + t * N, {B, 1, 1, N}};
      x.k = {k.data() + t * N, {B, 1, 1, N}};
      x.v = {v.data() + t * H * P, {B, 1, H, P}};
      x.dt = {dt.data() + t * H, {B, 1, H}};
      x.y = {y.data() + t * H * P, {B, 1, H, P}};
      if (!sx::step(sx::mamba2, sx::cpu::serial{memory}, x, state)) return false;
    }
    return true;
  }
};

}  // namespace

TEST_CASE("the decode loop of the quickstart gives what one call gives") {
  mamba2_call whole, stepwise;
  auto s = whole.tensors();
  std::vector<std::byte> memory(sx::workspace_bytes(sx::mamba2, sx::cpu::serial{}, s));
  REQUIRE(sx::forward(sx::mamba2, sx::cpu::serial{memory}, s));
  memory.resize(memory.size() + sx::workspace_bytes(sx::mamba2, sx::form::recurrent{}, sx::cpu::serial{}, s));
  REQUIRE(stepwise.decode(memory));
  for (std::size_t i = 0; i < whole.y.size(); ++i) CHECK(stepwise.y[i] == doctest::Approx(whole.y[i]).epsilon(1e-5));
}

TEST_CASE("the packed sequences of the quickstart start anew at each offset") {
  mamba2_call whole, packed;
  auto s = packed.tensors();
  const sx::index_t offsets[] = {0, 5, 5, 12};  // three sequences of 5, 0 and 7 tokens; token tensors have B = 1
  s.offsets = {offsets, {4}};
  auto one = whole.tensors();
  std::vector<std::byte> memory(sx::workspace_bytes(sx::mamba2, sx::cpu::serial{}, s) +
                                sx::workspace_bytes(sx::mamba2, sx::cpu::serial{}, one));
  REQUIRE(sx::forward(sx::mamba2, sx::cpu::serial{memory}, s));
  REQUIRE(sx::forward(sx::mamba2, sx::cpu::serial{memory}, one));
  CHECK(packed.y[0] == whole.y[0]);
  CHECK(packed.y[std::size_t(5 * 6)] != whole.y[std::size_t(5 * 6)]);
}

TEST_CASE("the designs of the pages are what their names say") {
  CHECK(std::string(sx::name(mixer)).find("forget exponential") != std::string::npos);
  CHECK(std::string(sx::name(with_input_gate)) == "linear_attention with input softplus_channel");
  CHECK(std::string(sx::name(with_forget_gate)).find("forget selective") != std::string::npos);
  CHECK(std::string(sx::name(trapezoid)) == "s4d with forget diagonal_bilinear");
  CHECK(std::string(sx::name(with_shortcut)) == "linear_attention with shortcut learned");
  CHECK(std::string(sx::name(without_norm)) == "linear_attention with norm none");
  CHECK(std::string(sx::name(single_head)) == "linear_attention with heads single");
  CHECK(std::string(sx::name(std::get<1>(sweep))) == "mila with shortcut none");
}
