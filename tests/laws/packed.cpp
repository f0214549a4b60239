// SPDX-License-Identifier: Apache-2.0
/// @file  Packed sequences of different lengths equal as many separate calls.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

const std::vector<index_t> offsets{0, 0, 17, 18, 18, 60, 83};

/// Sequence n of a packed call, as a call of its own.
plan32 alone(const plan32& packed, index_t n) {
  plan32 p = cut(packed, packed.first(n), packed.length(n));
  p.first_position = packed.first_position;  // positions count from each sequence's own first token
  p.offsets = nullptr;
  p.sequences = 1;
  each_state(p, [&](cpu::tensor<float>& x) {
    if (x) x.data += n * x.batch;
  });
  return p;
}

}  // namespace

TEST_CASE("packed sequences equal separate calls, in every form; bit for bit but for where chunks and stretches fall") {
  each_case([](const any_case& c) {
    if (c.is_picture) return;  // all sequences of one call have the same grid
    wishes w = c.wish;
    w.offsets = offsets;
    w.initial_state = true;
    shape s = c.everyday;
    s.B = 1, s.T = offsets.back();
    const auto call = c.make(fp32{}, s, w);
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 packed = answer_of(form, plan, *call->numbers);
      call->numbers->poison();
      for (index_t n = 0; n + 1 < index_t(offsets.size()); ++n) {
        const status done = form.run(alone(plan, n), 0);
        CHECK_MESSAGE(bool(done), done.what);
      }
      const answer32 separate = written(*call->numbers);
      check_close(c, packed, separate);
      if (is(form, "recurrent") || is(form, "quadratic")) check_same_bits(packed, separate);
    });
  });
}

TEST_CASE("offsets may be read with a stride, and a sequence of no tokens keeps its state") {
  each_case([](const any_case& c) {
    if (c.is_picture) return;
    wishes w = c.wish;
    w.offsets = offsets;
    w.initial_state = true;
    shape s = c.everyday;
    s.B = 1, s.T = offsets.back();
    const auto call = c.make(fp32{}, s, w);
    std::vector<index_t> spread;
    for (index_t o : offsets) spread.insert(spread.end(), {o, -1, -1});
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 plain = answer_of(form, plan, *call->numbers);
      plan32 strided = plan;
      strided.offsets = spread.data();
      strided.offsets_stride = 3;
      check_same_bits(answer_of(form, strided, *call->numbers), plain);
      const auto& before = call->numbers->states[3];
      const std::size_t each = before.size() / (offsets.size() - 1);
      CHECK(std::memcmp(plain.S.data(), before.data(), each * sizeof(float)) == 0);                        // sequence 0
      CHECK(std::memcmp(&plain.S[3 * each], &before[3 * each], each * sizeof(float)) == 0);                // sequence 3
    });
  });
}
