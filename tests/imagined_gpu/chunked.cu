// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked forms on Hopper: which calls they take, how sequences are cut into segments, launches and workspaces.
#include <sextant/cuda/chunked_wgmma.cuh>
#include <sextant/cuda/keyed_wgmma.cuh>

#include <doctest/doctest.h>

#include "imagined_gpu/gpu.hpp"

using namespace sextant;
using namespace sextant::test;
using gpu::chunked_wgmma, gpu::keyed_wgmma;

namespace {

constexpr auto along = mamba2.with(position::rotary_1d{});
constexpr auto turned_attention = linear_attention.with(position::rotary_1d{});

template <class Family, class Design, class Change>
bool takes_changed(const Design& design, const shape& s, const Change& change) {
  auto p = imagined_problem<bf16>(design, s);
  change(p.x);
  return Family::takes(p.design, p.x);
}
template <class Family, class Design> bool takes(const Design& design, const shape& s) {
  return takes_changed<Family>(design, s, [](auto&) {});
}

struct made {
  std::size_t bytes, launches;
};
/// Runs a call that the family takes; all launches must be possible.
template <class Family, class Design> made make(const Design& design, const shape& s) {
  auto p = imagined_problem<bf16>(design, s);
  const std::size_t bytes = Family::workspace_bytes(p.design, p.x);
  the_gpu().launches.clear();
  CHECK(Family::takes(p.design, p.x));
  CHECK(bool(Family::run(p.design, p.x, gpu::stream{.memory = {somewhere(), bytes}})));
  for (const launched& one : the_gpu().launches) CHECK(one.possible);
  return {bytes, the_gpu().launches.size()};
}
/// Calls of both families with K keys and 64 tokens, whose q, v and y `change` moves.
template <class Change> void check_rows(bool taken, const Change& change) {
  const shape s{.B = 2, .T = 64, .Hk = 2, .H = 2, .K = 64, .V = 64};
  for (int which = 0; which < 3; ++which) {
    INFO("tensor ", which);
    const auto one = [&](auto& x) {
      if (which == 0) x.q = change(x.q);
      if (which == 1) x.v = change(x.v);
      if (which == 2) x.y = change(x.y);
    };
    CHECK(takes_changed<chunked_wgmma>(mamba2, s, one) == taken);
    CHECK(takes_changed<keyed_wgmma>(gla, s, one) == taken);
  }
}
/// Whether the segments that `segments_for(chunks)` answers are at most so many and none of them is empty, for all chunks.
template <class SegmentsFor> bool cuts_well(const SegmentsFor& segments_for) {
  for (const int multiprocessors : {1, 78, 132})
    for (int blocks = 1; blocks < 300; blocks += blocks < 20 ? 1 : 13)
      for (int chunks = 1; chunks < 2200; chunks += chunks < 600 ? 1 : 17) {
        const int segments = segments_for(chunks, blocks, multiprocessors);
        const int of_each = (chunks + segments - 1) / segments;
        if (segments < 1 || of_each * (segments - 1) >= chunks ||
            (segments > 1 && segments * blocks > 2 * multiprocessors))
          return false;
      }
  return true;
}

}  // namespace

TEST_CASE("sizes and GPUs") {
  the_gpu() = {};
  const auto of = [](index_t K, index_t V) { return shape{.T = 3, .K = K, .V = V}; };
  for (const index_t K : {64, 128})
    for (const index_t V : {64, 128, 640}) CHECK(takes<chunked_wgmma>(mamba2, of(K, V)));
  for (const index_t K : {32, 96, 256}) CHECK(!takes<chunked_wgmma>(mamba2, of(K, 64)));
  CHECK(!takes<chunked_wgmma>(mamba2, of(64, 72)));
  for (const index_t K : {8, 72, 128}) CHECK(takes<keyed_wgmma>(gla, of(K, 8)));
  for (const index_t K : {4, 12, 136}) CHECK(!takes<keyed_wgmma>(gla, of(K, 8)));
  CHECK(!takes<keyed_wgmma>(gla, of(8, 12)));
  CHECK(!takes<keyed_wgmma>(gla.with(map::relu{}), of(72, 8)));  // a map may make anything of keys that are not there
  CHECK(!takes<chunked_wgmma>(mamba2, {.T = 0, .K = 64, .V = 64}));
  CHECK(!takes<chunked_wgmma>(mamba2, {.B = 0, .T = 3, .K = 64, .V = 64}));
  auto packed = imagined_problem<bf16>(mamba2, of(64, 64), {.offsets = {0, 1, 3}});
  CHECK(!chunked_wgmma::takes(packed.design, packed.x));
  auto packed_keyed = imagined_problem<bf16>(gla, of(64, 64), {.offsets = {0, 1, 3}});
  CHECK(!keyed_wgmma::takes(packed_keyed.design, packed_keyed.x));
  for (const int major : {8, 10}) {
    the_gpu().major = major;
    CHECK(!takes<chunked_wgmma>(mamba2, of(64, 64)));
    CHECK(!takes<keyed_wgmma>(gla, of(64, 64)));
  }
  the_gpu() = {}, the_gpu().code = 80;  // kernels without a body
  CHECK(!takes<chunked_wgmma>(mamba2, of(64, 64)));
  CHECK(!takes<keyed_wgmma>(gla, of(64, 64)));
}

TEST_CASE("rows as the copy engine takes them: numbers one behind the other, all else at multiples of 16 bytes") {
  the_gpu() = {};
  check_rows(true, [](const auto& x) { return x; });
  check_rows(true, [](const auto& x) { return shifted(x, 8); });
  check_rows(false, [](const auto& x) { return shifted(x, 4); });
  check_rows(false, [](const auto& x) { return spread(x, 3, 2); });
  for (const int axis : {0, 1, 2}) {
    check_rows(true, [=](const auto& x) { return spread(x, axis, 10000); });
    check_rows(false, [=](const auto& x) { return spread(x, axis, 10004); });
    check_rows(false, [=](const auto& x) { return spread(x, axis, -10000); });
    check_rows(true, [=](const auto& x) { return spread(x, axis, (index_t(1) << 31) - 8); });
    check_rows(false, [=](const auto& x) { return spread(x, axis, index_t(1) << 31); });
  }
  // Maps are made of all that is taken.
  auto p = imagined_problem<bf16>(mamba2, {.B = 2, .T = 64, .Hk = 2, .H = 2, .K = 64, .V = 64});
  p.x.q = spread(p.x.q, 1, (index_t(1) << 31) - 8), p.x.v = shifted(p.x.v, 8);
  CHECK(bool(chunked_wgmma::run(p.design, p.x, gpu::stream{})));
  // Of one token, sequence or head nobody strides over it.
  for (const int axis : {0, 1, 2})
    CHECK(
        takes_changed<chunked_wgmma>(mamba2, {.T = 1, .K = 64, .V = 64}, [=](auto& x) { x.q = spread(x.q, axis, 3); }));
}

TEST_CASE("positions want 2048 rows of keys, and a launch and room ahead of the chunks where there is no normaliser") {
  the_gpu() = {};
  for (const index_t heads : {1, 2}) {
    CHECK(!takes<chunked_wgmma>(along, {.B = 2 / heads, .T = 1023, .Hk = heads, .H = 2, .K = 64, .V = 64}));
    CHECK(takes<chunked_wgmma>(along, {.B = 2 / heads, .T = 1024, .Hk = heads, .H = 2, .K = 64, .V = 64}));
  }
  CHECK(!takes<chunked_wgmma>(turned_attention, {.B = 2, .T = 1023, .K = 64, .V = 64}));
  CHECK(takes<chunked_wgmma>(turned_attention, {.B = 2, .T = 1024, .K = 64, .V = 64}));
  const shape s{.B = 3, .T = 1025, .Hk = 1, .H = 32, .K = 128, .V = 64};
  const auto up = [](std::size_t bytes) { return (bytes + 255) / 256 * 256; };
  const made ahead = make<chunked_wgmma>(along, s), plain = make<chunked_wgmma>(mamba2, s);
  CHECK(plain.launches == 1);
  CHECK(plain.bytes == 0);
  CHECK(ahead.launches == 2);
  CHECK(ahead.bytes == 2 * up(3 * 1025 * 128 * 2) + up(3 * 1025 * 4));
  const made in_place =
      make<chunked_wgmma>(turned_attention, {.B = 3, .T = 1025, .Hk = 32, .H = 32, .K = 128, .V = 128});
  CHECK(in_place.launches == 1);
  CHECK(in_place.bytes == 0);
}

TEST_CASE("long sequences of few heads: two launches up to eight segments, three beyond, and a state for each") {
  the_gpu() = {};
  const auto few = make<chunked_wgmma>(mamba2, {.T = 4096, .Hk = 1, .H = 2, .K = 64, .V = 64});
  CHECK(few.launches == 2);
  CHECK(few.bytes % (2 * (64 * 64 + 32) * 4) == 0);
  CHECK(few.bytes <= std::size_t(8) * 2 * (64 * 64 + 32) * 4);
  const auto many = make<chunked_wgmma>(mamba2, {.T = 131072, .Hk = 1, .H = 2, .K = 64, .V = 64});
  CHECK(many.launches == 3);
  CHECK(many.bytes > few.bytes);
  CHECK(make<chunked_wgmma>(mamba2, {.T = 1984, .Hk = 1, .H = 2, .K = 64, .V = 64}).launches == 1);  // 31 chunks
  CHECK(make<chunked_wgmma>(mamba2, {.B = 8, .T = 4096, .Hk = 1, .H = 32, .K = 128, .V = 64}).launches == 1);
  CHECK(make<keyed_wgmma>(gla, {.T = 1024, .K = 64, .V = 64}).launches == 2);
  CHECK(make<keyed_wgmma>(gla, {.T = 131072, .K = 64, .V = 64}).launches == 3);
  CHECK(make<keyed_wgmma>(gla, {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = 128, .V = 128}).launches == 1);
}

TEST_CASE(
    "with a stabiliser: one launch, or two or three in segments, of heads that share a key too, but no positions") {
  the_gpu() = {};
  const auto whole = make<chunked_wgmma>(mlstm, {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = 128, .V = 128});
  CHECK(whole.launches == 1);
  CHECK(whole.bytes == 0);
  const auto few = make<chunked_wgmma>(mlstm, {.T = 2048, .Hk = 16, .H = 16, .K = 128, .V = 128});
  CHECK(few.launches == 2);
  CHECK(few.bytes == std::size_t(4) * 16 * 2 * (64 * 128 + 128 + 32) * 4);
  CHECK(make<chunked_wgmma>(mlstm, {.T = 131072, .Hk = 2, .H = 2, .K = 64, .V = 64}).launches == 3);
  CHECK(make<chunked_wgmma>(mlstm.with(heads::grouped{}), {.T = 512, .Hk = 2, .H = 6, .K = 64, .V = 64}).launches == 1);
  const auto mapped = mlstm.with(heads::grouped{}, map::relu{});  // ahead of the chunks
  CHECK(make<chunked_wgmma>(mapped, {.T = 512, .Hk = 2, .H = 6, .K = 64, .V = 64}).launches == 2);
  const auto runs = [](const auto& design) { return chunked_wgmma::runs<std::remove_cvref_t<decltype(design)>, bf16>; };
  CHECK(!runs(mlstm.with(position::rotary_1d{})));
  CHECK(!runs(mlstm.with(position::rotary_1d{}, forget::one{})));
  const auto taken_in_place = [](index_t V) {
    return takes_changed<chunked_wgmma>(mlstm, {.T = 3, .K = 64, .V = V}, [](auto& x) {
      x.final_state.m = {reinterpret_cast<float*>(somewhere()), {1, 1}};
      x.initial_state.m = decltype(x.initial_state.m)(x.final_state.m);
    });
  };
  CHECK(taken_in_place(128));
  CHECK(!taken_in_place(192));
}

TEST_CASE("however long a sequence is, no segment of it is empty, and all of them are at work at once") {
  using namespace gpu::wgmma;
  using mamba_type = std::remove_cvref_t<decltype(mamba2)>;
  using retnet_type = std::remove_cvref_t<decltype(retnet)>;
  using attention_type = std::remove_cvref_t<decltype(linear_attention)>;
  CHECK(cuts_well(segments_for<chunked_plan<mamba_type, bf16, 64, 2, true>>));
  CHECK(cuts_well(segments_for<chunked_plan<retnet_type, bf16, 128, 2, false>>));
  CHECK(cuts_well(segments_for<chunked_plan<attention_type, bf16, 64, 1, false>>));
  CHECK(cuts_well(keyed_segments_for<keyed_plan<std::remove_cvref_t<decltype(gla)>, bf16, 64>>));
}
