// SPDX-License-Identifier: Apache-2.0
/// @file  Blocks' operations on a GPU at the sizes of MILA-T and Mamba-2: depthwise convolutions, norms, conv1d, linear layers.
#include <benchmark/benchmark.h>

#include <sextant/blocks/cuda/operations.cuh>

#include "gpu_name.cuh"
#include "roofline.hpp"
#include "timed.cuh"

#include <algorithm>  // clamp, max, min
#include <memory>     // unique_ptr
#include <string>     // string, to_string
#include <vector>     // vector

namespace sextant::bench {

using blocks::activation;

/// Numbers in memory of the device: small ones of both signs, another sequence of them for each piece.
template <class E> __global__ void fill_small(E* to, index_t count, unsigned seed) {
  for (index_t i = index_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += index_t(gridDim.x) * blockDim.x) {
    unsigned z = unsigned(i) * 2654435761u + seed * 40503u;
    z = (z ^ (z >> 15)) * 2246822519u;
    to[i] = E(float(int(z ^ (z >> 13)) >> 8) * 0x1p-24f);
  }
}
/// Owns what the calls of one benchmark read and write.
class pieces {
 public:
  template <class E> E* make(index_t count) {
    void* at = nullptr;
    must(cudaMalloc(&at, std::size_t(count) * sizeof(E) + 16));
    memory_.emplace_back(at);
    fill_small<<<1056, 256>>>(static_cast<E*>(at), count, unsigned(memory_.size()));
    must(cudaGetLastError());
    return static_cast<E*>(at);
  }

 private:
  struct free {
    void operator()(void* at) const { cudaFree(at); }
  };
  std::vector<std::unique_ptr<void, free>> memory_;
};

/// cuBLASLt for all benchmarks.
gpu::matrix_products& products() {
  static cublasLtHandle_t handle = nullptr;
  static pieces memory;
  static gpu::matrix_products its(
      (cublasLtCreate(&handle), handle),
      {reinterpret_cast<std::byte*>(memory.make<float>(index_t(8) << 20)), std::size_t(32) << 20});
  return its;
}
/// Registers call(set, stream) over sets of tensors in turn; make(pieces) makes one of them.
template <class Make, class Call>
void add_operation(const std::string& title, const work& least, const Make& make, const Call& call) {
  add_timed(title, [=](benchmark::State& state) {
    (void)products();  // made before anything is captured
    pieces memory;
    std::vector<decltype(make(memory))> sets;
    const index_t wanted = std::clamp<index_t>(index_t(300e6 / least.bytes) + 1, 3, 64);
    for (index_t i = 0; i < wanted; ++i) sets.push_back(make(memory));
    must(cudaDeviceSynchronize());
    const auto one = [&](int i, cudaStream_t on) {
      if (const status done = call(sets[std::size_t(i) % sets.size()], on); !done)
        throw std::runtime_error(done.what);
    };
    products().tune(true);
    one(0, nullptr);
    products().tune(false);
    (void)replay(1, one).ms();
    const replay many(int(std::max<index_t>(wanted, 64) / wanted * wanted), one);
    std::vector<double> times;
    for (auto _ : state) {
      times = many.sorted_ms(2, 15);
      state.SetIterationTime(times[times.size() / 2] * 1e-3);
    }
    const resource_times floor = times_of(least, h200(least.bytes));
    state.counters["floor_ms"] = floor.floor_ms();
    state.counters["of_floor"] = floor.floor_ms() / times[times.size() / 2];
    state.counters["best_ms"] = times.front();
    state.counters["bytes"] = least.bytes;
    state.counters["flops"] = least.flops;
    state.SetLabel(std::string("bound by ") + floor.binds());
  });
}

template <class E> struct picture_set { blocks::image<E> x, y; };
template <class E>
void add_depthwise(const char* precision, index_t B, index_t side, index_t C, int stride, bool residual) {
  const index_t out = (side + stride - 1) / stride;
  const work least{.bytes = double(B * (side * side + out * out) * C) * sizeof(E),
                   .slots = double(B * out * out * C) * 14};
  const auto make = [=](pieces& memory) {
    return picture_set<E>{{memory.make<E>(B * side * side * C), {B, side, side, C}},
                          {memory.make<E>(B * out * out * C), {B, out, out, C}}};
  };
  auto keep = std::make_shared<pieces>();
  blocks::modules::depthwise<E> w(C);
  w.weight = {keep->template make<blocks::accumulator_of<E>>(9 * C), {9, C}};
  w.bias = {keep->template make<blocks::accumulator_of<E>>(C), {C}};
  add_operation(std::string("depthwise_3x3") + (residual ? "+x" : ":silu") + (stride == 2 ? ":stride2" : "") + "/" +
                    precision + "/B" + std::to_string(B) + "/" + std::to_string(side) + "x" + std::to_string(side) +
                    "/C" + std::to_string(C),
                least, make, [=](const picture_set<E>& s, cudaStream_t on) {
                  (void)keep;
                  const blocks::after_convolution<E> after{.act = residual ? activation::none : activation::silu,
                                                           .plus_input = residual};
                  return depthwise_3x3(gpu::stream{.handle = on}, blocks::image<const E>(s.x), w, s.y, after, stride);
                });
}

template <class E> struct row_set { blocks::rows<E> x, y, more; };
template <class E> void add_norm(const char* precision, index_t n, index_t C) {
  auto keep = std::make_shared<pieces>();
  blocks::modules::layer_norm<E> w(C);
  w.weight = {keep->template make<blocks::accumulator_of<E>>(C), {C}};
  w.bias = {keep->template make<blocks::accumulator_of<E>>(C), {C}};
  const auto make = [=](pieces& memory) {
    return row_set<E>{
        {memory.make<E>(n * C), {n, C}}, {memory.make<E>(n * C), {n, C}}, {memory.make<E>(n * C), {n, C}}};
  };
  add_operation(std::string("layer_norm/") + precision + "/" + std::to_string(n) + "x" + std::to_string(C),
                {.bytes = double(2 * n * C) * sizeof(E)}, make, [=](const row_set<E>& s, cudaStream_t on) {
                  (void)keep;
                  return layer_norm(gpu::stream{.handle = on}, blocks::rows<const E>(s.x), w, s.y);
                });
}

template <class E> void add_conv1d(const char* precision, index_t B, index_t T, index_t C) {
  auto keep = std::make_shared<pieces>();
  blocks::modules::conv1d<E> w(C, 4);
  w.weight = {keep->template make<blocks::accumulator_of<E>>(4 * C), {4, C}};
  w.bias = {keep->template make<blocks::accumulator_of<E>>(C), {C}};
  const auto make = [=](pieces& memory) {
    return row_set<E>{{memory.make<E>(B * T * C), {B * T, C}}, {memory.make<E>(B * T * C), {B * T, C}}, {}};
  };
  add_operation(std::string("causal_conv1d/") + precision + "/B" + std::to_string(B) + "/T" + std::to_string(T) + "/C" +
                    std::to_string(C),
                {.bytes = double(2 * B * T * C) * sizeof(E)}, make, [=](const row_set<E>& s, cudaStream_t on) {
                  (void)keep;
                  return causal_conv1d(gpu::stream{.handle = on}, blocks::tokens_of(blocks::rows<const E>(s.x), B, T),
                                       w, blocks::tokens_of(s.y, B, T), activation::silu);
                });
}

template <class E> void add_linear(const char* precision, index_t n, index_t I, index_t O, activation act, bool plus) {
  auto keep = std::make_shared<pieces>();
  blocks::modules::linear<E> w(I, O);
  w.weight = {keep->template make<E>(O * I), {O, I}};
  w.bias = {keep->template make<E>(O), {O}};
  const auto make = [=](pieces& memory) {
    row_set<E> s{{memory.make<E>(n * I), {n, I}}, {memory.make<E>(n * O), {n, O}}, {}};
    if (plus) s.more = {memory.make<E>(n * O), {n, O}};
    return s;
  };
  const char* const follows = act == activation::gelu   ? ":gelu"
                              : act == activation::relu ? ":relu"
                              : plus                    ? "+plus"
                                                        : "";
  add_operation(std::string("linear") + follows + "/" + precision + "/" + std::to_string(n) + "/" + std::to_string(I) +
                    "-" + std::to_string(O),
                {.bytes = double(n * (I + O * (plus ? 2 : 1))) * sizeof(E), .flops = 2.0 * double(n * I * O)}, make,
                [=](const row_set<E>& s, cudaStream_t on) {
                  (void)keep;
                  return linear(gpu::block_stream(gpu::stream{.handle = on}, products()), blocks::rows<const E>(s.x), w,
                                s.y, blocks::after_linear<E>{.act = act, .plus = s.more});
                });
}

template <class E>
void add_convolution(const char* precision, index_t B, index_t side, index_t I, index_t O, int stride) {
  auto keep = std::make_shared<pieces>();
  const index_t out = side / stride;
  blocks::modules::convolution<E> w(I, O, {.kernel = 3, .stride = stride, .padding = 1});
  w.weight = {keep->template make<E>(O * 9 * I), {O, 9 * I}};
  w.bias = {keep->template make<E>(O), {O}};
  const std::size_t bytes = gpu::convolution_bytes(gpu::stream{}, B, side, side, w);
  std::byte* const scratch = reinterpret_cast<std::byte*>(keep->template make<E>(index_t(bytes / sizeof(E))));
  const auto make = [=](pieces& memory) {
    return picture_set<E>{{memory.make<E>(B * side * side * I), {B, side, side, I}},
                          {memory.make<E>(B * out * out * O), {B, out, out, O}}};
  };
  add_operation(std::string("convolution:relu/") + precision + "/B" + std::to_string(B) + "/" + std::to_string(side) +
                    "x" + std::to_string(side) + "/" + std::to_string(I) + "-" + std::to_string(O),
                {.bytes = double(B * (side * side * I + out * out * O)) * sizeof(E),
                 .flops = 18.0 * double(B * out * out * I * O)},
                make, [=](const picture_set<E>& s, cudaStream_t on) {
                  (void)keep;
                  return convolution(
                      gpu::block_stream(gpu::stream{.memory = {scratch, bytes}, .handle = on}, products()),
                      blocks::image<const E>(s.x), w, s.y, blocks::after_convolution<E>{.act = activation::relu});
                });
}
template <class E> void add_depthwise_norm(const char* precision, index_t B, index_t side, index_t C) {
  auto keep = std::make_shared<pieces>();
  using real = blocks::accumulator_of<E>;
  const index_t n = B * side * side;
  blocks::modules::depthwise<E> w(C);
  w.weight = {keep->template make<real>(9 * C), {9, C}}, w.bias = {keep->template make<real>(C), {C}};
  blocks::modules::layer_norm<E> norm(C);
  norm.weight = {keep->template make<real>(C), {C}}, norm.bias = {keep->template make<real>(C), {C}};
  const auto make = [=](pieces& memory) {
    return row_set<E>{
        {memory.make<E>(n * C), {n, C}}, {memory.make<E>(n * C), {n, C}}, {memory.make<E>(n * C), {n, C}}};
  };
  add_operation(std::string("depthwise_3x3_layer_norm+x/") + precision + "/B" + std::to_string(B) + "/" +
                    std::to_string(side) + "x" + std::to_string(side) + "/C" + std::to_string(C),
                {.bytes = double(3 * n * C) * sizeof(E)}, make, [=](const row_set<E>& s, cudaStream_t on) {
                  (void)keep;
                  return depthwise_3x3_layer_norm(gpu::stream{.handle = on},
                                                  blocks::image_of(blocks::rows<const E>(s.x), B, side, side), w,
                                                  blocks::image_of(s.y, B, side, side), norm, s.more,
                                                  blocks::after_convolution<E>{.plus_input = true});
                });
}

template <class E> void add_feed_forward(const char* precision, index_t n) {
  auto keep = std::make_shared<pieces>();
  blocks::modules::linear<E> fc1(64, 256), fc2(256, 64);
  fc1.weight = {keep->template make<E>(256 * 64), {256, 64}}, fc1.bias = {keep->template make<E>(256), {256}};
  fc2.weight = {keep->template make<E>(256 * 64), {64, 256}}, fc2.bias = {keep->template make<E>(64), {64}};
  const auto make = [=](pieces& memory) {
    return row_set<E>{{memory.make<E>(n * 64), {n, 64}}, {memory.make<E>(n * 64), {n, 64}}, {}};
  };
  add_operation(std::string("feed_forward/") + precision + "/" + std::to_string(n) + "/64-256-64",
                {.bytes = double(3 * n * 64) * sizeof(E), .flops = 4.0 * double(n * 64 * 256)}, make,
                [=](const row_set<E>& s, cudaStream_t on) {
                  (void)keep;
                  const gpu::block_stream its(gpu::stream{.handle = on}, products());
                  return feed_forward<E>(its, s.x, fc1, fc2, s.y, s.y);
                });
}

/// A stem's last two convolutions, in one kernel.
template <class E> void add_two_convolutions(const char* precision, index_t B, index_t side) {
  auto keep = std::make_shared<pieces>();
  constexpr index_t I = 32, C = 256, O = 64;
  const index_t out = side / 2;
  blocks::modules::convolution<E> first(I, C, {.kernel = 3, .stride = 2, .padding = 1}), second(C, O, {});
  first.weight = {keep->template make<E>(C * 9 * I), {C, 9 * I}}, first.bias = {keep->template make<E>(C), {C}};
  second.weight = {keep->template make<E>(O * C), {O, C}}, second.bias = {keep->template make<E>(O), {O}};
  const auto make = [=](pieces& memory) {
    return picture_set<E>{{memory.make<E>(B * side * side * I), {B, side, side, I}},
                          {memory.make<E>(B * out * out * O), {B, out, out, O}}};
  };
  add_operation(std::string("two_convolutions/") + precision + "/B" + std::to_string(B) + "/" + std::to_string(side) +
                    "x" + std::to_string(side) + "/32-256-64",
                {.bytes = double(B * (side * side * I + out * out * O)) * sizeof(E),
                 .flops = 2.0 * double(B * out * out * C * (9 * I + O))},
                make, [=](const picture_set<E>& s, cudaStream_t on) {
                  (void)keep;
                  return two_convolutions(gpu::block_stream(gpu::stream{.handle = on}, products()),
                                          blocks::image<const E>(s.x), first, second, s.y);
                });
}

static const bool registered = [] {
  struct stage {
    index_t side, C;
  };
  for (const index_t B : {64, 128})
    for (const stage& at : {stage{56, 64}, stage{28, 128}, stage{14, 256}, stage{7, 512}}) {
      add_depthwise<bfloat16>("bf16", B, at.side, at.C, 1, true);
      if (B == 128) add_depthwise<bfloat16>("bf16", B, at.side, at.C, 1, false);
    }
  add_depthwise<float>("fp32", 64, 56, 64, 1, true);
  add_depthwise<bfloat16>("bf16", 64, 56, 512, 2, false);
  add_depthwise<bfloat16>("bf16", 128, 28, 1024, 2, false);
  add_conv1d<bfloat16>("bf16", 8, 4096, 2048);
  add_conv1d<float>("fp32", 8, 4096, 2048);
  for (const stage& at : {stage{56, 64}, stage{28, 128}, stage{14, 256}, stage{7, 512}}) {
    const index_t n = 128 * at.side * at.side;
    add_norm<bfloat16>("bf16", n, at.C);
    add_linear<bfloat16>("bf16", n, at.C, 2 * at.C, activation::none, false);
    add_linear<bfloat16>("bf16", n, at.C, at.C, activation::none, true);
    add_linear<bfloat16>("bf16", n, at.C, 4 * at.C, activation::gelu, false);
    add_linear<bfloat16>("bf16", n, 4 * at.C, at.C, activation::none, true);
  }
  add_norm<bfloat16>("bf16", 32768, 2048);
  add_feed_forward<bfloat16>("bf16", 128 * 3136);
  for (const stage& at : {stage{56, 64}, stage{28, 128}, stage{14, 256}})
    add_depthwise_norm<bfloat16>("bf16", 128, at.side, at.C);
  add_convolution<bfloat16>("bf16", 128, 224, 3, 32, 2);
  add_convolution<bfloat16>("bf16", 128, 112, 32, 32, 1);
  add_convolution<bfloat16>("bf16", 128, 112, 32, 256, 2);
  add_two_convolutions<bfloat16>("bf16", 128, 112);
  add_linear<bfloat16>("bf16", 128 * 3136, 64, 512, activation::relu, false);
  add_linear<bfloat16>("bf16", 128 * 784, 512, 128, activation::none, false);
  add_linear<bfloat16>("bf16", 128 * 3136, 256, 64, activation::none, false);
  return true;
}();

}  // namespace sextant::bench
