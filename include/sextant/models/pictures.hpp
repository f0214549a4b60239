// SPDX-License-Identifier: Apache-2.0
/// @file  What networks of pictures share: the head, what they ask of pictures, how their workspace is found.
#pragma once

#include <sextant/blocks/memory.hpp>
#include <sextant/blocks/projections.hpp>

namespace sextant::models {

/// Class scores of the mean of a picture's tokens x [B n, C], normalised in their place.
template <class On, class E>
status forward_head(const On& on, const blocks::modules::layer_norm<E>& norm, const blocks::modules::linear<E>& head,
                    const blocks::rows<E>& x, const blocks::picture_sizes& p, const blocks::rows<E>& logits,
                    blocks::buffers& memory) {
  using namespace sextant::blocks;
  const rows<E> mean = memory.take<E>(p.batch, x.template extent<axis::value>());
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  return in_order([&] { return layer_norm(lent, rows<const E>(x), norm, x); },
                  [&] { return token_mean(lent, tokens<const E>(tokens_of(x, p.batch, p.tokens())), mean); },
                  [&] { return linear(lent, rows<const E>(mean), head, logits, after_linear<E>{}); });
}

/// Whether a network of pictures takes these: any number of them, of one pixel at least.
template <class E>
status fit(const blocks::image<const E>& picture, const blocks::rows<E>& logits, index_t classes) {
  const index_t batch = picture.template extent<axis::batch>();
  if (picture.template extent<axis::value>() != 3 || logits.template extent<axis::value>() != classes ||
      batch != logits.template extent<axis::row>())
    return {errc::shape, "network: pictures are [B, H, W, 3], logits [B, classes]"};
  if (batch > 0 && picture.size() == 0) return {errc::shape, "network: a picture has one pixel at least"};
  return {};
}

/// Bytes that run(on, picture, logits, memory) takes for pictures of this size.
template <class E, class On, class Run>
std::size_t bytes_of_run(const On& on, index_t batch, index_t height, index_t width, index_t classes, const Run& run) {
  return blocks::bytes_needed(on, [&](const auto& measuring, blocks::buffers& memory) {
    const blocks::rows<E> nowhere = memory.take<E>(0, 0);
    return run(measuring, blocks::image<const E>(nowhere.data(), {batch, height, width, 3}),
               blocks::rows<E>(nowhere.data(), {batch, classes}), memory);
  });
}

}  // namespace sextant::models
