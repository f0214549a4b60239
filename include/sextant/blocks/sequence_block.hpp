// SPDX-License-Identifier: Apache-2.0
/// @file  What blocks of sequences share: the state that they hand on, prefill and decode, and how much memory they take.
#pragma once

#include <concepts>     // same_as
#include <cstddef>      // byte, size_t
#include <type_traits>  // type_identity_t

#include <sextant/blocks/memory.hpp>
#include <sextant/blocks/module.hpp>
#include <sextant/blocks/shapes.hpp>
#include <sextant/step.hpp>

namespace sextant::blocks {

/// What a block remembers of the tokens so far: the last inputs of its convolution and its mixer's state. All zero bytes
/// are the state before the first token.
template <class E> struct sequence_state {
  tokens<E> conv{};             ///< [B, width - 1, channels of the convolution], the oldest first
  bhkv<accumulator_of<E>> S{};  ///< [B, H, N, channels of a head]

  explicit operator bool() const { return bool(conv) || bool(S); }
};

/// The sizes of a state of one sequence.
struct state_sizes {
  index_t before = 0, channels = 0;         ///< of the convolution: tokens and their channels
  index_t heads = 0, keys = 0, values = 0;  ///< of the mixer
};

/// A block of sequences: `E` is its tokens' type, `state_of_one()` the sizes of its state, if it has any, and
/// `forward_block(on, block, u, batch, y, plus, state, memory)` computes it on buffers taken from memory.
template <class Block> concept sequence_block = requires(const Block& w) {
  typename Block::token;
  { w.state_of_one() } -> std::same_as<state_sizes>;
  { w.channels() } -> std::same_as<index_t>;
};

namespace detail {
constexpr std::size_t state_line(std::size_t bytes) {
  return (bytes + buffers::alignment - 1) / buffers::alignment * buffers::alignment;
}
template <sequence_block Block> constexpr std::size_t conv_bytes(const Block& w, index_t batch) {
  const state_sizes s = w.state_of_one();
  return state_line(std::size_t(batch * s.before * s.channels) * sizeof(typename Block::token));
}
}  // namespace detail

/// Bytes of the state of `batch` sequences.
template <sequence_block Block> constexpr std::size_t state_bytes(const Block& w, index_t batch) {
  const state_sizes s = w.state_of_one();
  const std::size_t numbers = std::size_t(batch * s.heads * s.keys * s.values);
  return detail::conv_bytes(w, batch) + detail::state_line(numbers * sizeof(accumulator_of<typename Block::token>));
}
/// The state of `batch` sequences in memory of state_bytes(), from a multiple of 256 bytes on. Where that is zeros, no
/// token has been seen.
template <sequence_block Block>
sequence_state<typename Block::token> state_at(const Block& w, index_t batch, std::byte* memory) {
  using E = typename Block::token;
  const state_sizes s = w.state_of_one();
  auto* const S = reinterpret_cast<accumulator_of<E>*>(memory + detail::conv_bytes(w, batch));
  return {{reinterpret_cast<E*>(memory), {batch, s.before, s.channels}}, {S, {batch, s.heads, s.keys, s.values}}};
}

/// A causal convolution with its activation, silu: of one token by its step, where there is a state.
template <class On, class E>
status run_convolution(const On& on, const tokens<const E>& x, const modules::conv1d<E>& w, const tokens<E>& y,
                       const sequence_state<E>& state) {
  const auto token = [](const auto& of) {
    return rows<std::remove_reference_t<decltype(*of.data())>>(
        of.data(), {of.template extent<axis::batch>(), of.template extent<axis::value>()},
        {of.template stride<axis::batch>(), 1});
  };
  if (state.conv && x.template extent<axis::time>() == 1)
    return causal_conv1d_step(on, token(x), w, state.conv, token(y), activation::silu);
  return causal_conv1d(on, x, w, y, activation::silu, state.conv, state.conv);
}

/// Runs a causal mixer on x, continued from a state that moves on, if there is one: one token by step().
template <class Design, class On, class Sequence, class E>
status run_mixer(const Design& design, const On& on, Sequence& x, const sequence_state<E>& state) {
  x.final_state.S = state.S;
  if (state.S && x.v.template extent<axis::time>() == 1) return sextant::step(design, on, x, x.final_state);
  x.initial_state.S = state.S;
  return sextant::forward(design, on, x);
}

/// y = block(u) + plus, of `batch` sequences that lie one behind another in u [B T, C]; plus may be left out, or y. With a
/// state the sequences continue from it, and it moves on in its place: prefill, and with T = 1 decode. A call that is refused
/// has not moved it.
template <class On, sequence_block Block>
status forward(const On& on, const Block& w, std::type_identity_t<rows<const typename Block::token>> u, index_t batch,
               std::type_identity_t<rows<typename Block::token>> y,
               std::type_identity_t<rows<const typename Block::token>> plus = {},
               std::type_identity_t<sequence_state<typename Block::token>> state = {}) {
  const index_t n = u.template extent<axis::row>();
  if (batch < 0 || (batch == 0 ? n != 0 : n % batch != 0))
    return {errc::shape, "block: the rows are `batch` sequences of one length"};
  if (bool(state.conv) != bool(state.S)) return {errc::missing, "block: a state is conv and S"};
  const auto fits = [&](const auto& x) {
    return x.extent(0) == n && x.extent(1) == w.channels() && shapes::is_contiguous_inside(x);
  };
  if (n > 0 && (!u || !y)) return {errc::missing, "block: u or y was not given"};
  if (n > 0 && (!fits(u) || !fits(y) || (plus && !fits(plus))))
    return {errc::shape, "block: u, y and plus are rows of the block's channels, contiguous"};
  if (n == 0) return {};
  if (state) {
    const state_sizes s = w.state_of_one();
    const auto& [conv, S] = state;
    if (conv.extent(0) != batch || conv.extent(1) != s.before || conv.extent(2) != s.channels || S.extent(0) != batch ||
        S.extent(1) != s.heads || S.extent(2) != s.keys || S.extent(3) != s.values)
      return {errc::shape, "block: the state has the sizes that state_at() gives it"};
    if (const status found = would_run(on,
                                       [&](const auto& measuring, buffers& memory) {
                                         return forward_block(measuring, w, u, batch, y, plus, state, memory);
                                       });
        !found)
      return found;
  }
  buffers memory(on.memory);
  return forward_block(on, w, u, batch, y, plus, state, memory);
}

/// Bytes of workspace of forward() for so many sequences of so many tokens; the weights may have no memory yet.
template <class On, sequence_block Block>
std::size_t workspace_bytes(const On& on, const Block& w, index_t batch, index_t time) {
  using E = typename Block::token;
  return bytes_needed(on, [&](const auto& measuring, buffers& memory) {
    const Block bound = bound_nowhere(w);
    std::byte* const nowhere = reinterpret_cast<std::byte*>(buffers::nowhere);
    const rows<E> x(reinterpret_cast<E*>(nowhere), {batch * time, w.channels()});
    sequence_state<E> state{};
    const auto measure = [&] {
      return forward_block(measuring, bound, rows<const E>(x), batch, x, rows<const E>{}, state, memory);
    };
    if (batch * time == 0) return status{};
    if (const status done = measure(); !done || time != 1 || w.state_of_one().heads == 0) return done;
    state = state_at(w, batch, nowhere);
    return measure();
  });
}

}  // namespace sextant::blocks
