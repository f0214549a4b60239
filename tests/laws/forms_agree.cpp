// SPDX-License-Identifier: Apache-2.0
/// @file  The first law: all forms of a design are equal up to rounding, on every backend and in every precision.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

/// A shape and what is wished of it.
struct occasion {
  const char* name;
  shape size;
  wishes wish;
};

/// The everyday shape; nothing and next to nothing; lengths around a tile's and a chunk's; widths around a vector's.
std::vector<occasion> occasions(const any_case& c) {
  const shape& s = c.everyday;
  std::vector<occasion> all{{"everyday", s, c.wish}};
  const auto next = [&](const char* name) -> occasion& { return all.emplace_back(occasion{name, s, c.wish}); };
  next("from a state").wish.initial_state = true;
  occasion& no_token = next("no token");
  no_token.size.T = 0, no_token.wish.initial_state = true;
  next("no batch").size.B = 0;
  next("no channel").size.V = 0;
  next("one token").size.T = 1;
  next("one channel").size.V = 1;
  if (!c.turns) next("one key").size.K = 1;
  occasion& many = next("many tokens");
  many.size.B = 1, many.size.T = 150, many.wish.initial_state = true;
  occasion& wide = next("wide");
  wide.size.B = 1, wide.size.T = 24, wide.size.K = 16, wide.size.V = 48;
  occasion& strong = next("strong gates");
  strong.wish.gate_size = 6, strong.wish.rate_size = 6;
  if (!c.is_picture) {
    occasion& packed = next("packed");
    packed.size.B = 1, packed.size.T = 60, packed.wish.offsets = {0, 0, 17, 18, 18, 60};
    packed.wish.initial_state = true;
  }
  for (occasion& o : all) o.size.grid_width = o.size.T == 0 ? 0 : o.size.T % 6 == 0 ? 6 : o.size.T;
  return all;
}

void check_errors(const errors& e, double bound) {
  CHECK(e.y <= bound);
  CHECK(e.S <= bound);
  CHECK(e.z <= bound);
  CHECK(e.m <= bound);
}

template <class P> void every_form_agrees() {
  int cases = 0, runs = 0;
  each_case([&](const any_case& c) {
    ++cases;
    for (const occasion& o : occasions(c)) {
      INFO(c.name, ", ", std::string(o.name), ", ", std::string(precision_name<P>));
      const auto judge = c.judge(&rounded_through<storage_of<P>>, o.size, o.wish);
      const auto call = c.make(P{}, o.size, o.wish);
      CHECK_MESSAGE(bool(call->planned), call->planned.what);
      const auto agrees = [&](const status& done) {
        ++runs;
        CHECK_MESSAGE(bool(done), done.what);
        check_errors(compare_tensors<P, fp64>(*call->numbers, *judge, c.has_z, c.has_m), tolerance<P>);
      };
      agrees(call->forward());
      for (std::size_t i = 0; i < std::size(planned_forms<typename P::accumulator>); ++i) {
        const auto& form = planned_forms<typename P::accumulator>[i];
        if (!c.runs[i]) continue;
        INFO(std::string(form.name));
        auto plan = call->plan;
        for (int threads : {0, 3}) {
          INFO("threads: ", threads);
          call->numbers->poison();
          agrees(form.run(plan, threads));
        }
        if (std::strcmp(form.name, "chunked") != 0) continue;
        for (index_t chunk : {1, 5, 64}) {
          INFO("chunks of ", chunk);
          plan.chunk_length = chunk;
          call->numbers->poison();
          agrees(form.run(plan, 0));
        }
      }
    }
  });
  MESSAGE(cases, " designs, ", runs, " answers");
  CHECK(cases > 100);
}

}  // namespace

TEST_CASE("every form agrees with the reference, on both backends, for all cases: fp32") { every_form_agrees<fp32>(); }
TEST_CASE("every form agrees with the reference, on both backends, for all cases: fp64") { every_form_agrees<fp64>(); }
TEST_CASE("every form agrees with the reference, on both backends, for all cases: bf16") { every_form_agrees<bf16>(); }
TEST_CASE("every form agrees with the reference, on both backends, for all cases: fp16") { every_form_agrees<fp16>(); }
