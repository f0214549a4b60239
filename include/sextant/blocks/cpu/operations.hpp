// SPDX-License-Identifier: Apache-2.0
/// @file  All operations of blocks on cpu::serial and cpu::parallel.
#pragma once

#include <sextant/blocks/cpu/conv1d.hpp>
#include <sextant/blocks/cpu/convolution.hpp>
#include <sextant/blocks/cpu/depthwise.hpp>
#include <sextant/blocks/cpu/linear.hpp>
#include <sextant/blocks/cpu/moe.hpp>
#include <sextant/blocks/cpu/norm.hpp>
#include <sextant/blocks/cpu/reorder.hpp>
#include <sextant/blocks/cpu/rowwise.hpp>
