// SPDX-License-Identifier: Apache-2.0
/// @file  Distinction 5, heads: which channels share a query and a key.
#pragma once

#include <sextant/design/part.hpp>

/// Heads. v and y have H heads of V channels, q and k have Hk heads of K keys; head h reads q, k of head
/// floor(h Hk / H).
namespace sextant::heads {

/// Hk = H = 1: all channels share one query and one key (Mamba).
struct single {
  static constexpr part answers = part::heads;
  static constexpr const char* name = "single";
  static constexpr const char* formula = "Hk = H = 1";
  static constexpr const char* requirement = "heads::single: q, k and v have one head";
  SEXTANT_FN static constexpr bool allows(index_t key_heads, index_t heads) { return key_heads == 1 && heads == 1; }
};

/// Hk = H: every head has its own (attention).
struct multi {
  static constexpr part answers = part::heads;
  static constexpr const char* name = "multi";
  static constexpr const char* formula = "Hk = H";
  static constexpr const char* requirement = "heads::multi: q, k and v have the same number of heads";
  SEXTANT_FN static constexpr bool allows(index_t key_heads, index_t heads) { return key_heads == heads; }
};

/// Hk divides H: several value heads share a query and a key (Mamba-2's groups).
struct grouped {
  static constexpr part answers = part::heads;
  static constexpr const char* name = "grouped";
  static constexpr const char* formula = "Hk divides H";
  static constexpr const char* requirement = "heads::grouped: the number of heads of q and k divides that of v";
  SEXTANT_FN static constexpr bool allows(index_t key_heads, index_t heads) {
    return key_heads > 0 ? heads % key_heads == 0 : heads == 0;
  }
};

}  // namespace sextant::heads
