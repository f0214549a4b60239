// SPDX-License-Identifier: Apache-2.0
/// @file  State spaces in chunks on the matrix units: every size that the family takes, against the recurrence in float64.
#include <sextant/cuda/forward.cuh>

#include <doctest/doctest.h>

#include <cstring>  // strcmp

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

using family = gpu::state_space_chunked;
constexpr auto trapezoid = s4d.with(forget::diagonal<discretisation::bilinear>{}, shortcut::none{});
constexpr auto backwards = s4d.with(order::reversed{}, scale::inverse_root{}, heads::grouped{});

/// Calls the family with sequences cut as the test says.
struct in_segments {
  family::cuts cut;
  template <class D, class P> std::size_t bytes(const D&, const sequence_of<D, P>& x) const {
    return family::bytes_of(x, cut);
  }
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    if (!family::takes(design, x)) return {errc::unsupported, "this family does not take the shapes"};
    return family::run_cut(design, x, on, cut);
  }
};
constexpr family::cuts ways[] = {{1, 1}, {2, 1}, {2, 2}, {3, 1}, {5, 3}, {16, 1}, {3, 1, true}, {5, 1, true}};

template <class Precision, class Design, class How = by_family<family>>
void hold(const Design& design, const shape& s, const wishes& w = {}, const How& how = {}) {
  INFO(precision_name<Precision>, ": T ", s.T, ", K ", s.K, ", V ", s.V, ", heads ", s.B * s.H);
  CHECK(error_on_gpu<Precision>(design, s, w, how).worst() <= tolerance<Precision>);
}
/// Makes a problem's pairs those that S4D starts with, steps of 0.001 to 0.1 from channel to channel.
template <class Problem> void initialise(Problem& p) {
  using real = typename Problem::real;
  auto *a = const_cast<real*>(p.x.a.data()), *log_dt = const_cast<real*>(p.x.log_dt.data());
  const index_t channels = p.size.H * p.size.V;
  for (index_t v = 0; v < channels; ++v) {
    log_dt[v] = real(float(std::log(0.001) + double(v) / double(channels - 1) * std::log(100)));
    for (index_t m = 0; m < p.size.K / 2; ++m)
      a[v * p.size.K + 2 * m] = -0.5f, a[v * p.size.K + 2 * m + 1] = real(3.1415927f * float(m));
  }
}

}  // namespace

TEST_CASE("every size: tokens around chunks of 8 and stages of 16, streams around 16, pairs around tiles of 4") {
  if (!has_gpu()) return;
  struct size {
    index_t B, T, K, V;
  };
  constexpr size sizes[] = {{1, 64, 64, 8},  {3, 65, 2, 16},   {15, 71, 18, 24}, {16, 72, 16, 40}, {17, 79, 34, 16},
                            {40, 80, 62, 8}, {2, 129, 64, 48}, {33, 95, 32, 8},  {1, 1000, 8, 72}};
  for (const auto& [B, T, K, V] : sizes)
    for (bool from_state : {false, true}) {
      const wishes w{.initial_state = from_state};
      hold<bf16>(s4d, {.B = B, .T = T, .K = K, .V = V}, w);
      hold<fp16>(s4d, {.B = B, .T = T, .K = K, .V = V}, w);
      hold<bf16>(trapezoid, {.B = B, .T = T, .Hk = 2, .H = 2, .K = K, .V = V}, w);
      hold<bf16>(backwards, {.B = B, .T = T, .Hk = 2, .H = 4, .K = K, .V = V}, w);
    }
  for (index_t T : {64, 77, 100})  // streams that are not there, beside whole ones
    hold<bf16>(s4d, {.B = 17, .T = T, .K = 64, .V = 16}, {.initial_state = true});
  hold<bf16>(s4d, {.B = 5, .T = 100, .Hk = 24, .H = 24, .K = 64, .V = 1}, {.initial_state = true});
}

TEST_CASE("sequences in segments, and these in parts for the pass before") {
  if (!has_gpu()) return;
  for (const family::cuts& cut : ways) {
    INFO("segments ", cut.segments, ", parts ", cut.parts);
    for (double rate : {1.0, 0.01}) {
      const wishes w{.initial_state = true, .rate_size = rate};
      hold<bf16>(s4d, {.B = 3, .T = 1100, .K = 16, .V = 24}, w, in_segments{cut});
      hold<bf16>(backwards, {.B = 2, .T = 1003, .Hk = 2, .H = 2, .K = 64, .V = 8}, w, in_segments{cut});
      hold<fp16>(s4d, {.B = 1, .T = 257, .K = 34, .V = 8}, w, in_segments{cut});
    }
  }
  hold<bf16>(s4d, {.B = 1, .T = 131072, .K = 16, .V = 8});
}

TEST_CASE("up to 16 streams in one launch") {
  if (!has_gpu()) return;
  for (const index_t T : {64, 65, 120, 128, 333, 1003, 2048})
    for (const index_t K : {2, 18, 64}) {
      const wishes w{.initial_state = true, .rate_size = 0.05};
      hold<bf16>(s4d, {.B = 1, .T = T, .K = K, .V = 40}, w, in_segments{{16, 1, true}});
      hold<fp16>(s4d, {.B = 2, .T = T, .K = K, .V = 24}, w, in_segments{{8, 1, true}});
      hold<bf16>(backwards, {.B = 4, .T = T, .Hk = 2, .H = 2, .K = K, .V = 8}, w, in_segments{{4, 1, true}});
      hold<bf16>(s4d, {.B = 1, .T = T, .K = K, .V = 40}, w);
      hold<bf16>(trapezoid, {.B = 7, .T = T, .K = K, .V = 8});
    }
}

TEST_CASE("S4D's own initialisation: memories of thousands of tokens") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 8192, .K = 64, .V = 16};
  const auto check = [&](auto precision) {
    using Precision = decltype(precision);
    auto judge = make_problem<fp64, storage_of<Precision>>(s4d, s, {.initial_state = true});
    initialise(judge);
    reference::recurrent(judge.design, judge.x);
    for (const family::cuts& cut : ways) {
      auto p = make_problem<Precision, storage_of<Precision>>(s4d, s, {.initial_state = true});
      initialise(p);
      REQUIRE(bool(run_on_gpu(p, in_segments{cut})));
      CHECK(compare(p, judge).worst() <= tolerance<Precision>);
    }
  };
  check(bf16{});
  check(fp16{});
}

TEST_CASE("pairs that grow: powers beyond all numbers meet states of zeros") {
  if (!has_gpu()) return;
  const auto grown = [](auto p) {
    using real = typename decltype(p)::real;
    auto *a = const_cast<real*>(p.x.a.data()), *log_dt = const_cast<real*>(p.x.log_dt.data());
    auto* v = const_cast<std::remove_cvref_t<decltype(p.y()[0])>*>(p.x.v.data());
    for (index_t i = 0; i < p.x.a.size(); i += 2) a[i] = 1;
    for (index_t i = 0; i < p.x.log_dt.size(); ++i) log_dt[i] = 0;
    for (index_t i = 0; i < p.x.v.size(); ++i)  // only the last tokens are not 0
      if (i / p.size.V % p.size.T < p.size.T - 2) v[i] = std::remove_cvref_t<decltype(*v)>(0.0f);
    return p;
  };
  const shape s{.B = 1, .T = 800, .K = 16, .V = 8};
  auto judge = grown(make_problem<fp64, bfloat16>(s4d, s));
  reference::recurrent(judge.design, judge.x);
  for (const family::cuts& cut : ways) {
    auto p = grown(make_problem<bf16, bfloat16>(s4d, s));
    REQUIRE(bool(run_on_gpu(p, in_segments{cut})));
    CHECK(compare(p, judge).worst() <= 5e-3);
  }
  auto single = grown(make_problem<fp32, bfloat16>(s4d, s));
  REQUIRE(bool(run_on_gpu(single, by_family<gpu::state_space>{})));
  CHECK(compare(single, judge).worst() <= 2e-6);
}

TEST_CASE("the final state in the place of the initial one") {
  if (!has_gpu()) return;
  for (const family::cuts& cut : ways) {
    const shape s{.B = 2, .T = 700, .K = 8, .V = 16};
    auto judge = make_problem<fp64, bfloat16>(s4d, s, {.initial_state = true});
    reference::recurrent(judge.design, judge.x);
    auto p = make_problem<bf16, bfloat16>(s4d, s, {.initial_state = true});
    p.x.final_state.S = {const_cast<float*>(p.x.initial_state.S.data()), {s.B, s.H, s.K, s.V}};
    REQUIRE(bool(run_on_gpu(p, in_segments{cut})));
    p.S() = p.states[3];
    CHECK(compare(p, judge).worst() <= 5e-3);
  }
}

TEST_CASE("packed sequences, empty ones among them, and offsets that are none") {
  if (!has_gpu()) return;
  const wishes w{.initial_state = true, .offsets = {0, 0, 1, 17, 17, 90, 154, 155, 400}};
  hold<bf16>(s4d, {.B = 1, .T = 400, .K = 16, .V = 40}, w);
  hold<bf16>(backwards, {.B = 1, .T = 400, .Hk = 2, .H = 2, .K = 64, .V = 20}, w);
  auto p = make_problem<bf16>(s4d, {.B = 1, .T = 80, .K = 8, .V = 8}, {.offsets = {-7, 5, 3, 1000000, 20}});
  CHECK(bool(run_on_gpu(p, by_family<family>{})));  // useless numbers, and nothing else touched
}

TEST_CASE("rows with gaps between them") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 100, .K = 16, .V = 72};
  const index_t V = 40;
  const auto narrow = [&](auto& p) {  // the other numbers stay what they are, in the judge and in the answer
    const auto part = [](auto& x, index_t first, index_t count) {
      const index_t extents[] = {x.extent(0), x.extent(1), x.extent(2), count};
      const index_t strides[] = {x.stride(0), x.stride(1), x.stride(2), 1};
      x = {x.data() + first, extents, strides};
    };
    part(p.x.v, 8, V), part(p.x.y, 16, V);
    for (auto* x : {&p.x.a, &p.x.b, &p.x.c}) *x = {x->data(), {1, V, s.K}};
    p.x.d = {p.x.d.data(), {1, V}}, p.x.log_dt = {p.x.log_dt.data(), {1, V}};
    p.x.final_state.S = {p.S().data(), {s.B, 1, s.K, V}};
    std::fill(p.S().begin(), p.S().end(), 0);
    for (auto& e : p.y()) e = std::remove_cvref_t<decltype(e)>(0.0f);
  };
  auto judge = make_problem<fp64, bfloat16>(s4d, s);
  narrow(judge);
  reference::recurrent(judge.design, judge.x);
  auto p = make_problem<bf16, bfloat16>(s4d, s);
  narrow(p);
  REQUIRE(bool(run_on_gpu(p, by_family<family>{})));
  CHECK(compare(p, judge).worst() <= 5e-3);
}

TEST_CASE("a NaN in v stays with its channel, and does not reach the chunks before it") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 90, .K = 64, .V = 40};
  auto p = make_problem<bf16>(s4d, s);
  const index_t at = 37, channel = 19;
  const_cast<bfloat16&>(p.x.v(0, at, 0, channel)) = bfloat16(std::numeric_limits<float>::quiet_NaN());
  REQUIRE(bool(run_on_gpu(p, by_family<family>{})));
  int wrong = 0;
  for (index_t b = 0; b < s.B; ++b)
    for (index_t t = 0; t < s.T; ++t)
      for (index_t v = 0; v < s.V; ++v) {
        const float y = float(p.y()[std::size_t((b * s.T + t) * s.V + v)]);
        if (b == 0 && v == channel && t >= at / 8 * 8 && t < at) continue;  // of its chunk
        wrong += (y != y) != (b == 0 && v == channel && t >= at);
      }
  CHECK(wrong == 0);
}

TEST_CASE("20 runs give the same bits, whole and in segments") {
  if (!has_gpu()) return;
  auto p = make_problem<bf16>(s4d, {.B = 3, .T = 1003, .K = 64, .V = 264}, {.initial_state = true});
  CHECK(gives_the_same_bits(p, by_family<family>{}));
  CHECK(gives_the_same_bits(p, in_segments{{3, 2}}));
  CHECK(gives_the_same_bits(p, in_segments{{5, 1, true}}));
}

TEST_CASE("what the family leaves to the recurrence") {
  const auto leaves = [](auto precision, const shape& s) {
    auto p = make_problem<decltype(precision)>(s4d, s);
    return !family::takes(p.design, p.x);
  };
  CHECK(leaves(bf16{}, {.T = 63, .K = 64, .V = 8}));
  CHECK(leaves(bf16{}, {.T = 64, .K = 66, .V = 8}));
  CHECK(leaves(bf16{}, {.T = 64, .K = 64, .V = 12}));
  using plain = std::remove_cvref_t<decltype(s4d)>;
  using gated = std::remove_cvref_t<decltype(s4d.with(output::silu{}))>;
  static_assert(family::runs<plain, bf16> && family::runs<plain, fp16>);
  static_assert(!family::runs<plain, fp32> && !family::runs<gated, bf16>);
  if (!has_gpu()) return;
  auto p = make_problem<bf16>(s4d, {.T = 64, .K = 64, .V = 8});
  CHECK(family::takes(p.design, p.x));
  CHECK(std::strcmp(chosen_form(p.design, gpu::stream{}, p.x), "chunked") == 0);
}
