// SPDX-License-Identifier: Apache-2.0
/// @file  Parameters and multiply-accumulates of the vision networks, exactly those of the public code and of the paper's
///        ablation, at compile time.
#include <doctest/doctest.h>

#include <sextant/models/vim.hpp>
#include <sextant/models/vision.hpp>
#include <sextant/models/vmamba.hpp>

using namespace sextant;
using namespace sextant::models;

namespace {

template <class Net> constexpr index_t products(const Net& net) { return macs(net, 224, 224).products; }
template <class Net> constexpr index_t mixers(const Net& net) { return macs(net, 224, 224).mixers; }
template <class Net> constexpr index_t norms(const Net& net) { return macs(net, 224, 224).norms; }
template <class Net> constexpr index_t all(const Net& net) { return macs(net, 224, 224).total(); }

}  // namespace

// MILA.
static_assert(parameters(mila_t) == 24'392'200);
static_assert(parameters(mila_s) == 43'015'048);
static_assert(parameters(mila_b) == 95'983'960);
static_assert(keys(mila_t) == 517 && keys(mila_s) == 967 && keys(mila_b) == 967);
static_assert(products(mila_t) == 4'046'604'288 && mixers(mila_t) == 84'797'440 && norms(mila_t) == 25'088'000);
static_assert(products(mila_s) == 7'092'086'784 && mixers(mila_s) == 156'549'120 && norms(mila_s) == 36'126'720);
static_assert(products(mila_b) == 15'878'913'024 && mixers(mila_b) == 234'823'680 && norms(mila_b) == 54'190'080);

// The ablation (tables 1 and 2), one change of the baseline each. Fvcore's sums, which count norms, give the paper's MACs.
constexpr auto& baseline = linear_swin_t;
static_assert(parameters(baseline) == 28'265'032 && products(baseline) + mixers(baseline) == 4'443'376'128);
static_assert(norms(baseline) == 18'627'840);

constexpr auto input_gate = baseline.with(input::softplus<per::channel>{});
static_assert(parameters(input_gate) == 28'534'600 && all(input_gate) == 4'505'356'032);

constexpr auto forget_gate = baseline.with(forget::selective{}, order::causal{}, norm::sum_undecayed{});
static_assert(parameters(forget_gate) == 28'680'328 && all(forget_gate) == 4'825'679'616);

constexpr auto with_d = baseline.with(shortcut::learned{});
static_assert(parameters(with_d) == 28'269'448 && all(with_d) == 4'462'003'968);

constexpr auto without_norm = baseline.with(norm::none{});
static_assert(parameters(without_norm) == 28'265'032 && all(without_norm) == 4'460'573'952);

constexpr auto single_head = baseline.with(heads::single{});
static_assert(parameters(single_head) == 24'226'504 && all(single_head) == 3'858'753'600);

constexpr auto mila_blocks = baseline.with(block::mila{});
static_assert(parameters(mila_blocks) == 30'470'152 && all(mila_blocks) == 4'821'690'624);

// Not the paper's 28M and 4.7G, whose widths are not published.
constexpr auto mamba_blocks = baseline.with(block::mamba{});
static_assert(parameters(mamba_blocks) == 32'648'776 && all(mamba_blocks) == 5'267'178'240);

static_assert(parameters(baseline.with_absolute_position()) == 29'695'048);
static_assert(parameters(baseline.with(shortcut::local{})) == 28'309'192);
static_assert(parameters(baseline.with_conditional_position()) == 28'309'192);
static_assert(parameters(baseline.with(position::rotary_2d{})) == 28'265'032);
static_assert(all(baseline.with_conditional_position()) == all(baseline) + 9 * 1'430'016);

// Vim and VMamba.
static_assert(parameters(vim_t) == 7'148'008 && parameters(vim_s) == 25'796'584);
static_assert(parameters(vmamba_t) == 30'249'064);
static_assert(parameters(vmamba{{.depths = {2, 2, 5, 2}, .expand = 2}}) == 30'705'832);

TEST_CASE("vision: counts") { CHECK(parameters(mila_t) == 24'392'200); }
