// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions of channels-last pictures on a GPU.
#pragma once

#include <sextant/blocks/cuda/convolution/few_terms.cuh>
#include <sextant/blocks/cuda/convolution/tiles.cuh>
#include <sextant/blocks/cuda/convolution/two_layers.cuh>
#include <sextant/blocks/cuda/linear.cuh>
#include <sextant/blocks/cuda/tokens.cuh>

namespace sextant::gpu {

namespace blockwise {

/// Rows of what each of `count` pixels of y from `first` on sees, taps in the order of the weights, zeros outside. A thread has a
/// piece of channels of one pixel and goes from tap to tap.
template <class E, bool Whole>
__global__ void __launch_bounds__(256)
    unfold_kernel(const __grid_constant__ convolution_call<E> c, index_t first, int count, E* to) {
  constexpr int length = piece<E, Whole>::count;
  const unsigned pieces = unsigned(c.inputs / length), item = blockIdx.x * blockDim.x + threadIdx.x, at = item / pieces;
  if (at >= unsigned(count)) return;
  const int channel = int(item - at * pieces) * length;
  const unsigned of_picture = unsigned(c.rows) * unsigned(c.columns);
  const index_t picture = index_t(first + at) / of_picture;
  const unsigned place = unsigned(first + at - picture * of_picture), row = place / unsigned(c.columns);
  const int i = int(row) * c.stride - c.padding, j = int(place - row * unsigned(c.columns)) * c.stride - c.padding;
  const E* const x = c.x + picture * c.of_x.batch + channel;
  E* y = to + index_t(at) * c.kernel * c.kernel * c.inputs + channel;
  for (int u = i; u < i + c.kernel; ++u)
    for (int v = j; v < j + c.kernel; ++v, y += c.inputs) {
      piece<E, Whole> p{};
      if (unsigned(u) < unsigned(c.height) && unsigned(v) < unsigned(c.width))
        p = load_piece<Whole>(x + u * c.of_x.row + v * c.of_x.column);
      store_piece<Whole>(y, p);
    }
}
template <class E>
status run_unfold(const convolution_call<E>& c, index_t first, index_t count, E* to, bool whole, const stream& on) {
  constexpr int threads = 256;
  const index_t items = count * (whole ? c.inputs / piece<E, true>::count : c.inputs);
  return launch(whole ? &unfold_kernel<E, true> : &unfold_kernel<E, false>, blocks_for(items, threads), dim3(threads),
                0, on.handle, c, first, int(count), to);
}

/// How a convolution is computed.
enum class convolution_way { product, tiles, few_terms, unfolded };

template <class E>
convolution_way way_of(const image<const E>& x, const modules::convolution<E>& w, const image<E>& y,
                       const after_convolution<E>& after) {
  const bool plain = !after.plus_input && (!after.plus || are_rows(after.plus)) && are_rows(y);
  if (w.kernel == 1 && w.stride == 1 && w.padding == 0 && plain && are_rows(x)) return convolution_way::product;
  const auto c = convolution_call<E>::of(x, w, y, after);
  const bool whole = has_pieces(x, x.extent(3)) && has_pieces(y, y.extent(3)) && holds_packets(c.weight) &&
                     holds_packets(c.bias) && (!after.plus || has_pieces(after.plus, y.extent(3)));
  // Many outputs are worth unfolding for.
  const bool unfolds = plain && x.extent(3) % piece<E, true>::count == 0 && y.extent(3) > 64;
  if (whole && takes_tiles(c) && !unfolds) return convolution_way::tiles;
  if (w.weight.extent(1) <= most_terms) return convolution_way::few_terms;
  return convolution_way::unfolded;
}
/// Bytes of unfolded pixels that are made at a time: they stay in the L2 cache.
inline constexpr index_t unfolded_bytes = index_t(24) << 20;

/// Pixels that are unfolded at a time.
template <class E> index_t pixels_at_once(const modules::convolution<E>& w, index_t pixels) {
  const index_t row = w.weight.extent(1) * index_t(sizeof(E)), fit = unfolded_bytes / row;
  return std::min(pixels, fit < 1 ? 1 : fit);
}

}  // namespace blockwise

/// y = act(conv(x) + bias) + plus (+ x), k x k taps at `stride`, zeros of width `padding` around x: BatchNorm is in the weights.
/// Pixels of 1 x 1 are a linear layer; 16-bit tokens with a multiple of 16 inputs and up to 64 outputs go through the tensor cores
/// without being unfolded; sums of up to 64 terms (a stem's three colours) are multiply-adds; anything else is unfolded into the
/// workspace, some pixels at a time, and multiplied by cuBLASLt. Sums in float (double for double). Deterministic. plus may be y,
/// but behind a function not where cuBLASLt multiplies: that is errc::unsupported. y overlaps nothing else that is read.
template <class E>
status convolution(const block_stream& on, std::type_identity_t<blocks::image<const E>> x,
                   const blocks::modules::convolution<E>& w, std::type_identity_t<blocks::image<E>> y,
                   const std::type_identity_t<blocks::after_convolution<E>>& after = {}) {
  using namespace blockwise;
  if (const status fits = blocks::shapes::convolution<E>(x, w, y, after); !fits) return fits;
  if (y.size() == 0) return {};
  if (x.extent(1) >= 1 << 20 || x.extent(2) >= 1 << 20 || x.extent(3) >= 1 << 20 || y.extent(3) >= 1 << 20)
    return too_many();
  const auto product = w.product();
  const auto c = convolution_call<E>::of(x, w, y, after);
  const bool whole = y.extent(3) % piece<E, true>::count == 0 && has_pieces(y, y.extent(3)) && holds_packets(c.bias) &&
                     (!after.plus || has_pieces(after.plus, y.extent(3))) &&
                     (!after.plus_input || has_pieces(x, y.extent(3)));
  const convolution_way way = way_of<E>(x, w, y, after);
  if (way == convolution_way::product)
    return linear<E>(on, blocks::rows_of(x), product, blocks::rows_of(y),
                     {.act = after.act, .plus = blocks::rows_of(after.plus)});
  if constexpr (sizeof(E) == 2)
    if (way == convolution_way::tiles) return run_tiles(c, on);
  if (way == convolution_way::few_terms) return run_few_terms(c, whole, on);
  if (after.plus_input || !are_rows(y) || (after.plus && !are_rows(after.plus)))
    return {errc::unsupported, "convolution: on a GPU this size wants a y whose pixels lie as rows, and no plus_input"};
  const index_t pixels = y.extent(0) * y.extent(1) * y.extent(2), terms = w.weight.extent(1);
  const index_t at_once = pixels_at_once<E>(w, pixels);
  if (on.memory.bytes < std::size_t(at_once * terms) * sizeof(E))
    return {errc::workspace, "convolution: fewer bytes of workspace than convolution_bytes() says"};
  E* const memory = reinterpret_cast<E*>(on.memory.data);
  const auto some = [](const auto& all, index_t first, index_t count) {
    using rows_type = std::remove_cvref_t<decltype(all)>;
    return all ? rows_type(all.data() + first * all.stride(0), {count, all.extent(1)}, {all.stride(0), 1})
               : rows_type{};
  };
  for (index_t first = 0; first < pixels; first += at_once) {
    const index_t count = std::min(at_once, pixels - first);
    const bool in_pieces = has_pieces(x, x.extent(3)) && holds_packets(memory);
    if (const status done = run_unfold(c, first, count, memory, in_pieces, on); !done) return done;
    if (const status done = linear<E>(on, blocks::rows<const E>(memory, {count, terms}), product,
                                      some(blocks::rows_of(y), first, count),
                                      {.act = after.act, .plus = some(blocks::rows_of(after.plus), first, count)});
        !done)
      return done;
  }
  return {};
}

/// Whether two_convolutions() computes these layers: 3 x 3 taps of stride 2 from 32 channels of 16 bits to 256, then a
/// product to 64, rows of whole 16-byte pieces, on a GPU of compute capability 9.0.
template <class E>
bool takes_two_convolutions(const block_stream&, const blocks::image<const E>& x,
                            const blocks::modules::convolution<E>& first, const blocks::modules::convolution<E>& second,
                            const blocks::image<E>& y) {
  using namespace blockwise;
  const blocks::image<E> between(nullptr, {x.extent(0), y.extent(1), y.extent(2), first.outputs()});
  const auto c = convolution_call<E>::of(x, first, between, {.act = activation::relu}),
             last = convolution_call<E>::of(image<const E>(between), second, y, {});
  const auto contiguous = [](const auto& w, index_t terms) {
    return w.weight.extent(1) == terms && w.weight.stride(0) == terms && holds_packets(w.weight.data());
  };
  return takes_two_layers(c, last) && y.extent(0) == x.extent(0) && y.extent(1) == first.pixels(x.extent(1)) &&
         y.extent(2) == first.pixels(x.extent(2)) && contiguous(first, 9 * x.extent(3)) &&
         contiguous(second, first.outputs()) && second.outputs() == y.extent(3) && has_pieces(x, x.extent(3)) &&
         has_pieces(y, y.extent(3)) && holds_packets(last.bias) && x.extent(1) < 1 << 20 && x.extent(2) < 1 << 20;
}
/// y = second(relu(first(x))), both with their biases: the channels between, rounded once as a stored tensor's would be, stay in
/// registers. Only where takes_two_convolutions() says so. Reads x and writes y once; deterministic. y overlaps nothing else.
template <class E>
status two_convolutions(const block_stream& on, const blocks::image<const E>& x,
                        const blocks::modules::convolution<E>& first, const blocks::modules::convolution<E>& second,
                        const blocks::image<E>& y) {
  using namespace blockwise;
  if (!takes_two_convolutions(on, x, first, second, y))
    return {errc::unsupported, "two_convolutions: in one kernel from 32 to 256 to 64 channels of 16 bits alone"};
  if (y.size() == 0) return {};
  if constexpr (sizeof(E) == 2) {
    const blocks::image<E> between(nullptr, {x.extent(0), y.extent(1), y.extent(2), first.outputs()});
    return run_two_layers(convolution_call<E>::of(x, first, between, {.act = activation::relu}),
                          convolution_call<E>::of(image<const E>(between), second, y, {}), on);
  } else {
    return {errc::unsupported, "two_convolutions: in one kernel from 32 to 256 to 64 channels of 16 bits alone"};
  }
}

/// Bytes of workspace that convolution() may need for pictures of these sizes, whatever their strides: 24 MB at most.
template <class E>
std::size_t convolution_bytes(const stream&, index_t pictures, index_t height, index_t width,
                              const blocks::modules::convolution<E>& w) {
  const bool product = w.kernel == 1 && w.stride == 1 && w.padding == 0;
  const bool never = product || w.weight.extent(1) <= blockwise::most_terms;
  const index_t pixels = pictures * w.pixels(height) * w.pixels(width);
  return never ? 0 : std::size_t(blockwise::pixels_at_once(w, pixels) * w.weight.extent(1)) * sizeof(E);
}

}  // namespace sextant::gpu
