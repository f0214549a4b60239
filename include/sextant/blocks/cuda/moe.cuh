// SPDX-License-Identifier: Apache-2.0
/// @file  Which expert a token sees, on a GPU: routing, and the ways there and back.
#pragma once

#include <concepts>     // derived_from
#include <cstdint>      // int32_t
#include <type_traits>  // type_identity_t

#include <sextant/blocks/cuda/expert_products.cuh>
#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/blocks/moe.hpp>
#include <sextant/blocks/shapes.hpp>
#include <sextant/cuda/ptx/early_launch.cuh>

namespace sextant::gpu {

namespace blockwise {

/// The expert of the largest logit, the first of several, and its probability; a thread a token.
template <class E>
__global__ void __launch_bounds__(128) choose_expert_kernel(const __grid_constant__ rows<const E> logits,
                                                            const __grid_constant__ blocks::moe_routes<E> to) {
  ptx::begin_early();
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

/// Gives tokens their places in their order. A block an expert: it counts the tokens of all experts, of which those before its
/// own say where its places begin, then places its own, 32 to a warp and 1024 at a time.
template <class E>
__global__ void __launch_bounds__(1024) take_places_kernel(const __grid_constant__ blocks::moe_routes<E> to) {
  ptx::begin_early();
  extern __shared__ int tokens_of[];  // [experts]
  __shared__ int of_warp[32];
  const int expert = int(blockIdx.x), thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
  for (int e = thread; e < int(to.experts); e += 1024) tokens_of[e] = 0;
  __syncthreads();
  for (index_t t = thread; t < to.tokens; t += 1024) atomicAdd(&tokens_of[to.chosen[t]], 1);
  __syncthreads();
  const int most = int(to.capacity);
  int before = 0;
  for (int e = lane; e < expert; e += 32) before += min(tokens_of[e], most);
  before = __reduce_add_sync(~0u, before);
  const int taken = min(tokens_of[expert], most);
  if (thread == 0) {
    to.first[expert] = before;
    if (expert + 1 == int(to.experts)) to.first[expert + 1] = before + taken;
  }
  int place = 0;  // of the first of the 1024 that is the expert's
  for (index_t base = 0; base < to.tokens; base += 1024) {
    const index_t t = base + thread;
    const bool mine = t < to.tokens && to.chosen[t] == expert;
    const unsigned all = __ballot_sync(~0u, mine);
    if (lane == 0) of_warp[warp] = __popc(all);
    __syncthreads();
    const int others = of_warp[lane], up_to_mine = __reduce_add_sync(~0u, lane < warp ? others : 0);
    if (mine) {
      const int its = place + up_to_mine + __popc(all & ((1u << lane) - 1u));
      const bool fits = its < most;
      to.place_of[t] = fits ? before + its : -1;
      if (fits) to.token_at[before + its] = std::int32_t(t);
    }
    place += __reduce_add_sync(~0u, others);
    __syncthreads();
  }
}

/// y = probability x at the token's place + plus; a thread a number.
template <class E>
__global__ void bring_back_kernel(const __grid_constant__ rows<const E> x,
                                  const __grid_constant__ blocks::moe_routes<E> routes,
                                  const __grid_constant__ rows<const E> plus, const __grid_constant__ rows<E> y) {
  ptx::begin_early();
  using real = real_of<E>;
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x, t = item / y.extent(1);
  if (t >= y.extent(0)) return;
  const index_t c = item - t * y.extent(1), place = routes.place_of[t];
  real sum = plus ? real(plus(t, c)) : real(0);
  if (place >= 0) sum += real(x(place, c)) * routes.probability[t];
  y(t, c) = E(sum);
}

}  // namespace blockwise

/// Experts that a GPU counts tokens of at most.
inline constexpr index_t most_experts = 8192;
/// What is answered to more of them.
inline constexpr status too_many_experts{errc::unsupported, "moe: up to 8192 experts on a GPU"};

/// Whether a Switch layer's experts are as many, and their matrices w [experts, outputs, inputs] as large, as a GPU takes.
template <std::derived_from<stream> On, class Weights> status takes_experts(const On&, const Weights& w) {
  if (w.extent(0) > most_experts) return too_many_experts;
  if (w.extent(1) > (index_t(1) << 22) - 64 || w.extent(2) >= index_t(1) << 30)
    return {errc::shape, "moe: on a GPU experts have up to 2^22 - 64 outputs and fewer than 2^30 inputs"};
  return {};
}

/// Sends every token to the expert of its largest logit, the first of several, as long as that has places left; tokens take
/// them in their order: the same answer every time. Two launches.
template <class E>
status route_to_one(const stream& on, std::type_identity_t<blocks::rows<const E>> logits,
                    const blocks::moe_routes<E>& to) {
  if (logits.extent(0) != to.tokens || logits.extent(1) != to.experts)
    return {errc::shape, "route_to_one: a logit for each token and expert"};
  if (to.experts > most_experts) return too_many_experts;
  constexpr int threads = 128;
  if (const status done = launch_early(&blockwise::choose_expert_kernel<E>, blockwise::blocks_for(to.tokens, threads),
                                       dim3(threads), 0, on.handle, logits, to);
      !done)
    return done;
  return launch_early(&blockwise::take_places_kernel<E>, dim3(unsigned(to.experts)), dim3(1024),
                      std::size_t(to.experts) * sizeof(int), on.handle, to);
}

namespace blockwise {

template <class E, class Weights>
status multiply_experts(const stream& on, const rows<const E>& x, index_t count, const blocks::moe_routes<E>& routes,
                        const Weights& w, activation act, const rows<E>& y, bool gathers) {
  if (const status fits = blocks::detail::fit_experts<E>(x, count, w, y, routes); !fits) return fits;
  if (const status takes = takes_experts(on, w); !takes) return takes;
  const bool whole = has_pieces(x, x.extent(1)) && has_pieces(y, y.extent(1)) && holds_packets(w.data()) &&
                     w.stride(0) % (16 / index_t(sizeof(E))) == 0 && w.stride(1) % (16 / index_t(sizeof(E))) == 0;
  return run_expert_products<E>(on,
                                {.x = x.data(),
                                 .w = w.data(),
                                 .y = y.data(),
                                 .first = routes.first,
                                 .token_at = routes.token_at,
                                 .chosen = routes.chosen,
                                 .of_x = x.stride(0),
                                 .of_expert = w.stride(0),
                                 .of_row = w.stride(1),
                                 .of_y = y.stride(0),
                                 .places = routes.places,
                                 .experts = int(routes.experts),
                                 .inputs = int(w.extent(2)),
                                 .outputs = int(w.extent(1)),
                                 .gathers = gathers,
                                 .act = act},
                                whole);
}

}  // namespace blockwise

/// y = act(x W^T) at an expert's places with its matrix of w [experts, outputs, inputs]; x tokens [n, inputs], which are read
/// where they lie, y [places, outputs]; places that nobody has are left as they are. One launch, of which blocks beyond the
/// tokens that came have nothing to do: the host does not know how many came. Sums in float, of doubles in double.
template <class E, class Weights>
status linear_of_tokens(const stream& on, std::type_identity_t<blocks::rows<const E>> x,
                        const blocks::moe_routes<E>& routes, const Weights& w, blocks::activation act, blocks::rows<E>,
                        blocks::rows<E> y) {
  return blockwise::multiply_experts<E>(on, x, routes.tokens, routes, w, act, y, true);
}
/// Likewise, of rows that lie at places: x [places, inputs].
template <class E, class Weights>
status linear_of_places(const stream& on, std::type_identity_t<blocks::rows<const E>> x,
                        const blocks::moe_routes<E>& routes, const Weights& w, blocks::rows<E> y,
                        blocks::activation act = blocks::activation::none) {
  return blockwise::multiply_experts<E>(on, x, routes.places, routes, w, act, y, false);
}

/// y_t = probability_t x at the token's place + plus_t; plus_t for a token without a place. x [places, C]; plus may be
/// left out, or y.
template <class E>
status bring_back(const stream& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::moe_routes<E>& routes,
                  std::type_identity_t<blocks::rows<const E>> plus, blocks::rows<E> y) {
  if (y.extent(0) != routes.tokens || x.extent(0) != routes.places || x.extent(1) != y.extent(1) ||
      !blocks::shapes::optional_fits(plus, y))
    return {errc::shape, "bring_back: rows for places and tokens, of one length; plus is of y's shape"};
  if (y.size() == 0) return {};
  if (y.size() >= blockwise::most_items) return blockwise::too_many();
  constexpr int threads = 256;
  return launch_early(&blockwise::bring_back_kernel<E>, blockwise::blocks_for(y.size(), threads), dim3(threads), 0,
                      on.handle, x, routes, plus, y);
}

}  // namespace sextant::gpu
