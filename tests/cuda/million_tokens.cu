// SPDX-License-Identifier: Apache-2.0
/// @file  A million tokens by every causal family: the last rows of full-sized calls, whose tensors have more than 2^31
///        numbers, against the recurrence in float64.
#include <doctest/doctest.h>

#include <algorithm>  // min
#include <cstdio>     // printf
#include <vector>     // vector

#include <sextant/cuda/scan.cuh>

#include "../../bench/device_call.cuh"
#include "cuda/generic.hpp"
#include "cuda/hopper.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr index_t million = (index_t(1) << 20) + 37;
constexpr index_t compared = 256;       ///< of the last tokens
constexpr index_t judged_channels = 8;  ///< of a head

/// The numbers of a view in double, one after the other.
template <class View> __global__ void widen_numbers(double* to, View from) {
  for (index_t i = index_t(blockIdx.x) * blockDim.x + threadIdx.x; i < from.size();
       i += index_t(gridDim.x) * blockDim.x) {
    index_t at = 0, left = i;
    for (int r = View::rank; r-- > 0; left /= from.extent(r)) at += left % from.extent(r) * from.stride(r);
    to[i] = double(from.data()[at]);
  }
}
/// S += sum over tokens of phi(k) v, and z += sum of phi(k) where there is one: by blocks, each of its share of the tokens.
template <class Map, class Token>
__global__ void add_products(double* S, double* z, bthk<const Token> k, bthv<const Token> v, Map map) {
  const index_t K = k.extent(3), V = v.extent(3), T = k.extent(1);
  const index_t first = T * blockIdx.x / gridDim.x, behind = T * (blockIdx.x + 1) / gridDim.x;
  for (index_t i = threadIdx.x; i < K * (V + 1); i += blockDim.x) {
    const index_t key = i % K, channel = i / K;
    double sum = 0;
    for (index_t t = first; t < behind; ++t)
      sum += double(map(double(k(0, t, 0, key)))) * (channel < V ? double(v(0, t, 0, channel)) : 1.0);
    if (channel < V) atomicAdd(S + key * V + channel, sum);
    else if (z != nullptr) atomicAdd(z + key, sum);
  }
}

/// Which part of a call is judged: some channels of a head, from a token on.
struct part_of_call {
  index_t first_token, head, first_channel;

  /// The view's numbers of that part, as many as `extents` says.
  template <class Element, class... Axes>
  view<Element, Axes...> of(const view<Element, Axes...>& x, const index_t* extents, index_t heads) const {
    index_t its[sizeof...(Axes)], strides[sizeof...(Axes)], at = 0;
    int r = 0;
    const auto take = [&](bool is_time, bool is_head, bool is_channel) {
      const index_t first = is_time      ? first_token
                            : is_head    ? head * x.extent(r) / heads
                            : is_channel ? first_channel
                                         : 0;
      its[r] = extents[r], strides[r] = x.stride(r), at += first * x.stride(r), ++r;
    };
    (take(std::is_same_v<Axes, axis::time>, std::is_same_v<Axes, axis::head>, std::is_same_v<Axes, axis::value>), ...);
    return {x.data() + at, its, strides};
  }
};

template <class View> void give_numbers(const View& from, double* to) {
  device_memory copy(std::size_t(from.size()) * sizeof(double));
  widen_numbers<<<264, 256>>>(reinterpret_cast<double*>(copy.data()), from);
  must(cudaGetLastError());
  copy.give(to);
}
/// The error of the last tokens of a forward pass of a million of them, H heads of K keys and V channels, in the first and the
/// last head and channels. The judge begins `restart` tokens before the end: with a state of nothing where what came before
/// is forgotten by then, else with the sums of all tokens before, in double.
template <class Precision, class Design, class How>
double error_of_last_tokens(const Design& design, shape s, index_t restart, const How& how) {
  s.T = million;
  constexpr bool forgets = !std::is_same_v<typename Design::forget_type, forget::one>;
  std::size_t there = 0, all = 0;
  must(cudaMemGetInfo(&there, &all));
  const std::size_t tensors = 5 * std::size_t(million * s.H * std::max(s.K, s.V)) * sizeof(typename Precision::token);
  if (there < tensors + tensors / 4) return std::puts("skipped: this GPU has too little memory"), 0.0;
  const bench::device_call<Design, Precision> call(s, 1, false);
  device_memory scratch(how.bytes(design, call.x));
  scratch.fill(0xff);
  must(cudaMemset(call.x.y.data(), 0xff, std::size_t(call.x.y.size()) * sizeof(*call.x.y.data())));
  const status done = how.run(design, call.x, gpu::stream{.memory = {scratch.data(), scratch.size()}});
  if (!done) std::fprintf(stderr, "%s\n", done.what);
  must(cudaDeviceSynchronize());
  if (!done) return std::numeric_limits<double>::quiet_NaN();

  std::vector<double> answers, judged;
  for (const bool last : {false, true}) {
    const index_t V = std::min(judged_channels, s.V), keys = state_width<typename Design::map_type>(s.K);
    const part_of_call which{million - restart, last ? s.H - 1 : 0, last ? s.V - V : 0};
    auto judge = make_problem<fp64>(design, {.B = 1, .T = restart, .Hk = 1, .H = 1, .K = s.K, .V = V},
                                    {.initial_state = !forgets});
    auto& x = judge.x;
    const auto take = [&](auto& to, const auto& from) {
      give_numbers(which.of(from, to.extents(), s.H), const_cast<double*>(to.data()));
    };
    if constexpr (requires { x.q; }) take(x.q, call.x.q), take(x.k, call.x.k);
    else take(x.c, call.x.c), take(x.log_dt, call.x.log_dt), x.b = {};
    take(x.v, call.x.v);
    if constexpr (requires { x.dt; }) take(x.dt, call.x.dt), take(x.bias, call.x.bias);
    if constexpr (requires { x.input; }) take(x.input, call.x.input);
    if constexpr (requires { x.forget; }) take(x.forget, call.x.forget);
    if constexpr (requires { x.a; }) take(x.a, call.x.a);
    if constexpr (requires { x.d; }) take(x.d, call.x.d);
    if constexpr (requires { x.first_position; }) x.first_position = million - restart;
    if constexpr (!forgets) {
      const part_of_call before{0, which.head, which.first_channel};
      const index_t tokens = million - restart, of_k[] = {1, tokens, 1, s.K}, of_v[] = {1, tokens, 1, V};
      device_memory S(std::size_t(keys * V) * sizeof(double)), z(std::size_t(keys) * sizeof(double));
      S.fill(0), z.fill(0);
      add_products<<<1024, 256>>>(reinterpret_cast<double*>(S.data()), reinterpret_cast<double*>(z.data()),
                                  before.of(call.x.k, of_k, s.H), before.of(call.x.v, of_v, s.H), design.feature_map);
      must(cudaGetLastError());
      S.give(const_cast<double*>(x.initial_state.S.data()));
      if constexpr (requires { x.initial_state.z; }) z.give(const_cast<double*>(x.initial_state.z.data()));
    }
    reference::recurrent(judge.design, x);
    std::vector<double> y(judge.y().size());
    give_numbers(which.of(call.x.y, x.y.extents(), s.H), y.data());
    answers.insert(answers.end(), y.end() - compared * V, y.end());
    judged.insert(judged.end(), judge.y().end() - compared * V, judge.y().end());
  }
  const double error = relative_error(answers, judged);
  MESSAGE(std::string(name(design)), ": ", error);
  return error;
}

template <class Family, class Precision = bf16, class Design>
void last_tokens_hold(const Design& design, const shape& s, index_t restart, double bound = tolerance<Precision>) {
  CHECK(error_of_last_tokens<Precision>(design, s, restart, by_family<Family>{}) <= bound);
}

}  // namespace

TEST_CASE("gates per key and channel") {
  if (has_gpu()) last_tokens_hold<gpu::selective>(mamba, {.B = 1, .K = 16, .V = 2048}, 1024);
}

TEST_CASE("gates per head, and none") {
  if (!has_hopper()) return;
  last_tokens_hold<gpu::chunked_wgmma>(mamba2, {.B = 1, .Hk = 1, .H = 32, .K = 128, .V = 64}, 1024);
  last_tokens_hold<gpu::chunked_wgmma>(linear_attention, {.B = 1, .Hk = 16, .H = 16, .K = 128, .V = 128}, 1024);
}

TEST_CASE("gates per key") {
  if (has_hopper()) last_tokens_hold<gpu::keyed_wgmma>(gla, {.B = 1, .Hk = 16, .H = 16, .K = 128, .V = 128}, 1024);
}

TEST_CASE("second order") {
  if (has_hopper()) last_tokens_hold<gpu::second_order>(two_mamba, {.B = 1, .Hk = 16, .H = 16, .K = 64, .V = 64}, 512);
}

TEST_CASE("state spaces, in chunks and by the recurrence") {
  if (!has_gpu()) return;
  last_tokens_hold<gpu::state_space_chunked>(s4d, {.B = 1, .K = 64, .V = 2048}, 32768);
  last_tokens_hold<gpu::state_space, fp32>(s4d, {.B = 1, .K = 64, .V = 64}, 32768, 1e-5);
}

TEST_CASE("chunks by warps: a stabiliser; positions that turn, where they are a million") {
  if (!has_gpu()) return;
  last_tokens_hold<gpu::chunked_mma>(mlstm, {.B = 1, .Hk = 16, .H = 16, .K = 128, .V = 128}, 1024);
  last_tokens_hold<gpu::chunked_mma>(retnet.with(position::rotary_1d{}), {.B = 1, .Hk = 2, .H = 2, .K = 64, .V = 64},
                                     32768);
  last_tokens_hold<gpu::chunked_mma, fp32>(retnet.with(position::rotary_1d{}),
                                           {.B = 1, .Hk = 2, .H = 2, .K = 64, .V = 64}, 32768, 1e-5);
}

TEST_CASE("the generic forms") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .Hk = 2, .H = 2, .K = 4, .V = 8};
  last_tokens_hold<gpu::recurrent, fp32>(retnet, s, 32768, generic_tolerance<fp32>);
  CHECK(error_of_last_tokens<fp32>(retnet, s, 32768, by_verb<form::scan>{}) <= generic_tolerance<fp32>);
}
