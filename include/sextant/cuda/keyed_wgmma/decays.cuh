// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, what a warp makes of a unit: sums of logarithms, and queries and keys that have their
///        decays in them.
#pragma once

#include <utility>  // integer_sequence

#include <sextant/cuda/keyed_wgmma/gates.cuh>
#include <sextant/cuda/keyed_wgmma/rotations.cuh>
#include <sextant/cuda/ptx/shared_words.cuh>

namespace sextant::gpu::wgmma {

/// How far exponents may lie from 0 where queries and keys are multiplied by reciprocal factors: products of two such
/// factors, and the state times one, are far from the ends of a float's range.
inline constexpr float keyed_reach = 64.0f;

/// G_i - G of a unit by position, a lane having four neighbouring keys of the first or the last 8 positions.
template <class Plan> struct step_decays {
  static constexpr int count = Plan::step_rows / 2, keys = 4;
  float since_end[std::size_t(count)][std::size_t(keys)], whole[std::size_t(keys)];
  float entered[std::size_t(keys)];  // for a normaliser: the sum of k_i 2^(G - G_i) of a lane's rows

  /// A lane's first key.
  static __device__ __forceinline__ int key_of(int lane) { return keys * (lane % 16); }
  /// The first of a lane's rows.
  static __device__ __forceinline__ int first_row(int lane) { return lane / 16 != int(Plan::reversed) ? count : 0; }
  /// Where a lane's numbers begin in a tile: those of its first row, swizzled as row 0 is.
  static __device__ __forceinline__ std::uint32_t lane_at(std::uint32_t unit, int lane) {
    return unit + std::uint32_t(128 * first_row(lane) + lane % 16 * 8);
  }
  /// Which of these rows has the i-th of a lane's positions; where its numbers lie, less bytes(i).
  static constexpr __device__ int row_of(int i) { return Plan::reversed ? count - 1 - i : i; }
  static __device__ __forceinline__ std::uint32_t place(std::uint32_t lane_at, int i) {
    return lane_at ^ std::uint32_t(row_of(i) << 4);
  }
  static constexpr __device__ int bytes(int i) { return 128 * row_of(i); }

  /// Sums up the raw decays of a step that begins with token `first` of its sequence; where there are no tokens, nothing
  /// decays.
  template <class Call, class Gates>
  __device__ __forceinline__ void sum(const Call& call, const Gates& gates, std::uint32_t lane_at, int first,
                                      int lane) {
    uint2 raw[std::size_t(count)];
    each([&](auto which) {
      constexpr int i = which.value;
      raw[i] = ptx::load_words<k_rest_at + bytes(i)>(place(lane_at, i));
    });
    bool extreme = true;
    if constexpr (Gates::has_short_form) {
      std::uint32_t lowest = raw[0].x;
#pragma unroll
      for (int i = 0; i < count; ++i) {
        asm("min.bf16x2 %0, %0, %1;" : "+r"(lowest) : "r"(raw[i].x));
        asm("min.bf16x2 %0, %0, %1;" : "+r"(lowest) : "r"(raw[i].y));
      }
      extreme = __any_sync(~0u, gates.extreme(lowest));
    }
    if (extreme) set_parts(raw, [&](float x, int key) { return gates.part(x, key); });
    else set_parts(raw, [&](float x, int key) { return gates.short_part(x, key); });
    if (first + Plan::step_rows > call.tokens) {
      const int left = call.tokens - first - first_row(lane);
#pragma unroll
      for (int i = 0; i < count; ++i)
#pragma unroll
        for (int key = 0; key < keys; ++key)
          if (row_of(i) >= left) since_end[i][key] = 0.0f;
    }
    const float unit = gates.unit();
#pragma unroll
    for (int key = 0; key < keys; ++key) {
#pragma unroll
      for (int i = 1; i < count; ++i) since_end[i][key] += since_end[i - 1][key];
      const float own = since_end[count - 1][key], all = own + __shfl_xor_sync(~0u, own, 16);
      const float until_end = -unit * (lane < 16 ? all : own);
#pragma unroll
      for (int i = 0; i < count; ++i) since_end[i][key] = fmaf(unit, since_end[i][key], until_end);
      whole[key] = unit * all;
    }
  }
  /// Whether some exponent lies beyond the reach; of decays alone the whole step's is the largest.
  template <bool OnlyDecays> __device__ __forceinline__ bool leaves_reach() const {
    float most = 0.0f;
#pragma unroll
    for (int key = 0; key < keys; ++key) {
      most = fmaxf(most, fabsf(whole[key]));
#pragma unroll
      for (int i = 0; !OnlyDecays && i < count; ++i) most = fmaxf(most, fabsf(since_end[i][key]));
    }
    return most > keyed_reach;
  }
  /// Puts the sums into the places of the rests, as floats, those of every other key in each.
  __device__ __forceinline__ void stash(std::uint32_t lane_at) const {
    each([&](auto which) {
      constexpr int i = which.value;
      const float(&its)[std::size_t(keys)] = since_end[i];
      const std::uint32_t at = place(lane_at, i);
      ptx::store_words<q_rest_at + bytes(i)>(at, __float_as_uint(its[0]), __float_as_uint(its[2]));
      ptx::store_words<k_rest_at + bytes(i)>(at, __float_as_uint(its[1]), __float_as_uint(its[3]));
    });
  }
  /// Queries and keys of the step that begins with token `first`, in place and beside.
  template <class Features>
  __device__ __forceinline__ void decay_rows(const Features& features, std::uint32_t lane_at, int first, int lane) {
    constexpr int at_once = 2;
    auto rotations = features.template rotations<false>(lane, first + first_row(lane) + row_of(0));
    begin_sums();
    each_group<at_once>([&](auto group) {
      uint2 q[at_once], k[at_once];  // all of them on their way before the first is needed
      each_of<at_once>(group, [&](auto which, int n) {
        constexpr int i = which.value;
        q[n] = ptx::load_words<q_at + bytes(i)>(place(lane_at, i));
        k[n] = ptx::load_words<k_at + bytes(i)>(place(lane_at, i));
      });
      each_of<at_once>(group, [&](auto which, int n) {
        constexpr int i = which.value;
        const std::uint32_t at = place(lane_at, i);
        const float(&its)[std::size_t(keys)] = since_end[i];
        const float opposite[] = {-its[0], -its[1], -its[2], -its[3]};
        store_query<bytes(i)>(features, rotations, at, q[n], its);
        store_key<bytes(i)>(features, rotations, at, k[n], opposite, features.admitted_in(first_row(lane) + row_of(i)));
        rotations.go_on();
      });
    });
  }
  /// The same from stashed sums, row after row, with little code: keys, and if `queries` says so these times 2^G_i.
  template <class Features>
  __device__ __forceinline__ void decay_stashed_rows(const Features& features, std::uint32_t lane_at, int first,
                                                     int lane, bool queries) {
    auto rotations = features.template rotations<true>(lane, first + first_row(lane));
    begin_sums();
#pragma unroll 1
    for (int row = 0; row < count; ++row) {
      const std::uint32_t at = (lane_at ^ std::uint32_t(row << 4)) + std::uint32_t(128 * row);
      const uint2 even = ptx::load_words<q_rest_at>(at), odd = ptx::load_words<k_rest_at>(at),
                  k = ptx::load_words<k_at>(at);
      const float its[] = {__uint_as_float(even.x), __uint_as_float(odd.x), __uint_as_float(even.y),
                           __uint_as_float(odd.y)};
      const float opposite[] = {-its[0], -its[1], -its[2], -its[3]};
      if (queries) {
        const float since_start[] = {its[0] + whole[0], its[1] + whole[1], its[2] + whole[2], its[3] + whole[3]};
        store_query<0>(features, rotations, at, ptx::load_words<q_at>(at), since_start);
      }
      store_key<0>(features, rotations, at, k, opposite, features.admitted_in(first_row(lane) + row));
      rotations.go_on();
    }
  }

 private:
  template <class Part>
  __device__ __forceinline__ void set_parts(const uint2 (&raw)[std::size_t(count)], const Part& part) {
#pragma unroll
    for (int i = 0; i < count; ++i) {
      float(&its)[std::size_t(keys)] = since_end[i];
      detail::widen_pair<typename Plan::token>(raw[i].x, its[0], its[1]);
      detail::widen_pair<typename Plan::token>(raw[i].y, its[2], its[3]);
#pragma unroll
      for (int key = 0; key < keys; ++key) its[key] = part(its[key], key);
    }
  }
  __device__ __forceinline__ void begin_sums() {
    if constexpr (Plan::normalised)
#pragma unroll
      for (int key = 0; key < keys; ++key) entered[key] = 0.0f;
  }
  /// What `of` makes of two numbers, turned, times 2^exponent.
  template <class Of>
  static __device__ __forceinline__ float2 decayed(const lane_rotations<Plan>& rotations, int pair, std::uint32_t word,
                                                   float exponent_x, float exponent_y, const Of& of) {
    float x, y;
    detail::widen_pair<typename Plan::token>(word, x, y);
    x = of(x), y = of(y);
    rotations.turn(pair, x, y);
    return {x * ptx::exp2_approx(exponent_x), y * ptx::exp2_approx(exponent_y)};
  }
  /// Two numbers in two parts of 16 bits.
  static __device__ __forceinline__ uint2 in_parts(float2 x) {
    using token = typename Plan::token;
    float high_x, high_y;
    const std::uint32_t high = detail::round_pair<token>(x.x, x.y);
    detail::widen_pair<token>(high, high_x, high_y);
    return {high, detail::round_pair<token>(x.x - high_x, x.y - high_y)};
  }
  template <int Bytes, class Features>
  static __device__ __forceinline__ void store_query(const Features& features, const lane_rotations<Plan>& rotations,
                                                     std::uint32_t at, uint2 q,
                                                     const float (&exponents)[std::size_t(keys)]) {
    const auto query = [&](float x) { return features.query(x); };
    const uint2 x = in_parts(decayed(rotations, 0, q.x, exponents[0], exponents[1], query)),
                y = in_parts(decayed(rotations, 1, q.y, exponents[2], exponents[3], query));
    ptx::store_words<q_at + Bytes>(at, x.x, y.x), ptx::store_words<q_rest_at + Bytes>(at, x.y, y.y);
  }
  template <int Bytes, class Features>
  __device__ __forceinline__ void store_key(const Features& features, const lane_rotations<Plan>& rotations,
                                            std::uint32_t at, uint2 k, const float (&exponents)[std::size_t(keys)],
                                            float admitted) {
    const auto key = [&](float x) { return Features::weighs ? features.key(x) * admitted : features.key(x); };
    const float2 low = decayed(rotations, 0, k.x, exponents[0], exponents[1], key),
                 high = decayed(rotations, 1, k.y, exponents[2], exponents[3], key);
    if constexpr (Plan::normalised)
      entered[0] += low.x, entered[1] += low.y, entered[2] += high.x, entered[3] += high.y;
    const uint2 x = in_parts(low), y = in_parts(high);
    ptx::store_words<k_at + Bytes>(at, x.x, y.x), ptx::store_words<k_rest_at + Bytes>(at, x.y, y.y);
  }
  template <class Visit, int... I>
  static __device__ __forceinline__ void each_of_these(const Visit& visit, std::integer_sequence<int, I...>) {
    (visit(std::integral_constant<int, I>{}), ...);
  }
  /// visit(i) for all of a lane's positions, known to the compiler.
  template <class Visit> static __device__ __forceinline__ void each(const Visit& visit) {
    each_of_these(visit, std::make_integer_sequence<int, count>{});
  }
  /// visit(group) for groups of `Size` positions, and visit(i, its number in the group) for those of one.
  template <int Size, class Visit> static __device__ __forceinline__ void each_group(const Visit& visit) {
    each_of_these(visit, std::make_integer_sequence<int, count / Size>{});
  }
  template <int Size, class Group, class Visit>
  static __device__ __forceinline__ void each_of(Group, const Visit& visit) {
    each_of_these([&](auto n) { visit(std::integral_constant<int, Group::value * Size + n.value>{}, n.value); },
                  std::make_integer_sequence<int, Size>{});
  }
};

}  // namespace sextant::gpu::wgmma
