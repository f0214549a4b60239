// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form: products inside chunks, of any length, under decays of any strength.
#include <algorithm>  // max, min

#include "cpu/one_form.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class Visit> auto only_chunked(const Visit& visit) {
  return [&visit](const char* name, const auto& design) {
    if constexpr (form::runs<form::chunked, decltype(design)>) visit(name, design);
  };
}

constexpr auto plain = linear_attention.with(map::identity{}, norm::none{});
constexpr auto per_head = plain.with(forget::log_decay<per::head>{}, norm::sum{.eps = 1});
constexpr auto per_key = plain.with(forget::log_decay<per::key>{}, norm::sum{.eps = 1});

/// A problem whose raw forget gate, natural logarithms, is gate(token, key).
template <class Precision, class Design, class Gate>
problem<Design, Precision> gated_problem(const Design& design, const shape& s, const Gate& gate) {
  auto p = make_problem<Precision>(design, s, {.initial_state = true, .positive_keys = true});
  auto& raw = p.tokens[4];  // y, q, k, v, forget
  REQUIRE(static_cast<const void*>(raw.data()) == static_cast<const void*>(p.x.forget.data()));
  const index_t row = index_t(raw.size()) / (s.B * s.T);
  for (index_t i = 0; i < index_t(raw.size()); ++i)
    raw[std::size_t(i)] = typename Precision::token(float(gate(i / row % s.T, i % row)));
  return p;
}
template <class Design, class Gate>
void check_gate(const Design& design, const shape& s, const Gate& gate, const char* what, double strength = 0) {
  INFO(std::string(what), " ", strength);
  auto judge = gated_problem<fp64>(design, s, gate);
  reference::recurrent(design, judge.x);
  auto single = gated_problem<fp32>(design, s, gate);
  auto twice = gated_problem<fp64>(design, s, gate);
  REQUIRE(bool(run(single, form::chunked{}, cpu::serial{})));
  REQUIRE(bool(run(twice, form::chunked{}, cpu::serial{})));
  CHECK(compare(single, judge).worst() <= 2e-6);
  CHECK(compare(twice, judge).worst() <= 1e-12);
}
/// The same gates by head and by key; `gate` is handed the key, or the head.
template <class Gate> void check_gates(const Gate& gate, const char* what, double strength = 0) {
  check_gate(per_head, {.T = 100, .Hk = 3, .H = 3, .K = 9, .V = 17}, gate, what, strength);
  check_gate(per_key, {.T = 100, .Hk = 1, .H = 1, .K = 9, .V = 17}, gate, what, strength);
  check_gate(per_key.with(norm::none{}), {.T = 100, .Hk = 1, .H = 1, .K = 16, .V = 8}, gate, what, strength);
  check_gate(per_key.with(norm::sum_undecayed{.eps = 1}), {.T = 49, .K = 9, .V = 5}, gate, what, strength);
  check_gate(per_key.with(position::rotary_1d{}), {.T = 70, .K = 10, .V = 5}, gate, what, strength);
}

}  // namespace

TEST_CASE("chunked equals the recurrence: every granularity and norm, causal and reversed") {
  const auto check = [](const char* name, const auto& design) { check_form(name, design, form::chunked{}); };
  each_granularity(only_chunked(check));
  // The input gate stays out of z, positions out of its keys, whatever the decay.
  check("per head, input gate, sum", plain.with(forget::softplus{}, input::sigmoid{}, norm::sum{.eps = 0.125}));
  check("per head, input gate, sum, turned",
        plain.with(forget::softplus{}, input::sigmoid{}, norm::sum{.eps = 0.125}, position::rotary_1d{}));
  check("abs_max, turned", mlstm.with(position::rotary_1d{}));
  check("abs_max, no gates", plain.with(norm::abs_max{}));
  check("input per channel", plain.with(forget::softplus{}, input::softplus<per::channel>{}));
}
TEST_CASE("chunked equals the recurrence: designs of the literature") {
  const auto check = [](const char* name, const auto& design) { check_form(name, design, form::chunked{}); };
  each_preset(only_chunked(check));
}
TEST_CASE("chunked: chunks of any length, sequences of any length") {
  const auto check = [](const char* name, const auto& design) {
    wishes w = everyday_wishes<std::remove_cvref_t<decltype(design)>>();
    w.initial_state = true;
    for (index_t length : {1, 2, 3, 16, 17, 64, 100})
      for (index_t T : {0, 1, 2, 15, 16, 17, 63, 64, 65, 130}) {
        shape s = everyday_shape<std::remove_cvref_t<decltype(design)>>();
        s.T = T;
        INFO(std::string(name), ", chunks of ", length, ", T ", T);
        CHECK(error_of<fp32>(design, s, w, form::chunked{length}).worst() <= 2e-6);
        CHECK(error_of<fp64>(design, s, w, form::chunked{length}).worst() <= 1e-12);
      }
  };
  check("linear_attention", linear_attention);
  check("mamba2", mamba2);
  check("gla", gla);
  check("mlstm", mlstm);
  check("retnet", retnet.with(position::rotary_1d{}, order::reversed{}));
}
TEST_CASE("chunked: lengths that nobody means") {
  for (index_t length : {index_t(-1), index_t(1000), index_t(1) << 40})
    CHECK(error_of<fp32>(mamba2, {.T = 70, .H = 2, .K = 5, .V = 7}, {}, form::chunked{length}).worst() <= 2e-6);
}
TEST_CASE("chunked: decays of so many nats in a chunk, evenly") {
  for (double nats : {0.0, 1.0, 41.0, 42.0, 99.0, 101.0, 150.0, 170.0, 1000.0, 100000.0})
    check_gates([nats](index_t, index_t) { return -nats / 24; }, "nats per 24 tokens", nats);
}
TEST_CASE("chunked: decays of so many nats at one token") {
  for (double nats : {41.0, 99.0, 150.0, 1000.0})
    for (index_t at : {0, 11, 23})
      check_gates([nats, at](index_t t, index_t) { return t % 24 == at ? -nats : -0.01; }, "nats at one token", nats);
}
TEST_CASE("chunked: keys of very different decays") {
  check_gates([](index_t t, index_t key) { return -std::pow(10.0, double(key % 7) - 4) * (1 + 0.5 * double(t % 3)); },
              "decays by key");
  check_gates([](index_t t, index_t key) { return t % 5 == key % 5 ? -30.0 : -1e-4; }, "decays here and there");
}
TEST_CASE("chunked: gates of exactly 0 and exactly 1") {
  const double infinity = std::numeric_limits<double>::infinity();
  check_gates([](index_t, index_t) { return 0.0; }, "ones");
  check_gates([infinity](index_t, index_t) { return -infinity; }, "zeros");
  check_gates([infinity](index_t t, index_t) { return t % 7 == 3 ? -infinity : 0.0; }, "a zero among ones");
  check_gates([infinity](index_t t, index_t key) { return (t + key) % 30 == 3 ? -infinity : -0.1; },
              "zeros here and there");
}
TEST_CASE("chunked: gates above 1") {
  // Nothing is forgotten here, errors of gates among it: few tokens.
  const auto around = [](index_t t, index_t key) { return (t % 2 == 0 ? 0.05 : -0.05) * double(key + 1); };
  check_gate(per_head, {.T = 20, .Hk = 3, .H = 3, .K = 9, .V = 17}, around, "gates around 1");
  check_gate(per_key, {.T = 20, .K = 9, .V = 17}, around, "gates around 1");
  const auto up_and_down = [](index_t t, index_t) { return t < 24 ? 2.0 : -2.0; };
  check_gate(per_head, {.T = 49, .K = 9, .V = 5}, up_and_down, "up and down again");
  check_gate(per_key.with(norm::none{}), {.T = 49, .K = 9, .V = 5}, up_and_down, "up and down again");
}
TEST_CASE("chunked: many heads of one key head, and many channels of one head") {
  const auto check = [](const auto& design, const shape& s) {
    wishes w = everyday_wishes<std::remove_cvref_t<decltype(design)>>();
    w.initial_state = true;
    CHECK(error_of<fp32>(design, s, w, form::chunked{}, cpu::parallel{.memory = {}, .threads = 2}).worst() <= 2e-6);
    CHECK(error_of<fp64>(design, s, w, form::chunked{}, cpu::parallel{.memory = {}, .threads = 5}).worst() <= 1e-12);
  };
  check(mamba2, {.B = 2, .T = 50, .Hk = 1, .H = 6, .K = 12, .V = 9});
  check(mamba2, {.T = 50, .Hk = 3, .H = 15, .K = 130, .V = 65});
  check(linear_attention.with(heads::single{}), {.T = 30, .K = 8, .V = 1100});
  check(gla.with(heads::grouped{}), {.T = 50, .Hk = 2, .H = 6, .K = 12, .V = 9});
  check(mlstm.with(heads::single{}), {.T = 30, .K = 8, .V = 600});
  check(two_mamba, {.T = 50, .Hk = 2, .H = 2, .K = 24, .V = 9});  // 300 keys in the state
  check(linear_attention, {.B = 3, .T = 30, .Hk = 7, .H = 7, .K = 40, .V = 24});
}
TEST_CASE("chunked: y of whole vectors goes where it belongs from the products, unless a chunk leaves their range") {
  const shape s{.B = 2, .T = 100, .Hk = 2, .H = 2, .K = 20, .V = 32}, wide{.T = 70, .K = 300, .V = 32};
  CHECK(error_of<fp32>(gla, s, {.initial_state = true}, form::chunked{}).worst() <= 2e-6);
  CHECK(error_of<fp64>(gla.with(order::reversed{}), s, {.initial_state = true}, form::chunked{}).worst() <= 1e-12);
  CHECK(error_of<fp32>(gla, wide, {.initial_state = true}, form::chunked{}).worst() <= 2e-6);
  const auto some = [](index_t t, index_t) { return t < 50 ? -5.0 : -0.01; };
  const auto halved = per_key.with(norm::none{}, scale::constant{0.5});
  check_gate(halved, {.T = 100, .K = 9, .V = 32}, some, "by tokens, then products");
}
TEST_CASE("chunked: nothing to do") {
  for (const shape& s : {shape{.B = 0, .T = 40, .K = 5, .V = 7}, shape{.T = 0, .K = 5, .V = 7},
                         shape{.T = 40, .K = 0, .V = 7}, shape{.T = 40, .K = 5, .V = 0}}) {
    INFO("B ", s.B, ", T ", s.T, ", K ", s.K, ", V ", s.V);
    CHECK(error_of<fp32>(plain, s, {.initial_state = true}, form::chunked{}).worst() <= 2e-6);
    CHECK(error_of<fp32>(per_key, s, {.initial_state = true, .positive_keys = true}, form::chunked{}).worst() <= 2e-6);
    CHECK(error_of<fp32>(mlstm, s, {.initial_state = true, .positive_keys = true}, form::chunked{}).worst() <= 2e-6);
  }
}
TEST_CASE("chunked: scores of a map that knows its product are those of its rows") {
  cpu::plan<double> p;
  auto call = make_problem<fp64>(two_mamba, {.T = 70, .Hk = 2, .H = 2, .K = 6, .V = 7}, {.positive_keys = true});
  auto by_rows = make_problem<fp64>(two_mamba, call.size, {.positive_keys = true});
  status found;
  p = cpu::make_plan(call.design, call.x, found);
  REQUIRE(bool(p.map_product));
  REQUIRE(bool(run_plan<form::chunked>(p, 0)));
  p = cpu::make_plan(by_rows.design, by_rows.x, found);
  p.map_product = nullptr;
  REQUIRE(bool(run_plan<form::chunked>(p, 0)));
  CHECK(relative_error(by_rows.y(), call.y()) <= 1e-13);
  CHECK(by_rows.S() == call.S());
}
TEST_CASE("chunked: the final state in the place of the initial one") {
  const auto check = [](const char* name, const auto& design) {
    if constexpr (!std::is_same_v<typename std::remove_cvref_t<decltype(design)>::heads_type, heads::grouped>)
      check_in_place(name, design, form::chunked{});
  };
  each_preset(only_chunked(check));
  check("sum, by key", per_key);
}
TEST_CASE("chunked: workspace") {
  const auto check = [](const char* name, const auto& design) { check_workspace(name, design, form::chunked{}); };
  each_preset(only_chunked(check));
}
TEST_CASE("chunked: the same bits every time") {
  const auto check = [](const char* name, const auto& design) { check_repeats(name, design, form::chunked{}); };
  each_preset(only_chunked(check));
}
TEST_CASE("chunked: every column belongs to one item, and those that share a state's z to the same one") {
  for (index_t B : {1, 3})
    for (index_t Hk : {1, 2, 7})
      for (index_t group : {1, 5})
        for (index_t V : {1, 64, 600, 1500})
          for (int workers : {1, 2, 3, 16})
            for (bool in_place : {false, true}) {
              INFO("B ", B, ", Hk ", Hk, ", H ", Hk * group, ", V ", V, ", workers ", workers, ", in place ", in_place);
              cpu::plan<float> p;
              p.sequences = B, p.key_heads = Hk, p.heads = Hk * group, p.values = V, p.keys = p.width = 64;
              p.tokens = 1000;
              std::byte memory[1];
              if (in_place) p.z_in.data = p.z_out.data = memory;
              const cpu::chunk_division d = cpu::divide_chunks(p, workers);
              CHECK(d.block * d.blocks >= V);
              CHECK(d.block * (d.blocks - 1) < V);
              CHECK(d.columns == group * d.blocks);
              CHECK(d.items(B) == B * d.bundles * d.parts);
              CHECK(d.items(B) >= (in_place ? 1 : std::min(index_t(workers), B * Hk * d.columns)));
              CHECK((d.parts == 1 || d.bundles == Hk));
              CHECK(d.first_key_head(0) == 0);
              CHECK(d.first_key_head(d.bundles) == Hk);
              CHECK(d.first_column(0) == 0);
              CHECK(d.first_column(d.parts) == d.columns);
              index_t most_heads = 0, most_columns = 0;
              for (index_t b = 0; b < d.bundles; ++b)
                most_heads = std::max(most_heads, d.first_key_head(b + 1) - d.first_key_head(b));
              for (index_t part = 0; part < d.parts; ++part) {
                most_columns = std::max(most_columns, d.first_column(part + 1) - d.first_column(part));
                CHECK((!in_place || d.first_column(part) % d.blocks == 0));
              }
              CHECK(d.most_columns() >= most_heads * most_columns);
            }
}
TEST_CASE("chunked is what automatic takes for long sequences") {
  const auto chosen = [](const auto& design, index_t T) {
    const auto p = make_problem<fp32>(design, {.T = T, .K = 8, .V = 8});
    return std::string(chosen_form(p.design, cpu::serial{}, p.x));
  };
  CHECK(chosen(linear_attention, 100) == "chunked");
  CHECK(chosen(mamba2, 100) == "chunked");
  CHECK(chosen(gla.with(order::reversed{}), 100) == "chunked");
  CHECK(chosen(gla, 1) == "recurrent");
  CHECK(chosen(mamba, 100) != "chunked");
}
