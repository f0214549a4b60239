// SPDX-License-Identifier: Apache-2.0
/// @file  What the tests of safetensors share: files made of bytes, and the reasons of refusals.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>  // byte, size_t
#include <cstdint>  // uint64_t
#include <cstring>  // memcpy
#include <memory>   // make_unique
#include <span>     // span
#include <string>   // string
#include <vector>   // vector

#include <sextant/interop/safetensors.hpp>

namespace safetensors_test {

namespace st = sextant::safetensors;

inline std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
template <class Number> std::span<const std::byte> bytes_of(const std::vector<Number>& values) {
  return std::as_bytes(std::span<const Number>(values));
}

/// A file of this header and these data, with a length of the caller's choice or the right one.
inline std::string file_bytes(const std::string& header, const std::string& data) {
  std::string out(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

/// A header of one tensor.
inline std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets,
                       const std::string& name = "w") {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

/// The reason that parsing gives, or "" where the file is taken. The bytes lie in memory of exactly their size, so that
/// the address sanitizer sees a byte read too many. Checks that a refusal is one line and leaves the archive empty.
inline std::string reason(const std::string& bytes) {
  const auto memory = std::make_unique<std::byte[]>(bytes.size());
  if (!bytes.empty()) std::memcpy(memory.get(), bytes.data(), bytes.size());
  st::archive archive;
  const std::string why = st::parse({memory.get(), bytes.size()}, archive);
  CHECK(why.find('\n') == std::string::npos);
  CHECK(why.size() < 500);
  if (!why.empty()) CHECK(archive.size() == 0);
  return why;
}

inline bool begins(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }
inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace safetensors_test
