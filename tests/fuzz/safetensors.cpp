// SPDX-License-Identifier: Apache-2.0
/// @file  libFuzzer's target for safetensors files: whatever the bytes, nothing is read out of bounds, a file that is
/// taken keeps its promises, and what is written of it is taken again.
// runs: 300000 of up to 2048 bytes
///
/// The first byte of an input chooses what the rest is: with the last bit set a file as it is, else a header up to the
/// first byte 0 and the data behind it, for which the length is put in front: a mutation of the header is then no lie.
#include <algorithm>  // equal
#include <cstdint>    // uint8_t, uint64_t
#include <cstdio>     // fprintf
#include <cstdlib>    // abort
#include <cstring>    // memcpy, memchr
#include <memory>     // make_unique
#include <span>       // span
#include <string>     // string
#include <vector>     // vector

#include <sextant/interop/safetensors.hpp>

namespace {

namespace st = sextant::safetensors;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

double sum_of(const st::tensor& t) {
  double sum = 0;
  st::with_numbers(t.type, t.bytes.data(), [&](auto number) {
    for (std::size_t i = 0; i < std::size_t(t.count()); ++i) sum += double(number(i));
  });
  return sum;
}

/// What the archive says of each tensor fits together, and its data are read from the first to the last byte.
void check(const st::archive& archive, std::size_t file_bytes) {
  std::size_t bytes = 0;
  volatile double sum = 0;
  for (std::size_t i = 0; i < archive.size(); ++i) {
    const st::tensor t = archive[i];
    bytes += t.bytes.size();
    sum = sum + sum_of(t);
    for (const std::byte b : t.bytes) sum = sum + double(b);
    if (i > 0) require(archive[i - 1].name < t.name, "names are sorted and stand once");
    const auto found = archive.find(t.name);
    require(found && found->bytes.data() == t.bytes.data() && found->type == t.type, "a tensor is found by its name");
    unsigned long long count = 1;
    for (const sextant::index_t extent : t.shape) count *= static_cast<unsigned long long>(extent);
    require(count == static_cast<unsigned long long>(t.count()), "count() is the product of the shape");
    require(count * unsigned(st::bits(t.type)) == 8ull * t.bytes.size(), "the bytes are those of type and shape");
  }
  require(bytes + 8 <= file_bytes, "the tensors lie in the file");
}

std::string bytes_of(std::span<const std::uint8_t> input) {
  if (input.empty()) return {};
  const std::string text(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  if (input[0] & 1) return text;
  const std::uint64_t length = std::min(text.find('\0'), text.size());
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + text.substr(0, length) + text.substr(std::min<std::size_t>(length + 1, text.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes = bytes_of({data, size});
  const auto memory = std::make_unique<std::byte[]>(bytes.size());  // of exactly its size: a byte too many is seen
  if (!bytes.empty()) std::memcpy(memory.get(), bytes.data(), bytes.size());
  st::archive archive;
  const std::string reason = st::parse({memory.get(), bytes.size()}, archive);
  require(reason.size() < 600 && reason.find('\n') == std::string::npos, "a reason is one short line");
  if (!reason.empty()) return require(archive.size() == 0, "a refused archive is empty"), 0;
  check(archive, bytes.size());

  // Written and read again it is the same.
  std::vector<st::source> sources;
  std::vector<const st::source*> order;
  for (std::size_t i = 0; i < archive.size(); ++i) {
    const st::tensor t = archive[i];
    sources.push_back({std::string(t.name), t.type, {t.shape.begin(), t.shape.end()}, t.bytes});
  }
  std::string error, again;
  for (const st::source& s : sources) order.push_back(&s);
  again = st::detail::header_bytes(order, {}, error);
  require(error.empty(), "what was taken can be written");
  for (const st::source& s : sources) again.append(reinterpret_cast<const char*>(s.bytes.data()), s.bytes.size());
  st::archive second;
  require(st::parse(std::as_bytes(std::span(again.data(), again.size())), second).empty(), "what was written is taken");
  require(second.size() == archive.size(), "all tensors were written");
  for (std::size_t i = 0; i < archive.size(); ++i) {
    const st::tensor a = archive[i], b = second[i];
    require(a.name == b.name && a.type == b.type &&
                std::equal(a.shape.begin(), a.shape.end(), b.shape.begin(), b.shape.end()) &&
                std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end()),
            "a tensor comes back the same");
  }
  return 0;
}
