// SPDX-License-Identifier: Apache-2.0
/// @file  A gate that is 1 is no gate: bit for bit in the recurrent form, to rounding in the others.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr auto plain = linear_attention.with(norm::none{}, map::identity{});

template <class Tensor> void set_all(const Tensor& x, float value) {
  using element = std::remove_const_t<typename Tensor::element_type>;
  for (index_t i = 0; i < x.size(); ++i) const_cast<element*>(x.data())[i] = element(value);
}

/// `gated` differs from `ungated` in one gate, which `open` makes 1 by the tensors it reads.
template <class Ungated, class Gated, class Open> void open_gate_is_none(const Ungated& ungated, const Gated& gated, const Open& open) {
  const shape s = everyday_shape<Ungated>();
  const wishes w = everyday_wishes<Ungated>();
  auto without = make_problem<fp32>(ungated, s, w);
  auto with = make_problem<fp32>(gated, s, w);
  if constexpr (requires { without.x.a; }) without.x.a = {}, with.x.a = {};  // a rate of both: the part's own
  open(with.x);
  each_form<Gated>([&](const auto& form) {
    using Form = std::remove_cvref_t<decltype(form)>;
    INFO(std::string(Gated::input_type::name), ", ", std::string(Gated::forget_type::name), ", ", std::string(Gated::norm_type::name), ", ",
         std::string(form.name));
    without.poison(), with.poison();
    CHECK(bool(run(without, form, cpu::serial{})));
    CHECK(bool(run(with, form, cpu::serial{})));
    const errors e = compare(with, without);
    CHECK(e.worst() <= tolerance<fp32>);
    if constexpr (std::is_same_v<Form, form::recurrent>) {
      CHECK(same_bits(with.y(), without.y()));
      CHECK(same_bits(with.S(), without.S()));
      CHECK(same_bits(with.z(), without.z()));
    }
  });
}

template <class Design> void open_forget_gates(const Design& d) {
  open_gate_is_none(d, d.with(forget::constant{}), [](auto& x) { set_all(x.a, 0); });
  open_gate_is_none(d, d.with(forget::exponential{}), [](auto& x) { set_all(x.a, 0); });
  open_gate_is_none(d, d.with(forget::log_decay<per::head>{}), [](auto& x) { set_all(x.forget, 0); });
  open_gate_is_none(d, d.with(forget::log_decay<per::key>{}), [](auto& x) { set_all(x.forget, 0); });
  open_gate_is_none(d, d.with(forget::log_sigmoid<per::key>{.temperature = 16}), [](auto& x) { set_all(x.forget, 200); });
  open_gate_is_none(d, d.with(forget::softplus{}), [](auto& x) { set_all(x.forget, -200); });
}

}  // namespace

TEST_CASE("a forget gate of 1 is none") {
  open_forget_gates(plain);
  open_forget_gates(linear_attention);
  open_forget_gates(linear_attention.with(order::reversed{}));
  open_gate_is_none(plain, plain.with(forget::selective{}), [](auto& x) { set_all(x.a, 0); });
  open_gate_is_none(plain, plain.with(forget::log_decay<per::channel>{}), [](auto& x) { set_all(x.forget, 0); });
  open_gate_is_none(plain, plain.with(forget::log_decay<per::key_channel>{}), [](auto& x) { set_all(x.forget, 0); });
  open_gate_is_none(plain, plain.with(invented::fixed_forget{.kept = 1}), [](auto&) {});
  open_gate_is_none(linear_attention, linear_attention.with(norm::sum_undecayed{}), [](auto&) {});  // nothing decays anyway
}

TEST_CASE("an input gate of 1 is none") {
  open_gate_is_none(plain, plain.with(input::exponential{}), [](auto& x) { set_all(x.input, 0); });
  open_gate_is_none(plain, plain.with(input::sigmoid{}), [](auto& x) { set_all(x.input, 200); });
  open_gate_is_none(plain, plain.with(invented::leaky_input{}), [](auto& x) { set_all(x.input, 1); });
  open_gate_is_none(plain, plain.with(invented::fixed_input{.amount = 1}), [](auto&) {});
  constexpr auto normalised = linear_attention.with(forget::constant{});
  open_gate_is_none(normalised, normalised.with(input::exponential{}), [](auto& x) { set_all(x.input, 0); });
  open_gate_is_none(normalised, normalised.with(input::sigmoid{}), [](auto& x) { set_all(x.input, 200); });
  constexpr auto stabilised = linear_attention.with(norm::abs_max{}, map::identity{});
  open_gate_is_none(stabilised, stabilised.with(input::exponential{}), [](auto& x) { set_all(x.input, 0); });
}

TEST_CASE("a step size of 1 is no input gate, up to the rounding of its softplus") {
  const auto design = plain.with(input::softplus<per::channel>{});
  auto gated = make_problem<fp32>(design, everyday_shape<std::remove_const_t<decltype(design)>>());
  set_all(gated.x.dt, 0.541324854612918f);  // softplus of it is 1
  gated.x.bias = {};
  auto bare = make_problem<fp32>(plain, gated.size);
  each_form<std::remove_const_t<decltype(design)>>([&](const auto& form) {
    CHECK(bool(run(gated, form, cpu::serial{})));
    CHECK(bool(run(bare, form, cpu::serial{})));
    CHECK(compare(gated, bare).worst() <= tolerance<fp32>);
  });
}

TEST_CASE("a shortcut of 0 is none, an output gate that is open passes y on") {
  const auto with_d = plain.with(shortcut::learned{});
  auto shorted = make_problem<fp32>(with_d, everyday_shape<std::remove_const_t<decltype(with_d)>>());
  set_all(shorted.x.d, 0);
  auto bare = make_problem<fp32>(plain, shorted.size);
  each_form<std::remove_const_t<decltype(with_d)>>([&](const auto& form) {
    CHECK(bool(run(shorted, form, cpu::serial{})));
    CHECK(bool(run(bare, form, cpu::serial{})));
    CHECK(relative_error(shorted.y(), bare.y()) == 0);
  });
  const auto with_gate = plain.with(output::silu{});
  auto open = make_problem<fp32>(with_gate, shorted.size);
  set_all(open.x.gate, 32);  // silu(32) = 32 to the last bit
  each_form<std::remove_const_t<decltype(with_gate)>>([&](const auto& form) {
    CHECK(bool(run(open, form, cpu::serial{})));
    CHECK(bool(run(bare, form, cpu::serial{})));
    for (float& e : open.y()) e /= 32;
    CHECK(relative_error(open.y(), bare.y()) <= 1e-7);
  });
}
