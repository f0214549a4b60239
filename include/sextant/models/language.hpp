// SPDX-License-Identifier: Apache-2.0
/// @file  Language models: Mamba and Mamba-2, with a Switch layer behind every mixer (MoE-Mamba) or without.
#pragma once

#include <cstdint>      // int32_t
#include <string_view>  // string_view
#include <type_traits>  // conditional_t, is_same_v

#include <sextant/blocks/mamba.hpp>
#include <sextant/blocks/mamba2.hpp>
#include <sextant/blocks/moe.hpp>

/// Whole networks, each one constexpr value: a design and sizes.
namespace sextant::models {

/// The sizes of a language model. The defaults are mamba-130m's.
struct language_sizes {
  index_t vocabulary = 50280;  ///< rows of the table of tokens, those that fill it up included
  index_t model = 768;         ///< channels of a token
  index_t layers = 24;
  index_t state = 0;           ///< N; 0: 16 for Mamba, 128 for Mamba-2
  index_t width = 4;           ///< taps of the convolutions
  index_t expand = 2;          ///< inner channels for each of the model's
  index_t rank = 0;            ///< Mamba: of the step sizes' projection; 0: a sixteenth of the model's channels
  index_t head = 64;           ///< Mamba-2: inner channels of a head
  index_t groups = 1;          ///< Mamba-2: of heads that share queries and keys
  index_t experts = 0;         ///< MoE-Mamba: of the Switch layer behind every mixer; 0: no such layers
  index_t expert_hidden = 0;   ///< MoE-Mamba
  double capacity_factor = 1;  ///< MoE-Mamba: see moe_sizes; 0 for generation
  bool tied = true;            ///< logits are products with the table of tokens
  bool transformers = false;   ///< the table's name is that of Hugging Face's checkpoints: backbone.embeddings
};

/// x += Mixer(norm(x)); x += MoE(norm2(x)), the second part if there are experts.
template <class Mixer> struct language_layer {
  using E = typename Mixer::token;

  blocks::modules::rms_norm<E> norm{};
  Mixer mixer{};
  blocks::modules::rms_norm<E> norm2{};
  blocks::moe_block<E> experts{};

  template <class Visit> constexpr void each(const Visit& visit) {
    visit("norm", norm);
    visit("mixer", mixer);
    if (experts.sizes.experts == 0) return;
    visit("norm2", norm2);
    visit("moe", experts);
  }
};

namespace detail {
template <class Design> inline constexpr bool is_mamba = std::is_same_v<Design, std::remove_const_t<decltype(mamba)>>;
template <class Design> inline constexpr bool is_mamba2 = std::is_same_v<Design, std::remove_const_t<decltype(mamba2)>>;
}  // namespace detail

/// All weights of a language model, or their sizes, under the names of state-spaces/mamba.
template <class Design, class E> struct language_weights {
  static_assert(detail::is_mamba<Design> || detail::is_mamba2<Design>,
                "language models are of the designs mamba and mamba2");
  using mixer = std::conditional_t<detail::is_mamba<Design>, blocks::mamba_block<E>, blocks::mamba2_block<E>>;
  using table = view<const E, axis::row, axis::column>;

  blocks::modules::parameter<table> embedding{};  ///< [vocabulary, model]
  blocks::repeated<language_layer<mixer>> layers{};
  blocks::modules::rms_norm<E> norm{};
  blocks::modules::linear<E> head{};
  bool tied = true, transformers = false;

  constexpr language_weights() = default;
  constexpr explicit language_weights(const language_sizes& s)
      : embedding({nullptr, {s.vocabulary, s.model}}, blocks::start::normal(0.02)),
        norm(s.model),
        head(s.model, s.vocabulary, false),
        tied(s.tied),
        transformers(s.transformers) {
    language_layer<mixer> one;
    one.norm = blocks::modules::rms_norm<E>(s.model);
    if constexpr (detail::is_mamba<Design>)
      one.mixer = mixer({.model = s.model,
                         .state = s.state > 0 ? s.state : 16,
                         .width = s.width,
                         .expand = s.expand,
                         .rank = s.rank});
    else
      one.mixer = mixer({.model = s.model,
                         .state = s.state > 0 ? s.state : 128,
                         .width = s.width,
                         .expand = s.expand,
                         .head = s.head,
                         .groups = s.groups});
    // What is summed over layers begins smaller by the root of their number.
    const double bound = blocks::modules::detail::bound_of(s.expand * s.model);
    one.mixer.out_proj.first_weight =
        blocks::start::uniform(bound / blocks::modules::detail::square_root(double(s.layers > 0 ? s.layers : 1)));
    if (s.experts > 0) {
      one.norm2 = blocks::modules::rms_norm<E>(s.model);
      one.experts = blocks::moe_block<E>(
          {.model = s.model, .hidden = s.expert_hidden, .experts = s.experts, .capacity_factor = s.capacity_factor});
    }
    layers = {one, s.layers};
  }
  template <class Visit> constexpr void each(const Visit& visit) {
    visit(transformers ? "backbone.embeddings.weight" : "backbone.embedding.weight", embedding);
    visit("backbone.layers", layers);
    visit("backbone.norm_f", norm);
    if (!tied) visit("lm_head", head);
  }
  /// From the last tokens to logits.
  constexpr blocks::modules::linear<E> to_logits() const {
    blocks::modules::linear<E> same = head;
    if (tied) same.weight = embedding.value;
    return same;
  }
};

/// A language model: what its mixers compute, mamba or mamba2, and its sizes.
template <class Design> struct language {
  using design_type = Design;

  Design design{};
  language_sizes sizes{};

  /// The same design on other sizes.
  constexpr language with_sizes(const language_sizes& others) const { return {design, others}; }
  /// The weights' description; bind() gives it memory.
  template <class E = float> constexpr language_weights<Design, E> weights() const {
    return language_weights<Design, E>(sizes);
  }
};

/// Trainable numbers.
template <class Design> constexpr index_t parameters(const language<Design>& net) {
  return blocks::parameters(net.template weights<>());
}
/// Multiply-accumulates of a token, its logits included.
template <class Design> constexpr blocks::multiply_adds macs(const language<Design>& net) {
  const auto w = net.template weights<>();
  const auto& one = w.layers.first_one();
  blocks::multiply_adds layer = one.norm.macs(1) + one.mixer.macs(1);
  if (net.sizes.experts > 0) layer += one.norm2.macs(1) + one.experts.macs(1);
  return net.sizes.layers * layer + w.norm.macs(1) + w.head.macs(1);
}
/// Whether a checkpoint may have a tensor that the weights do not: the head, where it is the table of tokens once more.
/// For load_options::allowed.
constexpr bool is_tied_head(std::string_view name) { return name == "lm_head.weight"; }

/// Token numbers, [B, T], row by row.
using token_ids = view<const std::int32_t, axis::batch, axis::time>;

/// Which row of the table a token is: numbers beyond the table are its first or last row.
struct row_of_table {
  const std::int32_t* ids = nullptr;
  index_t rows = 0;

  SEXTANT_FN constexpr index_t operator()(index_t t) const {
    const index_t id = ids[t];
    return id < 0 ? 0 : id < rows ? id : rows - 1;
  }
};

/// What a model remembers of the tokens so far, of all its layers: memory of the backend. Zeros before the first token.
struct language_state {
  std::byte* memory = nullptr;  ///< state_bytes() of it, from a multiple of 256 bytes on
};

/// Bytes of the state of `batch` sequences; they do not grow with the tokens.
template <class E, class Design> constexpr std::size_t state_bytes(const language<Design>& net, index_t batch) {
  const auto w = net.template weights<E>();
  return std::size_t(net.sizes.layers) * blocks::state_bytes(w.layers.first_one().mixer, batch);
}

/// forward() on buffers taken from `memory`.
template <class Design, class On, class E>
status run(const language<Design>& net, const On& on, const language_weights<Design, E>& w, const token_ids& ids,
           const blocks::rows<E>& logits, const language_state& state, blocks::buffers& memory) {
  using namespace sextant::blocks;
  const index_t B = ids.template extent<axis::batch>(), T = ids.template extent<axis::time>(), C = net.sizes.model;
  const rows<E> x = memory.take<E>(B * T, C), u = memory.take<E>(B * T, C);
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);
  const tokens<const E> table(w.embedding.value.data(), {1, net.sizes.vocabulary, C});
  status done = reorder(lent, table, row_of_table{ids.data(), net.sizes.vocabulary}, tokens_of(x, 1, B * T));
  const std::size_t of_layer = blocks::state_bytes(w.layers.first_one().mixer, B);
  for (index_t i = 0; i < w.layers.size() && done; ++i) {
    const auto layer = w.layers[i];
    sequence_state<E> past{};
    if (state.memory != nullptr) past = state_at(layer.mixer, B, state.memory + std::size_t(i) * of_layer);
    done = in_order(
        [&] { return rms_norm(lent, rows<const E>(x), layer.norm, u); },
        [&] { return forward_block(on, layer.mixer, rows<const E>(u), B, x, rows<const E>(x), past, memory); });
    if (net.sizes.experts > 0 && done)
      done = in_order([&] { return rms_norm(lent, rows<const E>(x), layer.norm2, u); },
                      [&] { return forward_block(on, layer.experts, rows<const E>(u), x, rows<const E>(x), memory); });
  }
  // All tokens, or the last one of each sequence.
  const index_t count = logits.template extent<axis::row>(), step = count == B * T ? 1 : T;
  const rows<const E> last(x.data() + (step - 1) * C, {count, C}, {step * C, 1});
  const rows<E> normed(u.data(), {count, C});
  return in_order([&] { return done; }, [&] { return rms_norm(lent, last, w.norm, normed); },
                  [&] { return linear(lent, rows<const E>(normed), w.to_logits(), logits, after_linear<E>{}); });
}

/// Logits of what follows: ids [B, T], logits [B, vocabulary] after the last token of each sequence, or [B T, vocabulary]
/// after every one. With a state the sequences continue from it, and it moves on in its place: prefill, and with T = 1
/// decode, at a cost that does not grow with the tokens before. Any backend whose operations and mixers are included; ids
/// lie where the backend computes. Nothing is allocated; the workspace is scribbled on. A call that is refused has not moved
/// the state.
template <class Design, class On, class E>
status forward(const language<Design>& net, const On& on, const language_weights<Design, E>& w, const token_ids& ids,
               const std::type_identity_t<blocks::rows<E>>& logits, const language_state& state = {}) {
  const index_t B = ids.template extent<axis::batch>(), T = ids.template extent<axis::time>();
  const index_t count = logits.template extent<axis::row>();
  if (logits.template extent<axis::value>() != net.sizes.vocabulary || (count != B && count != B * T))
    return {errc::shape, "language: logits are [B, vocabulary] or [B T, vocabulary]"};
  if (T > 1 && ids.template stride<axis::time>() != 1) return {errc::shape, "language: token numbers lie row by row"};
  if (B > 1 && ids.template stride<axis::batch>() != T) return {errc::shape, "language: token numbers lie row by row"};
  if (B * T == 0) return count == 0 ? status{} : status{errc::shape, "language: no token, no logits"};
  if (!ids) return {errc::missing, "language: ids were not given"};
  if (!logits) return {errc::missing, "language: logits were not given"};
  if (!blocks::shapes::is_contiguous_inside(logits)) return {errc::shape, "language: a row of logits is contiguous"};
  if (w.layers.size() != net.sizes.layers) return {errc::shape, "language: the weights are another network's"};
  if (state.memory != nullptr) {
    if (reinterpret_cast<std::uintptr_t>(state.memory) % blocks::buffers::alignment != 0)
      return {errc::shape, "language: a state begins at a multiple of 256 bytes"};
    if (const status found = blocks::would_run(on,
                                               [&](const auto& measuring, blocks::buffers& memory) {
                                                 return run(net, measuring, w, ids, logits, state, memory);
                                               });
        !found)
      return found;
  }
  blocks::buffers memory(on.memory);
  return run(net, on, w, ids, logits, state, memory);
}

/// Bytes of workspace that forward() needs for `batch` sequences of `time` tokens, of all of which logits may be asked.
template <class E, class Design, class On>
std::size_t workspace_bytes(const language<Design>& net, const On& on, index_t batch, index_t time) {
  return blocks::bytes_needed(on, [&](const auto& measuring, blocks::buffers& memory) {
    const auto w = blocks::bound_nowhere(net.template weights<E>());
    const std::uintptr_t nowhere = blocks::buffers::nowhere;
    const token_ids ids(reinterpret_cast<const std::int32_t*>(nowhere), {batch, time});
    const blocks::rows<E> logits(reinterpret_cast<E*>(nowhere), {batch * time, net.sizes.vocabulary});
    const std::size_t before = memory.used();
    const status done = run(net, measuring, w, ids, logits, {}, memory);
    memory.back_to(before);
    if (!done || time != 1) return done;
    return run(net, measuring, w, ids, logits, {reinterpret_cast<std::byte*>(nowhere)}, memory);
  });
}

/// state-spaces/mamba-130m.
inline constexpr language<std::remove_const_t<decltype(mamba)>> mamba_130m{mamba, {}};
/// state-spaces/mamba-370m.
inline constexpr auto mamba_370m = mamba_130m.with_sizes({.model = 1024, .layers = 48});
/// state-spaces/mamba-790m.
inline constexpr auto mamba_790m = mamba_130m.with_sizes({.model = 1536, .layers = 48});
/// state-spaces/mamba-1.4b.
inline constexpr auto mamba_1_4b = mamba_130m.with_sizes({.model = 2048, .layers = 48});
/// state-spaces/mamba-2.8b.
inline constexpr auto mamba_2_8b = mamba_130m.with_sizes({.model = 2560, .layers = 64});
/// state-spaces/mamba2-130m.
inline constexpr language<std::remove_const_t<decltype(mamba2)>> mamba2_130m{mamba2, {.vocabulary = 50288}};
/// MoE-Mamba (Pioro et al. 2024, arXiv 2401.04081), the small setting of its first version: 8 pairs of layers.
inline constexpr auto moe_mamba =
    mamba_130m.with_sizes({.model = 512, .layers = 8, .experts = 32, .expert_hidden = 1536});

}  // namespace sextant::models
