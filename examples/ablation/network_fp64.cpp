// SPDX-License-Identifier: Apache-2.0
/// @file  The networks in fp64.
#include "network_rows.hpp"

template ablation::network_results ablation::run_networks<sextant::fp64>(const network_request&, std::span<const float>,
                                                                         const std::function<void(const char*)>&);
