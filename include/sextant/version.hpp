// SPDX-License-Identifier: Apache-2.0
/// @file  The library's version: one integer that the preprocessor can compare and from which the build reads its own.
#pragma once

/// The version as major * 10000 + minor * 100 + patch, so 100 is 0.1.0. Before 1.0 a new minor version may change names.
#define SEXTANT_VERSION 100
