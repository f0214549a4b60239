// SPDX-License-Identifier: Apache-2.0
/// @file  A sequence has exactly the tensors that its design reads, of the axes and types that it reads them in.
#include <sextant/design/presets.hpp>
#include <sextant/tensor/sequence.hpp>

#include <type_traits>  // is_same, is_trivially_copyable

#include <doctest/doctest.h>

#include "invented.hpp"

using namespace sextant;

namespace {

/// The tensors a sequence may have besides q, k, v, y and S, as bits.
enum tensors : unsigned {
  dt = 1,
  forget_tensor = 2,
  input_tensor = 4,
  rate = 8,
  shortcut_d = 16,
  lepe = 32,
  grid = 64,
  first_position = 128,
  gate_tensor = 256,
  z = 512,
  m = 1024
};
template <class Design> constexpr unsigned tensors_of() {
  using x = sequence<Design>;
  unsigned found = 0;
  if constexpr (requires(x s) { s.dt; s.bias; }) found |= dt;
  if constexpr (requires(x s) { s.forget; }) found |= forget_tensor;
  if constexpr (requires(x s) { s.input; }) found |= input_tensor;
  if constexpr (requires(x s) { s.a; }) found |= rate;
  if constexpr (requires(x s) { s.d; }) found |= shortcut_d;
  if constexpr (requires(x s) { s.lepe; s.lepe_bias; }) found |= lepe;
  if constexpr (requires(x s) { s.grid; }) found |= grid;
  if constexpr (requires(x s) { s.first_position; }) found |= first_position;
  if constexpr (requires(x s) { s.gate; }) found |= gate_tensor;
  if constexpr (requires(x s) { s.final_state.z; s.initial_state.z; }) found |= z;
  if constexpr (requires(x s) { s.final_state.m; s.initial_state.m; }) found |= m;
  return found;
}
template <auto& Design> inline constexpr unsigned has = tensors_of<std::remove_cvref_t<decltype(Design)>>();

template <class Tensor, class Wanted> inline constexpr bool is = std::is_same_v<std::remove_cvref_t<Tensor>, Wanted>;

}  // namespace

TEST_CASE("the tensors of the designs of the literature, and no others") {
  static_assert(has<linear_attention> == z);
  static_assert(has<mamba> == (dt | rate | shortcut_d));
  static_assert(has<mamba2> == (dt | rate | shortcut_d));
  static_assert(has<mamba2s> == (dt | forget_tensor));
  static_assert(has<retnet> == rate);
  static_assert(has<gla> == forget_tensor);
  static_assert(has<mlstm> == (forget_tensor | input_tensor | z | m));
  static_assert(has<mila> == (lepe | grid | z));
  static_assert(has<two_mamba> == (forget_tensor | z));
}

TEST_CASE("each switch brings its tensor and takes it away") {
  static_assert(tensors_of<decltype(gla.with(input::sigmoid{}))>() == (forget_tensor | input_tensor));
  static_assert(tensors_of<decltype(gla.with(forget::one{}))>() == 0);
  static_assert(tensors_of<decltype(gla.with(shortcut::learned{}))>() == (forget_tensor | shortcut_d));
  static_assert(tensors_of<decltype(gla.with(norm::sum{}))>() == (forget_tensor | z));
  static_assert(tensors_of<decltype(gla.with(norm::sum_undecayed{}))>() == (forget_tensor | z));
  static_assert(tensors_of<decltype(gla.with(position::rotary_1d{}))>() == (forget_tensor | first_position));
  static_assert(tensors_of<decltype(gla.with(position::rotary_2d{}))>() == (forget_tensor | grid));
  static_assert(tensors_of<decltype(gla.with(output::silu{}))>() == (forget_tensor | gate_tensor));
  static_assert(tensors_of<decltype(gla.with(heads::single{}, order::reversed{}, block::mamba{}, scale::constant{}))>() ==
                forget_tensor);
  static_assert(tensors_of<decltype(mamba.with(input::one{}))>() == has<mamba>);          // the other gate reads the step
  static_assert(tensors_of<decltype(mamba.with(forget::one{}))>() == (dt | shortcut_d));
  static_assert(tensors_of<decltype(mamba.with(input::one{}, forget::one{}))>() == shortcut_d);
  static_assert(tensors_of<decltype(mila.with(shortcut::none{}))>() == (grid | z));
  static_assert(tensors_of<decltype(mila.with(shortcut::none{}, position::none{}))>() == z);
}

TEST_CASE("tensors vary over what their gates say") {
  using P = fp32;
  sequence<decltype(mamba), P> s6;
  static_assert(is<decltype(s6.dt), bthv<const float>> && is<decltype(s6.bias), hv<const float>>);
  static_assert(is<decltype(s6.a), hvk<const float>> && is<decltype(s6.d), hv<const float>>);
  sequence<decltype(mamba2), P> s7;
  static_assert(is<decltype(s7.dt), bth<const float>> && is<decltype(s7.bias), head_view<const float>>);
  static_assert(is<decltype(s7.a), head_view<const float>>);
  sequence<decltype(gla), P> keys;
  static_assert(is<decltype(keys.forget), bthk<const float>>);
  sequence<decltype(mlstm), P> heads;
  static_assert(is<decltype(heads.forget), bth<const float>> && is<decltype(heads.input), bth<const float>>);
  static_assert(is<decltype(heads.final_state.m), bh<float>> && is<decltype(heads.final_state.z), bhk<float>>);
  static_assert(is<decltype(heads.initial_state.S), bhkv<const float>>);
  using namespace test::invented;
  sequence<decltype(gla.with(leaky_input{}, dense{}))> both;
  static_assert(is<decltype(both.input), bthv<const float>> && is<decltype(both.forget), bthkv<const float>>);
  sequence<decltype(gla.with(crossed{}))> crossing;
  static_assert(is<decltype(crossing.forget), bthk<const float>> && is<decltype(crossing.a), hv<const float>>);
  sequence<decltype(gla.with(stepped_keys{}))> stepped;
  static_assert(is<decltype(stepped.dt), bth<const float>> && is<decltype(stepped.a), hk<const float>>);
}

TEST_CASE("tokens, parameters and states are of the precision's types") {
  sequence<decltype(mamba), bf16> x;
  static_assert(is<decltype(x.q), bthk<const bfloat16>> && is<decltype(x.y), bthv<bfloat16>>);
  static_assert(is<decltype(x.dt), bthv<const bfloat16>>);
  static_assert(is<decltype(x.a), hvk<const float>> && is<decltype(x.final_state.S), bhkv<float>>);
  sequence<decltype(mamba), fp64> y;
  static_assert(is<decltype(y.v), bthv<const double>> && is<decltype(y.bias), hv<const double>>);
  sequence<decltype(mamba), precision<float16, double, float>> mixed;
  static_assert(is<decltype(mixed.k), bthk<const float16>> && is<decltype(mixed.final_state.S), bhkv<double>>);
}

TEST_CASE("a new sequence holds nothing") {
  sequence<decltype(mlstm)> x;
  CHECK(!x.q);
  CHECK(!x.y);
  CHECK(!x.input);
  CHECK(!x.initial_state.S);
  CHECK(!x.final_state.m);
  CHECK(!x.offsets);
  static_assert(std::is_trivially_copyable_v<decltype(x)>);
}

TEST_CASE("what a design lacks takes no place") {
  static_assert(sizeof(sequence<decltype(gla.with(forget::one{}))>) < sizeof(sequence<decltype(gla)>));
  static_assert(sizeof(sequence<decltype(linear_attention.with(norm::none{}))>) ==
                4 * sizeof(bthk<float>) + 2 * sizeof(bhkv<float>) + sizeof(view<const index_t, axis::sequence>));
}
