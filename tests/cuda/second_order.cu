// SPDX-License-Identifier: Apache-2.0
/// @file  Second order against its definition by squares in float64: sizes, chunks, segments, gates, states, orders.
#include <doctest/doctest.h>

#include <algorithm>  // max
#include <cmath>      // exp, fmax
#include <cstdlib>    // getenv
#include <string>     // string
#include <thread>     // thread
#include <vector>     // vector

#include <sextant/cuda/second_order.cuh>

#include "cuda/hopper.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

/// y and the final state of a call in float64, in time T^2 (K + V): y_i = sum over j <= i of (q_i . k_j)^2 D_ij I_j v_j and what
/// the initial state leaves, divided by the same without I v. Queries by as many threads as there are.
template <class Design> void judge_by_squares(problem<Design, fp64>& p) {
  using row = std::vector<double>;
  const auto& x = p.x;
  const reference::tokens<Design, fp64> token{p.design, x};
  const index_t T = p.size.T, K = p.size.K, V = p.size.V, W = token.width();
  const double scale = p.design.scale(K), key_scale = sextant::key_scale<double>(p.design.feature_map, K);
  constexpr bool normalises = sextant::detail::normalises<typename Design::norm_type>;
  double eps = 0;
  if constexpr (normalises) eps = p.design.norm.eps;
  for (index_t n = 0; n < token.sequences(); ++n)
    for (index_t h = 0; h < token.heads(); ++h) {
      const std::size_t all = std::size_t(T);
      row log(all + 1, 0.0), I(all, 1.0);  // log[t]: log F of tokens 0..t-1, added up
      std::vector<row> q(all, row(std::size_t(K), 0.0)), k(all, row(std::size_t(K), 0.0)),
          v(all, row(std::size_t(V), 0.0));
      for (index_t t = 0; t < T; ++t) {
        const std::size_t at = std::size_t(t);
        log[at + 1] = log[at] + std::fmax(token.log_forget(n, t, h), -1e4);
        I[at] = token.input(n, t, h, 0);
        for (index_t i = 0; i < K; ++i) {
          q[at][std::size_t(i)] = x.q(n, token.place(n, t), token.key_head(h), i);
          k[at][std::size_t(i)] = x.k(n, token.place(n, t), token.key_head(h), i) * key_scale;
        }
        for (index_t i = 0; i < V; ++i) v[at][std::size_t(i)] = token.value(n, t, h, i);
      }
      const auto answer = [&](index_t first, index_t step) {
        row phi(std::size_t(W), 0.0);
        for (index_t i = first; i < T; i += step) {
          row y(std::size_t(V), 0.0);
          double sum = 0;
          for (index_t j = 0; j <= i; ++j) {
            const double left = log[std::size_t(i + 1)] - log[std::size_t(j + 1)];
            if (left < -800) continue;
            double dot = 0;
            for (std::size_t a = 0; a < std::size_t(K); ++a) dot += q[std::size_t(i)][a] * k[std::size_t(j)][a];
            const double weight = dot * dot * std::exp(left);
            sum += weight;
            for (std::size_t a = 0; a < std::size_t(V); ++a) y[a] += weight * I[std::size_t(j)] * v[std::size_t(j)][a];
          }
          if (x.initial_state.S) {
            p.design.feature_map.expand(q[std::size_t(i)].data(), K, phi.data());
            const double left = std::exp(log[std::size_t(i + 1)]);
            for (index_t w = 0; w < W; ++w) {
              const double by = phi[std::size_t(w)] * left;
              const double* const S = &x.initial_state.S(n, h, w, 0);
              for (index_t a = 0; a < V; ++a) y[std::size_t(a)] += by * S[a];
              if constexpr (normalises) sum += by * x.initial_state.z(n, h, w);
            }
          }
          for (index_t a = 0; a < V; ++a)
            x.y(n, token.place(n, i), h, a) = token.output(
                scale * y[std::size_t(a)] / (normalises ? sum + eps : 1.0) + token.shortcut(n, i, h, a), n, i, h, a);
        }
      };
      const auto end = [&](index_t first, index_t step) {
        row phi(std::size_t(W), 0.0);
        const double all_left = std::exp(log[std::size_t(T)]);
        for (index_t w = first; w < W; w += step) {
          for (index_t a = 0; a < V; ++a)
            x.final_state.S(n, h, w, a) = x.initial_state.S ? all_left * x.initial_state.S(n, h, w, a) : 0;
          if constexpr (normalises)
            x.final_state.z(n, h, w) = x.initial_state.z ? all_left * x.initial_state.z(n, h, w) : 0;
        }
        for (index_t t = 0; t < T; ++t) {
          const double left = log[std::size_t(T)] - log[std::size_t(t + 1)];
          if (left < -50) continue;
          p.design.feature_map.expand(k[std::size_t(t)].data(), K, phi.data());
          for (index_t w = first; w < W; w += step) {
            const double by = phi[std::size_t(w)] * std::exp(left), u = by * I[std::size_t(t)];
            if constexpr (normalises) x.final_state.z(n, h, w) += by;
            double* const S = &x.final_state.S(n, h, w, 0);
            for (index_t a = 0; a < V; ++a) S[a] += u * v[std::size_t(t)][std::size_t(a)];
          }
        }
      };
      const auto by_threads = [](const auto& work) {
        std::vector<std::thread> threads;
        const index_t count = std::max<index_t>(1, index_t(std::thread::hardware_concurrency()));
        for (index_t i = 1; i < count; ++i) threads.emplace_back(work, i, count);
        work(0, count);
        for (auto& one : threads) one.join();
      };
      by_threads(answer);
      if (x.final_state.S) by_threads(end);
    }
}

/// A call cut into chunks of so many tokens, as a GPU of so many multiprocessors would. 768 are whole blocks of any number of
/// warpgroups, 512 and 1024 of one, two and four.
struct in_chunks {
  int multiprocessors = 1, chunk = 768;
  template <class D, class P> gpu::second::division of(const D& design, const sequence_of<D, P>& x) const {
    status found;
    return gpu::second::divide(design, gpu::make_call(design, x, found), multiprocessors, chunk, chunk);
  }
  template <class D, class P> std::size_t bytes(const D& design, const sequence_of<D, P>& x) const {
    const auto heads = x.v.template extent<axis::batch>() * x.v.template extent<axis::head>();
    return std::size_t(of(design, x).lay_out(nullptr, heads));
  }
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    if (!gpu::second_order::takes(design, x)) return {errc::unsupported, "this family does not take the shapes"};
    return gpu::second_order::run_division(design, x, of(design, x), on);
  }
};
constexpr by_family<gpu::second_order> whole{};

/// A call whose answer is known, however it is made: the judge takes longer than the GPU.
template <class Precision, class Design> struct judged_call {
  using through = storage_of<Precision>;
  problem<Design, fp64> judge;
  wishes w;

  template <class Change>
  judged_call(const Design& design, const shape& s, const wishes& wish, bool ends, const Change& change)
      : judge{make_problem<fp64, through>(design, s, wish)}, w{wish} {
    change(judge);
    if (!ends) judge.x.final_state = {};
    judge_by_squares(judge);
  }
  /// The error of y, and where it is asked for of the final state.
  template <class How, class Change> double error(const How& how, bool ends, const Change& change) {
    const shape& s = judge.size;
    auto answer = make_problem<Precision, through>(judge.design, s, w);
    change(answer);
    if (!ends) answer.x.final_state = {};
    const status done = run_on_gpu(answer, how);
    if (!done) std::fprintf(stderr, "%s\n", done.what);
    if (!done) return std::numeric_limits<double>::quiet_NaN();
    const auto e = ends ? compare(answer, judge) : errors{relative_error(answer.y(), judge.y())};
    if (std::getenv("SEXTANT_SHOW") != nullptr)
      std::printf("T %d K %d V %d H %d: y %.2e S %.2e z %.2e\n", int(s.T), int(s.K), int(s.V), int(s.H), e.y, e.S, e.z);
    // A number of the state is a sum of products rounded twice: 2^-7 in bfloat16 where memory is one token.
    constexpr double of_state = std::is_same_v<Precision, bf16> ? 0x1p-7 / tolerance<bf16> : 1;
    return errors{e.y, e.S / of_state, e.z, 0}.worst();
  }
};
template <class Precision, class Design, class How, class Change>
double error_of_squares(const Design& design, const shape& s, const wishes& w, const How& how, bool ends,
                        const Change& change) {
  return judged_call<Precision, Design>(design, s, w, ends, change).error(how, ends, change);
}
/// In each of some ways to make the call.
template <class Precision, class Design, class How>
void squares_hold(const Design& design, const shape& s, const wishes& w, const std::vector<How>& ways,
                  std::initializer_list<bool> with_ends) {
  const long long sizes[] = {s.B, s.T, s.Hk, s.H, s.K, s.V};
  INFO("B ", sizes[0], " T ", sizes[1], " Hk ", sizes[2], " H ", sizes[3], " K ", sizes[4], " V ", sizes[5],
       ", gates of ", w.gate_size);
  judged_call<Precision, Design> call(design, s, w, std::max(with_ends), unchanged);
  for (std::size_t way = 0; way < ways.size(); ++way)
    for (const bool ends : with_ends) {
      INFO("way ", way, ends ? ", with the final state" : ", y alone");
      CHECK(call.error(ways[way], ends, unchanged) <= tolerance<Precision>);
    }
}
template <class Precision, class Design, class How>
void squares_hold(const Design& design, const shape& s, const wishes& w, const How& how, bool ends) {
  squares_hold<Precision>(design, s, w, std::vector<How>{how}, {ends});
}

constexpr auto squared = linear_attention.with(map::squared{}, norm::none{});
constexpr auto forgetful = squared.with(forget::log_decay<per::head>{});
constexpr auto all_parts =
    two_mamba.with(input::softplus<per::head>{}, norm::sum{.eps = 1e-3}, output::silu{}, shortcut::learned{},
                   order::reversed{}, heads::grouped{}, scale::inverse_root{});

}  // namespace

TEST_CASE("the judge is the recurrence") {
  const auto agrees = [](const auto& design, bool starts) {
    const shape s{.B = 2, .T = 13, .Hk = 2, .H = 2, .K = 8, .V = 8};
    const wishes w{.initial_state = starts, .positive_keys = true};
    auto judge = make_problem<fp64, bfloat16>(design, s, w), answer = make_problem<fp64, bfloat16>(design, s, w);
    reference::recurrent(judge.design, judge.x);
    judge_by_squares(answer);
    CHECK(compare(answer, judge).worst() <= 1e-12);
  };
  agrees(two_mamba, false), agrees(two_mamba, true), agrees(squared, true), agrees(forgetful, true),
      agrees(all_parts, true);
}

TEST_CASE("the quadratic form: any number of tokens, sizes of rows") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 2, 63, 64, 65, 129, 200, 300}) {
    squares_hold<bf16>(two_mamba, {.B = 2, .T = T, .Hk = 3, .H = 3, .K = 64, .V = 64}, {}, whole, false);
    squares_hold<bf16>(squared, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 64}, {}, whole, false);
  }
  for (const index_t K : {8, 24, 32, 56})
    for (const index_t V : {8, 64, 72, 128, 136})
      squares_hold<bf16>(two_mamba, {.B = 1, .T = 150, .Hk = 2, .H = 2, .K = K, .V = V}, {}, whole, false);
  // Blocks of four warpgroups of which two share queries, or none.
  for (const index_t H : {40, 90, 200})
    squares_hold<bf16>(two_mamba, {.B = 1, .T = 300, .Hk = H, .H = H, .K = 64, .V = 64}, {}, whole, false);
  for (const index_t T : {1, 64, 65, 130, 200, 300})
    for (const index_t H : {2, 40, 200})
      squares_hold<bf16>(all_parts, {.B = 1, .T = T, .Hk = H / 2, .H = H, .K = 64, .V = 64},
                         {.gate_size = 0.1, .positive_keys = true}, whole, false);
}

TEST_CASE("states: the first and the last, in chunks and in segments") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 64, 190, 703, 704, 705, 768, 769, 1537}) {
    const wishes w{.initial_state = T % 2 == 1, .gate_size = 0.05, .positive_keys = true};
    const std::vector<in_chunks> one_or_many{{1}, {132}};
    squares_hold<bf16>(two_mamba, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 64}, w, one_or_many, {false, true});
    squares_hold<bf16>(forgetful, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 72}, w, one_or_many, {false, true});
    squares_hold<bf16>(squared, {.B = 1, .T = T, .Hk = 1, .H = 1, .K = 40, .V = 64}, w, in_chunks{132}, true);
    squares_hold<bf16>(all_parts, {.B = 1, .T = T, .Hk = 1, .H = 2, .K = 64, .V = 64}, w,
                       in_chunks{T % 3 == 0 ? 1 : 132}, true);
  }
}

TEST_CASE("chunks of 512, 768 and 1024 tokens, in blocks of one to four warpgroups") {
  if (!has_hopper()) return;
  const wishes w{.initial_state = true, .gate_size = 0.05, .positive_keys = true};
  for (const index_t T : {1025, 1600, 2305}) {
    const shape s{.B = 1, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 64};
    auto p = make_problem<bf16, bfloat16>(two_mamba, s, w);
    std::vector<in_chunks> ways;
    for (const int multiprocessors : {1, 10, 20, 132})
      for (const int chunk : {512, 768, 1024}) {
        const in_chunks how{multiprocessors, chunk};
        const auto d = how.of(p.design, p.x);
        CHECK(d.chunks == (T + chunk - 1) / chunk);
        CHECK(chunk % (64 * d.groups) == 0);
        ways.push_back(how);
      }
    squares_hold<bf16>(two_mamba, s, w, ways, {true});
  }
  auto p = make_problem<bf16, bfloat16>(two_mamba, {.B = 1, .T = 769, .Hk = 2, .H = 2, .K = 64, .V = 64});
  CHECK(in_chunks{1}.of(p.design, p.x).groups == 4);
  CHECK(in_chunks{10}.of(p.design, p.x).groups == 3);
  CHECK(in_chunks{20}.of(p.design, p.x).groups == 2);
  CHECK(in_chunks{132}.of(p.design, p.x).groups == 1);
}

TEST_CASE("segments of several chunks, of which the last ones find nothing left") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 2900, .Hk = 1, .H = 1, .K = 64, .V = 64};
  const in_chunks how{8, 256};
  for (const double size : {0.001, 0.05, 1.0, 20.0}) {
    const wishes w{.initial_state = true, .gate_size = size, .positive_keys = true};
    auto p = make_problem<bf16, bfloat16>(forgetful, s, w);
    const auto d = how.of(p.design, p.x);
    CHECK(d.segments > 1);
    CHECK(d.segment_chunks > 4);
    for (const bool ends : {false, true}) squares_hold<bf16>(forgetful, s, w, how, ends);
    squares_hold<bf16>(two_mamba, s, w, how, true);
  }
}

TEST_CASE("segments of more chunks than a warp has lanes") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 17500, .Hk = 1, .H = 1, .K = 64, .V = 64};
  const in_chunks how{8, 256};
  auto p = make_problem<bf16, bfloat16>(forgetful, s, {});
  CHECK(how.of(p.design, p.x).segments > 1);
  CHECK(how.of(p.design, p.x).segment_chunks > 32);
  const wishes w{.initial_state = true, .gate_size = 1e-4, .positive_keys = true};
  squares_hold<bf16>(forgetful, s, w, how, true);   // all is left
  squares_hold<bf16>(two_mamba, s, w, how, false);  // nothing is left of the chunk before
}

TEST_CASE("random signs: what a state holds is divided by its like") {
  if (!has_hopper()) return;
  for (const double size : {0.01, 1.0, 8.0}) {
    squares_hold<bf16>(two_mamba, {.B = 1, .T = 1500, .Hk = 2, .H = 2, .K = 64, .V = 64}, {.gate_size = size},
                       in_chunks{}, true);
    squares_hold<bf16>(forgetful, {.B = 1, .T = 1500, .Hk = 2, .H = 2, .K = 64, .V = 64}, {.gate_size = size},
                       in_chunks{132}, true);
  }
  squares_hold<bf16>(squared.with(norm::sum{}), {.B = 1, .T = 1500, .Hk = 2, .H = 2, .K = 64, .V = 64}, {}, in_chunks{},
                     true);
}

TEST_CASE("gates of 0 here and there, decays of every strength") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 900, .Hk = 2, .H = 2, .K = 64, .V = 64};
  const auto zero_at = [](std::initializer_list<index_t> tokens) {
    return [tokens](auto& p) {
      for (const index_t t : tokens)
        for (index_t h = 0; h < 2; ++h) put(p.x.forget, t * 2 + h, -std::numeric_limits<float>::infinity());
    };
  };
  const wishes w{.initial_state = true, .gate_size = 0.05};
  CHECK(error_of_squares<bf16>(forgetful, s, w, in_chunks{}, true, zero_at({0})) <= tolerance<bf16>);
  CHECK(error_of_squares<bf16>(forgetful, s, w, in_chunks{132}, true, zero_at({15, 63, 64, 600, 703, 704, 768})) <=
        tolerance<bf16>);
  for (const double size : {1e-6, 1.0, 20.0, 1000.0})
    squares_hold<bf16>(forgetful, s, {.initial_state = true, .gate_size = size}, in_chunks{size > 1 ? 1 : 132}, true);
}

TEST_CASE("a NaN goes back to the beginning of its 64 tokens, on to the end, and to no other head") {
  if (!has_hopper()) return;
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const shape s{.B = 2, .T = 1700, .Hk = 2, .H = 2, .K = 64, .V = 64};
  const auto goes = [&](const auto& how, index_t at, int where) {
    auto p = make_problem<bf16, bfloat16>(two_mamba, s, {.gate_size = 0.1});
    if (where == 0) put(p.x.v, (at * s.H + 1) * s.V + 5, nan);
    else if (where == 1) put(p.x.k, (at * s.H + 1) * s.K + 9, nan);
    else put(p.x.forget, at * s.H + 1, nan);
    REQUIRE(bool(run_on_gpu(p, how)));
    INFO("token ", int(at), ", in ", where);
    CHECK(nans(p, 0, at, s.T, 1) == (where == 0 ? 1 : s.V) * (s.T - at));
    CHECK(nans(p, 0, 0, where == 2 ? at : at / 64 * 64, 1) == 0);
    CHECK(nans(p, 0, 0, s.T, 0) + nans(p, 1, 0, s.T, 0) + nans(p, 1, 0, s.T, 1) == 0);
  };
  for (const int where : {0, 1, 2})
    for (const index_t at : {0, 69, 703, 704, 767, 768, 1599}) {
      goes(whole, at, where);
      for (const int multiprocessors : {1, 132}) goes(in_chunks{multiprocessors}, at, where);
      goes(in_chunks{32, 256}, at, where);  // two segments of three chunks
    }
}

TEST_CASE("the library's own division: 4096 tokens and more") {
  if (!has_hopper()) return;
  squares_hold<bf16>(two_mamba, {.B = 1, .T = 4096, .Hk = 1, .H = 1, .K = 64, .V = 64}, {.gate_size = 0.1}, whole,
                     false);
  squares_hold<bf16>(two_mamba, {.B = 1, .T = 4600, .Hk = 1, .H = 1, .K = 64, .V = 64}, {.gate_size = 0.1}, whole,
                     true);
}

TEST_CASE("forward() takes it, and twenty runs give the same bits") {
  if (!has_hopper()) return;
  auto p = make_problem<bf16, bfloat16>(two_mamba, {.B = 1, .T = 700, .Hk = 4, .H = 4, .K = 64, .V = 64},
                                        {.positive_keys = true});
  CHECK(gives_the_same_bits(p, in_chunks{132}));
  CHECK(gives_the_same_bits(p, whole));
  device_problem device(p);
  CHECK(std::string(chosen_form(p.design, gpu::stream{}, device.x)) == "chunked");
}
