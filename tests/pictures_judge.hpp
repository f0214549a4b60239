// SPDX-License-Identifier: Apache-2.0
/// @file  Small Vim and VMamba and their class scores on the CPU in double, for tests on a GPU, whose compiler takes no code of the
///        CPU's operations.
#pragma once

#include <cstdint>  // uint64_t
#include <vector>   // vector

#include <sextant/models/vim.hpp>
#include <sextant/models/vmamba.hpp>

namespace sextant::test {

inline constexpr std::uint64_t judged_pictures_seed = 5;
/// 25 patches and the class token; channels that are whole pieces of 16 bytes, and a rank that is not.
inline constexpr models::vim judged_vim{
    {.embed = 80, .layers = 3, .patch = 8, .picture = 40, .state = 16, .classes = 40}};
inline constexpr models::vmamba judged_vmamba{{.embed = 32, .depths = {1, 2, 1, 1}, .classes = 40}};
/// Two inner channels for each and a state of 16, and LocalMamba's windows.
inline constexpr models::vmamba judged_vmamba_wide{
    {.embed = 32, .depths = {1, 1, 1, 1}, .expand = 2, .state = 16, .classes = 40, .window = 3}};

/// Class scores of pictures [B, H, W, 3] by a network whose weights begin with judged_pictures_seed.
std::vector<double> scores_of(const models::vim& net, const std::vector<double>& pictures, index_t B, index_t H,
                              index_t W);
/// VMamba's.
std::vector<double> scores_of(const models::vmamba& net, const std::vector<double>& pictures, index_t B, index_t H,
                              index_t W);

}  // namespace sextant::test
