// SPDX-License-Identifier: Apache-2.0
/// @file  Forget gates of channels: which calls the families selective and few_keys take, how they cut and launch them.
#include <sextant/cuda/few_keys.cuh>
#include <sextant/cuda/selective.cuh>

#include <doctest/doctest.h>

#include "imagined_gpu/gpu.hpp"
#include "invented.hpp"

using namespace sextant;
using namespace sextant::test;
using gpu::few_keys, gpu::selective;

namespace sextant::test {

/// A user's gate of time constants, which keys that are not there have none of: F = exp(-x / a).
struct time_constants {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "time_constants";
  static constexpr const char* formula = "F = exp(-x / a)";
  static constexpr per raw = per::channel, rate = per::key_channel;
  template <class Real> SEXTANT_FN constexpr Real log(Real x, Real a) const { return -x / a; }
};

}  // namespace sextant::test

namespace {

constexpr auto gated = mamba.with(output::silu{}, heads::multi{});

/// Whether a family takes a call that `change` has been let loose on.
template <class Family, class Precision, class Change> bool takes_changed(const shape& s, const Change& change) {
  auto p = imagined_problem<Precision>(gated, s);
  change(p.x);
  return Family::takes(p.design, p.x);
}
template <class Family, class Precision> bool takes(const shape& s) {
  return takes_changed<Family, Precision>(s, [](auto&) {});
}
}  // namespace

TEST_CASE("sizes: keys and channels of whole pieces, as many heads and sequences as a grid has room for") {
  the_gpu() = {};
  CHECK(takes<selective, bf16>({.T = 5, .K = 16, .V = 8}));
  CHECK(takes<selective, fp32>({.T = 5, .K = 4, .V = 4}));
  CHECK(!takes<selective, bf16>({.T = 5, .K = 12, .V = 8}));
  CHECK(!takes<selective, bf16>({.T = 5, .K = 16, .V = 12}));
  CHECK(!takes<selective, fp32>({.T = 5, .K = 68, .V = 8}));
  CHECK(takes<few_keys, bf16>({.T = 5, .K = 1, .V = 2}));
  CHECK(takes<few_keys, fp32>({.T = 5, .K = 4, .V = 6}));
  CHECK(!takes<few_keys, bf16>({.T = 5, .K = 5, .V = 8}));
  CHECK(!takes<few_keys, fp32>({.T = 5, .K = 1, .V = 9}));
  CHECK(takes<few_keys, bf16>({.B = 65535, .T = 5, .K = 1, .V = 2}));
  CHECK(!takes<few_keys, bf16>({.B = 65536, .T = 5, .K = 1, .V = 2}));
  CHECK(takes<few_keys, bf16>({.T = 5, .Hk = 1, .H = 65535, .K = 1, .V = 2}));
  CHECK(!takes<few_keys, bf16>({.T = 5, .Hk = 1, .H = 65536, .K = 1, .V = 2}));
  CHECK(takes<few_keys, bf16>({.T = 5, .Hk = 46340, .H = 46340, .K = 1, .V = 2}));
  CHECK(!takes<few_keys, bf16>({.T = 5, .Hk = 46341, .H = 46341, .K = 1, .V = 2}));
  CHECK(takes<few_keys, bf16>({.T = index_t(1) << 30, .K = 1, .V = 2}));
  CHECK(!takes<few_keys, bf16>({.T = (index_t(1) << 30) + 1, .K = 1, .V = 2}));
  the_gpu().major = 7;
  CHECK(!takes<selective, bf16>({.T = 5, .K = 16, .V = 8}));
  CHECK(!takes<few_keys, bf16>({.T = 5, .K = 1, .V = 2}));
}

TEST_CASE("where rows lie: selective wants pieces of 16 bytes, few keys pairs of channels and keys anywhere") {
  the_gpu() = {};
  const shape s{.B = 2, .T = 5, .K = 16, .V = 24}, few{.B = 2, .T = 5, .K = 2, .V = 24};
  const auto moved = [](index_t numbers) { return [=](auto& x) { x.v = shifted(x.v, numbers); }; };
  CHECK(takes_changed<selective, bf16>(s, moved(8)));
  CHECK(!takes_changed<selective, bf16>(s, moved(4)));
  CHECK(takes_changed<few_keys, bf16>(few, moved(2)));
  CHECK(!takes_changed<few_keys, bf16>(few, moved(1)));
  const auto keys_moved = [](auto& x) { x.k = shifted(x.k, 1), x.q = shifted(x.q, 3); };
  CHECK(!takes_changed<selective, bf16>(s, keys_moved));
  CHECK(takes_changed<few_keys, bf16>(few, keys_moved));
  const auto apart = [](int axis, index_t stride) { return [=](auto& x) { x.dt = spread(x.dt, axis, stride); }; };
  for (const int axis : {0, 1}) {
    CHECK(takes_changed<selective, bf16>(s, apart(axis, 1000)));
    CHECK(!takes_changed<selective, bf16>(s, apart(axis, 1002)));
    CHECK(takes_changed<few_keys, bf16>(few, apart(axis, 1002)));
    CHECK(!takes_changed<few_keys, bf16>(few, apart(axis, 1001)));
  }
  CHECK(takes_changed<selective, bf16>(s, apart(2, 1001)));  // of one head: nobody strides over it
  CHECK(!takes_changed<selective, bf16>(s, apart(3, 2)));
  CHECK(!takes_changed<few_keys, bf16>(few, apart(3, 2)));
  // 8 tokens of the one less than 2 GiB apart, either way; of the other as far as an address goes.
  for (const index_t far : {index_t(1) << 27, -(index_t(1) << 27)}) {
    CHECK(takes_changed<selective, bf16>(s, apart(1, far - far / (index_t(1) << 24))));
    CHECK(!takes_changed<selective, bf16>(s, apart(1, far)));
    CHECK(takes_changed<few_keys, bf16>(few, apart(1, far * 1024)));
  }
  const auto gate = [](auto& x) { x.gate = shifted(x.gate, 1); };
  CHECK(!takes_changed<selective, bf16>(s, gate));
  CHECK(!takes_changed<few_keys, bf16>(few, gate));
  const auto answers = [](auto& x) { x.y = shifted(x.y, 1); };
  CHECK(!takes_changed<selective, bf16>(s, answers));
  CHECK(!takes_changed<few_keys, bf16>(few, answers));
}

TEST_CASE("keys that are not there have rates of 0: a user's gate that makes no number of it wants all of them") {
  the_gpu() = {};
  const auto taken = [](auto family, const auto& design, index_t K) {
    auto p = imagined_problem<fp32>(design, {.T = 5, .K = K, .V = 8});
    return decltype(family)::takes(p.design, p.x);
  };
  constexpr auto timed = gated.with(time_constants{});
  for (const index_t K : {1, 4}) CHECK(taken(few_keys{}, timed, K));
  for (const index_t K : {2, 3}) CHECK(!taken(few_keys{}, timed, K));
  for (const index_t K : {16, 32, 64}) CHECK(taken(selective{}, timed, K));
  for (const index_t K : {4, 12, 20, 60}) CHECK(!taken(selective{}, timed, K));
  constexpr auto rated = gated.with(input::one{}, invented::channel_rates{});  // exp of them
  for (const index_t K : {12, 16, 20, 64}) CHECK(taken(selective{}, rated, K));
  for (const index_t K : {1, 2, 3, 4}) CHECK(taken(few_keys{}, gated, K));
  for (const index_t K : {4, 12, 20, 60}) CHECK(taken(selective{}, gated, K));
}

TEST_CASE("few keys: a block for 64 channels of a head of a sequence, in one launch without a workspace") {
  the_gpu() = {};
  const auto blocks = [](auto precision, const shape& s, const wishes& w = {}) {
    auto p = imagined_problem<decltype(precision)>(gated, s, w);
    CHECK(few_keys::workspace_bytes(p.design, p.x) == 0);
    the_gpu().launches.clear();
    CHECK(bool(few_keys::run(p.design, p.x, gpu::stream{})));
    if (the_gpu().launches.empty()) return dim3(0, 0, 0);
    CHECK(the_gpu().launches.size() == 1);
    CHECK(the_gpu().launches[0].possible);
    CHECK(the_gpu().launches[0].threads.x == 256);
    return the_gpu().launches[0].blocks;
  };
  const auto are = [](dim3 x, unsigned channels, unsigned heads, unsigned sequences) {
    return x.x == channels && x.y == heads && x.z == sequences;
  };
  CHECK(are(blocks(bf16{}, {.B = 3, .T = 7, .Hk = 2, .H = 2, .K = 1, .V = 64}), 1, 2, 3));
  CHECK(are(blocks(fp32{}, {.B = 3, .T = 7, .Hk = 2, .H = 2, .K = 4, .V = 66}), 2, 2, 3));
  CHECK(are(blocks(bf16{}, {.B = 65535, .T = 7, .K = 1, .V = 2}), 1, 1, 65535));
  CHECK(are(blocks(bf16{}, {.B = 1, .T = 7, .K = 1, .V = 2}, {.offsets = {0, 2, 2, 7}}), 1, 1, 3));
  CHECK(are(blocks(bf16{}, {.B = 0, .T = 7, .K = 1, .V = 2}), 0, 0, 0));  // no launch
}

TEST_CASE("selective: a warp to a block with few keys; with many of 16 bits the warps of 32 channels") {
  the_gpu() = {};
  struct made {
    unsigned blocks, threads;
    bool operator==(const made&) const = default;
  };
  const auto make = [](auto precision, index_t K) {
    auto p = imagined_problem<decltype(precision)>(gated, {.T = 7, .K = K, .V = 72});
    the_gpu().launches.clear();
    CHECK(bool(selective::run(p.design, p.x, gpu::stream{})));
    REQUIRE(the_gpu().launches.size() == 1);
    CHECK(the_gpu().launches[0].possible);
    return made{the_gpu().launches[0].blocks.x, the_gpu().launches[0].threads.x};
  };
  CHECK(make(bf16{}, 16) == made{9, 32});
  CHECK(make(bf16{}, 24) == made{3, 128});
  CHECK(make(bf16{}, 40) == made{3, 64});
  CHECK(make(fp16{}, 64) == made{3, 64});
  CHECK(make(fp32{}, 16) == made{9, 32});
  CHECK(make(fp32{}, 64) == made{9, 32});
}

TEST_CASE("selective: long sequences of few channels are cut, in two launches and with what passes between them") {
  the_gpu() = {};
  struct made {
    std::size_t bytes, launches;
    unsigned blocks;
  };
  const auto make = [](auto precision, const shape& s, const wishes& w = {}) {
    auto p = imagined_problem<decltype(precision)>(gated, s, w);
    const std::size_t bytes = selective::workspace_bytes(p.design, p.x);
    the_gpu().launches.clear();
    CHECK(selective::takes(p.design, p.x));
    CHECK(bool(selective::run(p.design, p.x, gpu::stream{.memory = {somewhere(), bytes}})));
    for (const launched& one : the_gpu().launches) CHECK(one.possible);
    const std::size_t count = the_gpu().launches.size();
    return made{bytes, count, count == 0 ? 0 : the_gpu().launches[0].blocks.x};
  };
  // 8 channels to a warp, one warp: 8 * 132 + 1 segments wanted, T / 448 of them possible.
  const made tall = make(bf16{}, {.T = 131072, .K = 16, .V = 8});
  CHECK(tall.launches == 2);
  CHECK(tall.bytes == std::size_t(131072 / 448 - 1) * 17 * 8 * 4);
  CHECK(tall.blocks <= 131072 / 448 - 1);
  const made exact = make(fp32{}, {.B = 2, .T = 5000, .K = 8, .V = 24});
  CHECK(exact.launches == 2);
  CHECK(exact.bytes == std::size_t(2 * (5000 / 448 - 1)) * 9 * 24 * 4);
  // Not where tokens are few, channels fill the GPU, sequences are packed or keys are many.
  const made uncut[] = {make(bf16{}, {.T = 895, .K = 16, .V = 8}), make(bf16{}, {.T = 131072, .K = 16, .V = 16 * 529}),
                        make(bf16{}, {.T = 131072, .K = 16, .V = 8}, {.offsets = {0, 131072}}),
                        make(bf16{}, {.T = 131072, .K = 24, .V = 8}), make(fp32{}, {.T = 131072, .K = 64, .V = 8})};
  for (const made& one : uncut) {
    CHECK(one.launches == 1);
    CHECK(one.bytes == 0);
  }
  CHECK(make(bf16{}, {.T = 131072, .K = 16, .V = 16 * 528}).launches == 2);
  CHECK(make(bf16{}, {.B = 0, .T = 8, .K = 16, .V = 8}).launches == 0);
  CHECK(make(bf16{}, {.T = 0, .K = 16, .V = 8}).launches == 1);  // which hands on the state
}

TEST_CASE("selective: however a sequence is cut, its segments have all of its tokens, and the workspace is enough") {
  for (const index_t tokens : {448, 897, 3000, 5000, 131072, 1000003})
    for (int segments = 1; segments <= tokens / 8 && segments < 3000; ++segments) {
      const auto cut = gpu::lanes::cut_into(segments, tokens);
      if (cut.count <= 1) continue;
      INFO("tokens ", static_cast<long long>(tokens), ", segments ", segments);
      REQUIRE(cut.count <= segments);
      REQUIRE(cut.first % 8 == 0);
      REQUIRE(cut.tokens % 8 == 0);
      REQUIRE(cut.first + index_t(cut.count - 1) * cut.tokens >= tokens);
      REQUIRE(cut.first + index_t(cut.count - 2) * cut.tokens < tokens);  // none is empty
    }
}
