// SPDX-License-Identifier: Apache-2.0
/// @file  Runs the shards of the product space, and says at the end how many designs there were and how they agreed.
#define DOCTEST_CONFIG_IMPLEMENT
#include "exhaustive/shard.hpp"

#include <cstdio>  // printf

namespace sextant::test {

namespace {

tally all;

template <int... Index> constexpr int count_fitting(std::integer_sequence<int, Index...>) {
  constexpr int forgets = forget_axis::size, norms = norm_axis::size, orders = order_axis::size;
  return (0 + ... + int(product_fits<Index / orders / norms / forgets, Index / orders / norms % forgets,
                                     Index / orders % norms, Index % orders>));
}
/// The number of designs, counted by the rules alone.
constexpr int fitting = shortcut_axis::size * heads_axis::size * map_axis::size *
                        count_fitting(std::make_integer_sequence<int, input_axis::size * forget_axis::size *
                                                                          norm_axis::size * order_axis::size>{});

}  // namespace

void add(const tally& found) {
  all.designs += found.designs;
  all.agreed += found.agreed;
  if (!(found.worst <= all.worst)) all.worst = found.worst;
  for (int i = 0; i < planned_form_count; ++i) {
    all.runs[i] += found.runs[i];
    if (!(found.worst_of[i] <= all.worst_of[i])) all.worst_of[i] = found.worst_of[i];
  }
}

}  // namespace sextant::test

int main(int argc, char** argv) {
  using namespace sextant::test;
  doctest::Context context(argc, argv);
  const int failed = context.run();
  if (context.shouldExit()) return failed;
  std::printf("%d designs of the product space compiled, %d agreed; worst error %.2e\n", all.designs, all.agreed, all.worst);
  for (int i = 0; i < planned_form_count; ++i)
    std::printf("  %-10s runs %5d of them, worst error %.2e\n", planned_forms<float>[i].name, all.runs[i], all.worst_of[i]);
  if (argc == 1 && all.designs != fitting) {
    std::printf("but %d designs fit: a shard is missing\n", fitting);
    return 1;
  }
  return failed;
}
