// SPDX-License-Identifier: Apache-2.0
/// @file  Seeded numbers that are the same bits with every compiler, unlike those of <random>'s distributions.
#pragma once

#include <cstdint>      // uint64_t, int64_t
#include <string_view>  // string_view

namespace ablation {

/// splitmix64 (Steele, Lea and Flood, OOPSLA 2014): a counter, scrambled.
class random_stream {
 public:
  explicit constexpr random_stream(std::uint64_t seed) : state(seed) {}

  /// 64 random bits.
  constexpr std::uint64_t next() {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t x = state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

  /// Uniform in [0, 1), a multiple of 2^-24.
  constexpr float uniform() { return static_cast<float>(next() >> 40) / 16777216.0f; }

  /// Mean 0, deviation 1, bell-shaped within -6 and 6: the sum of twelve 16-bit integers (Irwin and Hall). Integers
  /// are exact everywhere; the logarithm and cosine of a true normal draw differ in their last bit from one library
  /// to the next.
  constexpr float normal() {
    std::int64_t sum = -6 * 65535;
    for (int draw = 0; draw < 3; ++draw)
      for (std::uint64_t bits = next(), i = 0; i < 4; ++i, bits >>= 16) sum += static_cast<std::int64_t>(bits & 65535u);
    return static_cast<float>(sum) / 65536.0f;  // 20 bits: exact
  }

 private:
  std::uint64_t state;
};

/// The stream of one tensor: it depends on the run's seed and the tensor's name alone (FNV-1a), never on what was
/// drawn before.
constexpr random_stream stream_of(std::uint64_t seed, std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return random_stream(random_stream(seed).next() ^ hash);
}

}  // namespace ablation
