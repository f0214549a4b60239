// SPDX-License-Identifier: Apache-2.0
/// @file  Second order on Hopper: which calls it takes, how they are divided, launches and workspaces.
#include <sextant/cuda/second_order.cuh>

#include <doctest/doctest.h>

#include "imagined_gpu/gpu.hpp"

using namespace sextant;
using namespace sextant::test;
using gpu::second_order;

namespace {

constexpr auto squared = linear_attention.with(map::squared{}, norm::none{});

template <class Design, class Change> bool takes_changed(const Design& design, const shape& s, const Change& change) {
  auto p = imagined_problem<bf16>(design, s);
  change(p.x);
  return second_order::takes(p.design, p.x);
}
bool takes(const shape& s) {
  return takes_changed(two_mamba, s, [](auto&) {});
}
index_t products_of(index_t keys) { return keys * (keys + 1) / 2; }
/// The launches of a call, with its final state or without.
template <class Design> std::size_t launches_of(const Design& design, const shape& s, bool ends) {
  auto p = imagined_problem<bf16>(design, s);
  if (ends) p.x.final_state.S = {reinterpret_cast<float*>(somewhere()), {s.B, s.H, products_of(s.K), s.V}};
  if constexpr (requires { p.x.final_state.z; })
    if (ends) p.x.final_state.z = {reinterpret_cast<float*>(somewhere()), {s.B, s.H, products_of(s.K)}};
  the_gpu().launches.clear();
  CHECK(second_order::takes(p.design, p.x));
  const std::size_t bytes = second_order::workspace_bytes(p.design, p.x);
  CHECK(bool(second_order::run(p.design, p.x, gpu::stream{.memory = {somewhere(), bytes}})));
  for (const launched& one : the_gpu().launches) CHECK(one.possible);
  return the_gpu().launches.size();
}

}  // namespace

TEST_CASE("sizes and rows") {
  the_gpu() = {};
  CHECK(takes({.T = 3, .K = 64, .V = 64}));
  CHECK(takes({.T = 3, .K = 8, .V = 72}));
  CHECK(!takes({.T = 3, .K = 72, .V = 64}));
  CHECK(!takes({.T = 3, .K = 12, .V = 64}));
  CHECK(!takes({.T = 3, .K = 64, .V = 4}));
  CHECK(!takes({.T = 0, .K = 64, .V = 64}));
  CHECK(!takes({.B = 0, .T = 3, .K = 64, .V = 64}));
  CHECK(takes({.B = 65535, .T = 3, .K = 8, .V = 8}));
  CHECK(!takes({.B = 65536, .T = 3, .K = 8, .V = 8}));
  const shape s{.B = 2, .T = 64, .Hk = 2, .H = 2, .K = 64, .V = 64};
  const auto y = [](const auto& change) { return [=](auto& x) { x.y = change(x.y); }; };
  CHECK(takes_changed(two_mamba, s, y([](const auto& x) { return spread(shifted(x, 8), 1, -10000); })));
  CHECK(!takes_changed(two_mamba, s, y([](const auto& x) { return shifted(x, 4); })));
  CHECK(!takes_changed(two_mamba, s, y([](const auto& x) { return spread(x, 3, 2); })));
  for (const int axis : {0, 1, 2})
    CHECK(!takes_changed(two_mamba, s, y([=](const auto& x) { return spread(x, axis, 10004); })));
  for (const index_t far : {index_t(1) << 30, -(index_t(1) << 30)}) {  // 2 GiB from token to token
    CHECK(!takes_changed(two_mamba, s, y([=](const auto& x) { return spread(x, 1, far); })));
    CHECK(takes_changed(two_mamba, s, y([=](const auto& x) { return spread(x, 1, far - far / (index_t(1) << 26)); })));
  }
  CHECK(!takes_changed(two_mamba, s, [](auto& x) { x.k = spread(x.k, 1, -10000); }));  // which the copy engine reads
  the_gpu().major = 8;
  CHECK(!takes(s));
}

TEST_CASE("launches: the quadratic form is one, gates are one, states another, and passing them on between segments") {
  the_gpu() = {};
  const shape brief{.B = 1, .T = 4096, .Hk = 2, .H = 2, .K = 64, .V = 64};
  const shape tall{.B = 1, .T = 131072, .Hk = 2, .H = 2, .K = 64, .V = 64};
  CHECK(launches_of(squared, brief, false) == 1);
  CHECK(launches_of(two_mamba, brief, false) == 2);
  CHECK(launches_of(two_mamba, brief, true) == 3);
  CHECK(launches_of(squared, tall, false) == 3);
  CHECK(launches_of(two_mamba, tall, true) == 4);
  CHECK(launches_of(two_mamba, {.B = 1, .T = 1, .K = 8, .V = 8}, true) == 3);
}

TEST_CASE(
    "however a call is divided: whole blocks to a chunk, no chunk and no segment empty, all of it in the workspace") {
  using gpu::second::tile;
  for (const index_t T : {1, 63, 64, 65, 1024, 4096, 4097, 5121, 131072, 1000003})
    for (const index_t heads : {1, 2, 7, 16, 96})
      for (const index_t V : {8, 64, 72, 256})
        for (const int multiprocessors : {1, 78, 132})
          for (const bool ends : {false, true}) {
            gpu::device_call<float> c;
            c.tokens = T, c.values = V, c.keys = 64, c.sequences = 1, c.heads = heads;
            if (ends) c.S_out.data = somewhere();
            auto d = gpu::second::divide(two_mamba, c, multiprocessors);
            INFO("T ", static_cast<long long>(T), ", heads ", static_cast<long long>(heads), ", V ",
                 static_cast<long long>(V), ", multiprocessors ", multiprocessors, ends ? ", to the end" : "");
            REQUIRE(index_t(d.chunks) * d.chunk >= T);
            REQUIRE(index_t(d.chunks - 1) * d.chunk < T);
            REQUIRE(d.walked == d.chunks - int(!ends));
            REQUIRE(d.segments >= 1);
            if (d.walked > 0) {
              REQUIRE(d.last_chunk(d.segments - 1) == d.walked);
              REQUIRE((d.segments - 1) * d.segment_chunks < d.walked);
            }
            REQUIRE((d.groups >= 1 && d.groups <= gpu::second::most_groups && d.groups % d.parts == 0));
            REQUIRE((d.chunks == 1 || d.chunk % (tile * d.groups) == 0));
            REQUIRE((d.parts == 1 || !d.has_states()));
            const index_t bytes = d.lay_out(somewhere(), heads);
            const auto within = [&](const auto* end) {
              const std::byte* const at = reinterpret_cast<const std::byte*>(end);
              return at >= somewhere() && at <= somewhere() + bytes;
            };
            REQUIRE(reinterpret_cast<std::uintptr_t>(d.before) % 8 == 0);
            REQUIRE(within(d.gates_of(heads, 0)));
            REQUIRE(within(d.before_tiles(heads, 0)));
            REQUIRE(within(d.logs + heads * d.chunks));
            if (d.has_states()) REQUIRE(within(d.state(heads, 0, 0)));
            if (d.segments > 1) REQUIRE(within(d.sum(heads, 0, 0)));
          }
}
