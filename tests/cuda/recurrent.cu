// SPDX-License-Identifier: Apache-2.0
/// @file  The GPU's plain recurrence, which must take every design, shape and precision.
#include <doctest/doctest.h>

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr by_family<gpu::recurrent> plainly{};

/// The bound of the generic form: fp32 sums over keys in another order and gates by the device's exp.
template <class Precision> constexpr double bound = tolerance<Precision>;
template <> constexpr double bound<fp32> = 5e-5;

template <class Precision> struct holds {
  shape change{};  // T, K or V where not 0
  wishes extra{};

  template <class Design> void operator()(const char* name, const Design& design) const {
    shape s = everyday_shape<Design>();
    wishes w = everyday_wishes<Design>();
    w.initial_state = extra.initial_state;
    w.offsets = extra.offsets;
    if (change.B == 0) s.B = 1;
    if (change.T != 1) s.T = change.T;
    if (requires(sequence<Design> x) { x.grid; } && !w.offsets.empty()) return;  // pictures of one size are below
    const errors e = error_on_gpu<Precision>(design, s, w, plainly);
    INFO(std::string(name), " in ", std::string(precision_name<Precision>), ", T = ", s.T);
    CHECK(e.y <= bound<Precision>);
    CHECK(e.S <= bound<Precision>);
    CHECK(e.z <= bound<Precision>);
    CHECK(e.m <= bound<Precision>);
  }
};

}  // namespace

TEST_CASE("designs of the literature in every precision") {
  if (!has_gpu()) return;
  each_preset(holds<fp32>{});
  each_preset(holds<fp64>{});
  each_preset(holds<bf16>{});
  each_preset(holds<fp16>{});
}

TEST_CASE("designs of the ablation and of parts that a user invented") {
  if (!has_gpu()) return;
  each_ablation_row(holds<fp32>{});
  each_invented(holds<fp32>{});
}

TEST_CASE("a state before the first token; no tokens at all") {
  if (!has_gpu()) return;
  each_preset(holds<fp32>{.extra = {.initial_state = true}});
  each_preset(holds<fp32>{.change = {.T = 0}, .extra = {.initial_state = true}});
}

TEST_CASE("packed sequences, one of them empty") {
  if (!has_gpu()) return;
  each_preset(holds<fp32>{.change = {.B = 0}, .extra = {.initial_state = true, .offsets = {0, 5, 5, 16, 36}}});
}

TEST_CASE("heads of no channels, of no keys; no heads") {
  if (!has_gpu()) return;
  for (const shape s : {shape{.B = 2, .T = 5, .Hk = 2, .H = 2, .K = 3, .V = 0}, shape{.B = 2, .T = 5, .Hk = 2, .H = 2, .K = 0, .V = 3},
                        shape{.B = 2, .T = 5, .Hk = 0, .H = 0, .K = 3, .V = 3}, shape{.B = 0, .T = 5, .K = 3, .V = 3}}) {
    CHECK(error_on_gpu(retnet, s, {}, plainly).worst() <= 5e-5);
    CHECK(error_on_gpu(gla.with(norm::sum{.eps = 1}), s, {.positive_keys = true}, plainly).worst() <= 5e-5);
    CHECK(error_on_gpu(mlstm, s, {}, plainly).worst() <= 5e-5);
  }
}

TEST_CASE("more channels than a block holds, and more keys than shared memory holds") {
  if (!has_gpu()) return;
  CHECK(error_on_gpu(mamba, {.B = 1, .T = 33, .K = 16, .V = 131}, {}, plainly).worst() <= 5e-5);
  CHECK(error_on_gpu(linear_attention, {.B = 1, .T = 9, .K = 1024, .V = 67}, {.positive_keys = true}, plainly).worst() <= 5e-5);
  const wishes with_state{.initial_state = true, .positive_keys = true};
  CHECK(error_on_gpu(two_mamba, {.B = 1, .T = 9, .K = 340, .V = 2}, with_state, plainly).worst() <= 5e-5);
}

TEST_CASE("the final state in the place of the initial one") {
  if (!has_gpu()) return;
  const auto in_place = [](const auto& design) {
    const shape s{.B = 2, .T = 19, .Hk = 2, .H = 2, .K = 5, .V = 70};
    const wishes w{.initial_state = true, .positive_keys = true};
    auto judge = make_problem<fp64, float>(design, s, w);
    reference::recurrent(judge.design, judge.x);
    auto answer = make_problem<fp32>(design, s, w);
    answer.x.final_state.S = {const_cast<float*>(answer.x.initial_state.S.data()), {2, 2, 5, 70}};
    answer.x.final_state.z = {const_cast<float*>(answer.x.initial_state.z.data()), {2, 2, 5}};
    if constexpr (requires { answer.x.final_state.m; })
      answer.x.final_state.m = {const_cast<float*>(answer.x.initial_state.m.data()), {2, 2}};
    CHECK(bool(run_on_gpu(answer, plainly)));
    CHECK(relative_error(answer.y(), judge.y()) <= 5e-5);
    for (int i = 0; i < 2; ++i) CHECK(relative_error(answer.states[std::size_t(3 + i)], judge.states[std::size_t(i)]) <= 5e-5);
  };
  in_place(linear_attention);
  in_place(mlstm);
}

TEST_CASE("offsets that are no offsets touch nothing outside") {
  if (!has_gpu()) return;
  auto p = make_problem<fp32>(retnet, {.B = 1, .T = 8, .Hk = 1, .H = 1, .K = 3, .V = 3}, {.offsets = {-7, 99, 3, 1000000}});
  CHECK(bool(run_on_gpu(p, plainly)));  // under compute-sanitizer this is the test
}

TEST_CASE("the same bits every time") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 77, .Hk = 2, .H = 2, .K = 19, .V = 41};
  auto first = make_problem<bf16>(gla, s);
  CHECK(bool(run_on_gpu(first, plainly)));
  for (int i = 0; i < 20; ++i) {
    auto again = make_problem<bf16>(gla, s);
    CHECK(bool(run_on_gpu(again, plainly)));
    for (std::size_t j = 0; j < first.y().size(); ++j) CHECK(first.y()[j].bits == again.y()[j].bits);
    CHECK(first.S() == again.S());
  }
}
