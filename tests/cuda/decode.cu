// SPDX-License-Identifier: Apache-2.0
/// @file  Decode on the GPU: every tile, precision and kind of part against the reference, in place and not.
#include <sextant/cuda/decode.cuh>

#include <doctest/doctest.h>

#include <cstring>  // memcmp

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

using bf16_state = precision<bfloat16, bfloat16, float>;
using fp16_state = precision<float16, float16, float>;
template <class Precision> inline constexpr double bound = tolerance<Precision>;
template <> inline constexpr double bound<bf16_state> = tolerance<bf16>;
template <> inline constexpr double bound<fp16_state> = tolerance<fp16>;

/// A size for each way to cut heads into blocks, none of which its tiles divide. 200 heads of two blocks are many on a
/// GPU of up to 133 multiprocessors.
struct cut {
  const char* name;
  shape size;
};
template <class Design> std::vector<cut> cuts() {
  const bool expands = sextant::detail::expanding_map<typename Design::map_type>;
  const auto of = [&](index_t B, index_t keys, index_t expanding_keys, index_t V) {
    return heads_for<Design>({.B = B, .K = expands ? expanding_keys : keys, .V = V});
  };
  shape many = of(1, 150, 10, 72);
  many.B = 200 / many.H;
  return {{"few keys", of(1, 10, 4, 136)},
          {"few keys, many channels", of(3, 18, 5, 520)},
          {"many keys, few heads", of(2, 50, 12, 40)},
          {"many keys, few heads of many channels", of(1, 150, 20, 264)},
          {"many keys, many heads", many}};
}

/// Puts the final state where the initial one is.
template <class Design, class Precision> void in_place(problem<Design, Precision>& p) {
  using state = typename Precision::state;
  const auto join = [](auto& final, const auto& initial) {
    using view_type = std::remove_cvref_t<decltype(final)>;
    index_t extents[view_type::rank], strides[view_type::rank];
    for (int r = 0; r < view_type::rank; ++r) extents[r] = initial.extent(r), strides[r] = initial.stride(r);
    final = view_type(const_cast<state*>(initial.data()), extents, strides);
  };
  join(p.x.final_state.S, p.x.initial_state.S);
  if constexpr (requires { p.x.final_state.z; }) join(p.x.final_state.z, p.x.initial_state.z);
  if constexpr (requires { p.x.final_state.m; }) join(p.x.final_state.m, p.x.initial_state.m);
}

/// The error of one token where the final state replaces the initial one.
template <class Precision, class Design> double error_in_place(const Design& design, const shape& s, const wishes& w) {
  using through = storage_of<Precision>;
  auto judge = make_problem<fp64, through>(design, s, w);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, through>(design, s, w);
  in_place(answer);
  CHECK(bool(run_on_gpu(answer, by_family<gpu::decode>{})));
  errors e{.y = relative_error(answer.y(), judge.y()), .S = relative_error(answer.states[3], judge.S())};
  if constexpr (requires { answer.x.final_state.z; }) e.z = relative_error(answer.states[4], judge.z());
  if constexpr (requires { answer.x.final_state.m; }) e.m = relative_error(answer.states[5], judge.m());
  return e.worst();
}

template <class Precision> struct holds {
  template <class Design> void operator()(const char* name, const Design& design) const {
    if constexpr (gpu::decode::runs<Design, Precision>) {
      wishes w = everyday_wishes<Design>();
      for (const cut& c : cuts<Design>()) {
        INFO(std::string(name), ", ", std::string(c.name));
        w.initial_state = true;
        CHECK(error_on_gpu<Precision>(design, c.size, w, by_family<gpu::decode>{}).worst() <= bound<Precision>);
        CHECK(error_in_place<Precision>(design, c.size, w) <= bound<Precision>);
        w.initial_state = false;
        if (c.size.B < 3)
          CHECK(error_on_gpu<Precision>(design, c.size, w, by_family<gpu::decode>{}).worst() <= bound<Precision>);
      }
    }
  }
};

inline constexpr auto turned = retnet.with(position::rotary_1d{}, output::silu{}, order::reversed{});

}  // namespace

TEST_CASE("one token of the designs of the literature, however a head is cut") {
  if (!has_gpu()) return;
  each_preset(holds<fp32>{});
  holds<fp32>{}("turned retention", turned);
}

TEST_CASE("tokens and states of 16 bits") {
  if (!has_gpu()) return;
  holds<bf16>{}("mamba2", mamba2);
  holds<bf16>{}("mamba", mamba);
  holds<fp16>{}("mlstm", mlstm);
  holds<bf16_state>{}("mamba2", mamba2);
  holds<bf16_state>{}("mlstm", mlstm);
  holds<fp16_state>{}("gla", gla);
}

TEST_CASE("parts that a user invented") {
  if (!has_gpu()) return;
  using namespace invented;
  constexpr auto base = linear_attention.with(norm::none{}, map::identity{});
  const holds<fp32> hold;
  hold("leaky input, branching gate", base.with(leaky_input{}, branching{}));
  hold("gaussian gate per key", base.with(gaussian{.sharpness = 1.5f}, map::relu{}, norm::sum{.eps = 1e-3}));
  hold("step per head, rate per key", base.with(input::softplus<per::head>{}, stepped_keys{}, heads::grouped{}));
  hold("tensor per key, rate per channel", base.with(crossed{}, norm::sum_undecayed{}));
  hold("cutting gate per channel", base.with(cutting{}));
  hold("dense gate", base.with(dense{}, leaky_input{}, order::reversed{}));
  hold("taylor map", linear_attention.with(taylor_map{}, forget::log_decay<per::key>{}, norm::none{}));
}

TEST_CASE("one token and no state asked for") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .Hk = 2, .H = 2, .K = 50, .V = 40};
  const wishes w{.initial_state = true, .positive_keys = true};
  auto judge = make_problem<fp64, float>(mlstm, s, w);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<fp32>(mlstm, s, w);
  answer.x.final_state = {};
  CHECK(bool(run_on_gpu(answer, by_family<gpu::decode>{})));
  CHECK(relative_error(answer.y(), judge.y()) <= tolerance<fp32>);
}

TEST_CASE("tokens one by one equal the whole") {
  if (!has_gpu()) return;
  const auto continued = [](const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    const shape s = heads_for<Design>({.B = 2, .T = 40, .K = 34, .V = 24});
    wishes w = everyday_wishes<Design>();
    w.initial_state = true;
    auto judge = make_problem<fp64, float>(design, s, w);
    reference::recurrent(judge.design, judge.x);
    auto answer = make_problem<fp32>(design, s, w);
    in_place(answer);
    device_problem<Design, fp32> device(answer);
    const bool backwards = std::is_same_v<typename Design::order_type, order::reversed>;
    for (index_t t = 0; t < s.T; ++t) {
      auto x = device.x;
      const index_t place = backwards ? s.T - 1 - t : t;
      const auto at = [&](auto& v) {
        using view_type = std::remove_cvref_t<decltype(v)>;
        index_t extents[view_type::rank], strides[view_type::rank];
        for (int r = 0; r < view_type::rank; ++r) extents[r] = r == 1 ? 1 : v.extent(r), strides[r] = v.stride(r);
        v = view_type(v.data() + place * v.stride(1), extents, strides);
      };
      at(x.q), at(x.k), at(x.v), at(x.y);
      if constexpr (requires { x.dt; }) at(x.dt);
      if constexpr (requires { x.input; }) at(x.input);
      if constexpr (requires { x.forget; }) at(x.forget);
      if constexpr (requires { x.gate; }) at(x.gate);
      if constexpr (requires { x.first_position; }) x.first_position = place;
      REQUIRE(gpu::decode::takes(design, x));
      CHECK(bool(gpu::decode::run(design, x, gpu::stream{})));
    }
    device.give();
    CHECK(relative_error(answer.y(), judge.y()) <= tolerance<fp32>);
    CHECK(relative_error(answer.states[3], judge.S()) <= tolerance<fp32>);
  };
  continued(linear_attention);
  continued(mamba);
  continued(mamba2);
  continued(gla);
  continued(mlstm);
  continued(turned);
}

TEST_CASE("the same bits every time") {
  if (!has_gpu()) return;
  const auto repeats = [](const auto& design, const shape& s) {
    const wishes w{.initial_state = true, .positive_keys = true};
    auto first = make_problem<fp32>(design, s, w);
    CHECK(bool(run_on_gpu(first, by_family<gpu::decode>{})));
    for (int i = 1; i < 20; ++i) {
      auto again = make_problem<fp32>(design, s, w);
      in_place(again);
      CHECK(bool(run_on_gpu(again, by_family<gpu::decode>{})));
      CHECK(std::memcmp(first.y().data(), again.y().data(), first.y().size() * sizeof(float)) == 0);
      CHECK(std::memcmp(first.S().data(), again.states[3].data(), first.S().size() * sizeof(float)) == 0);
    }
  };
  repeats(mlstm, {.B = 4, .Hk = 4, .H = 4, .K = 128, .V = 128});
  repeats(mamba2, {.B = 128, .Hk = 1, .H = 4, .K = 128, .V = 64});
}

TEST_CASE("what decode leaves to others") {
  const auto takes = [](const shape& s, auto change) {
    auto p = make_problem<fp32>(mamba2, s, {.initial_state = true});
    change(p.x);
    return gpu::decode::takes(p.design, p.x);
  };
  const auto nothing = [](auto&) {};
  const shape s{.B = 2, .Hk = 2, .H = 4, .K = 5, .V = 8};
  CHECK(takes(s, nothing));
  CHECK(takes({.B = 2, .Hk = 2, .H = 4, .K = 1, .V = 4}, nothing));
  CHECK_FALSE(takes({.B = 2, .T = 2, .Hk = 2, .H = 4, .K = 5, .V = 8}, nothing));
  CHECK_FALSE(takes({.B = 2, .Hk = 2, .H = 4, .K = 5, .V = 7}, nothing));
  CHECK_FALSE(takes({.B = 0, .Hk = 2, .H = 4, .K = 5, .V = 8}, nothing));
  CHECK_FALSE(takes({.B = 2, .Hk = 2, .H = 4, .K = 5, .V = 0}, nothing));
  CHECK_FALSE(takes({.B = 1, .Hk = 1, .H = 1, .K = 9000, .V = 4}, nothing));
  CHECK_FALSE(takes(s, [](auto& x) { x.final_state.S = {x.final_state.S.data() + 1, {2, 4, 5, 4}}; }));
  CHECK_FALSE(takes(s, [](auto& x) { x.final_state.S = {x.final_state.S.data(), {2, 4, 5, 8}, {160, 40, 1, 5}}; }));
  static_assert(gpu::decode::runs<decltype(turned), fp32> && !gpu::decode::runs<decltype(mila), fp32> &&
                !gpu::decode::runs<decltype(mamba2), fp64>);
}
