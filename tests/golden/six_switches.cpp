// SPDX-License-Identifier: Apache-2.0
/// @file  G6: the unified causal operator of arXiv 2405.16605 with each of its switches.
#include "golden.hpp"

using namespace sextant;

namespace {

constexpr index_t T = 5, d = 4, C = 6, H = 2, V = C / H;

/// Runs linear attention with some parts changed against the last token's known channels.
template <class Design> void check_last_token(const Design& design, const double (&known)[C]) {
  const auto fill = [](auto& x) {
    golden::stream draw{29};
    golden::set(x.q, draw(T * H * d));
    golden::set(x.k, draw(T * H * d));
    golden::set(x.v, draw(T * C));
    const std::vector<double> steps = draw(T * C), rates = draw(d * C), shortcut = draw(C);
    if constexpr (requires { x.dt; }) {
      golden::set(x.dt, steps);
      golden::leave_out(x.bias);
    }
    if constexpr (requires { x.a; })  // [d][C] here, [H, V, K] there
      golden::set(x.a, golden::transposed(golden::each(rates, [](double r) { return -std::exp(r); }), d, C));
    if constexpr (requires { x.d; }) golden::set(x.d, shortcut);
  };
  const auto expect = [&known](const auto& x, golden::comparison& compare) {
    for (index_t c = 0; c < C; ++c) compare(double(x.y(0, T - 1, c / V, c % V)), known[c]);
  };
  golden::check(design, {1, T, H, H, d, V}, fill, expect, golden::no_state);
}

}  // namespace

TEST_CASE("six switches: the baseline") {
  check_last_token(linear_attention,
                   {+0.148988904, +0.462739479, -0.031230912, -0.045224450, -0.051674631, +0.118051622});
}
TEST_CASE("six switches: + input gate") {
  check_last_token(linear_attention.with(input::softplus<per::channel>{}),
                   {+0.262724625, +0.213387869, -0.080565943, -0.009647541, -0.064962417, +0.153440302});
}
TEST_CASE("six switches: + forget gate, the normaliser not decayed") {
  check_last_token(linear_attention.with(forget::selective{}, norm::sum_undecayed{}),
                   {+0.118355768, +0.053401492, -0.033968986, -0.134317674, -0.016322687, +0.035030497});
}
TEST_CASE("six switches: + shortcut") {
  check_last_token(linear_attention.with(shortcut::learned{}),
                   {+0.265003157, +0.505090199, -0.153764580, -0.261705019, -0.051870202, +0.106326184});
}
TEST_CASE("six switches: - normalisation") {
  check_last_token(linear_attention.with(norm::none{}),
                   {+4.140980609, +12.861328332, -0.868028414, -0.971757471, -1.110355317, +2.536626666});
}
TEST_CASE("six switches: input gate, forget gate and shortcut, no normalisation: Mamba's point") {
  check_last_token(linear_attention.with(input::softplus<per::channel>{}, forget::selective{}, shortcut::learned{},
                                         norm::none{}),
                   {+4.200760932, +0.262771685, -1.605301706, -2.853887038, -0.310717209, +0.890319248});
}
