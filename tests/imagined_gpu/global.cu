// SPDX-License-Identifier: Apache-2.0
/// @file  The global form: how pictures are divided among blocks.
#include <sextant/cuda/global_mma.cuh>

#include <doctest/doctest.h>

#include "imagined_gpu/gpu.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

/// Blocks that share 32 channels of a head of a picture.
template <class Precision> unsigned blocks_of_unit(index_t pictures, index_t side) {
  constexpr unsigned heads = 2;
  auto p = imagined_problem<Precision>(
      mila, {.B = pictures, .T = side * side, .Hk = heads, .H = heads, .K = 32, .V = 32, .grid_width = side});
  the_gpu().launches.clear();
  REQUIRE(gpu::global_mma::takes(p.design, p.x));
  CHECK(bool(gpu::global_mma::run(p.design, p.x, gpu::stream{})));
  REQUIRE(the_gpu().launches.size() == 1);
  CHECK(the_gpu().launches[0].possible);
  return the_gpu().launches[0].blocks.x / heads;
}
}  // namespace

TEST_CASE("blocks share a picture, also where its width leaves no room for eight warps; of many each has one") {
  the_gpu() = {};
  for (const index_t side : {68, 128, 500, 512, 644}) {
    INFO("side ", side);
    CHECK(blocks_of_unit<bf16>(1, side) == 8);
    CHECK(blocks_of_unit<bf16>(128, side) == 1);
  }
  for (const index_t side : {68, 128, 320}) {
    INFO("side ", side);
    CHECK(blocks_of_unit<fp32>(1, side) == 8);
    CHECK(blocks_of_unit<fp32>(128, side) == 1);
  }
}
