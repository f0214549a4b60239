// SPDX-License-Identifier: Apache-2.0
/// @file  The global form by the tensor cores: designs, sizes, pictures, clusters, packed sequences, strides, against float64.
#include <doctest/doctest.h>

#include <sextant/cuda/global_mma.cuh>

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr by_family<gpu::global_mma> family{};
constexpr auto attention = linear_attention.with(order::global{});
constexpr auto plain = attention.with(norm::none{}, map::identity{});

/// The family with a division among blocks and warps that a test chooses.
struct by_division {
  int warp_bits, block_bits;
  template <class D, class P> std::size_t bytes(const D&, const sequence_of<D, P>&) const { return 0; }
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    using traits = gpu::global_mma::traits_of<D, P>;
    status found;
    const auto call = gpu::make_call(design, x, found);
    auto plan = gpu::global_mma::plan_of<traits>(design, call);
    plan.warp_bits = warp_bits, plan.block_bits = block_bits;
    gpu::global_mma::lay_out<traits>(plan, call);
    return gpu::global_mma::run_plan<D, P>(design, call, plan, on);
  }
};

template <class Precision, class Design> void hold(const Design& design, const shape& s, wishes w = {}) {
  w.positive_keys = divides<Design>;
  CHECK(error_on_gpu<Precision>(design, s, w, family).worst() <= tolerance<Precision>);
}
template <class Design> void hold_all(const Design& design, const shape& s, const wishes& w = {}) {
  INFO("T ", s.T, " H ", s.H, " K ", s.K, " V ", s.V, " width ", s.grid_width);
  hold<bf16>(design, s, w), hold<fp16>(design, s, w), hold<fp32>(design, s, w);
}

}  // namespace

TEST_CASE("every part that goes with the order") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 84, .Hk = 2, .H = 2, .K = 16, .V = 40, .grid_width = 12};
  for (const bool initial : {false, true}) {
    const wishes w{.initial_state = initial};
    hold_all(plain, s, w);
    hold_all(attention, s, w);
    hold_all(mila, s, w);
    hold_all(mila.with(shortcut::none{}, input::softplus<per::channel>{}), s, w);
    hold_all(plain.with(heads::grouped{}, input::softplus<per::head>{}),
             {.B = 2, .T = 84, .Hk = 1, .H = 3, .K = 16, .V = 24}, w);
    hold_all(attention.with(heads::single{}, input::sigmoid{}, shortcut::learned{}, map::relu{}),
             {.B = 2, .T = 84, .Hk = 1, .H = 1, .K = 32, .V = 96}, w);
    hold_all(mila.with(output::silu{}, scale::inverse_root{}, norm::sum{}), s, w);
  }
}

TEST_CASE("keys, channels and tokens that fill no tile") {
  if (!has_gpu()) return;
  for (const index_t K : {8, 16, 24, 32})
    for (const index_t V : {8, 32, 48, 96})
      hold_all(attention, {.B = 2, .T = 37, .Hk = 1, .H = 1, .K = K, .V = V}, {.initial_state = true});
  for (const index_t T : {0, 1, 15, 16, 17, 63, 64, 65, 131, 777})
    hold_all(attention, {.B = 1, .T = T, .Hk = 3, .H = 3, .K = 32, .V = 32}, {.initial_state = true});
}

TEST_CASE("pictures of many sizes, heads that rows and columns turn") {
  if (!has_gpu()) return;
  for (const index_t width : {1, 2, 7, 13, 64})
    for (const index_t height : {1, 2, 3, 20}) {
      const shape s{.B = 1, .T = width * height, .Hk = 3, .H = 3, .K = 32, .V = 32, .grid_width = width};
      hold_all(mila, s);
    }
  hold_all(mila, {.B = 3, .T = 49, .Hk = 16, .H = 16, .K = 32, .V = 32, .grid_width = 7});
  hold_all(mila, {.B = 2, .T = 196, .Hk = 8, .H = 8, .K = 32, .V = 32, .grid_width = 14});
  hold_all(mila.with(heads::single{}), {.B = 2, .T = 196, .Hk = 1, .H = 1, .K = 32, .V = 256, .grid_width = 14});
  // So wide that blocks of few warps share them.
  const auto wide = [](index_t width) {
    return shape{.B = 1, .T = width * 10, .Hk = 2, .H = 2, .K = 32, .V = 32, .grid_width = width};
  };
  for (const index_t width : {512, 644}) hold<bf16>(mila, wide(width)), hold<fp16>(mila, wide(width));
  for (const index_t width : {128, 320}) hold<fp32>(mila, wide(width));
}

TEST_CASE("MILA's first stage, one picture and many") {
  if (!has_gpu()) return;
  hold_all(mila, {.B = 1, .T = 3136, .Hk = 2, .H = 2, .K = 32, .V = 32, .grid_width = 56});
  hold_all(mila, {.B = 1, .T = 3136, .Hk = 3, .H = 3, .K = 32, .V = 32, .grid_width = 56});
  // A block to a unit: not all values fit into the convolution's window.
  const shape one{.B = 1, .T = 3136, .Hk = 1, .H = 1, .K = 32, .V = 32, .grid_width = 56};
  const wishes positive{.positive_keys = true};
  for (const int warp_bits : {1, 2, 3}) {
    INFO("2^", warp_bits, " warps");
    CHECK(error_on_gpu<bf16>(mila, one, positive, by_division{warp_bits, 0}).worst() <= tolerance<bf16>);
    CHECK(error_on_gpu<fp32>(mila, one, positive, by_division{warp_bits, 0}).worst() <= tolerance<fp32>);
  }
  hold<bf16>(mila.with(shortcut::none{}), {.B = 64, .T = 784, .Hk = 4, .H = 4, .K = 32, .V = 32, .grid_width = 28});
}

TEST_CASE("tiles of two rows of a picture: all values in the window, and windows that move") {
  if (!has_gpu()) return;
  const auto gated = mila.with(output::silu{});
  int taken = 0, moving = 0;
  for (const index_t width : {1, 2, 3, 12, 13, 17, 28, 56})
    for (const index_t height : {2, 6, 28, 40})
      for (const int warp_bits : {0, 1, 2, 3}) {
        const shape s{.B = 1, .T = width * height, .Hk = 2, .H = 2, .K = 32, .V = 32, .grid_width = width};
        if (s.T > 1600 && warp_bits < 2) continue;
        INFO("width ", width, " height ", height, ", 2^", warp_bits, " warps");
        const wishes positive{.positive_keys = true};
        auto p = make_problem<bf16>(mila, s, positive);
        using traits = gpu::global_mma::traits_of<std::remove_cvref_t<decltype(p.design)>, bf16>;
        status found;
        const auto call = gpu::make_call(p.design, p.x, found);
        auto plan = gpu::global_mma::plan_of<traits>(p.design, call);
        plan.warp_bits = warp_bits, plan.block_bits = 0;
        gpu::global_mma::lay_out<traits>(plan, call);
        taken += plan.two_rows, moving += plan.two_rows && plan.rounds_inverse != 0;
        const by_division how{warp_bits, 0};
        CHECK(error_on_gpu<bf16>(mila, s, positive, how).worst() <= tolerance<bf16>);
        if (warp_bits == 3) {
          CHECK(error_on_gpu<fp16>(mila, s, positive, how).worst() <= tolerance<fp16>);
          CHECK(error_on_gpu<bf16>(gated, s, positive, how).worst() <= tolerance<bf16>);
        }
      }
  CHECK(taken > 40);
  CHECK(moving > 4);
}

TEST_CASE("any division among blocks and warps, with states in the same place") {
  if (!has_gpu()) return;
  const shape s{.B = 3, .T = 391, .Hk = 6, .H = 6, .K = 32, .V = 32, .grid_width = 17};
  for (const int warp_bits : {0, 1, 2, 3})
    for (const int block_bits : {0, 1, 2, 3}) {
      INFO("2^", warp_bits, " warps of a block, 2^", block_bits, " blocks of a cluster");
      if (block_bits > 0 && gpu::device_attribute(cudaDevAttrComputeCapabilityMajor) < 9) continue;
      auto judge = make_problem<fp64, float>(mila, s, {.initial_state = true, .positive_keys = true});
      reference::recurrent(judge.design, judge.x);
      auto p = make_problem<fp32>(mila, s, {.initial_state = true, .positive_keys = true});
      p.states[0] = p.states[3], p.states[1] = p.states[4];
      p.x.initial_state.S = p.x.final_state.S, p.x.initial_state.z = p.x.final_state.z;
      CHECK(bool(run_on_gpu(p, by_division{warp_bits, block_bits})));
      CHECK(compare(p, judge).worst() <= tolerance<fp32>);
    }
}

TEST_CASE("packed sequences, one of them empty, one longer than the others together") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 1700, .Hk = 2, .H = 2, .K = 32, .V = 32};
  hold_all(attention, s, {.initial_state = true, .offsets = {0, 5, 5, 16, 33, 1700}});
  hold_all(mila, {.B = 1, .T = 3 * 35, .Hk = 2, .H = 2, .K = 32, .V = 32, .grid_width = 7}, {.offsets = {0, 105}});
}

TEST_CASE("packed sequences in clusters, some shorter than a tile of each block") {
  if (!has_gpu() || gpu::device_attribute(cudaDevAttrComputeCapabilityMajor) < 9) return;
  const shape s{.B = 1, .T = 1700, .Hk = 2, .H = 2, .K = 32, .V = 32};
  const wishes w{.initial_state = true, .positive_keys = true, .offsets = {0, 5, 5, 133, 150, 1700}};
  for (const int warp_bits : {0, 3})
    for (const int block_bits : {1, 2, 3}) {
      INFO("2^", warp_bits, " warps of a block, 2^", block_bits, " blocks of a cluster");
      CHECK(error_on_gpu<bf16>(attention, s, w, by_division{warp_bits, block_bits}).worst() <= tolerance<bf16>);
      CHECK(error_on_gpu<fp32>(attention, s, w, by_division{warp_bits, block_bits}).worst() <= tolerance<fp32>);
    }
}

TEST_CASE("offsets that are none stay within the tensors") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 100, .Hk = 2, .H = 2, .K = 32, .V = 32};
  const wishes w{.positive_keys = true, .offsets = {0, 40, -7, 90, 1000, 60, index_t(1) << 40, -(index_t(1) << 40)}};
  auto p = make_problem<bf16>(attention, s, w);
  CHECK(stays_within(p, family));
  auto q = make_problem<fp32>(attention.with(shortcut::learned{}), s, w);
  CHECK(stays_within(q, family));
}

TEST_CASE("a NaN of one channel stays in it") {
  if (!has_gpu()) return;
  const auto in_v = [](auto& p, index_t t, index_t channel) -> auto& {
    return p.tokens[3][std::size_t(t * p.size.V + channel)];
  };
  for (const index_t width : {7, 8, 28, 44}) {
    const index_t height = width < 28 ? 21 : 22;  // an even one in two rows at a time
    const shape s{.B = 1, .T = width * height, .Hk = 1, .H = 1, .K = 32, .V = 32, .grid_width = width};
    CHECK(stays_in_its_channel<bf16>(mila, s, family, in_v));
    CHECK(stays_in_its_channel<fp16>(mila, s, family, in_v));
    CHECK(stays_in_its_channel<fp32>(mila, s, family, in_v));
    for (const int warp_bits : {1, 2, 3}) CHECK(stays_in_its_channel<bf16>(mila, s, by_division{warp_bits, 0}, in_v));
    CHECK(stays_in_its_channel<fp16>(mila, s, by_division{2, 0}, in_v));
    CHECK(stays_in_its_channel<bf16>(attention, s, family, in_v));
  }
}

TEST_CASE("a convolution's weights that are no numbers of 16 bits") {
  if (!has_gpu()) return;
  const auto hold_change = [](auto precision, const shape& s, const auto& how) {
    using P = decltype(precision);
    const auto change = [](auto& p) {
      for (auto& numbers : p.parameters)
        for (auto& x : numbers) x = std::remove_reference_t<decltype(x)>(float(x) * 1.0037f);
    };
    auto judge = make_problem<fp64, typename P::token>(mila, s, {.positive_keys = true});
    auto answer = make_problem<P>(mila, s, {.positive_keys = true});
    change(judge), change(answer);
    reference::recurrent(judge.design, judge.x);
    CHECK(bool(run_on_gpu(answer, how)));
    CHECK(compare(answer, judge).worst() <= tolerance<P>);
  };
  for (const index_t width : {7, 14, 28, 56}) {
    const shape s{.B = 1, .T = width * width, .Hk = 2, .H = 2, .K = 32, .V = 32, .grid_width = width};
    for (const int warp_bits : {1, 3}) {
      hold_change(bf16{}, s, by_division{warp_bits, 0}), hold_change(fp16{}, s, by_division{warp_bits, 0});
      hold_change(fp32{}, s, by_division{warp_bits, 0});
    }
  }
}

TEST_CASE("a convolution's weights of every size in half precision") {
  if (!has_gpu()) return;
  const auto design = mila.with(norm::none{}, map::identity{});
  const shape s{.B = 1, .T = 196, .Hk = 2, .H = 2, .K = 32, .V = 32, .grid_width = 14};
  for (const float weights : {1e-6f, 1e6f}) {
    INFO("times ", weights);
    const float values = weights > 1 ? 0x1p-8f : 0x1p12f;
    // The convolution alone: queries and biases are 0.
    const auto change = [&](auto& p) {
      for (auto& q : p.tokens[1]) q = std::remove_reference_t<decltype(q)>(0.0f);
      for (auto& v : p.tokens[3]) v = std::remove_reference_t<decltype(v)>(float(v) * values);
      for (auto& numbers : p.parameters)
        for (auto& x : numbers) x *= numbers.size() == 2 * 32 ? 0 : weights;
    };
    auto judge = make_problem<fp64, float16>(design, s);
    auto answer = make_problem<fp16>(design, s);
    change(judge), change(answer);
    reference::recurrent(judge.design, judge.x);
    CHECK(bool(run_on_gpu(answer, family)));
    CHECK(compare(answer, judge).y <= tolerance<fp16>);
  }
}

TEST_CASE("rows within wider ones") {
  if (!has_gpu()) return;
  for (const index_t height : {3, 4}) {
    const shape s{.B = 2, .T = 20 * height, .Hk = 2, .H = 4, .K = 24, .V = 40, .grid_width = 10};
    const auto design = mila.with(heads::grouped{});
    // every second token of pictures of twice the height, and keys 8 .. 23
    const auto narrow = [height](auto& p) {
      const auto cut = [](auto& x, index_t first) {
        const index_t extents[] = {x.extent(0), x.extent(1) / 2, x.extent(2), x.extent(3) - first};
        const index_t strides[] = {x.stride(0), 2 * x.stride(1), x.stride(2), 1};
        x = {x.data() + first, extents, strides};
      };
      cut(p.x.q, 8), cut(p.x.k, 8), cut(p.x.v, 0), cut(p.x.y, 0);
      for (auto* state : {&p.x.final_state.S}) *state = {state->data(), {2, 4, 16, 40}};
      p.x.final_state.z = {p.x.final_state.z.data(), {2, 4, 16}};
      p.x.grid = {height, 10};
    };
    auto judge = make_problem<fp64, bfloat16>(design, s, {.positive_keys = true});
    auto answer = make_problem<bf16>(design, s, {.positive_keys = true});
    narrow(judge), narrow(answer);
    for (auto* of : {&judge.tokens[0]})
      for (auto& y : *of) y = 0;
    for (auto& y : answer.y()) y = bfloat16(0.0f);
    for (auto& numbers : judge.states)
      for (auto& x : numbers) x = 0;
    for (auto& numbers : answer.states)
      for (auto& x : numbers) x = 0;
    reference::recurrent(judge.design, judge.x);
    // of an even height two rows at a time
    CHECK(bool(height == 3 ? run_on_gpu(answer, family) : run_on_gpu(answer, by_division{1, 0})));
    CHECK(compare(answer, judge).worst() <= tolerance<bf16>);
  }
}

TEST_CASE("rows that are no whole pieces go to the other family") {
  if (!has_gpu()) return;
  auto odd =
      make_problem<bf16>(mila, {.T = 36, .Hk = 2, .H = 2, .K = 8, .V = 7, .grid_width = 6}, {.positive_keys = true});
  device_problem device(odd);
  CHECK(!gpu::global_mma::takes(odd.design, device.x));
  CHECK(std::string(chosen_form(odd.design, gpu::stream{}, device.x)) == "global");

  const auto taken_in_place = [](index_t V) {
    auto p = make_problem<bf16>(linear_attention.with(order::global{}), {.T = 36, .Hk = 2, .H = 2, .K = 16, .V = V},
                                {.initial_state = true, .positive_keys = true});
    device_problem its(p);
    its.x.initial_state.z = its.x.final_state.z;
    return gpu::global_mma::takes(p.design, its.x);
  };
  CHECK(taken_in_place(32));
  CHECK(!taken_in_place(40));  // a head of two units
}

TEST_CASE("numbers of every size in half precision") {
  if (!has_gpu()) return;
  // S is 3136 times 200 x 200, far beyond what a half holds
  const shape s{.B = 1, .T = 3136, .Hk = 1, .H = 1, .K = 32, .V = 32};
  auto judge = make_problem<fp64, float16>(attention, s, {.positive_keys = true});
  auto answer = make_problem<fp16>(attention, s, {.positive_keys = true});
  for (std::size_t i : {2u, 3u}) {
    for (auto& x : judge.tokens[i]) x *= 256;
    for (auto& x : answer.tokens[i]) x = float16(float(x) * 256.0f);
  }
  reference::recurrent(judge.design, judge.x);
  CHECK(bool(run_on_gpu(answer, family)));
  CHECK(compare(answer, judge).worst() <= tolerance<fp16>);
}

TEST_CASE("the same bits every time") {
  if (!has_gpu()) return;
  auto p = make_problem<bf16>(mila, {.B = 2, .T = 784, .Hk = 4, .H = 4, .K = 32, .V = 32, .grid_width = 28},
                              {.positive_keys = true});
  CHECK(gives_the_same_bits(p, family));
  auto q = make_problem<fp32>(mila, {.B = 1, .T = 777, .Hk = 1, .H = 1, .K = 32, .V = 32, .grid_width = 21},
                              {.positive_keys = true});
  // Hk K = 32 is a multiple of 16
  CHECK(gives_the_same_bits(q, family));
  if (gpu::device_attribute(cudaDevAttrComputeCapabilityMajor) < 9) return;
  for (const int block_bits : {1, 3}) {
    CHECK(gives_the_same_bits(p, by_division{2, block_bits}));
    CHECK(gives_the_same_bits(q, by_division{1, block_bits}));
  }
}
