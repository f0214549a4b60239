// SPDX-License-Identifier: Apache-2.0
/// @file  What a call refuses at run time: with which code and sentence, and having written nothing.
#include <cstring>  // memcmp, strstr
#include <string>   // string

#include <doctest/doctest.h>

#include "cases.hpp"
#include "forms.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class E> bool same_bits(const std::vector<E>& a, const std::vector<E>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(E)) == 0);
}

/// Makes a good call, changes its sequence, and expects the code, a word of the sentence, and untouched outputs; in the form
/// chosen for the design and in the recurrent one. Asking for the workspace of a wrong call is no error.
template <class Design, class Change>
void refused(const Design& d, errc code, const char* word, const Change& change, wishes w = {}) {
  w.initial_state = true;
  shape s = everyday_shape<Design>();
  if (!w.offsets.empty()) s.B = 1;
  auto p = make_problem<fp32>(d, s, w);
  const auto y = p.y();
  const auto states = p.states;
  std::vector<std::byte> memory(1 << 20);
  {
    auto good = make_problem<fp32>(d, s, w);
    const status fine = forward(d, cpu::serial{memory}, good.x);
    CHECK_MESSAGE(bool(fine), fine.what);
  }
  change(p.x);
  const auto check = [&](const status& done) {
    INFO("expected: ", std::string(word), "; found: ", std::string(done.what));
    CHECK(done.code == code);
    CHECK(!done);
    CHECK(std::strstr(done.what, word) != nullptr);
    CHECK(same_bits(p.y(), y));
    for (std::size_t i = 0; i < states.size(); ++i) CHECK(same_bits(p.states[i], states[i]));
  };
  check(forward(d, cpu::serial{memory}, p.x));
  check(forward(d, form::recurrent{}, cpu::parallel{.memory = memory, .threads = 2}, p.x));
  (void)workspace_bytes(d, cpu::serial{}, p.x);
}

/// The tensor with one row less along axis r.
template <class View> View shorter(const View& x, int r) {
  index_t extents[View::rank], strides[View::rank];
  for (int i = 0; i < View::rank; ++i) extents[i] = x.extent(i) - (i == r), strides[i] = x.stride(i);
  return View(x.data(), extents, strides);
}

/// A tensor left out (where it may not be) and misshapen along each of its axes; `of` picks it from a sequence.
template <class Design, class Of> void missing_or_misshapen(const Design& d, const char* name, const Of& of, bool optional = false) {
  if (!optional) refused(d, errc::missing, (std::string(name) + " is missing").c_str(), [&](auto& x) { of(x) = {}; });
  using tensor = std::remove_cvref_t<decltype(of(std::declval<sequence<Design>&>()))>;
  for (int r = 0; r < tensor::rank; ++r) {
    INFO(std::string(name), " along axis ", r);
    refused(d, errc::shape, "[", [&](auto& x) { of(x) = shorter(of(x), r); });
  }
}

constexpr index_t falling[] = {0, 20, 10, 36}, late[] = {1, 20, 30, 36}, early[] = {0, 10, 20, 35},
                  beyond[] = {0, 10, 20, 37};

constexpr auto plain = linear_attention.with(norm::none{}, map::identity{});

}  // namespace

TEST_CASE("q, k, v and y: missing or of another shape") {
  missing_or_misshapen(linear_attention, "q", [](auto& x) -> auto& { return x.q; });
  missing_or_misshapen(linear_attention, "k", [](auto& x) -> auto& { return x.k; });
  missing_or_misshapen(linear_attention, "v", [](auto& x) -> auto& { return x.v; });
  missing_or_misshapen(linear_attention, "y", [](auto& x) -> auto& { return x.y; });
}

TEST_CASE("the step size and its bias") {
  missing_or_misshapen(mamba2, "dt", [](auto& x) -> auto& { return x.dt; });
  missing_or_misshapen(mamba2, "bias", [](auto& x) -> auto& { return x.bias; }, true);
  missing_or_misshapen(mamba, "dt", [](auto& x) -> auto& { return x.dt; });
  missing_or_misshapen(mamba, "bias", [](auto& x) -> auto& { return x.bias; }, true);
}

TEST_CASE("gates' own tensors, at every granularity") {
  missing_or_misshapen(mlstm, "input", [](auto& x) -> auto& { return x.input; });
  missing_or_misshapen(plain.with(invented::leaky_input{}), "input", [](auto& x) -> auto& { return x.input; });
  missing_or_misshapen(mlstm, "forget", [](auto& x) -> auto& { return x.forget; });
  missing_or_misshapen(gla, "forget", [](auto& x) -> auto& { return x.forget; });
  missing_or_misshapen(plain.with(invented::cutting{}), "forget", [](auto& x) -> auto& { return x.forget; });
  missing_or_misshapen(plain.with(invented::dense{}), "forget", [](auto& x) -> auto& { return x.forget; });
}

TEST_CASE("rates, at every granularity; only retention has its own") {
  missing_or_misshapen(mamba2, "a", [](auto& x) -> auto& { return x.a; });
  missing_or_misshapen(plain.with(invented::rated_keys{}), "a", [](auto& x) -> auto& { return x.a; });
  missing_or_misshapen(plain.with(invented::channel_rates{}), "a", [](auto& x) -> auto& { return x.a; });
  missing_or_misshapen(mamba, "a", [](auto& x) -> auto& { return x.a; });
  missing_or_misshapen(retnet, "a", [](auto& x) -> auto& { return x.a; }, true);
}

TEST_CASE("shortcuts, the grid and the output gate") {
  missing_or_misshapen(mamba, "d", [](auto& x) -> auto& { return x.d; });
  missing_or_misshapen(mila, "lepe", [](auto& x) -> auto& { return x.lepe; });
  missing_or_misshapen(mila, "lepe_bias", [](auto& x) -> auto& { return x.lepe_bias; }, true);
  missing_or_misshapen(plain.with(output::silu{}), "gate", [](auto& x) -> auto& { return x.gate; });
  for (image_grid wrong : {image_grid{6, 5}, image_grid{0, 0}, image_grid{36, 0}, image_grid{-6, -6}, image_grid{-1, 36}}) {
    INFO(wrong.height, " by ", wrong.width);
    refused(mila, errc::shape, "grid", [&](auto& x) { x.grid = wrong; });
    refused(plain.with(position::rotary_2d{}), errc::shape, "grid", [&](auto& x) { x.grid = wrong; });
  }
}

TEST_CASE("every sequence of a packed call has the grid's pixels") {
  const index_t offsets[] = {0, 18, 36};
  refused(linear_attention.with(shortcut::local{}), errc::shape, "grid", [&](auto& x) { x.offsets = {offsets, {3}}; },
          {.offsets = {0, 36}});
}

TEST_CASE("heads that do not fit the design") {
  refused(linear_attention.with(heads::single{}), errc::shape, "heads::single", [](auto& x) {
    x.q = {x.q.data(), {2, 36, 2, 2}}, x.k = {x.k.data(), {2, 36, 2, 2}};
  });
  refused(linear_attention, errc::shape, "heads::multi", [](auto& x) {
    x.q = {x.q.data(), {2, 36, 1, 5}}, x.k = {x.k.data(), {2, 36, 1, 5}};
  });
  refused(mamba2, errc::shape, "heads::grouped", [](auto& x) {
    x.q = {x.q.data(), {2, 36, 3, 3}}, x.k = {x.k.data(), {2, 36, 3, 3}};
  });
}

TEST_CASE("numbers of keys that cannot be turned in pairs") {
  refused(plain.with(position::rotary_1d{}), errc::shape, "rotary_1d", [](auto& x) {
    x.q = {x.q.data(), {2, 36, 2, 7}}, x.k = {x.k.data(), {2, 36, 2, 7}}, x.initial_state = {}, x.final_state = {};
  });
  refused(plain.with(position::rotary_2d{}), errc::shape, "rotary_2d", [](auto& x) {
    x.q = {x.q.data(), {2, 36, 2, 7}}, x.k = {x.k.data(), {2, 36, 2, 7}}, x.initial_state = {}, x.final_state = {};
  });
  refused(plain.with(position::rotary_2d{}, heads::single{}), errc::shape, "rotary_2d", [](auto& x) {
    x.q = {x.q.data(), {2, 36, 1, 6}}, x.k = {x.k.data(), {2, 36, 1, 6}}, x.initial_state = {}, x.final_state = {};
  });
}

TEST_CASE("states of another shape, and parts of the initial state missing") {
  missing_or_misshapen(mlstm, "", [](auto& x) -> auto& { return x.initial_state.S; }, true);
  missing_or_misshapen(mlstm, "", [](auto& x) -> auto& { return x.initial_state.z; }, true);
  missing_or_misshapen(mlstm, "", [](auto& x) -> auto& { return x.initial_state.m; }, true);
  missing_or_misshapen(mlstm, "", [](auto& x) -> auto& { return x.final_state.S; }, true);
  missing_or_misshapen(mlstm, "", [](auto& x) -> auto& { return x.final_state.z; }, true);
  missing_or_misshapen(mlstm, "", [](auto& x) -> auto& { return x.final_state.m; }, true);
  refused(linear_attention, errc::missing, "normaliser z", [](auto& x) { x.initial_state.z = {}; });
  refused(mlstm, errc::missing, "normaliser z", [](auto& x) { x.initial_state.z = {}; });
  refused(mlstm, errc::missing, "stabiliser m", [](auto& x) { x.initial_state.m = {}; });
}

TEST_CASE("offsets that do not rise from 0 to T, or with several batches") {
  const wishes packed{.offsets = {0, 10, 20, 36}};
  refused(gla, errc::offsets, "fall", [](auto& x) { x.offsets = {falling, {4}}; }, packed);
  refused(gla, errc::offsets, "0", [](auto& x) { x.offsets = {late, {4}}; }, packed);
  refused(gla, errc::offsets, "last", [](auto& x) { x.offsets = {early, {4}}; }, packed);
  refused(gla, errc::offsets, "last", [](auto& x) { x.offsets = {beyond, {4}}; }, packed);
  refused(gla, errc::offsets, "at least one", [](auto& x) { x.offsets = {early, {0}}; }, packed);
  refused(gla, errc::offsets, "batch 1", [](auto& x) { x.offsets = {early, {4}}; });
  // States hold one entry for each sequence.
  refused(gla, errc::shape, "sequences", [](auto& x) { x.initial_state.S = shorter(x.initial_state.S, 0); }, packed);
}

TEST_CASE("one byte of workspace too few, in every form") {
  const auto too_few = [](const auto& d) {
    using Design = std::remove_cvref_t<decltype(d)>;
    auto p = make_problem<fp32>(d, everyday_shape<Design>());
    const auto y = p.y();
    const auto states = p.states;
    each_form<Design>([&](const auto& form) {
      INFO(std::string(form.name));
      const auto check = [&](auto on) {
        const std::size_t bytes = workspace_bytes(d, form, on, p.x);
        REQUIRE(bytes > 0);
        std::vector<std::byte> memory(bytes);
        for (std::size_t given : {std::size_t(0), bytes - 1}) {
          on.memory = {memory.data(), given};
          const status done = forward(d, form, on, p.x);
          CHECK(done.code == errc::workspace);
          CHECK(std::strstr(done.what, "workspace") != nullptr);
          CHECK(same_bits(p.y(), y));
          for (std::size_t i = 0; i < states.size(); ++i) CHECK(same_bits(p.states[i], states[i]));
        }
        on.memory = memory;
        CHECK(bool(forward(d, form, on, p.x)));
        p.poison();
      };
      check(cpu::serial{});
      check(cpu::parallel{.memory = {}, .threads = 3});
    });
  };
  too_few(gla);
  too_few(mamba);
  too_few(mila);
  too_few(mlstm);
}

TEST_CASE("the workspace does not grow with the tokens, wherever it lies") {
  for (index_t T : {64, 6400}) {
    auto p = make_problem<fp32>(gla, {.T = T, .Hk = 2, .H = 2, .K = 8, .V = 8});
    CHECK(workspace_bytes(gla, cpu::serial{}, p.x) <= 1 << 20);
    if (T == 6400) {
      auto shorter_one = make_problem<fp32>(gla, {.T = 640, .Hk = 2, .H = 2, .K = 8, .V = 8});
      CHECK(workspace_bytes(gla, cpu::serial{}, p.x) == workspace_bytes(gla, cpu::serial{}, shorter_one.x));
    }
  }
  // Any address will do: the call aligns what it is given.
  auto p = make_problem<fp32>(gla, everyday_shape<std::remove_const_t<decltype(gla)>>());
  CHECK(bool(run(p, form::automatic{}, cpu::serial{})));
  const auto y = p.y();
  const std::size_t bytes = workspace_bytes(gla, cpu::serial{}, p.x);
  for (std::size_t shift : {std::size_t(1), std::size_t(7), std::size_t(33), std::size_t(63)}) {
    auto memory = poisoned(bytes + shift);
    p.poison();
    CHECK(bool(forward(gla, cpu::serial{.memory = {memory.data() + shift, bytes}}, p.x)));
    CHECK(same_bits(p.y(), y));
  }
}

TEST_CASE("a call of nothing is no error") {
  CHECK(bool(forward(linear_attention, cpu::serial{}, sequence<decltype(linear_attention)>{})) ==
        (workspace_bytes(linear_attention, cpu::serial{}, sequence<decltype(linear_attention)>{}) == 0));
  std::vector<std::byte> memory(1 << 16);
  CHECK(bool(forward(linear_attention, cpu::serial{memory}, sequence<decltype(linear_attention)>{})));
  CHECK(bool(status{}));
  CHECK(std::string(status{}.what) == "ok");
}
