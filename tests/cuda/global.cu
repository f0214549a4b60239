// SPDX-License-Identifier: Apache-2.0
/// @file  The global form on a GPU: what designs may have, tiles of keys and channels, parts of tokens, packed sequences.
#include <doctest/doctest.h>

#include <sextant/cuda/global_sums.cuh>

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr by_family<gpu::global_sums> family{};
constexpr auto plain = linear_attention.with(order::global{}, norm::none{}, map::identity{});

}  // namespace

TEST_CASE("every part that goes with the order") {
  if (!has_gpu()) return;
  const auto hold = [](const char* what, const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    INFO(std::string(what));
    shape s = everyday_shape<Design>();
    wishes w = everyday_wishes<Design>();
    for (const bool initial : {false, true}) {
      w.initial_state = initial;
      CHECK(error_on_gpu<fp32>(design, s, w, family).worst() <= tolerance<fp32>);
    }
  };
  hold("plain", plain);
  hold("normalised", linear_attention.with(order::global{}));
  hold("mila", mila);
  hold("mila, without its position", mila.with(position::none{}));
  hold("rotary in one dimension", plain.with(position::rotary_1d{}));
  hold("shared heads", plain.with(heads::grouped{}, input::softplus<per::head>{}));
  hold("single head, input gate per channel, shortcut, relu",
       plain.with(heads::single{}, input::softplus<per::channel>{}, shortcut::learned{}, map::relu{}));
  hold("input gate of its own, output gate, scale", plain.with(input::sigmoid{}, output::silu{}, scale::inverse_root{}));
}

TEST_CASE("tiles of keys and channels, and what is left of them") {
  if (!has_gpu()) return;
  for (const index_t K : {1, 3, 32, 63, 64, 65, 130})
    for (const index_t V : {1, 5, 31, 64, 97, 200}) {
      INFO("K = ", K, ", V = ", V);
      const shape s{.B = 2, .T = 37, .Hk = 1, .H = 1, .K = K, .V = V};
      CHECK(error_on_gpu<fp32>(linear_attention.with(order::global{}), s, {.positive_keys = true}, family).worst() <= tolerance<fp32>);
    }
}

TEST_CASE("parts of tokens, from none to 131072") {
  if (!has_gpu()) return;
  for (const index_t T : {0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 3136, 131072}) {
    INFO("T = ", T);
    const shape s{.B = 1, .T = T, .Hk = 2, .H = 2, .K = 8, .V = 12};
    const double bound = T > 4096 ? 1e-5 : tolerance<fp32>;
    CHECK(error_on_gpu<fp32>(linear_attention.with(order::global{}), s, {.initial_state = true, .positive_keys = true}, family).worst() <= bound);
  }
}

TEST_CASE("every precision, at the size of MILA's first stage") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 3136, .Hk = 2, .H = 2, .K = 32, .V = 32, .grid_width = 56};
  const wishes w{.positive_keys = true};
  CHECK(error_on_gpu<fp32>(mila, s, w, family).worst() <= tolerance<fp32>);
  CHECK(error_on_gpu<fp64>(mila, s, w, family).worst() <= tolerance<fp64>);
  CHECK(error_on_gpu<bf16>(mila, s, w, family).worst() <= tolerance<bf16>);
  CHECK(error_on_gpu<fp16>(mila, s, w, family).worst() <= tolerance<fp16>);
}

TEST_CASE("packed sequences, one of them empty, one longer than the others together") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 700, .Hk = 2, .H = 2, .K = 5, .V = 70};
  const wishes w{.initial_state = true, .positive_keys = true, .offsets = {0, 5, 5, 16, 17, 700}};
  CHECK(error_on_gpu<fp32>(linear_attention.with(order::global{}), s, w, family).worst() <= tolerance<fp32>);
}

TEST_CASE("the form has its name, by itself and by request") {
  if (!has_gpu()) return;
  auto p = make_problem<fp32>(mila, {.T = 36, .Hk = 2, .H = 2, .K = 8, .V = 7, .grid_width = 6}, {.positive_keys = true});
  device_problem device(p);
  CHECK(std::string(chosen_form(p.design, gpu::stream{}, device.x)) == "global");
  const wishes w{.positive_keys = true};
  CHECK(error_on_gpu<fp32>(mila, p.size, w, by_verb<form::global>{}).worst() <= tolerance<fp32>);
  CHECK(error_on_gpu<fp32>(mila, p.size, w, by_verb<form::recurrent>{}).worst() <= 5e-5);
}

TEST_CASE("the same bits every time, also with the final state in the place of the initial one") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 777, .Hk = 2, .H = 2, .K = 19, .V = 41};
  const auto design = linear_attention.with(order::global{});
  const wishes w{.initial_state = true, .positive_keys = true};
  auto first = make_problem<bf16>(design, s, w);
  CHECK(bool(run_on_gpu(first, family)));
  for (int i = 0; i < 20; ++i) {
    auto again = make_problem<bf16>(design, s, w);
    again.x.final_state.S = {const_cast<float*>(again.x.initial_state.S.data()), {2, 2, 19, 41}};
    again.x.final_state.z = {const_cast<float*>(again.x.initial_state.z.data()), {2, 2, 19}};
    CHECK(bool(run_on_gpu(again, family)));
    bool same = first.S() == again.states[3] && first.z() == again.states[4];
    for (std::size_t j = 0; j < first.y().size(); ++j) same &= first.y()[j].bits == again.y()[j].bits;
    CHECK(same);
  }
}
