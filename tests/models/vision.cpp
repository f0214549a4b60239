// SPDX-License-Identifier: Apache-2.0
/// @file  Whole vision networks on the CPU: against networks written out plainly, in every precision, on odd pictures, in
///        batches, on workspaces full of NaN.
#include <doctest/doctest.h>

#include <algorithm>         // copy
#include <array>             // array
#include <initializer_list>  // initializer_list
#include <string>            // string

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/design/name.hpp>
#include <sextant/models/vim.hpp>
#include <sextant/models/vmamba.hpp>

#include "../blocks/numbers.hpp"
#include "../forms.hpp"
#include "plain_vision.hpp"

using namespace sextant;
using namespace sextant::tests;

namespace {

constexpr models::vision_sizes small{.embed = 32, .depths = {1, 2, 1, 1}, .heads = {1, 2, 4, 8}, .classes = 11};
constexpr auto small_swin = models::linear_swin_t.with_sizes(small);
constexpr auto small_mila = models::mila_t.with_sizes({.embed = 32,
                                                       .depths = {1, 2, 1, 1},
                                                       .heads = {1, 2, 4, 8},
                                                       .convolutional = true,
                                                       .conditional_position = true,
                                                       .classes = 11});

/// A network with weights of a size that keeps numbers near 1, the same in every precision.
template <class Net, class E> struct ready {
  Net net;
  with_weights<decltype(net.template weights<E>())> w;
  ready(const Net& n, dice d = {}) : net(n), w(n.template weights<E>(), d) {
    dice same;
    blocks::for_each_tensor(w.module, [&](const blocks::path&, const auto& t) {
      using element = typename std::remove_cvref_t<decltype(t)>::element;
      element* const at = t.room == 0 ? nullptr : const_cast<element*>(t.memory->data());
      const bool norm = t.rank == 1 && t.name[0] == 'w', rate = t.as == blocks::kept::minus_exp;
      for (index_t i = 0; i < t.room; ++i)
        at[i] = element(float(bfloat16(same.roll() * 0.06 + (norm ? 1 : 0) - (rate ? 1 : 0))));
    });
  }
  template <class On> status operator()(On on, table<E>& x, index_t B, index_t H, index_t W, table<E>& y) {
    scratch memory(models::workspace_bytes<E>(net, on, B, H, W));
    on.memory = memory;
    return forward(net, on, w.module, x.pictures(B, H, W), y);
  }
};

template <class E, bool Plain = true, class Net>
void check(const Net& net, index_t B, index_t H, index_t W, double bound) {
  CAPTURE(std::string(name(net.design)));
  CAPTURE(B);
  CAPTURE(H);
  CAPTURE(W);
  dice d{std::uint64_t(H + 100 * W)};
  const index_t classes = net.sizes.classes;
  table<double> x(B * H * W, 3, 0, d), y(B, classes);
  table<E> same(B * H * W, 3), z(B, classes, 2);
  for (index_t i = 0; i < x.n; ++i)
    for (index_t c = 0; c < 3; ++c)
      x.at(i, c) = double(float(bfloat16(float(x.at(i, c))))), same.at(i, c) = E(float(x.at(i, c)));
  ready<Net, double> judge(net);
  REQUIRE(judge(cpu::parallel{{}, 2}, x, B, H, W, y));
  if constexpr (Plain)
    for (index_t b = 0; b < B; ++b) {
      const auto plain = plain::scores(
          plain::make(H, W, 3, [&](index_t i, index_t j, index_t c) { return x.at((b * H + i) * W + j, c); }),
          judge.w.module);
      table<double> one(1, classes);
      for (index_t c = 0; c < classes; ++c) one.at(0, c) = y.at(b, c);
      CHECK(error_of(one, [&](index_t, index_t c) { return plain[std::size_t(c)]; }) <= 1e-11);
    }
  ready<Net, E> ours(net);
  REQUIRE(ours(cpu::serial{}, same, B, H, W, z));
  CHECK(error_of(z, [&](index_t b, index_t c) { return y.at(b, c); }) <= bound);
  CHECK(z.gaps_untouched());
}

}  // namespace

TEST_CASE("vision: MILA, against one written out plainly, pictures of odd sizes and batches") {
  check<float>(small_mila, 1, 32, 32, 1e-5);
  check<float>(small_mila, 2, 37, 21, 1e-5);
  check<float>(small_mila, 1, 5, 70, 1e-5);
  check<float>(small_mila, 1, 1, 1, 1e-5);
}
TEST_CASE("vision: Swin's skeleton with linear attention, likewise, and its positions") {
  check<float>(small_swin, 1, 32, 32, 1e-5);
  check<float>(small_swin, 7, 13, 22, 1e-5);
  check<float>(small_swin.with_conditional_position(), 1, 30, 41, 1e-5);
  for (const index_t side : {32, 30}) {
    auto sizes = small;
    sizes.picture = side;
    check<float>(small_swin.with_sizes(sizes).with_absolute_position(), 2, side, side, 1e-5);
  }
}
TEST_CASE("vision: sixteen bits") {
  check<bfloat16, false>(small_mila, 2, 32, 32, 0.05);
  check<float16, false>(small_swin, 1, 32, 32, 0.01);
}
TEST_CASE("vision: every row of the ablation runs, equal in float and double") {
  check<float, false>(small_swin.with(input::softplus<per::channel>{}), 1, 24, 20, 1e-5);
  check<float, false>(small_swin.with(forget::selective{}, order::causal{}, norm::sum_undecayed{}), 1, 24, 20, 1e-5);
  check<float, false>(small_swin.with(shortcut::learned{}), 1, 24, 20, 1e-5);
  check<float, false>(small_swin.with(norm::none{}), 1, 24, 20, 1e-4);
  check<float, false>(small_swin.with(heads::single{}), 1, 24, 20, 1e-5);
  check<float, false>(small_swin.with(block::mila{}), 2, 24, 20, 1e-5);
  check<float, false>(small_swin.with(block::mamba{}), 2, 24, 20, 1e-5);
  check<float, false>(small_swin.with(position::rotary_2d{}), 1, 24, 20, 1e-5);
  check<float, false>(small_swin.with(shortcut::local{}), 1, 24, 20, 1e-5);
}
TEST_CASE("vision: gates of other papers in a whole network") {
  check<float, false>(small_swin.with(forget::log_sigmoid<per::key>{}, order::causal{}, norm::none{}), 1, 24, 20, 1e-4);
  check<float, false>(
      small_swin.with(input::exponential{}, forget::log_sigmoid<per::head>{}, norm::abs_max{}, order::causal{}), 1, 20,
      20, 1e-4);
  check<float, false>(
      small_swin.with(forget::exponential{}, input::softplus<per::head>{}, order::causal{}, output::silu{}), 1, 20, 20,
      1e-4);
  check<float, false>(small_swin.with(forget::constant{}, order::reversed{}), 1, 20, 20, 1e-5);
}
TEST_CASE("vision: what is refused") {
  dice d;
  ready<std::remove_const_t<decltype(small_swin)>, float> net(small_swin);
  table<float> x(32 * 32, 3, 0, d), y(1, 11), wrong(1, 12);
  cpu::serial on{};
  CHECK(forward(net.net, on, net.w.module, x.pictures(1, 32, 32), y).code == errc::workspace);
  CHECK(forward(net.net, on, net.w.module, x.pictures(1, 32, 32), wrong).code == errc::shape);
  scratch memory(models::workspace_bytes<float>(net.net, on, 1, 32, 32) - 512);
  on.memory = memory;
  CHECK(forward(net.net, on, net.w.module, x.pictures(1, 32, 32), y).code == errc::workspace);
}

namespace {

/// What a network of these heads answers.
template <class Net> errc answer_of(Net net, std::initializer_list<index_t> heads) {
  std::copy(heads.begin(), heads.end(), net.sizes.heads);
  dice d;
  ready<Net, float> wrong(net);
  table<float> x(32 * 32, 3, 0, d), y(1, 11);
  return wrong(cpu::serial{}, x, 1, 32, 32, y).code;
}
/// What a network without weights answers for so many pictures of height x width.
template <class Net> errc answer_of(const Net& net, index_t batch, index_t height, index_t width) {
  table<float> y(batch, net.sizes.classes);
  return forward(net, cpu::serial{}, net.template weights<float>(),
                 blocks::image<const float>(nullptr, {batch, height, width, 3}), y)
      .code;
}

}  // namespace

TEST_CASE("vision: heads that do not divide the channels are refused") {
  for (const auto heads : {std::initializer_list<index_t>{5, 2, 4, 8}, {64, 2, 4, 8}, {0, 2, 4, 8}, {1, 2, 4, -1}}) {
    CHECK(answer_of(small_swin, heads) == errc::shape);
    CHECK(answer_of(small_mila, heads) == errc::shape);
    CHECK(answer_of(small_swin.with(block::mamba{}), heads) == errc::shape);
    CHECK(answer_of(small_swin.with(heads::single{}), heads) == errc::shape);
  }
  CHECK(answer_of(small_swin, {1, 2, 4, 8}) == errc::ok);
}
TEST_CASE("networks of pictures: no picture is nothing to do, empty ones are refused") {
  for (const auto& [H, W] : {std::array<index_t, 2>{0, 32}, {32, 0}, {0, 0}}) {
    CHECK(answer_of(small_swin, 2, H, W) == errc::shape);
    CHECK(answer_of(models::vmamba{{.classes = 11}}, 2, H, W) == errc::shape);
  }
  CHECK(answer_of(models::vim{{.picture = 0, .classes = 11}}, 2, 0, 0) == errc::shape);
  CHECK(answer_of(small_swin, 0, 32, 32) == errc::ok);
  CHECK(answer_of(models::vmamba{{.classes = 11}}, 0, 32, 32) == errc::ok);
  CHECK(answer_of(models::vim{{.classes = 11}}, 0, 224, 224) == errc::ok);
}
