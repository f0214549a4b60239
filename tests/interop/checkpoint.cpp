// SPDX-License-Identifier: Apache-2.0
/// @file  Weights of a module from a safetensors file and back, what is refused, and how weights begin.
#include <doctest/doctest.h>

#include <cmath>        // fabs, log, sqrt
#include <cstdint>      // uint16_t
#include <cstdlib>      // mkdtemp
#include <cstring>      // memcmp
#include <filesystem>   // temp_directory_path
#include <limits>       // quiet_NaN
#include <map>          // map
#include <string>       // string
#include <type_traits>  // is_same_v
#include <vector>       // vector

#include <sextant/blocks/module.hpp>
#include <sextant/interop/checkpoint.hpp>

#include "safetensors_files.hpp"
#include "small_network.hpp"

using namespace sextant;
using safetensors_test::has;
using test::network, test::unit;

namespace {

struct alignas(64) line {
  std::byte bytes[64];
};
template <class E> struct loaded {
  network<E> net;
  std::vector<line> lines = std::vector<line>(blocks::bytes(network<E>{}) / 64);
  std::span<std::byte> memory() { return std::as_writable_bytes(std::span(lines)); }
};

struct folder {
  std::string path = (std::filesystem::temp_directory_path() / "sextant_checkpoint_XXXXXX").string();
  folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~folder() { std::filesystem::remove_all(path); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  std::string file(const std::string& name = "w.safetensors") const { return path + "/" + name; }
};

/// A checkpoint of the network in float, by name, which a test may change before it is written.
struct checkpoint {
  struct one {
    safetensors::dtype type = safetensors::dtype::f32;
    std::vector<index_t> shape;
    std::vector<float> numbers;
    std::string bytes;  ///< in place of the numbers, if not empty
  };
  std::map<std::string, one> tensors;

  checkpoint() {
    add("stem.conv.weight", {3, 2, 3, 3});
    batch_norm("stem.norm", 3);
    add("last.conv.weight", {4, 3, 1, 1}), add("last.conv.bias", {4});
    batch_norm("last.norm", 4);
    add("cpe.weight", {7, 1, 3, 3}), add("cpe.bias", {7});
    for (int i = 0; i < 3; ++i) {
      const std::string at = "layers.0.units." + std::to_string(i) + ".";
      add(at + "q.weight", {2, 3}), add(at + "q.bias", {2}), add(at + "k.weight", {4, 3}), add(at + "k.bias", {4});
      add(at + "conv1d.weight", {5, 1, 4}), add(at + "conv1d.bias", {5});
    }
    add("mixer.A_log", {4, 6}), add("norm.weight", {5}), add("norm.bias", {5});
  }
  void add(const std::string& name, const std::vector<index_t>& shape) {
    index_t count = 1;
    for (const index_t n : shape) count *= n;
    one& t = tensors[name];
    t.shape = shape;
    for (index_t i = 0; i < count; ++i) t.numbers.push_back(float(int(next = next * 37 % 1009) - 500) / 512);
  }
  void batch_norm(const std::string& name, index_t channels) {
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) add(name + part, {channels});
    for (float& v : tensors[name + ".running_var"].numbers) v = std::fabs(v) + 0.5f;
  }
  std::string write(const folder& in) const {
    std::vector<safetensors::source> sources;
    for (const auto& [name, t] : tensors)
      sources.push_back(
          {name, t.type, t.shape,
           t.bytes.empty() ? safetensors_test::bytes_of(t.numbers) : safetensors_test::bytes_of(t.bytes)});
    REQUIRE(safetensors::write(in.file(), sources) == "");
    return in.file();
  }
  double operator()(const std::string& name, index_t i) const {
    return double(tensors.at(name).numbers[std::size_t(i)]);
  }
  int next = 1;
};

/// The reason that loading gives, without the file's name.
template <class E = float> std::string reason(const checkpoint& from, blocks::load_options options = {}) {
  const folder in;
  loaded<E> to;
  const std::string path = from.write(in), why = blocks::load(to.net, to.memory(), path, options);
  if (why.empty()) return why;
  REQUIRE(why.substr(0, path.size() + 2) == path + ": ");
  return why.substr(path.size() + 2);
}

template <class E> void check_numbers(double tolerance) {
  const folder in;
  const checkpoint from;
  loaded<E> to;
  REQUIRE(blocks::load(to.net, to.memory(), from.write(in)) == "");
  double worst = 0;
  const auto same = [&](double a, double b) { worst = std::max(worst, std::fabs(a - b) / (std::fabs(b) + 0.01)); };
  for (index_t o = 0; o < 3; ++o) {
    const double s = from("stem.norm.weight", o) / std::sqrt(from("stem.norm.running_var", o) + 1e-5);
    same(double(to.net.stem.bias(o)), from("stem.norm.bias", o) - from("stem.norm.running_mean", o) * s);
    for (index_t i = 0; i < 2; ++i)
      for (index_t k = 0; k < 9; ++k)
        same(double(to.net.stem.weight(o, k * 2 + i)), from("stem.conv.weight", (o * 2 + i) * 9 + k) * s);
  }
  for (index_t o = 0; o < 4; ++o) {
    const double s = from("last.norm.weight", o) / std::sqrt(from("last.norm.running_var", o) + 1e-5);
    same(double(to.net.last.bias(o)),
         (from("last.conv.bias", o) - from("last.norm.running_mean", o)) * s + from("last.norm.bias", o));
  }
  for (index_t c = 0; c < 7; ++c)
    for (index_t k = 0; k < 9; ++k) same(double(to.net.cpe.weight(k, c)), from("cpe.weight", c * 9 + k));
  for (index_t u = 0; u < 3; ++u) {
    const unit<E> one = to.net.units[u];
    const std::string at = "layers.0.units." + std::to_string(u) + ".";
    for (index_t i = 0; i < 3; ++i) {
      for (index_t o = 0; o < 2; ++o) same(double(one.both.weight(o, i)), from(at + "q.weight", o * 3 + i));
      for (index_t o = 0; o < 4; ++o) same(double(one.both.weight(2 + o, i)), from(at + "k.weight", o * 3 + i));
    }
    for (index_t o = 0; o < 4; ++o) same(double(one.both.bias(2 + o)), from(at + "k.bias", o));
    for (index_t c = 0; c < 5; ++c)
      for (index_t k = 0; k < 4; ++k) same(double(one.conv.weight(k, c)), from(at + "conv1d.weight", c * 4 + k));
  }
  for (index_t i = 0; i < 24; ++i) same(double(to.net.rates.value(i / 6, i % 6)), -std::exp(from("mixer.A_log", i)));
  CHECK(worst <= tolerance);

  // Saved and loaded again.
  loaded<E> again;
  REQUIRE(blocks::save(to.net, in.file("again"), "model.") == "");
  REQUIRE(blocks::load(again.net, again.memory(), in.file("again"), {.prefix = "model."}) == "");
  blocks::for_each_tensor(to.net, [&](const blocks::path& at, const auto& t) {
    blocks::for_each_tensor(again.net, [&](const blocks::path& at2, const auto& t2) {
      if (blocks::name_of(at, t.name) != blocks::name_of(at2, t2.name)) return;
      CAPTURE(blocks::name_of(at, t.name));
      for (index_t i = 0; i < t.size(); ++i) {
        const double before = double(t.data()[i]), after = double(t2.data()[i]);
        const bool rounded = t.normalised || t.as != blocks::kept::as_is;
        CHECK(std::fabs(before - after) <= (rounded ? tolerance * (std::fabs(before) + 0.01) : 0));
      }
    });
  });
}

}  // namespace

TEST_CASE("checkpoint: numbers come to their places") {
  check_numbers<float>(1e-6);
  check_numbers<double>(1e-6);  // what is saved of BatchNorm is float
  check_numbers<bfloat16>(5e-3);
  check_numbers<float16>(1e-3);
}

TEST_CASE("checkpoint: other dtypes, prefixes and tables that may stand there") {
  checkpoint half;
  auto& norm = half.tensors["norm.weight"];
  norm.type = safetensors::dtype::bf16;
  norm.bytes = std::string("\x80\x3f\0\x40\0\0\x80\xbf\0\x3f", 10);
  half.add("layers.0.units.1.attn.rope.rotations", {2, 2});
  half.add("last.norm.num_batches_tracked", {});
  CHECK(reason(half) == "");
  const folder in;
  loaded<float> to;
  REQUIRE(blocks::load(to.net, to.memory(), half.write(in)) == "");
  CHECK(to.net.norm.weight(0) == 1);
  CHECK(to.net.norm.weight(1) == 2);
  CHECK(to.net.norm.weight(4) == 0.5f);
  half.add("lm_head.weight", {2});
  CHECK(reason(half) == "'lm_head.weight': the network has no such tensor");
  CHECK(reason(half, {.allowed = [](std::string_view name) { return name == "lm_head.weight"; }}) == "");
  CHECK(has(reason(half, {.prefix = "model."}), "'model.stem.norm.weight': is missing"));
}

TEST_CASE("checkpoint: what is refused names the tensor") {
  const auto without = [](const std::string& name) {
    checkpoint from;
    from.tensors.erase(name);
    return reason(from);
  };
  CHECK(without("norm.bias") == "'norm.bias': is missing");
  CHECK(without("stem.norm.running_var") == "'stem.norm.running_var': is missing");
  CHECK(without("layers.0.units.2.conv1d.weight") == "'layers.0.units.2.conv1d.weight': is missing");
  const auto with = [](const std::string& name, const auto& change) {
    checkpoint from;
    change(from.tensors[name]);
    return reason(from);
  };
  CHECK(with("norm.bias", [](auto& t) { t.shape = {5, 1}; }) == "'norm.bias': has shape [5, 1], the network's is [5]");
  CHECK(with("mixer.A_log", [](auto& t) {
          t.shape = {6, 4};
        }) == "'mixer.A_log': has shape [6, 4], the network's is [4, 6]");
  CHECK(with("norm.bias", [](auto& t) { t.type = safetensors::dtype::i32; }) ==
        "'norm.bias': has dtype I32; F64, F32, F16 and BF16 are weights");
  CHECK(with("layers.0.units.1.k.bias", [](auto& t) { t.numbers[2] = std::numeric_limits<float>::quiet_NaN(); }) ==
        "'layers.0.units.1.k.bias': its number 2 is NaN or infinite");
  CHECK(with("stem.norm.bias", [](auto& t) { t.numbers[1] = std::numeric_limits<float>::infinity(); }) ==
        "'stem.norm.bias': its number 1 is NaN or infinite");
  CHECK(with("last.norm.running_var", [](auto& t) { t.numbers[3] = -1; }) == "'last.norm.running_var': is negative");
  CHECK(with("mixer.A_log", [](auto& t) { t.numbers[7] = 1000; }) ==
        "'mixer.A_log': its number 7 is beyond what the weights' type holds");
  CHECK(with("more", [](auto& t) { t.numbers = {1}; }) == "'more': the network has no such tensor");
  checkpoint large;
  large.tensors["layers.0.units.0.q.weight"].numbers[0] = 1e6f;
  CHECK(reason(large) == "");
  CHECK(reason<float16>(large) == "'layers.0.units.0.q.weight': its number 0 is beyond what the weights' type holds");

  loaded<float> to;
  const folder in;
  const std::string path = checkpoint().write(in);
  CHECK(has(blocks::load(to.net, to.memory().first(64), path), "bytes, the memory has 64"));
  CHECK(blocks::load(to.net, to.memory(), in.file("none")) == in.file("none") + ": there is no such file");
  std::filesystem::resize_file(path, 100);
  CHECK(has(blocks::load(to.net, to.memory(), path), "is truncated"));
}

TEST_CASE("initialise: the rules, from the seed and the name alone") {
  loaded<float> a, b, c;
  REQUIRE(blocks::initialise(a.net, a.memory(), 1));
  REQUIRE(blocks::initialise(b.net, b.memory(), 1));
  REQUIRE(blocks::initialise(c.net, c.memory(), 2));
  CHECK(blocks::initialise(a.net, a.memory().first(64), 1).code == errc::workspace);
  CHECK(a.net.cpe.weight(1, 2) == b.net.cpe.weight(1, 2));
  CHECK(a.net.cpe.weight(1, 2) != c.net.cpe.weight(1, 2));
  CHECK(a.net.units[0].both.weight(0, 0) != a.net.units[1].both.weight(0, 0));
  CHECK(a.net.norm.weight(3) == 1);
  CHECK(a.net.norm.bias(3) == 0);
  CHECK(a.net.rates.value(2, 5) == doctest::Approx(-6));
  for (index_t i = 0; i < 9; ++i) CHECK(std::fabs(a.net.cpe.weight(i, 0)) <= 1.0f / 3);

  const auto moments = [](const blocks::start& how, double& mean, double& deviation) {
    blocks::random_numbers random(7);
    constexpr int n = 100000;
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
      const double x = blocks::detail::begin(how, random, 0);
      sum += x, squares += x * x;
    }
    mean = sum / n, deviation = std::sqrt(squares / n - mean * mean);
  };
  double mean = 0, deviation = 0;
  moments(blocks::start::normal(0.02), mean, deviation);
  CHECK(std::fabs(mean) < 3e-4);
  CHECK(deviation == doctest::Approx(0.02).epsilon(0.01));
  moments(blocks::start::uniform(0.5), mean, deviation);
  CHECK(std::fabs(mean) < 5e-3);
  CHECK(deviation == doctest::Approx(1 / std::sqrt(12.0)).epsilon(0.01));
  blocks::random_numbers random(9);
  double least = 1, most = 0, middle = 0;
  for (int i = 0; i < 10000; ++i) {
    const double step =
        std::log1p(std::exp(blocks::detail::begin({blocks::start::rule::inverse_softplus, 0.001, 0.1}, random, 0)));
    least = std::min(least, step), most = std::max(most, step), middle += std::log(step) / 10000;
  }
  CHECK(least == doctest::Approx(0.001).epsilon(0.01));
  CHECK(most == doctest::Approx(0.1).epsilon(0.01));
  CHECK(std::exp(middle) == doctest::Approx(0.01).epsilon(0.05));
}
