// SPDX-License-Identifier: Apache-2.0
/// @file  All operations of blocks on gpu::stream and gpu::block_stream.
#pragma once

#include <sextant/blocks/cuda/conv1d.cuh>
#include <sextant/blocks/cuda/convolution.cuh>
#include <sextant/blocks/cuda/depthwise.cuh>
#include <sextant/blocks/cuda/elementwise.cuh>
#include <sextant/blocks/cuda/feed_forward.cuh>
#include <sextant/blocks/cuda/linear.cuh>
#include <sextant/blocks/cuda/moe.cuh>
#include <sextant/blocks/cuda/norm.cuh>
#include <sextant/blocks/cuda/tokens.cuh>
