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
  one,      ///< there is none
  fixed,    ///< reads no token: computed once, in registers
  channel,  ///< the same for all keys, also for all channels: once per token and channel, with v
  state,    ///< of a number per channel and a rate per key: once per token, channel and key
  row,      ///< the same for all channels, of a tensor per key: once per token and key, with k
  other,    ///< of a tensor per key and channel; or of none of these
};

template <class Gate> consteval decay_kind decay_kind_of() {
  constexpr per raw = raw_granularity<Gate>, rate = rate_granularity<Gate>, both = granularity<Gate>;
  if (std::is_same_v<Gate, forget::one>) return decay_kind::one;
  if (raw == per::key && both == per::key) return decay_kind::row;
  if (both == per::key || raw == per::key || raw == per::key_channel) return decay_kind::other;
  if (raw == per::nothing) return decay_kind::fixed;
  return rate == per::key || rate == per::key_channel ? decay_kind::state : decay_kind::channel;
}

/// Whether a forget gate is the same for all channels and keys, if there is one: matrix products can do what it asks for.
template <class Gate>
inline constexpr bool same_for_all = granularity<Gate> == per::nothing || granularity<Gate> == per::head;

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
  static constexpr bool turns_1d = sextant::detail::turns_1d<Design>, turns_2d = sextant::detail::turns_2d<Design>;
  static constexpr bool turns = turns_1d || turns_2d;
  static constexpr bool plain_map = std::is_same_v<typename Design::map_type, map::identity>;
  /// Tokens of 16 bits carry errors of 2^-9 or 2^-12: functions that are off by less will do.
  static constexpr bool exact = sizeof(token) == 4;
};

/// A warp has `Lanes` lanes to `Own` neighbouring channels and all keys of one head of one sequence: lane (p, q) holds keys
/// q K / L .. of channels p Own and, if there are two, the next. `Keys` is K rounded up; keys beyond K hold zeros. Tokens are
/// worked on in rounds of 8, and as many are fetched at a time. `Warps` of a block, with neighbouring channels, fetch and
/// prepare k and q together.
template <class Design, class Precision, int Keys, int Lanes, int Own, int Warps>
struct warp_layout : design_traits<Design, Precision> {
  using base = design_traits<Design, Precision>;
  using token = typename base::token;
  static constexpr int keys = Keys, lanes = Lanes, own = Own, channels = 32 / Lanes * Own, round = 8;
  static constexpr int warps = Warps, threads = 32 * Warps, of_block = channels * Warps;
  static constexpr int states = Keys / Lanes;  ///< of a lane, for each of its channels
  static constexpr int vector = 4;             ///< keys read at once
  static_assert(states % vector == 0 && (Own == 1 || Own == 2));
  static constexpr int stages = 4;  ///< rounds of tokens kept as they arrive
  /// Whether exponential n of a lane's at token t goes to the multiply-add units, which have room left: one in 16, of 64 keys
  /// one in 10, of floats and beside a normaliser, which takes some of that room, one in 32. Which one decides how the compiler
  /// lays out the tokens around it: these were the fastest of those tried.
  static constexpr bool by_polynomial(int t, int n) {
    if (Keys > 32) return base::exact ? n % 16 == 4 : n % 10 == 5;
    if (Keys > 16) return n % 16 == 4 && t % 2 == 0;
    if (Own == 1) return n == 3 && t % 4 == 0;
    if (base::exact) return n == 3 && t % 4 == 1;
    if (base::normalises) return n == 0 && t % 4 == 2;
    return n == (base::has_gate ? 3 : 6) && t % 2 == int(base::has_gate);
  }
  /// Floats of phi(k), phi(q) and, where it is the same for all channels, F of one token; of 16 keys as many always, against
  /// bank conflicts. Behind them phi(k) and phi(q) before they are turned, where a normaliser reads them.
  static constexpr int turned_row = Keys == 16 ? 48 : 2 * Keys;
  static constexpr bool keeps_unturned = base::turns && base::normalises;
  static constexpr int row = turned_row + (keeps_unturned ? 2 * Keys : 0);
  static constexpr int unturned_at = keeps_unturned ? turned_row : 0;
  /// Where a token's begin. With 16 keys the halves of a warp sum a normaliser for a half of the tokens each: those of the
  /// later half lie half a turn of the banks further.
  static constexpr int gap = Keys == 16 && base::normalises ? 16 : 0, rows = round * row + gap;
  static __device__ __forceinline__ constexpr int row_at(int t) { return t * row + (t >= round / 2 ? gap : 0); }

  // Which lane is (p, q). Bit 0 is of p, so that neighbours read the same of k and q, and bit 1 of q, so that lanes two apart
  // read the same of their channels: then 16 lanes that read 16 bytes each are served at once.
  static_assert(Lanes == 4 || Lanes == 8);
  static constexpr int bits_of_q = Lanes == 8 ? 0b11010 : 0b10010;
  static __device__ __forceinline__ int gathered(int lane, int bits) {
    int number = 0, place = 0;
#pragma unroll
    for (int bit = 0; bit < 5; ++bit)
      if (bits >> bit & 1) number |= (lane >> bit & 1) << place++;
    return number;
  }
  static __device__ __forceinline__ int spread(int number, int bits) {
    int lane = 0, place = 0;
#pragma unroll
    for (int bit = 0; bit < 5; ++bit)
      if (bits >> bit & 1) lane |= (number >> place++ & 1) << bit;
    return lane;
  }
  static __device__ __forceinline__ int p_of(int lane) { return gathered(lane, 31 ^ bits_of_q); }
  static __device__ __forceinline__ int q_of(int lane) { return gathered(lane, bits_of_q); }
  static __device__ __forceinline__ int lane_of(int p, int q) {
    return spread(p, 31 ^ bits_of_q) | spread(q, bits_of_q);
  }
  /// op over the lanes of a channel.
  template <class Op> static __device__ __forceinline__ float over_lanes(float x, const Op& op) {
#pragma unroll
    for (int bit = 0; bit < 5; ++bit)
      if (bits_of_q >> bit & 1) x = op(x, __shfl_xor_sync(~0u, x, 1 << bit));
    return x;
  }

  // What is one number per token and channel is computed, for two channels, by the lane that tends them: lane i those of
  // pair pair_of(i) of tokens token_of(i), token_of(i) + 32 / pairs, ...
  static constexpr int pairs = channels / 2, tended = round * pairs / 32;
  static __device__ __forceinline__ int pair_of(int lane) { return Own == 2 ? p_of(lane) : lane % pairs; }
  static __device__ __forceinline__ int token_of(int lane) { return Own == 2 ? q_of(lane) : lane / pairs; }

  // Where a round's tensors begin among the numbers of its tokens: they lie one behind the other, without gaps.
  static constexpr int of_channels = round * of_block, of_keys = round * Keys;
  static constexpr int v_at = 0, dt_at = of_channels;
  static constexpr int forget_at = dt_at + (base::step_of_channel ? of_channels : 0);
  static constexpr int input_at = forget_at + (base::forget_of_channel ? of_channels : 0);
  static constexpr int gate_at = input_at + (base::input_of_channel ? of_channels : 0);
  static constexpr int k_at = gate_at + (base::has_gate ? of_channels : 0);
  static constexpr int q_at = k_at + of_keys, forget_keys_at = q_at + of_keys;
  static constexpr int numbers = forget_keys_at + (base::forget_of_key ? of_keys : 0);

  template <bool Has> struct of_head { array<float, Has ? round : 1> at; };

  /// The tokens of a round as they arrive, row after row. Memory sends 32 bytes at a time, which take longer where they do not
  /// stay together or begin at no multiple of 32 bytes.
  struct alignas(128) arrivals {
    array<token, numbers> tokens;
    of_head<base::step_of_head> dt_head;
    of_head<base::forget_of_head> forget_head;
    of_head<base::input_of_head> input_head;
  };
};

/// Waits for all warps of a block, which see what the others have written.
template <int Warps> __device__ __forceinline__ void meet_warps() {
  if constexpr (Warps == 1) __syncwarp();
  else __syncthreads();
}

/// What a warp computes: some channels of head blockIdx.y of sequence blockIdx.z.
struct block_place {
  int n, h, key_head;     ///< sequence, head, head of q and k
  int block;              ///< of channels, of the head's
  index_t origin;         ///< where the sequence begins
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
    origin = first;
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
