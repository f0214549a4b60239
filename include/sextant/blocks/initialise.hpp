// SPDX-License-Identifier: Apache-2.0
/// @file  Weights before training, as the papers' code begins.
#pragma once

#include <cmath>        // abs, cos, exp, expm1, log, sin, sqrt
#include <cstddef>      // byte
#include <cstdint>      // uint64_t
#include <span>         // span
#include <string_view>  // string_view
#include <type_traits>  // remove_cvref_t

#include <sextant/blocks/tensor.hpp>
#include <sextant/status.hpp>

namespace sextant::blocks {

/// Pseudo-random numbers that are the same on every machine: splitmix64 (Steele et al. 2014).
class random_numbers {
 public:
  explicit constexpr random_numbers(std::uint64_t seed) : state(seed) {}
  constexpr std::uint64_t bits() {
    std::uint64_t x = state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  /// From 0 to below 1, in steps of 2^-53.
  constexpr double uniform() { return double(bits() >> 11) * 0x1p-53; }
  /// Of mean 0 and deviation 1, two at a time (Box and Muller).
  double normal() {
    if (has_spare) return has_spare = false, spare;
    const double radius = std::sqrt(-2 * std::log(1 - uniform())), angle = 6.283185307179586477 * uniform();
    spare = radius * std::sin(angle), has_spare = true;
    return radius * std::cos(angle);
  }

 private:
  std::uint64_t state;
  double spare = 0;
  bool has_spare = false;
};

namespace detail {

/// FNV-1a over the names of a path, from the root on.
inline std::uint64_t hash_of(const path& at, std::uint64_t seed) {
  std::uint64_t hash = at.parent != nullptr ? hash_of(*at.parent, seed) : seed ^ 0xcbf29ce484222325u;
  const auto mix = [&hash](std::uint64_t part) { hash = (hash ^ part) * 0x100000001b3u; };
  for (const char c : std::string_view(at.name)) mix(static_cast<unsigned char>(c));
  if (at.number >= 0) mix(std::uint64_t(at.number));
  mix('.');
  return hash;
}

/// What is kept of a public number, and the public number of what is kept.
inline double kept_of(kept as, double x) { return as == kept::minus_exp ? -std::exp(x) : as == kept::half ? x / 2 : x; }
inline double public_of(kept as, double x) {
  return as == kept::minus_exp ? std::log(-x) : as == kept::half ? 2 * x : x;
}

/// A number of a tensor; `last` is its index along the last axis.
inline double begin(const start& how, random_numbers& random, index_t last) {
  using enum start::rule;
  switch (how.by) {
    case constant:
      return how.a;
    case normal:
      for (;;)
        if (const double x = how.a * random.normal(); std::abs(x) <= 2) return x;
    case uniform:
      return how.a + (how.b - how.a) * random.uniform();
    case log_of_count:
      return std::log(double(last + 1));
    case log_uniform:
      return std::log(how.a + (how.b - how.a) * random.uniform());
    case inverse_softplus: {
      const double logarithm = std::log(how.a) + (std::log(how.b) - std::log(how.a)) * random.uniform();
      const double step = std::exp(logarithm) > 1e-4 ? std::exp(logarithm) : 1e-4;
      return step + std::log(-std::expm1(-step));
    }
  }
  return 0;
}

}  // namespace detail

/// Binds a module to memory, bytes(module) of it from a multiple of tensor_alignment on, and fills it as the papers' code
/// begins: each tensor by its own rule (tensor::first), from numbers that depend on the seed and the tensor's name alone.
/// BatchNorm begins as the identity but for its epsilon.
template <class Module> status initialise(Module& module, std::span<std::byte> memory, std::uint64_t seed) {
  if (memory.size() < bytes(module)) return {errc::workspace, "initialise: fewer bytes than bytes(module) says"};
  if (!detail::is_aligned(memory.data()))
    return {errc::workspace, "initialise: the memory does not begin at a multiple of tensor_alignment"};
  blocks::bind(module, memory.data());
  for_each_tensor(module, [&](const path& at, const auto& t) {
    using element = typename std::remove_cvref_t<decltype(t)>::element;
    random_numbers random(detail::hash_of(path(at, t.name), seed));
    const double scale = t.normalised ? 1 / std::sqrt(1 + detail::batch_norm_eps) : 1;
    element* const to = detail::memory_of(t);
    const index_t last = t.rank > 0 ? t.shape[t.rank - 1] : 1;
    detail::for_each_number(t, [&](index_t place, index_t, index_t i) {
      const double value = t.public_one ? detail::begin(t.first, random, i % last) : 0;
      to[place] = element(detail::kept_of(t.as, value) * scale);
    });
  });
  return {};
}

}  // namespace sextant::blocks
