// SPDX-License-Identifier: Apache-2.0
/// @file  The public verbs on gpu::stream: what they refuse, what they say, steps, and graphs.
#include <doctest/doctest.h>

#include <cstring>  // strstr

#include "cuda/device_problem.cuh"
#include "cuda/recorded.hpp"

using namespace sextant;
using namespace sextant::test;

// What is refused is refused on the host: no GPU is needed for it.

TEST_CASE("a tensor that is missing or misshapen is named, and nothing runs") {
  auto p = make_problem<fp32>(retnet, {.T = 4, .Hk = 2, .H = 2, .K = 3, .V = 3});
  auto x = p.x;
  x.k = {};
  CHECK(forward(p.design, gpu::stream{}, x).code == errc::missing);
  x = p.x;
  x.q = {p.x.q.data(), {1, 4, 2, 2}};
  const status wrong = forward(p.design, gpu::stream{}, x);
  CHECK(wrong.code == errc::shape);
  CHECK(std::strstr(wrong.what, "q: [B, T, Hk, K]") != nullptr);
}

TEST_CASE("the chosen form has a name, and a workspace that is too small is refused") {
  if (!has_gpu()) return;
  auto p = make_problem<fp32>(two_mamba, {.T = 2, .K = 340, .V = 1}, {.positive_keys = true});
  device_problem device(p);
  CHECK(std::strlen(chosen_form(p.design, gpu::stream{}, device.x)) > 0);
  const std::size_t bytes = workspace_bytes(p.design, form::recurrent{}, gpu::stream{}, device.x);
  REQUIRE(bytes > 0);  // 57970 keys do not fit into shared memory
  device_memory scratch(bytes);
  const gpu::stream small{.memory = {scratch.data(), bytes - 1}}, crooked{.memory = {scratch.data() + 4, bytes}};
  CHECK(forward(p.design, form::recurrent{}, small, device.x).code == errc::workspace);
  CHECK(forward(p.design, form::recurrent{}, crooked, device.x).code == errc::workspace);
}

TEST_CASE("without a GPU a call answers with the driver's sentence") {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return;
  auto p = make_problem<fp32>(retnet, {.T = 4, .Hk = 2, .H = 2, .K = 3, .V = 3});
  const status refused = forward(p.design, gpu::stream{}, p.x);
  CHECK(refused.code == errc::launch);
  CHECK(std::strlen(refused.what) > 0);
}

TEST_CASE("designs of the literature, in the form chosen for them") {
  if (!has_gpu()) return;
  const auto hold = [](const char* name, const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    shape s = everyday_shape<Design>();
    INFO(std::string(name));
    CHECK(error_on_gpu<fp32>(design, s, everyday_wishes<Design>(), by_verb<form::automatic>{}).worst() <= 5e-5);
    CHECK(error_on_gpu<bf16>(design, s, everyday_wishes<Design>(), by_verb<form::automatic>{}).worst() <= tolerance<bf16>);
  };
  each_preset(hold);
}

TEST_CASE("a sequence continued by steps equals the whole") {
  if (!has_gpu()) return;
  const auto continued = [](const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    shape s = everyday_shape<Design>();
    s.T = 7;
    wishes w = everyday_wishes<Design>();
    w.initial_state = true;
    auto judge = make_problem<fp64, float>(design, s, w);
    reference::recurrent(judge.design, judge.x);
    auto answer = make_problem<fp32>(design, s, w);
    device_problem<Design, fp32> device(answer);
    // The first token takes the initial state, the others the one before.
    for (index_t t = 0; t < s.T; ++t) {
      auto x = device.x;
      const auto at = [t](auto& v) {
        using view_type = std::remove_cvref_t<decltype(v)>;
        index_t extents[view_type::rank], strides[view_type::rank];
        for (int r = 0; r < view_type::rank; ++r) extents[r] = r == 1 ? 1 : v.extent(r), strides[r] = v.stride(r);
        v = view_type(v.data() + t * v.stride(1), extents, strides);
      };
      at(x.q), at(x.k), at(x.v), at(x.y);
      if constexpr (requires { x.dt; }) at(x.dt);
      if constexpr (requires { x.input; }) at(x.input);
      if constexpr (requires { x.forget; }) at(x.forget);
      if constexpr (requires { x.gate; }) at(x.gate);
      if (t == 0) {
        CHECK(bool(forward(answer.design, form::recurrent{}, gpu::stream{}, x)));
      } else {
        CHECK(bool(step(answer.design, gpu::stream{}, x, device.x.final_state)));
      }
    }
    device.give();
    CHECK(compare(answer, judge).worst() <= 5e-5);
  };
  continued(linear_attention);
  continued(mamba);
  continued(mamba2);
  continued(gla);
  continued(mlstm);
}

TEST_CASE("a call in a CUDA graph") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 40, .Hk = 2, .H = 2, .K = 5, .V = 7};
  auto judge = make_problem<fp64, float>(gla, s);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<fp32>(gla, s);
  device_problem device(answer);
  cudaStream_t handle;
  must(cudaStreamCreate(&handle));
  recorded(handle, [&] { return forward(answer.design, gpu::stream{.handle = handle}, device.x); }).run();
  device.give();
  CHECK(compare(answer, judge).worst() <= 5e-5);
  must(cudaStreamDestroy(handle));
}
