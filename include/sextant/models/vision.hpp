// SPDX-License-Identifier: Apache-2.0
/// @file  Networks of pictures on Swin's skeleton: four stages of one block around any mixer. Swin-T with linear attention
///        and every row of its ablation; MILA-T, S and B.
#pragma once

#include <sextant/blocks/gated.hpp>
#include <sextant/blocks/mila.hpp>
#include <sextant/blocks/transformer.hpp>
#include <sextant/design/presets.hpp>
#include <sextant/models/pictures.hpp>
#include <sextant/models/vision_parts.hpp>

/// Whole networks, each one constexpr value: a design and sizes.
namespace sextant::models {

/// The sizes of a network and what stands around its mixers.
struct vision_sizes {
  index_t embed = 96;  ///< channels of the first stage; every further one has twice as many
  index_t depths[4] = {2, 2, 6, 2};
  index_t heads[4] = {3, 6, 12, 24};
  bool convolutional = false;         ///< MILA's stem and downsampling in place of Swin's patches
  bool conditional_position = false;  ///< CPE in every block
  bool absolute_position = false;     ///< APE in every block, of a picture of picture x picture pixels
  index_t picture = 224;              ///< pixels along a side, where something depends on it: APE
  index_t classes = 1000;
  index_t mlp_ratio = 4;
  index_t expansion = 2;  ///< of block::mamba
};

/// The block that a design asks for, with weights.
template <class Design, class E>
using block_of =
    std::conditional_t<std::is_same_v<typename Design::block_type, block::mila>, blocks::mila_block<Design, E>,
                       std::conditional_t<std::is_same_v<typename Design::block_type, block::mamba>,
                                          blocks::gated_block<Design, E>, blocks::transformer_block<Design, E>>>;

/// A stage: equal blocks, and but for the last stage what halves the picture and doubles the channels.
template <class Design, class E> struct vision_stage {
  blocks::repeated<block_of<Design, E>> layers{};
  downsampling<E> down{};

  template <class Visit> constexpr void each(const Visit& visit) {
    visit("blocks", layers);
    visit("downsample", down);
  }
};
/// The four stages, by number.
template <class Design, class E> struct vision_stages {
  vision_stage<Design, E> stage[4]{};
  template <class Visit> constexpr void each(const Visit& visit) {
    for (index_t i = 0; i < 4; ++i) visit(i, stage[i]);
  }
};

/// All weights of a network, or their sizes.
template <class Design, class E> struct vision_weights {
  stem<E> patch_embed{};
  vision_stages<Design, E> layers{};
  blocks::modules::layer_norm<E> norm{};
  blocks::modules::linear<E> head{};

  constexpr vision_weights() = default;
  constexpr vision_weights(const Design& design, const vision_sizes& s)
      : patch_embed(s.embed, s.convolutional), norm(8 * s.embed), head(8 * s.embed, s.classes) {
    index_t side = patch_embed.pixels(s.picture);
    for (int i = 0; i < 4; ++i) {
      const index_t C = s.embed << i;
      const blocks::block_options options{s.conditional_position, s.absolute_position ? side * side : 0, s.mlp_ratio,
                                          s.expansion};
      layers.stage[i].layers = {block_of<Design, E>(design, C, s.heads[i], options), s.depths[i]};
      layers.stage[i].down = downsampling<E>(i < 3 ? C : 0, s.convolutional);
      side = (side + 1) / 2;
    }
  }
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("patch_embed", patch_embed);
    visit("layers", layers);
    visit("norm", norm);
    visit("head", head);
  }
};

/// A network of pictures: what its mixers compute, and its sizes. `with` changes the design as design::with does, so that
/// an ablation of a whole network is one line: baseline.with(input::softplus<per::channel>{}).
template <class Design> struct vision {
  using design_type = Design;

  Design design{};
  vision_sizes sizes{};

  template <class... Parts> constexpr auto with(Parts... parts) const {
    return vision<decltype(design.with(parts...))>{design.with(parts...), sizes};
  }
  /// The same design on other sizes.
  constexpr vision with_sizes(const vision_sizes& others) const { return {design, others}; }
  constexpr vision with_conditional_position() const {
    vision same = *this;
    same.sizes.conditional_position = true;
    return same;
  }
  constexpr vision with_absolute_position() const {
    vision same = *this;
    same.sizes.absolute_position = true;
    return same;
  }
  /// The weights' description; bind() gives it memory.
  template <class E = float> constexpr vision_weights<Design, E> weights() const { return {design, sizes}; }
};

/// Trainable numbers.
template <class Design> constexpr index_t parameters(const vision<Design>& net) {
  return blocks::parameters(net.template weights<>());
}
/// Entries of the public model's state_dict, the tables of rotary positions (one for each block) included.
template <class Design> constexpr index_t keys(const vision<Design>& net) {
  index_t count = blocks::keys(net.template weights<>());
  for (const index_t depth : net.sizes.depths) count += sextant::detail::turns_2d<Design> ? depth : 0;
  return count;
}
/// Multiply-accumulates of one picture.
template <class Design> constexpr blocks::multiply_adds macs(const vision<Design>& net, index_t height, index_t width) {
  const auto w = net.template weights<>();
  blocks::multiply_adds sum = w.patch_embed.macs(height, width);
  index_t h = w.patch_embed.pixels(height), v = w.patch_embed.pixels(width);
  for (int i = 0; i < 4; ++i) {
    const auto& stage = w.layers.stage[i];
    sum += stage.layers.size() * stage.layers.first_one().macs(h * v);
    sum += stage.down.macs(h, v);
    if (i < 3) h = (h + 1) / 2, v = (v + 1) / 2;
  }
  return sum + w.norm.macs(h * v) + w.head.macs(1);
}

/// What may look at a network while it runs, and does nothing: called with the stage, the block and its result [n, C], and
/// where a stage begins with block -1 and what enters it.
struct no_observer {
  template <class E> status operator()(int, index_t, const blocks::rows<E>&, const blocks::picture_sizes&) const {
    return {};
  }
};

/// Class scores of pictures, on buffers taken from `memory`; `observe` is called between blocks.
template <class Design, class On, class E, class Observer>
status run(const vision<Design>& net, const On& on, const vision_weights<Design, E>& w,
           const blocks::image<const E>& picture, const blocks::rows<E>& logits, blocks::buffers& memory,
           const Observer& observe) {
  using namespace sextant::blocks;
  picture_sizes p{picture.template extent<axis::batch>(), w.patch_embed.pixels(picture.template extent<axis::row>()),
                  w.patch_embed.pixels(picture.template extent<axis::column>())};
  rows<E> x = memory.take<E>(p.rows(), net.sizes.embed);
  if (!memory.fits()) return too_little_memory;
  status done = forward_stem(on, w.patch_embed, picture, x, p, memory);
  for (int i = 0; i < 4 && done; ++i) {
    const auto& stage = w.layers.stage[i];
    done = observe(i, index_t(-1), x, p);
    for (index_t b = 0; b < stage.layers.size() && done; ++b) {
      done = forward_block(on, net.design, stage.layers[b], x, p, memory);
      if (done) done = observe(i, b, x, p);
    }
    if (i == 3 || !done) break;
    const picture_sizes half{p.batch, (p.height + 1) / 2, (p.width + 1) / 2};
    const rows<E> y = memory.take<E>(half.rows(), net.sizes.embed << (i + 1));
    if (!memory.fits()) return too_little_memory;
    done = forward_downsampling(on, stage.down, x, y, p, memory);
    x = y, p = half;
  }
  return done ? forward_head(on, w.norm, w.head, x, p, logits, memory) : done;
}

/// Bytes of workspace that forward() needs for pictures of this size.
template <class E, class Design, class On>
std::size_t workspace_bytes(const vision<Design>& net, const On& on, index_t batch, index_t height, index_t width) {
  const auto w = blocks::bound_nowhere(net.template weights<E>());
  return bytes_of_run<E>(on, batch, height, width, net.sizes.classes,
                         [&](const auto& measuring, const auto& picture, const auto& logits, blocks::buffers& memory) {
                           return run(net, measuring, w, picture, logits, memory, no_observer{});
                         });
}

/// Class scores: picture [B, H, W, 3], normalised, logits [B, classes]. Pictures of any size; where one does not divide
/// into patches, rows and columns of zeros stand beyond it. Computes on any backend whose operations
/// (blocks/cpu/operations.hpp, blocks/cuda/operations.cuh) and mixers (sextant.hpp, cuda/forward.cuh) are included.
/// Nothing is allocated; the workspace is scribbled on.
template <class Design, class On, class E, class Observer = no_observer>
status forward(const vision<Design>& net, const On& on, const vision_weights<Design, E>& w,
               const std::type_identity_t<blocks::image<const E>>& picture,
               const std::type_identity_t<blocks::rows<E>>& logits, const Observer& observe = {}) {
  if (const status found = fit(picture, logits, net.sizes.classes); !found) return found;
  if (picture.template extent<axis::batch>() == 0) return {};
  blocks::buffers memory(on.memory);
  return run(net, on, w, picture, logits, memory, observe);
}

/// Swin-T's skeleton around any mixer (Liu et al. 2021, arXiv 2103.14030), without its table of relative positions.
template <class Design> constexpr vision<Design> swin_t(const Design& design) { return {design, {}}; }
/// The baseline of Han et al.'s ablation (arXiv 2405.16605, tables 1 and 2): linear attention, all tokens of a stage
/// together. Every row of the tables is one change of it.
inline constexpr auto linear_swin_t = swin_t(linear_attention.with(order::global{}));

/// MILA, tiny (Han et al. 2024, arXiv 2405.16605).
inline constexpr vision<std::remove_const_t<decltype(mila)>> mila_t{
    mila,
    {.embed = 64, .depths = {2, 4, 8, 4}, .heads = {2, 4, 8, 16}, .convolutional = true, .conditional_position = true}};
/// MILA, small.
inline constexpr auto mila_s = mila_t.with_sizes({.embed = 64,
                                                  .depths = {3, 6, 21, 6},
                                                  .heads = {2, 4, 8, 16},
                                                  .convolutional = true,
                                                  .conditional_position = true});
/// MILA, base.
inline constexpr auto mila_b = mila_t.with_sizes({.embed = 96,
                                                  .depths = {3, 6, 21, 6},
                                                  .heads = {3, 6, 12, 24},
                                                  .convolutional = true,
                                                  .conditional_position = true});

}  // namespace sextant::models
