// SPDX-License-Identifier: Apache-2.0
/// @file  libFuzzer's target for load(): a small network from a checkpoint that was right before an input's edits. Whatever
/// they are, nothing is read or written out of bounds, a refusal is a sentence, and weights that are taken are numbers.
// runs: 4000 of up to 64 bytes
///
/// The first byte of an input chooses the weights' type and a prefix; then come edits of four bytes each: what, where, a, b.
#include <algorithm>  // equal, min
#include <cmath>      // isfinite
#include <cstdint>    // uint8_t
#include <cstdio>     // fprintf
#include <cstdlib>    // abort
#include <cstring>    // memcpy, memset
#include <limits>     // numeric_limits
#include <memory>     // make_unique, unique_ptr
#include <new>        // align_val_t
#include <span>       // span
#include <string>     // string
#include <utility>    // pair
#include <vector>     // vector

#include <sextant/interop/checkpoint.hpp>

#include "../interop/small_network.hpp"

namespace {

namespace blocks = sextant::blocks;
namespace st = sextant::safetensors;
using sextant::index_t;
using tensors = std::vector<blocks::detail::saved>;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

/// Memory of exactly the weights' size at a multiple of 64: a byte too many is seen.
struct weights_memory {
  std::size_t size;
  std::byte* data = static_cast<std::byte*>(::operator new (size, std::align_val_t{blocks::tensor_alignment}));
  explicit weights_memory(std::size_t bytes) : size(bytes) { std::memset(data, 0xff, size); }
  weights_memory(const weights_memory&) = delete;
  weights_memory& operator=(const weights_memory&) = delete;
  ~weights_memory() { ::operator delete (data, std::align_val_t{blocks::tensor_alignment}); }
};

/// A checkpoint that is right.
const tensors& right_one() {
  static const tensors its = [] {
    sextant::test::network<float> net;
    const weights_memory memory(blocks::bytes(net));
    require(bool(blocks::initialise(net, {memory.data, memory.size}, 5)), "a network begins");
    tensors all;
    blocks::for_each_tensor(
        net, [&](const blocks::path& at, const auto& t) { blocks::detail::save_tensor(all, "", at, t); });
    return all;
  }();
  return its;
}

/// As many bytes as type and shape want, as far as that is little.
void fit(blocks::detail::saved& t) {
  std::uint64_t count = 0, bytes = 0;
  if (st::detail::sizes(t.shape, t.type, count, bytes) && bytes < 65536)
    t.bytes.resize(std::size_t(bytes), std::byte{0x3c});
}

void edit(tensors& all, const std::uint8_t* how, std::vector<std::pair<std::size_t, std::uint8_t>>& pokes,
          std::size_t& cut) {
  const unsigned a = how[2], b = how[3];
  if (all.empty()) return;
  blocks::detail::saved& t = all[how[1] % all.size()];
  constexpr double odd[] = {
      std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), -1, 1e30, -1e300, 0};
  switch (how[0] % 10) {
    case 0:
      all.erase(all.begin() + how[1] % std::ptrdiff_t(all.size()));
      break;
    case 1:  // another's name, or one letter
      if (a & 1) t.name = all[b % all.size()].name;
      else if (!t.name.empty()) t.name[a / 2 % t.name.size()] = char(b);
      break;
    case 2:
      t.type = static_cast<st::dtype>(a % (unsigned(st::dtype::u64) + 1));
      fit(t);
      break;
    case 3:
      if (!t.shape.empty()) t.shape[a % t.shape.size()] = b < 250 ? index_t(b) : index_t(1) << (8 * (b - 248));
      fit(t);
      break;
    case 4:
      if (a & 1) t.shape.push_back(index_t(b));
      else if (!t.shape.empty()) t.shape.pop_back();
      fit(t);
      break;
    case 5:
      if (!t.bytes.empty()) t.bytes[a % t.bytes.size()] = std::byte(b);
      break;
    case 6: {  // a number that is none, or none for these weights
      const double value = odd[b % std::size(odd)];
      const float narrow = float(value);
      const std::size_t size = t.type == st::dtype::f64 ? 8 : 4, at = a * size;
      if (at + size <= t.bytes.size())
        std::memcpy(t.bytes.data() + at, size == 8 ? static_cast<const void*>(&value) : &narrow, size);
      break;
    }
    case 7:
      all.push_back(
          {"more." + std::to_string(a), st::dtype::f32, {index_t(b % 4)}, std::vector<std::byte>(4 * (b % 4))});
      break;
    case 8:  // of the file
      pokes.emplace_back(how[1] * 256u + a, how[3]);
      break;
    default:
      cut += 1 + a;
  }
}

/// The file of these tensors, whether they fit or not.
std::string file_of(const tensors& all) {
  std::string header = "{", data;
  for (const blocks::detail::saved& t : all) {
    header += (header.size() > 1 ? "," : "") + st::detail::json_string(t.name) + ":{\"dtype\":\"" +
              std::string(st::name(t.type)) + "\",\"shape\":" + st::detail::shape_text(t.shape) +
              ",\"data_offsets\":[" + std::to_string(data.size()) + ",";
    data.append(reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size());
    header += std::to_string(data.size()) + "]}";
  }
  header += "}";
  std::string out(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

template <class E> std::string load(const st::archive& archive, std::string_view prefix) {
  sextant::test::network<E> net;
  const weights_memory memory(blocks::bytes(net));
  const std::string reason = blocks::load(net, std::span(memory.data, memory.size), archive, {.prefix = prefix});
  require(reason.size() < 600 && reason.find('\n') == std::string::npos, "a reason is one short line");
  require(reason.empty() || reason.front() == '\'', "a reason names a tensor");
  if (!reason.empty()) return reason;
  blocks::for_each_tensor(net, [&](const blocks::path&, const auto& t) {
    for (index_t i = 0; i < t.size(); ++i) require(std::isfinite(double(t.data()[i])), "weights are numbers");
  });
  return reason;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::uint8_t chosen = size > 0 ? input[0] : 0;
  tensors all = right_one();
  std::vector<std::pair<std::size_t, std::uint8_t>> pokes;
  std::size_t cut = 0;
  for (std::size_t i = 1; i + 4 <= size; i += 4) edit(all, input + i, pokes, cut);
  std::string bytes = file_of(all);
  for (const auto& [at, value] : pokes) bytes[at % bytes.size()] = char(value);
  bytes.resize(bytes.size() - std::min(cut, bytes.size()));
  const auto memory = std::make_unique<std::byte[]>(bytes.size());  // of exactly its size
  if (!bytes.empty()) std::memcpy(memory.get(), bytes.data(), bytes.size());
  st::archive archive;
  if (!st::parse({memory.get(), bytes.size()}, archive).empty()) return 0;
  const std::string_view prefix = chosen & 2 ? "layers." : "";
  const std::string reason = chosen & 1 ? load<sextant::float16>(archive, prefix) : load<float>(archive, prefix);
  if (size < 5 && prefix.empty()) require(reason.empty(), "what was not edited is taken");
  return 0;
}
