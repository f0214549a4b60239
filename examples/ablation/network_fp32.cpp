// SPDX-License-Identifier: Apache-2.0
/// @file  The networks in fp32.
#include "network_rows.hpp"

template ablation::network_results ablation::run_networks<sextant::fp32>(const network_request&, std::span<const float>,
                                                                         const std::function<void(const char*)>&);
