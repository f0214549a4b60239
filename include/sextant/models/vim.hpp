// SPDX-License-Identifier: Apache-2.0
/// @file  Vim: a network of pictures of Mamba blocks in two directions (Zhu et al. 2024, arXiv 2401.09417).
#pragma once

#include <sextant/blocks/mamba.hpp>
#include <sextant/blocks/scan_order.hpp>
#include <sextant/models/pictures.hpp>

namespace sextant::models {

/// The sizes of a Vim. The defaults are Vim-Tiny's.
struct vim_sizes {
  index_t embed = 192;
  index_t layers = 24;
  index_t patch = 16;     ///< pixels along a side of a patch
  index_t picture = 224;  ///< pixels along a side of a picture: the table of positions fits no other
  index_t state = 16;
  index_t classes = 1000;

  constexpr index_t side() const { return picture / patch; }
  constexpr index_t patches() const { return side() * side(); }
};

/// x += mixer(RMSNorm x).
template <class E> struct vim_layer {
  blocks::modules::rms_norm<E> norm{};
  blocks::mamba_block<E> mixer{};
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("norm", norm);
    visit("mixer", mixer);
  }
};

/// All weights of a Vim, or their sizes, under the names of hustvl/Vim.
template <class E> struct vim_weights {
  using table = blocks::rows<const E>;

  blocks::modules::convolution<E> proj{};
  blocks::modules::parameter<table> class_token{}, positions{};
  blocks::repeated<vim_layer<E>> layers{};
  blocks::modules::rms_norm<E> norm{};
  blocks::modules::linear<E> head{};

  constexpr vim_weights() = default;
  constexpr explicit vim_weights(const vim_sizes& s)
      : proj(3, s.embed, {.kernel = s.patch, .stride = s.patch}),
        class_token(blocks::modules::parameter<table>(table(nullptr, {1, s.embed}), blocks::start::normal(0.02))
                        .in_public({1, 1, s.embed})),
        positions(
            blocks::modules::parameter<table>(table(nullptr, {s.patches() + 1, s.embed}), blocks::start::normal(0.02))
                .in_public({1, s.patches() + 1, s.embed})),
        norm(s.embed),
        head(s.embed, s.classes) {
    vim_layer<E> one;
    one.norm = blocks::modules::rms_norm<E>(s.embed);
    one.mixer = blocks::mamba_block<E>({.model = s.embed, .state = s.state, .bidirectional = true});
    layers = {one, s.layers};
  }
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("patch_embed.proj", proj);
    visit("cls_token", class_token);
    visit("pos_embed", positions);
    visit("layers", layers);
    visit("norm_f", norm);
    visit("head", head);
  }
};

/// A Vim: patches, a class token in their middle, learned positions, Mamba blocks in two directions, the class token's
/// scores. The stream between the blocks is stored as tokens are.
struct vim {
  vim_sizes sizes{};
  /// The weights' description; bind() gives it memory.
  template <class E = float> constexpr vim_weights<E> weights() const { return vim_weights<E>(sizes); }
};

/// Vim-Tiny.
inline constexpr vim vim_t{};
/// Vim-Small.
inline constexpr vim vim_s{{.embed = 384}};

/// Trainable numbers.
constexpr index_t parameters(const vim& net) { return blocks::parameters(net.weights<>()); }
/// Multiply-accumulates of one picture.
constexpr blocks::multiply_adds macs(const vim& net) {
  const auto w = net.weights<>();
  const auto& one = w.layers.first_one();
  const index_t n = net.sizes.patches() + 1;
  return w.proj.macs(n - 1) + w.layers.size() * (one.norm.macs(n) + one.mixer.macs(n)) + w.norm.macs(1) +
         w.head.macs(1);
}

/// Class scores of pictures, on buffers taken from `memory`.
template <class On, class E>
status run(const vim& net, const On& on, const vim_weights<E>& w, const blocks::image<const E>& picture,
           const blocks::rows<E>& logits, blocks::buffers& memory) {
  using namespace sextant::blocks;
  const index_t B = picture.template extent<axis::batch>(), C = net.sizes.embed, side = net.sizes.side();
  const index_t n = net.sizes.patches(), T = n + 1, middle = n / 2;
  const rows<E> x = memory.take<E>(B * T, C), u = memory.take<E>(B * T, C), last = memory.take<E>(B, C);
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  // Tokens `first` to `first + count` of every sequence of `length`.
  const auto part = [&](const rows<E>& of, index_t length, index_t first, index_t count) {
    E* const at = of.data() == nullptr ? nullptr : of.data() + first * C;
    return tokens<E>(at, {B, count, C}, {length * C, C, 1});
  };
  const auto positions = [&](index_t first, index_t count) {
    return tokens<const E>(w.positions.value.data() + first * C, {B, count, C}, {0, C, 1});
  };
  const auto place = [&](index_t from, index_t to, index_t count) {
    return reorder(lent, tokens<const E>(part(u, n, from, count)), scan::rows_first{}, part(x, T, to, count),
                   positions(to, count));
  };
  const tokens<E> of_class = part(x, T, middle, 1);
  const rows<E> class_rows(of_class.data(), {B, C}, {T * C, 1});
  status done = in_order(
      [&] {
        return convolution(lent, picture, w.proj, image<E>(u.data(), {B, side, side, C}), after_convolution<E>{});
      },
      [&] { return place(0, 0, middle); }, [&] { return place(middle, middle + 1, n - middle); },
      [&] {
        const rows<const E> token(w.class_token.value.data(), {B, C}, {0, 1});
        return add(lent, token, rows<const E>(w.positions.value.data() + middle * C, {1, C}), class_rows);
      });
  for (index_t i = 0; i < w.layers.size() && done; ++i) {
    const vim_layer<E> layer = w.layers[i];
    done = in_order([&] { return rms_norm(lent, rows<const E>(x), layer.norm, u); },
                    [&] {
                      return forward_block(on, layer.mixer, rows<const E>(u), B, x, rows<const E>(x),
                                           sequence_state<E>{}, memory);
                    });
  }
  return in_order([&] { return done; }, [&] { return rms_norm(lent, rows<const E>(class_rows), w.norm, last); },
                  [&] { return linear(lent, rows<const E>(last), w.head, logits, after_linear<E>{}); });
}

/// Bytes of workspace that forward() needs.
template <class E, class On> std::size_t workspace_bytes(const vim& net, const On& on, index_t batch) {
  const auto w = blocks::bound_nowhere(net.weights<E>());
  return bytes_of_run<E>(on, batch, net.sizes.picture, net.sizes.picture, net.sizes.classes,
                         [&](const auto& measuring, const auto& picture, const auto& logits, blocks::buffers& memory) {
                           return run(net, measuring, w, picture, logits, memory);
                         });
}

/// Class scores: picture [B, picture, picture, 3], normalised, logits [B, classes].
template <class On, class E>
status forward(const vim& net, const On& on, const vim_weights<E>& w,
               const std::type_identity_t<blocks::image<const E>>& picture,
               const std::type_identity_t<blocks::rows<E>>& logits) {
  if (const status found = fit(picture, logits, net.sizes.classes); !found) return found;
  if (picture.template extent<axis::batch>() == 0) return {};
  const index_t side = net.sizes.picture;
  if (picture.template extent<axis::row>() != side || picture.template extent<axis::column>() != side)
    return {errc::shape, "vim: pictures have as many pixels to a side as the table of positions wants"};
  blocks::buffers memory(on.memory);
  return run(net, on, w, picture, logits, memory);
}

}  // namespace sextant::models
