// SPDX-License-Identifier: Apache-2.0
/// @file  Which family of kernels computes which call, on GPUs of several kinds.
#include <sextant/cuda/forward.cuh>

#include <doctest/doctest.h>

#include "imagined_gpu/gpu.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class Family> constexpr const char* name_of() {
  if (std::is_same_v<Family, gpu::decode>) return "decode";
  if (std::is_same_v<Family, gpu::chunked_wgmma>) return "chunked_wgmma";
  if (std::is_same_v<Family, gpu::keyed_wgmma>) return "keyed_wgmma";
  if (std::is_same_v<Family, gpu::second_order>) return "second_order";
  if (std::is_same_v<Family, gpu::selective>) return "selective";
  if (std::is_same_v<Family, gpu::few_keys>) return "few_keys";
  if (std::is_same_v<Family, gpu::chunked_mma>) return "chunked_mma";
  if (std::is_same_v<Family, gpu::global_mma>) return "global_mma";
  if (std::is_same_v<Family, gpu::global_sums>) return "global_sums";
  if (std::is_same_v<Family, gpu::state_space_chunked>) return "state_space_chunked";
  if (std::is_same_v<Family, gpu::state_space>) return "state_space";
  return "recurrent";
}
/// The family that computes a call in bfloat16 on a GPU of this compute capability.
template <class Form = form::automatic, class Design>
std::string family_of(const Design& design, const shape& s, int major) {
  the_gpu() = {};
  the_gpu().major = major, the_gpu().code = 10 * major;
  auto p = imagined_problem<bf16>(design, s);
  return gpu::detail::with_family<Form>(
      gpu::detail::families_for<Form, Design>(), p.design, p.x, std::string("none"),
      [](auto family) -> std::string { return name_of<decltype(family)>(); });
}
/// On Hopper, on Ampere, on Turing.
struct expected {
  const char *hopper, *ampere, *turing;
};
template <class Design> void check(const Design& design, const shape& s, const expected& by) {
  INFO(std::string(name(design)), ", T ", static_cast<long long>(s.T), ", K ", static_cast<long long>(s.K), ", V ",
       static_cast<long long>(s.V));
  CHECK(family_of(design, s, 9) == by.hopper);
  CHECK(family_of(design, s, 8) == by.ampere);
  CHECK(family_of(design, s, 7) == by.turing);
}

}  // namespace

TEST_CASE("Mamba: keys in pieces of 16 bytes, few of them wherever they lie, others") {
  check(mamba, {.T = 77, .K = 16, .V = 64}, {"selective", "selective", "recurrent"});
  check(mamba, {.T = 77, .K = 64, .V = 64}, {"selective", "selective", "recurrent"});
  check(mamba, {.T = 77, .K = 1, .V = 64}, {"few_keys", "few_keys", "recurrent"});
  check(mamba, {.T = 77, .K = 3, .V = 62}, {"few_keys", "few_keys", "recurrent"});
  check(mamba, {.T = 77, .K = 3, .V = 63}, {"recurrent", "recurrent", "recurrent"});
  check(mamba, {.T = 77, .K = 12, .V = 64}, {"recurrent", "recurrent", "recurrent"});
  check(mamba, {.T = 77, .K = 72, .V = 64}, {"recurrent", "recurrent", "recurrent"});
}

TEST_CASE("Mamba-2: the tensor cores that there are; rows that they do not take") {
  check(mamba2, {.T = 77, .Hk = 1, .H = 4, .K = 128, .V = 64}, {"chunked_wgmma", "chunked_mma", "recurrent"});
  check(mamba2, {.T = 77, .Hk = 1, .H = 4, .K = 96, .V = 64}, {"chunked_mma", "chunked_mma", "recurrent"});
  check(mamba2, {.T = 77, .Hk = 1, .H = 4, .K = 128, .V = 72}, {"chunked_mma", "chunked_mma", "recurrent"});
  check(mamba2.with(position::rotary_1d{}), {.T = 77, .Hk = 1, .H = 4, .K = 128, .V = 64},
        {"chunked_mma", "chunked_mma", "recurrent"});
  check(mamba2.with(position::rotary_1d{}), {.T = 2048, .Hk = 1, .H = 4, .K = 128, .V = 64},
        {"chunked_wgmma", "chunked_mma", "recurrent"});
}

TEST_CASE("GLA, 2Mamba, MILA, S4D") {
  check(gla, {.T = 77, .K = 128, .V = 128}, {"keyed_wgmma", "chunked_mma", "recurrent"});
  check(gla, {.T = 77, .K = 12, .V = 16}, {"chunked_mma", "chunked_mma", "recurrent"});
  check(two_mamba, {.T = 77, .K = 64, .V = 64}, {"second_order", "recurrent", "recurrent"});
  check(two_mamba, {.T = 77, .K = 72, .V = 64}, {"recurrent", "recurrent", "recurrent"});
  check(mila, {.T = 49, .Hk = 2, .H = 2, .K = 32, .V = 32, .grid_width = 7},
        {"global_mma", "global_mma", "global_sums"});
  check(mila, {.T = 49, .Hk = 2, .H = 2, .K = 48, .V = 48, .grid_width = 7},
        {"global_sums", "global_sums", "global_sums"});
  check(s4d, {.T = 77, .K = 64, .V = 64}, {"state_space_chunked", "state_space_chunked", "state_space"});
  check(s4d, {.T = 63, .K = 64, .V = 64}, {"state_space", "state_space", "state_space"});
}

TEST_CASE("One token: step() has kernels for it, forward() is not compiled with them") {
  const shape one{.T = 1, .K = 128, .V = 64};
  CHECK(family_of<form::recurrent>(mamba2, one, 9) == "decode");
  CHECK(family_of<form::recurrent>(gla, one, 8) == "decode");
  CHECK(family_of(mamba2, one, 9) == "chunked_wgmma");
  CHECK(family_of(gla, one, 8) == "chunked_mma");
}
