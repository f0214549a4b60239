// SPDX-License-Identifier: Apache-2.0
/// @file  NumPy's .npy files: read and write dense arrays of 32-bit and 64-bit floating point numbers.
#pragma once

#include <cerrno>        // errno
#include <cstddef>       // ptrdiff_t, size_t
#include <cstdint>       // uint64_t, uintmax_t
#include <cstdio>        // FILE
#include <cstring>       // strerror, memcmp
#include <filesystem>    // status, file_size
#include <memory>        // unique_ptr
#include <new>           // bad_alloc
#include <span>          // span
#include <string>        // string
#include <system_error>  // error_code
#include <type_traits>   // conditional_t, is_same_v
#include <utility>       // move
#include <variant>       // variant
#include <vector>        // vector

#include <sextant/interop/npy_header.hpp>

/// NumPy's array files. Format versions 1.0, 2.0 and 3.0 are read, 1.0 is written (what numpy.save writes). Errors are
/// returned as one line of text that begins with the file's name; nothing is printed or thrown.
namespace sextant::npy {

/// A dense array in C order (the last axis is contiguous).
struct array {
  std::vector<std::ptrdiff_t> shape = {0};                       ///< elements along each axis; {} for a single number
  std::variant<std::vector<float>, std::vector<double>> values;  ///< as many as the product of shape

  /// Whether the file held 64-bit numbers.
  bool is_double() const { return values.index() == 1; }

  /// The values in a precision of the caller's choice; a double is rounded to the nearest float. Cost: one copy.
  template <class Real> std::vector<Real> as() const& {
    if (const auto* same = std::get_if<std::vector<Real>>(&values)) return *same;
    return converted<Real>();
  }
  /// The same, without a copy where the precision is the file's.
  template <class Real> std::vector<Real> as() && {
    if (auto* same = std::get_if<std::vector<Real>>(&values)) return std::move(*same);
    return converted<Real>();
  }

 private:
  template <class Real> std::vector<Real> converted() const {
    static_assert(std::is_same_v<Real, float> || std::is_same_v<Real, double>,
                  "a .npy array converts to float or double");
    using other = std::conditional_t<std::is_same_v<Real, float>, double, float>;
    std::vector<Real> out;
    if (const auto* from = std::get_if<std::vector<other>>(&values)) {
      out.reserve(from->size());
      for (const other x : *from) out.push_back(static_cast<Real>(x));
    }
    return out;
  }
};

/// What `read` returns: an array, or the reason why there is none.
struct read_result {
  array value;        ///< meaningful where error is empty
  std::string error;  ///< "FILE: reason", one line; empty after success
  explicit operator bool() const { return error.empty(); }
};

namespace detail {

struct close_file {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using file_handle = std::unique_ptr<std::FILE, close_file>;

/// Reads the values that follow the header; the file is known to hold exactly that many.
template <class Real> bool read_values(std::FILE* file, std::size_t count, array& into) {
  std::vector<Real> values(count);
  if (count > 0 && std::fread(values.data(), sizeof(Real), count, file) != count) return false;
  into.values = std::move(values);
  return true;
}

/// Reads the opened file of `bytes` bytes; returns the reason of a failure, without the file's name.
inline std::string read_from(std::FILE* file, std::uintmax_t bytes, array& into) {
  unsigned char start[12] = {};
  const std::size_t got = std::fread(start, 1, 10, file);
  if (got == 0) return "is empty, not a .npy file";
  if (std::memcmp(start, magic, got < sizeof magic ? got : sizeof magic) != 0) return "is not a .npy file";
  if (got < 10) return "is truncated in its header";
  const int major = start[6], minor = start[7];
  if (major < 1 || major > 3 || minor != 0)
    return std::string("has .npy format version ") + std::to_string(major) + "." + std::to_string(minor) +
           "; 1.0, 2.0 and 3.0 are read";
  std::size_t prefix = 10;
  std::uint64_t length = start[8] + 256u * start[9];
  if (major > 1) {
    if (std::fread(start + 10, 1, 2, file) != 2) return "is truncated in its header";
    prefix = 12;
    length += 65536ull * start[10] + 16777216ull * start[11];
  }
  if (length > max_header_bytes)
    return std::string("claims a header of ") + std::to_string(length) + " bytes, which is no float array's";
  std::string text(static_cast<std::size_t>(length), ' ');
  if (std::fread(text.data(), 1, text.size(), file) != text.size()) return "is truncated in its header";

  header head;
  if (std::string reason = parse(text, head); !reason.empty()) return reason;
  const std::uint64_t item = head.is_double ? sizeof(double) : sizeof(float);
  const std::uint64_t needed = head.count * item, before = prefix + length, held = bytes > before ? bytes - before : 0;
  if (held < needed)
    return std::string("is truncated: its shape needs ") + std::to_string(needed) + " bytes of data, it holds " +
           std::to_string(held);
  if (held > needed) return std::string("has ") + std::to_string(held - needed) + " bytes more than its shape needs";
  const auto count = static_cast<std::size_t>(head.count);
  if (!(head.is_double ? read_values<double>(file, count, into) : read_values<float>(file, count, into)))
    return "can't be read to its end";
  into.shape = std::move(head.shape);
  return {};
}

template <class Real>
std::string write_values(const std::string& path, const std::vector<std::ptrdiff_t>& shape,
                         std::span<const Real> values) {
  std::uint64_t count = 0;
  if (shape.size() > max_axes || !element_count(shape, sizeof(Real), count) || count != values.size())
    return path + ": can't be written: " + std::to_string(values.size()) + " values don't fill the shape " +
           shape_text(shape);
  file_handle file(std::fopen(path.c_str(), "wb"));
  if (!file) return path + ": can't be written: " + std::strerror(errno);
  const std::string start = header_bytes(sizeof(Real) == sizeof(double), shape);
  bool done = std::fwrite(start.data(), 1, start.size(), file.get()) == start.size();
  if (done && !values.empty())
    done = std::fwrite(values.data(), sizeof(Real), values.size(), file.get()) == values.size();
  // What is still buffered is written here, so a full disk may show only now.
  done = std::fclose(file.release()) == 0 && done;
  if (!done) return path + ": can't be written: " + std::strerror(errno);
  return {};
}

}  // namespace detail

/// Reads a .npy file: dtype <f4 or <f8 (also spelled =f4, |f4, f4, f, float32; =f8, |f8, f8, d, float64), C order, or
/// Fortran order where it makes no difference (no element, or at most one axis longer than 1). Refused with a
/// sentence: a missing file, one that isn't regular, a broken header, any other dtype or order, a shape that
/// overflows, too few bytes and too many. Memory is taken only once the file is known to hold what its header says.
/// NaN and infinities pass unchanged.
inline read_result read(const std::string& path) {
  read_result result;
  std::error_code failure;
  const auto kind = std::filesystem::status(path, failure).type();
  if (kind == std::filesystem::file_type::not_found) return {{}, path + ": there is no such file"};
  if (kind == std::filesystem::file_type::directory) return {{}, path + ": is a directory, not a .npy file"};
  if (kind == std::filesystem::file_type::none) return {{}, path + ": can't be opened: " + failure.message()};
  if (kind != std::filesystem::file_type::regular) return {{}, path + ": is not a regular file"};
  const detail::file_handle file(std::fopen(path.c_str(), "rb"));
  if (!file) return {{}, path + ": can't be opened: " + std::strerror(errno)};
  const std::uintmax_t bytes = std::filesystem::file_size(path, failure);
  if (failure) return {{}, path + ": can't be opened: " + failure.message()};
  try {
    result.error = detail::read_from(file.get(), bytes, result.value);
  } catch (const std::bad_alloc&) {
    result.error = std::string("does not fit into memory (") + std::to_string(bytes) + " bytes)";
  }
  if (!result.error.empty()) result.error = path + ": " + result.error;
  return result;
}

/// Writes <f4 values [shape] in C order; the header is numpy.save's, its end on a multiple of 64 bytes. Returns an
/// empty string, or "FILE: reason" where the file can't be written or shape and values disagree. What stood there is
/// replaced.
inline std::string write(const std::string& path, const std::vector<std::ptrdiff_t>& shape,
                         std::span<const float> values) {
  return detail::write_values(path, shape, values);
}
/// Writes <f8 values [shape] in C order.
inline std::string write(const std::string& path, const std::vector<std::ptrdiff_t>& shape,
                         std::span<const double> values) {
  return detail::write_values(path, shape, values);
}
/// Writes an array in its own precision.
inline std::string write(const std::string& path, const array& from) {
  if (const auto* wide = std::get_if<std::vector<double>>(&from.values)) return write(path, from.shape, *wide);
  if (const auto* narrow = std::get_if<std::vector<float>>(&from.values)) return write(path, from.shape, *narrow);
  return path + ": can't be written: the array holds no values";
}

}  // namespace sextant::npy
