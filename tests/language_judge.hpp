// SPDX-License-Identifier: Apache-2.0
/// @file  Small language models and their logits on the CPU in double, for tests on a GPU, whose compiler takes no code of the
///        CPU's operations.
#pragma once

#include <cstdint>  // int32_t, uint64_t
#include <vector>   // vector

#include <sextant/models/language.hpp>

namespace sextant::test {

inline constexpr index_t judged_vocabulary = 60;
inline constexpr std::uint64_t judged_seed = 5;
inline constexpr auto judged_mamba =
    models::mamba_130m.with_sizes({.vocabulary = judged_vocabulary, .model = 64, .layers = 2});
inline constexpr auto judged_mamba2 = models::mamba2_130m.with_sizes(
    {.vocabulary = judged_vocabulary, .model = 64, .layers = 2, .state = 64, .head = 32});
inline constexpr auto judged_moe = models::mamba_130m.with_sizes({.vocabulary = judged_vocabulary,
                                                                  .model = 64,
                                                                  .layers = 2,
                                                                  .experts = 4,
                                                                  .expert_hidden = 96,
                                                                  .capacity_factor = 0});

/// Logits [B T, vocabulary] of one of these, its weights begun with judged_seed.
std::vector<double> logits_of(const models::language<std::remove_const_t<decltype(mamba)>>& net,
                              const std::vector<std::int32_t>& ids, index_t batch);
/// Mamba-2's.
std::vector<double> logits_of(const models::language<std::remove_const_t<decltype(mamba2)>>& net,
                              const std::vector<std::int32_t>& ids, index_t batch);

}  // namespace sextant::test
