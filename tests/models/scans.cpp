// SPDX-License-Identifier: Apache-2.0
/// @file  Scans over pictures: their orders, and Vim and VMamba against networks written out plainly in double.
#include <doctest/doctest.h>

#include <algorithm>  // reverse
#include <array>      // array
#include <vector>     // vector

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/models/vim.hpp>
#include <sextant/models/vmamba.hpp>

#include "../blocks/numbers.hpp"
#include "../forms.hpp"
#include "plain_vision.hpp"

using namespace sextant;
using namespace sextant::tests;

namespace {

using numbers = std::vector<double>;
using matrix = std::vector<numbers>;  // rows of numbers: tokens

matrix linear(const matrix& x, const blocks::modules::linear<double>& w, index_t first, index_t count) {
  matrix y(x.size(), numbers(std::size_t(count)));
  for (std::size_t t = 0; t < x.size(); ++t)
    for (index_t o = 0; o < count; ++o) {
      double sum = w.biased() ? w.bias(first + o) : 0;
      for (std::size_t c = 0; c < x[t].size(); ++c) sum += x[t][c] * w.weight(first + o, index_t(c));
      y[t][std::size_t(o)] = sum;
    }
  return y;
}
matrix linear(const matrix& x, const blocks::modules::linear<double>& w) { return linear(x, w, 0, w.outputs()); }
matrix rms(const matrix& x, const blocks::modules::rms_norm<double>& w) {
  matrix y = x;
  for (numbers& row : y) {
    double square = 0;
    for (const double v : row) square += v * v / double(row.size());
    for (std::size_t c = 0; c < row.size(); ++c) row[c] *= w.weight(index_t(c)) / std::sqrt(square + 1e-5);
  }
  return y;
}
matrix columns(const matrix& x, index_t first, index_t count) {
  matrix y;
  for (const numbers& row : x) y.emplace_back(row.begin() + first, row.begin() + first + count);
  return y;
}

/// The selective scan, token by token: h = exp(delta a) h + delta b u, y = c h + d u, delta = softplus(dt + bias).
template <class A, class Bias, class D>
matrix scan(const matrix& u, const matrix& dt, const matrix& b, const matrix& c, const A& a, const Bias& bias,
            const D& d) {
  matrix y = u;
  const std::size_t N = b[0].size();
  for (std::size_t channel = 0; channel < u[0].size(); ++channel) {
    numbers h(N, 0.0);
    for (std::size_t t = 0; t < u.size(); ++t) {
      const double delta = std::log1p(std::exp(dt[t][channel] + bias(index_t(channel))));
      y[t][channel] = d(index_t(channel)) * u[t][channel];
      for (std::size_t n = 0; n < N; ++n) {
        h[n] = std::exp(delta * a(index_t(channel), index_t(n))) * h[n] + delta * b[t][n] * u[t][channel];
        y[t][channel] += c[t][n] * h[n];
      }
    }
  }
  return y;
}

matrix vim_way(matrix x, const blocks::mamba_direction<double>& w, index_t N) {
  if (w.backward) std::reverse(x.begin(), x.end());
  matrix u = x;
  for (std::size_t t = 0; t < x.size(); ++t)
    for (std::size_t c = 0; c < x[t].size(); ++c) {
      double sum = w.conv.bias(index_t(c));
      for (index_t k = 0; k < 4; ++k)
        if (index_t(t) + k >= 3) sum += w.conv.weight(k, index_t(c)) * x[std::size_t(index_t(t) + k - 3)][c];
      u[t][c] = plain::silu(sum);
    }
  const matrix read = linear(u, w.x_proj);
  const index_t R = w.dt_proj.inputs();
  matrix y = scan(
      u, linear(columns(read, 0, R), w.dt_proj), columns(read, R, N), columns(read, R + N, N),
      [&](index_t c, index_t n) { return w.a.value(0, c, n); }, [&](index_t c) { return w.dt_bias.value(0, c); },
      [&](index_t c) { return w.d.value(0, c); });
  if (w.backward) std::reverse(y.begin(), y.end());
  return y;
}
numbers plain_vim(const plain::picture& from, const models::vim& net, const models::vim_weights<double>& w) {
  const plain::picture patches = plain::convolve(from, w.proj);
  const index_t n = patches.H * patches.W, C = patches.C, inner = 2 * C;
  matrix x;
  for (index_t t = 0; t <= n; ++t) {
    numbers token;
    for (index_t c = 0; c < C; ++c)
      token.push_back(w.positions.value(t, c) + (t == n / 2
                                                     ? w.class_token.value(0, c)
                                                     : patches.value[std::size_t((t < n / 2 ? t : t - 1) * C + c)]));
    x.push_back(token);
  }
  for (index_t i = 0; i < w.layers.size(); ++i) {
    const auto layer = w.layers[i];
    const matrix xz = linear(rms(x, layer.norm), layer.mixer.in_proj), in = columns(xz, 0, inner);
    matrix y = vim_way(in, layer.mixer.forwards, net.sizes.state);
    const matrix back = vim_way(in, layer.mixer.backwards, net.sizes.state);
    for (std::size_t t = 0; t < y.size(); ++t)
      for (std::size_t c = 0; c < y[t].size(); ++c)
        y[t][c] = (y[t][c] + back[t][c]) * plain::silu(xz[t][c + std::size_t(inner)]);
    const matrix more = linear(y, layer.mixer.out_proj);
    for (std::size_t t = 0; t < x.size(); ++t)
      for (std::size_t c = 0; c < x[t].size(); ++c) x[t][c] += more[t][c];
  }
  return linear(rms({x[std::size_t(n / 2)]}, w.norm), w.head)[0];
}

plain::picture plain_block(plain::picture x, const blocks::cross_scan_block<double>& w) {
  const index_t N = w.sizes.state, R = w.sizes.rank(), inner = w.sizes.inner(), H = x.H, W = x.W;
  const plain::picture v = plain::each(
      plain::make(H, W, inner,
                  [&, u = plain::linear(plain::norm(x, w.norm), w.in_proj)](index_t i, index_t j, index_t c) {
                    double sum = 0;
                    for (index_t tap = 0; tap < 9; ++tap)
                      sum += w.conv.weight(tap, c) * u.at(i + tap / 3 - 1, j + tap % 3 - 1, c);
                    return sum;
                  }),
      plain::silu);
  plain::picture sum(H, W, inner);
  for (index_t way = 0; way < 4; ++way) {
    const auto pixel = [&](index_t t) {  // of the token at place t
      if (way >= 2) t = H * W - 1 - t;
      if (way % 2 == 0) return t;
      return w.sizes.window > 0 ? blocks::scan::windows{H, W, w.sizes.window}(t) : t % H * W + t / H;
    };
    matrix u;
    for (index_t t = 0; t < H * W; ++t)
      u.emplace_back(v.value.begin() + pixel(t) * inner, v.value.begin() + (pixel(t) + 1) * inner);
    const matrix read = linear(u, w.x_proj, way * (R + 2 * N), R + 2 * N);
    const matrix y = scan(
        u, linear(columns(read, 0, R), w.dt_proj, way * inner, inner), columns(read, R, N), columns(read, R + N, N),
        [&](index_t c, index_t n) { return w.a.value(way, c, n); }, [&](index_t c) { return w.dt_bias.value(way, c); },
        [&](index_t c) { return w.d.value(way, c); });
    for (index_t t = 0; t < H * W; ++t)
      for (index_t c = 0; c < inner; ++c)
        sum.value[std::size_t(pixel(t) * inner + c)] += y[std::size_t(t)][std::size_t(c)];
  }
  x = x + plain::linear(plain::norm(sum, w.out_norm), w.out_proj);
  return x + plain::feed(plain::norm(x, w.norm2), w.feed_forward);
}
numbers plain_vmamba(const plain::picture& from, const models::vmamba_weights<double>& w) {
  plain::picture x = plain::each(plain::norm(plain::convolve(from, w.first), w.norm1), plain::gelu);
  x = plain::norm(plain::convolve(x, w.second), w.norm2);
  for (int s = 0; s < 4; ++s) {
    const auto& stage = w.layers.stage[s];
    for (index_t b = 0; b < stage.layers.size(); ++b) x = plain_block(x, stage.layers[b]);
    if (s < 3) x = plain::norm(plain::convolve(x, stage.halve), stage.norm);
  }
  x = plain::norm(x, w.norm);
  plain::picture mean(1, 1, x.C);
  for (index_t t = 0; t < x.H * x.W; ++t)
    for (index_t c = 0; c < x.C; ++c) mean(0, 0, c) += x.value[std::size_t(t * x.C + c)] / double(x.H * x.W);
  return plain::linear(mean, w.head).value;
}

/// Weights that keep numbers near 1, the same in every precision.
template <class Weights> void settle(with_weights<Weights>& w) {
  dice same;
  blocks::for_each_tensor(w.module, [&](const blocks::path&, const auto& t) {
    using element = typename std::remove_cvref_t<decltype(t)>::element;
    element* const at = t.room == 0 ? nullptr : const_cast<element*>(t.memory->data());
    const bool norm = t.rank == 1 && t.name[0] == 'w', rate = t.as == blocks::kept::minus_exp;
    for (index_t i = 0; i < t.room; ++i) at[i] = element(float(same.roll() * 0.2 + (norm ? 1 : 0) - (rate ? 1 : 0)));
  });
}

/// The network in double against the plain one, and in float against that in double.
template <class Net, class Bytes, class Plain>
void check(const Net& net, index_t B, index_t H, index_t W, index_t classes, const Bytes& bytes_of,
           const Plain& plain_scores) {
  CAPTURE(H);
  CAPTURE(W);
  dice d{std::uint64_t(H + 100 * W)};
  with_weights exact(net.template weights<double>(), d);
  with_weights ours(net.template weights<float>(), d);
  settle(exact);
  settle(ours);
  table<double> x(B * H * W, 3, 0, d), y(B, classes);
  table<float> same(B * H * W, 3), z(B, classes, 2);
  for (index_t i = 0; i < x.n; ++i)
    for (index_t c = 0; c < 3; ++c) same.at(i, c) = float(x.at(i, c)), x.at(i, c) = double(same.at(i, c));
  cpu::parallel on{{}, 2};
  scratch memory(bytes_of(double{}, on)), other(bytes_of(float{}, on));
  on.memory = memory;
  REQUIRE(forward(net, on, exact.module, x.pictures(B, H, W), y));
  on.memory = other;
  REQUIRE(forward(net, on, ours.module, same.pictures(B, H, W), z));
  for (index_t b = 0; b < B; ++b) {
    const numbers judge = plain_scores(
        plain::make(H, W, 3, [&](index_t i, index_t j, index_t c) { return x.at((b * H + i) * W + j, c); }),
        exact.module);
    table<double> one(1, classes);
    for (index_t c = 0; c < classes; ++c) one.at(0, c) = y.at(b, c);
    CHECK(error_of(one, [&](index_t, index_t c) { return judge[std::size_t(c)]; }) <= 1e-11);
  }
  CHECK(error_of(z, [&](index_t b, index_t c) { return y.at(b, c); }) <= 5e-5);
  CHECK(z.gaps_untouched());
}

template <class Order> void check_order(const Order& order, index_t count) {
  std::vector<bool> seen(std::size_t(count), false);
  for (index_t t = 0; t < count; ++t) {
    const index_t pixel = order(t);
    REQUIRE((pixel >= 0 && pixel < count));
    CHECK(!seen[std::size_t(pixel)]);
    seen[std::size_t(pixel)] = true;
    CHECK(order.place(pixel) == t);
    CHECK(blocks::scan::inverse<Order>{order}(pixel) == t);
  }
}

}  // namespace

TEST_CASE("scans: every order visits each pixel once, and place() is the way back") {
  using namespace blocks::scan;
  for (const index_t H : {1, 2, 7, 8})
    for (const index_t W : {1, 3, 7, 14}) {
      check_order(rows_first{}, H * W);
      check_order(columns_first{H, W}, H * W);
      for (const index_t side : {1, 2, 3, 7, 20}) check_order(windows{H, W, side}, H * W);
    }
  // LocalMamba's formula where windows fill the picture.
  constexpr index_t H = 6, W = 8, w = 2;
  for (index_t i = 0; i < H; ++i)
    for (index_t j = 0; j < W; ++j)
      CHECK(windows{H, W, w}.place(i * W + j) == (W / w * (i / w) + j / w) * w * w + i % w * w + j % w);
}

TEST_CASE("scans: Vim, against one written out plainly") {
  constexpr models::vim net{{.embed = 24, .layers = 3, .patch = 4, .picture = 20, .state = 5, .classes = 9}};
  check(
      net, 2, 20, 20, 9, [&](auto real, const auto& on) { return models::workspace_bytes<decltype(real)>(net, on, 2); },
      [&](const plain::picture& from, const auto& w) { return plain_vim(from, net, w); });
  dice d;
  with_weights w(net.weights<float>(), d);
  table<float> x(16 * 16, 3, 0, d), y(1, 9);
  CHECK(forward(net, cpu::serial{}, w.module, x.pictures(1, 16, 16), y).code == errc::shape);
}

// Windows change an order, not what is learnt or counted.
static_assert(models::parameters(models::vmamba_t.with_windows(7)) == models::parameters(models::vmamba_t));
static_assert(models::macs(models::vmamba_t.with_windows(7), 224, 224).total() ==
              models::macs(models::vmamba_t, 224, 224).total());

TEST_CASE("scans: VMamba, against one written out plainly, pictures of odd sizes, columns and windows") {
  for (const auto& [state, window] : {std::array<index_t, 2>{1, 0}, {3, 0}, {1, 2}, {3, 3}}) {
    const models::vmamba columns{
        {.embed = 32, .depths = {1, 1, 2, 1}, .expand = state == 3 ? 2 : 1, .state = state, .classes = 9}};
    const models::vmamba net = window > 0 ? columns.with_windows(window) : columns;
    const index_t sizes[][2] = {{32, 32}, {37, 21}, {5, 30}};
    for (const auto& [H, W] : sizes)
      check(
          net, 2, H, W, 9,
          [&net, h = H, v = W](auto real, const auto& on) {
            return models::workspace_bytes<decltype(real)>(net, on, 2, h, v);
          },
          [&](const plain::picture& from, const auto& w) { return plain_vmamba(from, w); });
  }
}
