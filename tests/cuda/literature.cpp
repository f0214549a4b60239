// SPDX-License-Identifier: Apache-2.0
/// @file  The designs of the literature by the GPU's generic forms, the recurrence and the scan: precisions, states, packed
/// sequences, shapes of nothing, sizes beyond a block, the same bits every time.
#include <doctest/doctest.h>

#include "cuda/generic.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

/// The worst error of the forms that run the design.
template <class Precision, class Design> double error_of_both(const Design& design, const shape& s, const wishes& w) {
  using through = storage_of<Precision>;
  auto judge = make_problem<fp64, through>(design, s, w);
  reference::recurrent(judge.design, judge.x);
  double worst = 0;
  for (const bool by_scan : {false, true}) {
    if (by_scan && !form::runs<form::scan, Design>) continue;
    auto answer = make_problem<Precision, through>(design, s, w);
    const status done = answer_generic(answer, by_scan);
    CHECK_MESSAGE(bool(done), done.what);
    const double e = compare(answer, judge).worst();
    if (!(e <= worst)) worst = e;
  }
  return worst;
}

/// Everyday shapes of T tokens; 150 are a whole tile of the scan and a rest.
template <class Precision> struct holds {
  index_t T = 36;
  bool initial_state = false;
  std::vector<index_t> offsets{};

  template <class Design> void operator()(const char* name, const Design& design) const {
    shape s = everyday_shape<Design>();
    wishes w = everyday_wishes<Design>();
    s.T = T;
    w.initial_state = initial_state;
    w.offsets = offsets;
    if (!offsets.empty()) s.B = 1;
    if (requires(sequence<Design> x) { x.grid; } && !offsets.empty()) return;  // a picture has its own test below
    INFO(std::string(name), " in ", std::string(precision_name<Precision>), ", T = ", T);
    CHECK(error_of_both<Precision>(design, s, w) <= generic_tolerance<Precision>);
  }
};

}  // namespace

TEST_CASE("every precision") {
  if (!has_gpu()) return;
  each_preset(holds<fp32>{.T = 150});
  each_preset(holds<fp64>{.T = 150});
  each_preset(holds<bf16>{});
  each_preset(holds<fp16>{});
}

TEST_CASE("rows of the ablation") {
  if (has_gpu()) each_ablation_row(holds<fp32>{});
}

TEST_CASE("a state before the first token; no tokens at all") {
  if (!has_gpu()) return;
  each_preset(holds<fp32>{.T = 150, .initial_state = true});
  each_preset(holds<fp32>{.T = 0, .initial_state = true});
}

TEST_CASE("packed sequences, one of them empty") {
  if (has_gpu()) each_preset(holds<fp32>{.T = 150, .initial_state = true, .offsets = {0, 5, 5, 16, 150}});
}

TEST_CASE("packed pictures") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 36, .Hk = 2, .H = 2, .K = 8, .V = 7, .grid_width = 3};
  auto judge = make_problem<fp64, float>(mila, s, {.positive_keys = true, .offsets = {0, 12, 24, 36}});
  judge.x.grid = {4, 3};
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<fp32>(mila, s, {.positive_keys = true, .offsets = {0, 12, 24, 36}});
  answer.x.grid = {4, 3};
  CHECK(bool(answer_generic(answer, false)));
  CHECK(compare(answer, judge).worst() <= generic_tolerance<fp32>);
}

TEST_CASE("heads of no channels, of no keys; no heads") {
  if (!has_gpu()) return;
  for (const shape& s : {shape{.B = 2, .T = 5, .Hk = 2, .H = 2, .K = 3, .V = 0},
                         shape{.B = 2, .T = 5, .Hk = 2, .H = 2, .K = 0, .V = 3},
                         shape{.B = 2, .T = 5, .Hk = 0, .H = 0, .K = 3, .V = 3}, shape{.B = 0, .T = 5, .K = 3, .V = 3}}) {
    CHECK(error_of_both<fp32>(retnet, s, {}) <= generic_tolerance<fp32>);
    CHECK(error_of_both<fp32>(gla.with(norm::sum{.eps = 1}), s, {.positive_keys = true}) <= generic_tolerance<fp32>);
    CHECK(error_of_both<fp32>(mlstm, s, {}) <= generic_tolerance<fp32>);
  }
}

TEST_CASE("more channels than a block holds, and more keys than shared memory holds") {
  if (!has_gpu()) return;
  const wishes w{.initial_state = true, .positive_keys = true};
  CHECK(error_of_both<fp32>(mamba, {.B = 1, .T = 33, .K = 16, .V = 131}, w) <= generic_tolerance<fp32>);
  CHECK(error_of_both<fp32>(linear_attention, {.B = 1, .T = 9, .K = 1024, .V = 67}, w) <= generic_tolerance<fp32>);
  CHECK(error_of_both<fp32>(two_mamba, {.B = 1, .T = 9, .K = 340, .V = 2}, w) <= generic_tolerance<fp32>);
  // Shared memory to the last bytes, with what the scan needs besides.
  for (const index_t K : {214, 215, 216, 217, 218, 219, 220}) {
    CHECK(error_of_both<fp32>(retnet, {.B = 1, .T = 9, .K = K, .V = 8}, w) <= generic_tolerance<fp32>);
    CHECK(error_of_both<fp64>(retnet, {.B = 1, .T = 9, .K = K / 2, .V = 8}, w) <= generic_tolerance<fp64>);
  }
}

TEST_CASE("the final state in the place of the initial one") {
  if (!has_gpu()) return;
  const auto in_place = [](const auto& design, bool by_scan) {
    const shape s{.B = 2, .T = 19, .Hk = 2, .H = 2, .K = 5, .V = 70};
    const wishes w{.initial_state = true, .positive_keys = true};
    auto judge = make_problem<fp64, float>(design, s, w);
    reference::recurrent(judge.design, judge.x);
    auto answer = make_problem<fp32>(design, s, w);
    answer.x.final_state.S = {const_cast<float*>(answer.x.initial_state.S.data()), {2, 2, 5, 70}};
    answer.x.final_state.z = {const_cast<float*>(answer.x.initial_state.z.data()), {2, 2, 5}};
    if constexpr (requires { answer.x.final_state.m; })
      answer.x.final_state.m = {const_cast<float*>(answer.x.initial_state.m.data()), {2, 2}};
    CHECK(bool(answer_generic(answer, by_scan)));
    CHECK(relative_error(answer.y(), judge.y()) <= generic_tolerance<fp32>);
    CHECK(relative_error(answer.states[3], judge.S()) <= generic_tolerance<fp32>);
    CHECK(relative_error(answer.states[4], judge.z()) <= generic_tolerance<fp32>);
  };
  in_place(linear_attention, false);
  in_place(linear_attention, true);
  in_place(mlstm, false);
}

TEST_CASE("offsets that are no offsets touch nothing outside") {
  if (!has_gpu()) return;
  for (const bool by_scan : {false, true}) {
    auto p = make_problem<fp32>(retnet, {.B = 1, .T = 8, .Hk = 1, .H = 1, .K = 3, .V = 3}, {.offsets = {-7, 99, 3, 1000000}});
    CHECK(bool(answer_generic(p, by_scan)));  // under compute-sanitizer this is the test
  }
}

TEST_CASE("the same bits every time") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 77, .Hk = 2, .H = 2, .K = 19, .V = 41};
  for (const bool by_scan : {false, true}) {
    auto first = make_problem<bf16>(gla, s);
    CHECK(bool(answer_generic(first, by_scan)));
    for (int i = 0; i < 20; ++i) {
      auto again = make_problem<bf16>(gla, s);
      CHECK(bool(answer_generic(again, by_scan)));
      bool same = first.S() == again.S();
      for (std::size_t j = 0; j < first.y().size(); ++j) same &= first.y()[j].bits == again.y()[j].bits;
      CHECK(same);
    }
  }
}
