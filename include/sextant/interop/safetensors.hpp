// SPDX-License-Identifier: Apache-2.0
/// @file  The safetensors format: named tensors read from bytes without a copy, and written.
#pragma once

#include <algorithm>    // sort
#include <cerrno>       // errno
#include <cstddef>      // byte, size_t
#include <cstdint>      // uint64_t
#include <cstdio>       // FILE
#include <cstring>      // strerror, memcpy
#include <memory>       // unique_ptr
#include <new>          // bad_alloc
#include <optional>     // optional
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // pair
#include <vector>       // vector

#include <sextant/interop/mapped_file.hpp>
#include <sextant/interop/safetensors_header.hpp>

/// The format of the public models' weights (huggingface/safetensors): 8 bytes of length, a header in JSON, then the
/// tensors' bytes without gaps. Errors are returned as one line of text that names the tensor; nothing is printed or
/// thrown.
namespace sextant::safetensors {

/// One tensor of a file, in C order (the last axis is contiguous). Its bytes are the file's, perhaps unaligned.
struct tensor {
  std::string_view name;
  dtype type = dtype::f32;
  std::span<const index_t> shape;      ///< {} for a single number
  std::span<const std::byte> bytes{};  ///< exactly what type and shape need

  /// How many numbers the tensor has.
  index_t count() const { return index_t(bytes.size() * 8) / bits(type); }
};

/// The tensors of a file that lies in memory, sorted by name. Views of that memory: it must outlive the archive. The
/// index of names and shapes is the archive's own; about 120 bytes a tensor.
class archive {
 public:
  /// How many tensors there are.
  std::size_t size() const { return names.entries.size(); }
  /// The i-th tensor by name. Cost O(1).
  tensor operator[](std::size_t i) const {
    const detail::entry& e = names.entries[i];
    return {names(e.name), e.type, names.shape(e), data.subspan(std::size_t(e.begin), std::size_t(e.end - e.begin))};
  }
  /// The tensor of this name. Cost O(log size()).
  std::optional<tensor> find(std::string_view name) const {
    const auto at = std::lower_bound(names.entries.begin(), names.entries.end(), name,
                                     [this](const detail::entry& e, std::string_view n) { return names(e.name) < n; });
    if (at == names.entries.end() || names(at->name) != name) return {};
    return (*this)[std::size_t(at - names.entries.begin())];
  }
  /// Bytes of all tensors.
  std::size_t bytes() const { return data.size(); }
  /// The text that the file's __metadata__ has under this key.
  std::optional<std::string_view> metadata(std::string_view key) const {
    for (std::size_t i = 0; i + 1 < names.metadata.size(); i += 2)
      if (names(names.metadata[i]) == key) return names(names.metadata[i + 1]);
    return {};
  }

 private:
  friend std::string parse(std::span<const std::byte> file, archive& into);
  std::string fill(std::span<const std::byte> file);
  detail::index names;
  std::span<const std::byte> data;
};

inline std::string archive::fill(std::span<const std::byte> file) {
  if (file.empty()) return "is empty, not a safetensors file";
  if (file.size() < 8)
    return "is truncated: it has " + std::to_string(file.size()) + " bytes, not even a header's length";
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  if (length > detail::max_header_bytes)
    return "is not a safetensors file: it claims a header of " + std::to_string(length) + " bytes";
  if (length > file.size() - 8)
    return "is truncated: its header has " + std::to_string(length) + " bytes, the file holds " +
           std::to_string(file.size() - 8) + " of them";
  const auto* const text = reinterpret_cast<const char*>(file.data() + 8);
  if (std::string reason = detail::parse({text, std::size_t(length)}, names); !reason.empty()) return reason;
  data = file.subspan(8 + std::size_t(length));

  // The data are the tensors' bytes one after the other: none is missing, none is in two tensors, none left over.
  std::vector<detail::entry>& all = names.entries;
  const auto by_place = [](const detail::entry& a, const detail::entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  };
  std::sort(all.begin(), all.end(), by_place);
  std::uint64_t end = 0;
  const detail::entry* before = nullptr;
  for (const detail::entry& e : all) {
    const std::string who = detail::shown(names(e.name));
    if (e.end > data.size())
      return "is truncated: " + who + " ends at byte " + std::to_string(e.end) + " of the data, the file holds " +
             std::to_string(data.size());
    if (e.begin < end) return who + ": its data overlap those of " + detail::shown(names(before->name));
    if (e.begin > end) return who + ": " + std::to_string(e.begin - end) + " bytes before its data belong to no tensor";
    end = e.end;
    before = &e;
  }
  if (end != data.size()) return "has " + std::to_string(data.size() - end) + " bytes more than its tensors need";

  std::sort(all.begin(), all.end(),
            [this](const detail::entry& a, const detail::entry& b) { return names(a.name) < names(b.name); });
  for (std::size_t i = 1; i < all.size(); ++i)
    if (names(all[i - 1].name) == names(all[i].name)) return detail::shown(names(all[i].name)) + ": stands twice";
  return {};
}

/// Reads a file that lies in memory, header and data. Returns an empty string, or the reason why it is refused: a file
/// that is truncated or has bytes left over, a header that is broken or longer than 100 MB, a tensor of an unknown
/// dtype, whose shape overflows or doesn't fit its bytes, two that overlap, or two of one name. The archive is then
/// empty. The header is read once, the data not at all. Cost O(header + n log n) for n tensors.
inline std::string parse(std::span<const std::byte> file, archive& into) {
  into = {};
  std::string reason;
  try {
    reason = into.fill(file);
  } catch (const std::bad_alloc&) {
    reason = "does not fit into memory";
  }
  if (!reason.empty()) into = {};
  return reason;
}

/// A file of the disk and its tensors, which are read from the disk when they are first touched.
class file {
 public:
  /// Opens a file in place of what was open before. Returns an empty string, or "FILE: reason" as parse() gives it.
  std::string open(const std::string& path) {
    tensors = {};
    if (std::string reason = memory.open(path); !reason.empty()) return reason;
    const std::string reason = parse(memory.bytes(), tensors);
    return reason.empty() ? reason : path + ": " + reason;
  }
  /// The tensors: views that live as long as the file stays open. Empty after an error.
  const archive& operator*() const { return tensors; }
  const archive* operator->() const { return &tensors; }

 private:
  mapped_file memory;
  archive tensors;
};

/// A tensor to write.
struct source {
  std::string name;
  dtype type = dtype::f32;
  std::vector<index_t> shape;          ///< {} for a single number
  std::span<const std::byte> bytes{};  ///< exactly what type and shape need
};

namespace detail {

struct close_file {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

inline bool is_utf8(std::string_view text) {
  for (std::size_t n = 0; !text.empty(); text.remove_prefix(n))
    if (n = utf8_length(text); n == 0) return false;
  return true;
}

/// The length and the header of a file that holds these tensors in this order; the reason in `error` where it can't be.
/// The header ends on a multiple of 8 bytes.
inline std::string header_bytes(std::span<const source* const> tensors,
                                std::span<const std::pair<std::string, std::string>> metadata, std::string& error) {
  std::string text = "{";
  std::vector<std::string_view> names;
  const auto comma = [&text] { return text.size() > 1 ? "," : ""; };
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      if (!is_utf8(key) || !is_utf8(value)) return error = "__metadata__ is not UTF-8", "";
      text += (&key == &metadata.front().first ? "" : ",") + json_string(key) + ":" + json_string(value);
    }
    text += "}";
  }
  std::uint64_t end = 0;
  for (const source* const t : tensors) {
    std::uint64_t count = 0, bytes = 0;
    const std::string who = shown(t->name);
    if (!is_utf8(t->name) || t->name == "__metadata__") return error = who + ": can't be a tensor's name", "";
    if (!sizes(t->shape, t->type, count, bytes) || bytes != t->bytes.size())
      return error = who + ": " + std::to_string(t->bytes.size()) + " bytes don't fill " + std::string(name(t->type)) +
                     " of shape " + shape_text(t->shape),
             "";
    names.push_back(t->name);
    text += comma() + json_string(t->name) + ":{\"dtype\":\"" + std::string(name(t->type)) +
            "\",\"shape\":" + shape_text(t->shape) + ",\"data_offsets\":[" + std::to_string(end) + "," +
            std::to_string(end + bytes) + "]}";
    end += bytes;
  }
  std::sort(names.begin(), names.end());
  for (std::size_t i = 1; i < names.size(); ++i)
    if (names[i - 1] == names[i]) return error = shown(names[i]) + ": stands twice", "";
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > max_header_bytes) return error = "the header would be longer than 100 MB", "";
  std::string out(8, '\0');
  const std::uint64_t length = text.size();
  std::memcpy(out.data(), &length, sizeof length);
  return out + text;
}

}  // namespace detail

/// Writes a file of these tensors, the widest numbers first, so that all are aligned, else in the order given. Returns
/// an empty string, or "FILE: reason". What stood there is replaced.
inline std::string write(const std::string& path, std::span<const source> tensors,
                         std::span<const std::pair<std::string, std::string>> metadata = {}) {
  std::vector<const source*> order;
  for (const source& t : tensors) order.push_back(&t);
  std::sort(order.begin(), order.end(), [](const source* a, const source* b) {
    return bits(a->type) != bits(b->type) ? bits(a->type) > bits(b->type) : a < b;
  });
  std::string error;
  const std::string start = detail::header_bytes(order, metadata, error);
  if (!error.empty()) return path + ": can't be written: " + error;
  std::unique_ptr<std::FILE, detail::close_file> file(std::fopen(path.c_str(), "wb"));
  if (!file) return path + ": can't be written: " + std::strerror(errno);
  bool done = std::fwrite(start.data(), 1, start.size(), file.get()) == start.size();
  for (const source* const t : order)
    if (done && !t->bytes.empty())
      done = std::fwrite(t->bytes.data(), 1, t->bytes.size(), file.get()) == t->bytes.size();
  // What is still buffered is written here, so a full disk may show only now.
  done = std::fclose(file.release()) == 0 && done;
  return done ? std::string{} : path + ": can't be written: " + std::strerror(errno);
}

}  // namespace sextant::safetensors
