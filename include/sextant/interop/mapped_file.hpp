// SPDX-License-Identifier: Apache-2.0
/// @file  A file of the disk as bytes of memory, for reading, without a copy (POSIX).
#pragma once

#include <fcntl.h>     // open
#include <sys/mman.h>  // mmap
#include <sys/stat.h>  // fstat
#include <unistd.h>    // close

#include <cerrno>   // errno
#include <cstddef>  // byte, size_t
#include <cstring>  // strerror
#include <span>     // span
#include <string>   // string
#include <utility>  // exchange, swap

namespace sextant {

/// A regular file, mapped for reading: pages are read when they are first touched. Moves, doesn't copy. A file that
/// somebody cuts shorter while it is mapped ends the program when the lost part is read (SIGBUS), as with any mapping.
class mapped_file {
 public:
  mapped_file() = default;
  mapped_file(mapped_file&& other) noexcept
      : memory(std::exchange(other.memory, nullptr)), length(std::exchange(other.length, 0)) {}
  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(memory, other.memory);
    std::swap(length, other.length);
    return *this;
  }
  ~mapped_file() {
    if (memory) ::munmap(memory, length);
  }

  /// Maps the file, in place of what was mapped before. Returns an empty string, or "FILE: reason".
  std::string open(const std::string& path) {
    *this = mapped_file{};
    // without waiting: a pipe's other end may never come
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return path + (errno == ENOENT ? ": there is no such file" : ": can't be opened: " + reason());
    std::string error;
    struct ::stat about {};
    if (::fstat(file, &about) != 0) error = ": can't be opened: " + reason();
    else if (S_ISDIR(about.st_mode)) error = ": is a directory";
    else if (!S_ISREG(about.st_mode)) error = ": is not a regular file";
    else if (about.st_size > 0) {
      void* const at = ::mmap(nullptr, std::size_t(about.st_size), PROT_READ, MAP_PRIVATE, file, 0);
      if (at == MAP_FAILED) error = ": can't be mapped: " + reason();
      else memory = at, length = std::size_t(about.st_size);
    }
    ::close(file);
    return error.empty() ? error : path + error;
  }

  /// All of the file; they live as long as this object.
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(memory), length}; }

 private:
  static std::string reason() { return std::strerror(errno); }
  void* memory = nullptr;
  std::size_t length = 0;
};

}  // namespace sextant
