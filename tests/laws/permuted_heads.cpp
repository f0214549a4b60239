// SPDX-License-Identifier: Apache-2.0
/// @file  Heads, batches and channels know nothing of one another: permuting them permutes the outputs, bit for bit.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

using tensor32 = cpu::tensor<float>;

/// The same memory read and written through mirrored views must hold the same bits.
template <class Mirror> void mirror_image_agrees(const any_case& c, const Mirror& mirrored) {
  wishes w = c.wish;
  w.initial_state = true;
  const auto call = c.make(fp32{}, c.everyday, w);
  each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
    const answer32 straight = answer_of(form, plan, *call->numbers);
    plan32 image = plan;
    mirrored(image);
    check_same_bits(answer_of(form, image, *call->numbers), straight);
  });
}

}  // namespace

TEST_CASE("heads backwards in, heads backwards out") {
  each_case([](const any_case& c) {
    if (c.make()->plan.position == position_kind::rotary_2d) return;  // a head's pairs are turned by angles of its own
    mirror_image_agrees(c, [](plan32& p) {
      for (tensor32* x : {&p.q, &p.k}) mirror(*x, &tensor32::head, p.key_heads);
      for (tensor32* x : {&p.v, &p.y, &p.dt, &p.output_gate, &p.input.raw, &p.forget.raw}) mirror(*x, &tensor32::head, p.heads);
      each_parameter(p, [&](tensor32& x) { mirror(x, &tensor32::head, p.heads); });
      each_state(p, [&](tensor32& x) { mirror(x, &tensor32::head, p.heads); });
    });
  });
}

TEST_CASE("batches backwards in, batches backwards out") {
  each_case([](const any_case& c) {
    mirror_image_agrees(c, [](plan32& p) {
      each_token_tensor(p, [&](tensor32& x) { mirror(x, &tensor32::batch, p.sequences); });
      each_state(p, [&](tensor32& x) { mirror(x, &tensor32::batch, p.sequences); });
    });
  });
}

TEST_CASE("channels backwards in, channels backwards out") {
  each_case([](const any_case& c) {
    mirror_image_agrees(c, [](plan32& p) {
      // Of the tensors that have channels, only those that vary over them: the stride of the others is 0.
      each_tensor(p, [&](tensor32& x) {
        if (x.value != 0) mirror(x, &tensor32::value, p.values);
      });
    });
  });
}

TEST_CASE("one sequence alone gives what it gives beside others") {
  each_case([](const any_case& c) {
    wishes w = c.wish;
    w.initial_state = true;
    const auto call = c.make(fp32{}, c.everyday, w);
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 together = answer_of(form, plan, *call->numbers);
      call->numbers->poison();
      for (index_t n = 0; n < call->size.B; ++n) {
        plan32 p = plan;
        p.sequences = 1;
        const auto take = [&](tensor32& x) {
          if (x) x.data += n * x.batch;
        };
        each_token_tensor(p, take);
        each_state(p, take);
        const status done = form.run(p, 0);
        CHECK_MESSAGE(bool(done), done.what);
      }
      check_same_bits(written(*call->numbers), together);
    });
  });
}
