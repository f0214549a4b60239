// SPDX-License-Identifier: Apache-2.0
/// @file  Memory with a page behind it that may not be touched: reading or writing too far is a fault.
#pragma once

#include <sys/mman.h>  // mmap, mprotect
#include <unistd.h>    // sysconf

#include <cstddef>  // size_t, byte
#include <cstring>  // memset
#include <new>      // bad_alloc

namespace sextant::tests {

/// Room for `count` elements that ends where a page without access begins. Filled with ones: as floats they are NaN.
template <class Element> class fenced {
 public:
  explicit fenced(std::size_t count) : count_{count} {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t room = (count * sizeof(Element) + page - 1) / page * page;
    bytes_ = room + page;
    void* const memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<std::byte*>(memory);
    std::memset(memory_, 0xff, room);
    mprotect(memory_ + room, page, PROT_NONE);
    elements_ = reinterpret_cast<Element*>(memory_ + room) - count;
  }
  ~fenced() { munmap(memory_, bytes_); }
  fenced(const fenced&) = delete;
  fenced& operator=(const fenced&) = delete;

  Element* data() { return elements_; }
  std::size_t size() const { return count_; }
  Element& operator[](std::size_t i) { return elements_[i]; }

 private:
  std::byte* memory_ = nullptr;
  std::size_t count_, bytes_ = 0;
  Element* elements_ = nullptr;
};

}  // namespace sextant::tests
