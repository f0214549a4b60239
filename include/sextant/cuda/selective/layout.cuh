// SPDX-License-Identifier: Apache-2.0
/// @file  What of a design is known when its kernel is compiled, a block's shape and shared memory, and its place in a call.
#pragma once

#include <cstddef>  // size_t

#include <sextant/design/design.hpp>
#include <sextant/tensor/sequence.hpp>

namespace sextant::gpu::lanes {

/// Count elements. The compilers' warnings about signs want the cast in one place.
template <class Element, int Count> using array = Element[static_cast<std::size_t>(Count)];

/// How a forget gate that varies over channels or keys is evaluated.
enum class decay_kind {
  fixed,    ///< reads no token: computed once, in registers
  channel,  ///< the same for all keys: once per token and channel, with v
  state,    ///< of a number per channel and a rate per key: once per token, channel and key
  row,      ///< the same for all channels, of a tensor per key: once per token and key, with k
  other,    ///< of a tensor per key and channel; or of none of these
};

template <class Gate> consteval decay_kind decay_kind_of() {
  constexpr per raw = raw_granularity<Gate>, rate = rate_granularity<Gate>, both = granularity<Gate>;
  if (raw == per::key && both == per::key) return decay_kind::row;
  if ((both != per::channel && both != per::key_channel) || raw == per::key || raw == per::key_channel)
    return decay_kind::other;
  if (raw == per::nothing) return decay_kind::fixed;
  return rate == per::key || rate == per::key_channel ? decay_kind::state : decay_kind::channel;
}

/// What a design reads of its tokens.
template <class Design, class Precision> struct design_traits {
  using design = Design;
  using precision = Precision;
  using token = typename Precision::token;
  using input_type = typename Design::input_type;
  using forget_type = typename Design::forget_type;

  template <class Gate> static constexpr bool own_of(per p) { return reads_own<Gate> && raw_granularity<Gate> == p; }
  static constexpr decay_kind decay = decay_kind_of<forget_type>();
  static constexpr per step = sextant::detail::step_granularity<Design>;
  static constexpr bool step_of_channel = step == per::channel, step_of_head = step == per::head;
  static constexpr bool forget_of_channel = own_of<forget_type>(per::channel),
                        forget_of_head = own_of<forget_type>(per::head);
  static constexpr bool forget_of_key = own_of<forget_type>(per::key);
  static constexpr bool input_of_channel = own_of<input_type>(per::channel),
                        input_of_head = own_of<input_type>(per::head);
  static constexpr bool has_input = !std::is_same_v<input_type, input::one>;
  static constexpr bool has_gate = sextant::detail::has_output_gate<Design>;
  static constexpr bool learned = sextant::detail::is_learned<Design>;
  static constexpr bool reversed = std::is_same_v<typename Design::order_type, order::reversed>;
  static constexpr bool normalises = sextant::detail::normalises<typename Design::norm_type>;
  static constexpr bool plain_map = std::is_same_v<typename Design::map_type, map::identity>;
  /// Tokens of 16 bits carry errors of 2^-9 or 2^-12: functions that are off by less will do.
  static constexpr bool exact = sizeof(token) == 4;
};

/// A warp has `Lanes` lanes to a channel and all keys of one head of one sequence: lane q C + c, C channels, holds keys
/// q K / L .. of channel c. `Keys` is K rounded up; keys beyond K hold zeros. Tokens are worked on in rounds of 8, and as
/// many are fetched at a time.
template <class Design, class Precision, int Keys, int Lanes> struct warp_layout : design_traits<Design, Precision> {
  using base = design_traits<Design, Precision>;
  using token = typename base::token;
  static constexpr int keys = Keys, lanes = Lanes, channels = 32 / Lanes, states = Keys / Lanes, round = 8;
  static_assert(states % 4 == 0 && round % Lanes == 0);
  static constexpr int stages = 4;  ///< rounds of tokens kept as they arrive
  /// One exponential in so many goes to the multiply-add units, which have room left. In float it is the first of a lane's
  /// keys, of each token: where state space models have their longest memory, and errors have longest to add up.
  static constexpr int polynomial_every = base::exact ? states : Keys > 16 ? 8 : 32;
  /// Floats of phi(k), phi(q) and, where it is the same for all channels, F of one token; 4 more against bank conflicts.
  static constexpr int row = (base::forget_of_key ? 3 : 2) * Keys + 4;

  template <bool Has, class Element, int Count> struct array_if { alignas(16) array<Element, Has ? Count : 1> at; };
  template <bool Has> using of_channels = array_if<Has, token, round * channels>;
  template <bool Has> using of_head = array_if<Has, float, round>;

  /// The tokens of a round as they arrive, row after row.
  struct arrivals {
    of_channels<true> v;
    of_channels<base::step_of_channel> dt;
    of_channels<base::forget_of_channel> forget;
    of_channels<base::input_of_channel> input;
    of_channels<base::has_gate> gate;
    alignas(16) array<token, round * Keys> keys[2];  ///< k, q
    array_if<base::forget_of_key, token, round * Keys> forget_keys;
    of_head<base::step_of_head> dt_head;
    of_head<base::forget_of_head> forget_head;
    of_head<base::input_of_head> input_head;
  };
};

/// What a warp computes: some channels of head blockIdx.y of sequence blockIdx.z.
struct block_place {
  int n, h, key_head;     ///< sequence, head, head of q and k
  int block;              ///< of channels, of the head's
  index_t first, length;  ///< where its tokens lie
  bool packed;            ///< in the only batch there is

  template <class Sequence> __device__ __forceinline__ block_place(const Sequence& x, int its_block) {
    n = int(blockIdx.z), h = int(blockIdx.y), block = its_block;
    key_head = h * int(x.k.template extent<axis::head>()) / int(x.v.template extent<axis::head>());
    packed = bool(x.offsets), first = 0, length = x.v.template extent<axis::time>();
    if (packed) {
      const index_t from = x.offsets(n), to = x.offsets(n + 1);
      first = from < 0 ? 0 : from > length ? length : from;
      length = (to < first ? first : to > length ? length : to) - first;
    }
  }
  __device__ __forceinline__ int batch() const { return packed ? 0 : n; }
  /// Leaves `count` tokens from `from` on, in the order of time.
  template <bool Reversed> __device__ __forceinline__ void keep(index_t from, index_t count) {
    first += Reversed ? length - from - count : from;
    length = count;
  }
  /// Where the first token lies in the order of time.
  template <bool Reversed> __device__ __forceinline__ index_t start() const {
    return Reversed ? first + length - 1 : first;
  }
};

}  // namespace sextant::gpu::lanes
