// SPDX-License-Identifier: Apache-2.0
/// @file  The vision networks of linear attention written out plainly, in double, one picture and one number at a time:
///        the judge of models/vision.hpp. Reads the same weights and shares nothing else with it.
#pragma once

#include <cmath>    // cos, erf, exp, pow, sin, sqrt
#include <cstddef>  // size_t
#include <vector>   // vector

#include <sextant/models/vision.hpp>

namespace sextant::tests::plain {

/// A picture: value(i, j, c) at [(i W + j) C + c].
struct picture {
  index_t H = 0, W = 0, C = 0;
  std::vector<double> value{};
  picture(index_t h, index_t w, index_t c) : H(h), W(w), C(c), value(std::size_t(h * w * c)) {}
  double& operator()(index_t i, index_t j, index_t c) { return value[std::size_t((i * W + j) * C + c)]; }
  double at(index_t i, index_t j, index_t c) const {
    return i < 0 || i >= H || j < 0 || j >= W ? 0 : value[std::size_t((i * W + j) * C + c)];
  }
};
template <class F> picture make(index_t H, index_t W, index_t C, const F& f) {
  picture y(H, W, C);
  for (index_t i = 0; i < H; ++i)
    for (index_t j = 0; j < W; ++j)
      for (index_t c = 0; c < C; ++c) y(i, j, c) = f(i, j, c);
  return y;
}
inline picture operator+(const picture& a, const picture& b) {
  return make(a.H, a.W, a.C, [&](index_t i, index_t j, index_t c) { return a.at(i, j, c) + b.at(i, j, c); });
}
template <class F> picture each(const picture& x, const F& f) {
  return make(x.H, x.W, x.C, [&](index_t i, index_t j, index_t c) { return f(x.at(i, j, c)); });
}
inline double silu(double x) { return x / (1 + std::exp(-x)); }
inline double gelu(double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }
inline double relu(double x) { return x > 0 ? x : 0; }

using linear_layer = blocks::modules::linear<double>;
inline picture linear(const picture& x, const linear_layer& w, index_t first, index_t count) {
  return make(x.H, x.W, count, [&](index_t i, index_t j, index_t o) {
    double sum = w.biased() ? w.bias(first + o) : 0;
    for (index_t c = 0; c < x.C; ++c) sum += x.at(i, j, c) * w.weight(first + o, c);
    return sum;
  });
}
inline picture linear(const picture& x, const linear_layer& w) { return linear(x, w, 0, w.outputs()); }
inline picture convolve(const picture& x, const blocks::modules::convolution<double>& w) {
  const index_t k = w.kernel;
  return make(w.pixels(x.H), w.pixels(x.W), w.outputs(), [&](index_t i, index_t j, index_t o) {
    double sum = w.bias(o);
    for (index_t a = 0; a < k; ++a)
      for (index_t b = 0; b < k; ++b)
        for (index_t c = 0; c < x.C; ++c)
          sum +=
              w.weight(o, (a * k + b) * x.C + c) * x.at(i * w.stride - w.padding + a, j * w.stride - w.padding + b, c);
    return sum;
  });
}
inline picture depthwise(const picture& x, const blocks::modules::depthwise<double>& w, index_t stride = 1) {
  return make((x.H + stride - 1) / stride, (x.W + stride - 1) / stride, x.C, [&](index_t i, index_t j, index_t c) {
    double sum = w.bias(c);
    for (index_t tap = 0; tap < 9; ++tap)
      sum += w.weight(tap, c) * x.at(i * stride + tap / 3 - 1, j * stride + tap % 3 - 1, c);
    return sum;
  });
}
inline picture norm(const picture& x, const blocks::modules::layer_norm<double>& w) {
  return make(x.H, x.W, x.C, [&](index_t i, index_t j, index_t c) {
    double mean = 0, variance = 0;
    for (index_t k = 0; k < x.C; ++k) mean += x.at(i, j, k) / double(x.C);
    for (index_t k = 0; k < x.C; ++k) variance += (x.at(i, j, k) - mean) * (x.at(i, j, k) - mean) / double(x.C);
    return (x.at(i, j, c) - mean) / std::sqrt(variance + 1e-5) * w.weight(c) + w.bias(c);
  });
}

/// Linear attention over all pixels: elu + 1; the rotation of MILA in the numerator alone, if asked for.
/// y_i = sum_j (q~_i . k~_j) v_j / (sum_j q_i . k_j + n eps).
inline picture attend(const picture& q, const picture& k, const picture& v, index_t heads, bool turned, double eps) {
  const auto map = [](double x) { return x > 0 ? x + 1 : std::exp(x); };
  const auto turn = [&](const picture& x) {
    return make(x.H, x.W, x.C, [&](index_t i, index_t j, index_t c) {
      if (!turned) return map(x.at(i, j, c));
      const index_t quarter = x.C / 4, m = c / 2;
      const double place = double(m < quarter ? i : j),
                   angle = place * std::pow(10000.0, -double(m % quarter) / double(quarter));
      const double re = map(x.at(i, j, 2 * m)), im = map(x.at(i, j, 2 * m + 1));
      return c % 2 == 0 ? re * std::cos(angle) - im * std::sin(angle) : re * std::sin(angle) + im * std::cos(angle);
    });
  };
  const picture plain_q = each(q, map), plain_k = each(k, map), turned_q = turn(q), turned_k = turn(k);
  const index_t n = q.H * q.W, K = q.C / heads, V = v.C / heads;
  picture y(q.H, q.W, v.C);
  const auto number = [](const picture& x, index_t t, index_t c) { return x.value[std::size_t(t * x.C + c)]; };
  for (index_t h = 0; h < heads; ++h)
    for (index_t i = 0; i < n; ++i) {
      double below = double(n) * eps;
      std::vector<double> above(std::size_t(V), 0.0);
      for (index_t j = 0; j < n; ++j) {
        double weight = 0;
        for (index_t c = h * K; c < (h + 1) * K; ++c) {
          weight += number(turned_q, i, c) * number(turned_k, j, c);
          below += number(plain_q, i, c) * number(plain_k, j, c);
        }
        for (index_t c = 0; c < V; ++c) above[std::size_t(c)] += weight * number(v, j, h * V + c);
      }
      for (index_t c = 0; c < V; ++c) y.value[std::size_t(i * v.C + h * V + c)] = above[std::size_t(c)] / below;
    }
  return y;
}

template <class MLP> picture feed(const picture& x, const MLP& w) {
  return linear(each(linear(x, w.fc1), gelu), w.fc2);
}

template <class Design> picture block(picture x, const blocks::mila_block<Design, double>& w) {
  const index_t C = x.C;
  x = x + depthwise(x, w.cpe1);
  const picture u = norm(x, w.norm1);
  const picture gate = each(linear(u, w.in_and_act, C, C), silu);
  const picture v = each(depthwise(linear(u, w.in_and_act, 0, C), w.dwc), silu);
  const picture q = linear(v, w.attention.qkv, 0, C), k = linear(v, w.attention.qkv, C, C);
  const picture y = attend(q, k, v, w.attention.sizes.heads, true, 1e-6) + depthwise(v, w.attention.lepe);
  x = x + linear(make(x.H, x.W, C, [&](index_t i, index_t j, index_t c) { return y.at(i, j, c) * gate.at(i, j, c); }),
                 w.out_proj);
  x = x + depthwise(x, w.cpe2);
  return x + feed(norm(x, w.norm2), w.feed_forward);
}
template <class Design> picture block(picture x, const blocks::transformer_block<Design, double>& w) {
  const index_t C = x.C;
  if (w.options.conditional_position) x = x + depthwise(x, w.cpe);
  picture u = norm(x, w.norm1);
  if (w.options.absolute_positions > 0)
    u = make(u.H, u.W, C, [&](index_t i, index_t j, index_t c) { return u.at(i, j, c) + w.ape.value(i * u.W + j, c); });
  const auto part = [&](index_t i) { return linear(u, w.attention.qkv, i * C, C); };
  x = x + linear(attend(part(0), part(1), part(2), w.attention.sizes.heads, false, 0), w.proj);
  return x + feed(norm(x, w.norm2), w.feed_forward);
}

inline picture stem(const picture& x, const models::stem<double>& w) {
  if (!w.convolutional) return norm(convolve(x, w.proj), w.norm);
  const picture a = each(convolve(x, w.conv1), relu);
  const picture b = a + convolve(each(convolve(a, w.conv2_0), relu), w.conv2_1);
  return convolve(each(convolve(b, w.conv3_0), relu), w.conv3_1);
}
inline picture downsample(const picture& x, const models::downsampling<double>& w) {
  if (w.convolutional) return convolve(each(depthwise(each(convolve(x, w.widen), relu), w.halve, 2), relu), w.narrow);
  const index_t C = x.C, below[4] = {0, 1, 0, 1}, right[4] = {0, 0, 1, 1};
  const picture four = make((x.H + 1) / 2, (x.W + 1) / 2, 4 * C, [&](index_t i, index_t j, index_t c) {
    return x.at(2 * i + below[c / C], 2 * j + right[c / C], c % C);
  });
  return linear(norm(four, w.norm), w.reduction);
}

/// Class scores of one picture.
template <class Design>
std::vector<double> scores(const picture& from, const models::vision_weights<Design, double>& w) {
  picture x = stem(from, w.patch_embed);
  for (int s = 0; s < 4; ++s) {
    for (index_t b = 0; b < w.layers.stage[s].layers.size(); ++b) x = block(x, w.layers.stage[s].layers[b]);
    if (s < 3) x = downsample(x, w.layers.stage[s].down);
  }
  x = norm(x, w.norm);
  picture mean(1, 1, x.C);
  for (index_t i = 0; i < x.H; ++i)
    for (index_t j = 0; j < x.W; ++j)
      for (index_t c = 0; c < x.C; ++c) mean(0, 0, c) += x.at(i, j, c) / double(x.H * x.W);
  return linear(mean, w.head).value;
}

}  // namespace sextant::tests::plain
