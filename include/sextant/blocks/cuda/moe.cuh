// SPDX-License-Identifier: Apache-2.0
/// @file  Which expert a token sees, on a GPU: routing, and the ways there and back.
#pragma once

#include <cstdint>      // int32_t
#include <type_traits>  // type_identity_t

#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/blocks/moe.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::gpu {

namespace blockwise {

/// The expert of the largest logit, the first of several, and its probability; a thread a token.
template <class E>
__global__ void __launch_bounds__(128) choose_expert_kernel(const __grid_constant__ rows<const E> logits,
                                                            const __grid_constant__ blocks::moe_routes<E> to) {
  using real = real_of<E>;
  const index_t t = index_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (t >= to.tokens) return;
  const E* const row = &logits(t, 0);
  int best = 0;
  real most = real(row[0]);
  for (int e = 1; e < int(to.experts); ++e) {
    const real logit = real(row[e]);
    if (logit > most) most = logit, best = e;
  }
  real sum = 0;
  for (int e = 0; e < int(to.experts); ++e) sum += std::exp(real(row[e]) - most);
  to.chosen[t] = best;
  to.probability[t] = real(1) / sum;
}

/// Gives tokens their places in their order; a warp an expert, 32 tokens at a time.
template <class E>
__global__ void __launch_bounds__(32) take_places_kernel(const __grid_constant__ blocks::moe_routes<E> to) {
  const int expert = int(blockIdx.x), lane = int(threadIdx.x);
  std::int32_t* const places = to.token_at + expert * to.capacity;
  index_t taken = 0;
  for (index_t base = 0; base < to.tokens; base += 32) {
    const index_t t = base + lane;
    const bool mine = t < to.tokens && to.chosen[t] == expert;
    const unsigned all = __ballot_sync(0xffffffffu, mine);
    const index_t place = taken + __popc(all & ((1u << lane) - 1u));
    taken += __popc(all);
    if (!mine) continue;
    const bool fits = place < to.capacity;
    to.place_of[t] = fits ? std::int32_t(expert * to.capacity + place) : -1;
    if (fits) places[place] = std::int32_t(t);
  }
  if (taken > to.capacity) taken = to.capacity;
  for (index_t place = taken + lane; place < to.capacity; place += 32) places[place] = -1;
  if (lane == 0) to.taken[expert] = std::int32_t(taken);
}

/// Copies a token to its place, zeros where there is none; a thread a number.
template <class E>
__global__ void send_kernel(const __grid_constant__ rows<const E> x, const std::int32_t* token_at,
                            const __grid_constant__ rows<E> y) {
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x, place = item / y.extent(1);
  if (place >= y.extent(0)) return;
  const index_t c = item - place * y.extent(1), t = token_at[place];
  y(place, c) = t >= 0 ? x(t, c) : E(0.0f);
}

/// y = probability x at the token's place + plus; a thread a number.
template <class E>
__global__ void bring_back_kernel(const __grid_constant__ rows<const E> x,
                                  const __grid_constant__ blocks::moe_routes<E> routes,
                                  const __grid_constant__ rows<const E> plus, const __grid_constant__ rows<E> y) {
  using real = real_of<E>;
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x, t = item / y.extent(1);
  if (t >= y.extent(0)) return;
  const index_t c = item - t * y.extent(1), place = routes.place_of[t];
  real sum = plus ? real(plus(t, c)) : real(0);
  if (place >= 0) sum += real(x(place, c)) * routes.probability[t];
  y(t, c) = E(sum);
}

}  // namespace blockwise

/// Sends every token to the expert of its largest logit, the first of several, as long as that has places left; tokens take
/// them in their order: the same answer every time. Two launches.
template <class E>
status route_to_one(const stream& on, std::type_identity_t<blocks::rows<const E>> logits,
                    const blocks::moe_routes<E>& to) {
  if (logits.extent(0) != to.tokens || logits.extent(1) != to.experts)
    return {errc::shape, "route_to_one: a logit for each token and expert"};
  constexpr int threads = 128;
  if (const status done = launch(&blockwise::choose_expert_kernel<E>, blockwise::blocks_for(to.tokens, threads),
                                 dim3(threads), 0, on.handle, logits, to);
      !done)
    return done;
  return launch(&blockwise::take_places_kernel<E>, dim3(unsigned(to.experts)), dim3(32), 0, on.handle, to);
}

/// Places of an expert that hold a token, as far as the host knows: all.
template <class E> index_t places_in_use(const stream&, const blocks::moe_routes<E>& routes, index_t) {
  return routes.capacity;
}

/// Copies tokens to their places: x [n, C], y [experts capacity, C]; zeros where nobody is.
template <class E>
status send_to_experts(const stream& on, std::type_identity_t<blocks::rows<const E>> x,
                       const blocks::moe_routes<E>& routes, blocks::rows<E> y) {
  if (x.extent(0) != routes.tokens || y.extent(0) != routes.experts * routes.capacity || x.extent(1) != y.extent(1))
    return {errc::shape, "send_to_experts: rows for tokens and places, of one length"};
  if (y.size() == 0) return {};
  if (y.size() >= blockwise::most_items) return blockwise::too_many();
  constexpr int threads = 256;
  const std::int32_t* const token_at = routes.token_at;
  return launch(&blockwise::send_kernel<E>, blockwise::blocks_for(y.size(), threads), dim3(threads), 0, on.handle, x,
                token_at, y);
}

/// y_t = probability_t x at the token's place + plus_t; plus_t for a token without a place. plus may be left out, or y.
template <class E>
status bring_back(const stream& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::moe_routes<E>& routes,
                  std::type_identity_t<blocks::rows<const E>> plus, blocks::rows<E> y) {
  if (y.extent(0) != routes.tokens || x.extent(0) != routes.experts * routes.capacity || x.extent(1) != y.extent(1) ||
      !blocks::shapes::optional_fits(plus, y))
    return {errc::shape, "bring_back: rows for places and tokens, of one length; plus is of y's shape"};
  if (y.size() == 0) return {};
  if (y.size() >= blockwise::most_items) return blockwise::too_many();
  constexpr int threads = 256;
  return launch(&blockwise::bring_back_kernel<E>, blockwise::blocks_for(y.size(), threads), dim3(threads), 0, on.handle,
                x, routes, plus, y);
}

}  // namespace sextant::gpu
