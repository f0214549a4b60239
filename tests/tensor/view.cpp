// SPDX-License-Identifier: Apache-2.0
/// @file  Views: named axes, strides, conversions, and what an mdspan must offer to become one.
#include <sextant/tensor/view.hpp>

#include <cstddef>      // size_t
#include <type_traits>  // is_constructible, is_convertible, is_trivially_copyable

#include <doctest/doctest.h>

using namespace sextant;

namespace {

/// As little of an mdspan as a view asks for; the layout is column-major.
template <class Element, std::size_t Rank> struct little_mdspan {
  using data_handle_type = Element*;
  Element* data;
  std::size_t extents[Rank];
  static constexpr std::size_t rank() { return Rank; }
  Element* data_handle() const { return data; }
  std::size_t extent(std::size_t r) const { return extents[r]; }
  std::size_t stride(std::size_t r) const {
    std::size_t s = 1;
    for (std::size_t i = 0; i < r; ++i) s *= extents[i];
    return s;
  }
};

}  // namespace

TEST_CASE("a view is row-major unless strides are given") {
  float numbers[24];
  for (int i = 0; i < 24; ++i) numbers[i] = float(i);
  const bth<float> x{numbers, {2, 3, 4}};
  CHECK(x.size() == 24);
  CHECK(x(0, 0, 0) == 0);
  CHECK(x(1, 2, 3) == 23);
  CHECK(x(1, 0, 2) == 14);
  CHECK(x.extent<axis::batch>() == 2);
  CHECK(x.extent<axis::time>() == 3);
  CHECK(x.extent<axis::head>() == 4);
  CHECK(x.stride<axis::batch>() == 12);
  CHECK(x.stride<axis::head>() == 1);
  CHECK(x.extent(1) == 3);
  CHECK(x.stride(1) == 4);
  CHECK(x.data() == numbers);
  CHECK(bool(x));
}

TEST_CASE("strides may skip, repeat and run backwards") {
  float numbers[24];
  for (int i = 0; i < 24; ++i) numbers[i] = float(i);
  const bh<const float> backwards{numbers + 23, {4, 6}, {-6, -1}};
  CHECK(backwards(0, 0) == 23);
  CHECK(backwards(3, 5) == 0);
  const bh<const float> repeated{numbers, {5, 6}, {0, 1}};
  CHECK(repeated(4, 3) == repeated(0, 3));
  CHECK(repeated.size() == 30);
  const bh<float> transposed{numbers, {6, 4}, {1, 6}};
  CHECK(transposed(5, 3) == 23);
  transposed(2, 1) = -1;
  CHECK(numbers[8] == -1);
}

TEST_CASE("a default view is an absent tensor") {
  const bthv<const float> none;
  CHECK(!none);
  CHECK(none.size() == 0);
  CHECK(none.extent<axis::value>() == 0);
  const bthv<const float> empty{nullptr, {2, 0, 3, 4}};
  CHECK(empty.size() == 0);
  CHECK(empty.extent<axis::batch>() == 2);
}

TEST_CASE("a view of what may be written converts to one that only reads, of the same axes alone") {
  float numbers[6] = {1, 2, 3, 4, 5, 6};
  const hk<float> writable{numbers, {2, 3}, {1, 2}};
  const hk<const float> readable = writable;
  CHECK(readable(1, 2) == writable(1, 2));
  CHECK(readable.stride<axis::head>() == 1);
  static_assert(!std::is_convertible_v<hk<const float>, hk<float>>);
  static_assert(!std::is_convertible_v<hk<float>, hv<float>>);          // keys are not channels
  static_assert(!std::is_convertible_v<hvk<float>, bhk<float>>);
  static_assert(!std::is_convertible_v<hk<float>, hk<const double>>);
}

TEST_CASE("views are plain values that work in constant expressions") {
  static_assert(std::is_trivially_copyable_v<bthkv<float>>);
  static_assert(sizeof(bth<float>) == 7 * sizeof(index_t));
  static constexpr int numbers[] = {1, 2, 3, 4, 5, 6};
  constexpr view<const int, axis::row, axis::column> x{numbers, {2, 3}};
  static_assert(x(1, 2) == 6 && x.size() == 6 && x.extent<axis::column>() == 3);
}

TEST_CASE("any mdspan of the same rank and element converts") {
  float numbers[6] = {1, 2, 3, 4, 5, 6};
  const little_mdspan<float, 2> columns{numbers, {2, 3}};
  const hk<float> x = columns;
  CHECK(x(1, 2) == 6);
  CHECK(x(0, 1) == 3);
  const hk<const float> readable = columns;
  CHECK(readable(1, 0) == 2);
  static_assert(!std::is_constructible_v<bhk<float>, little_mdspan<float, 2>>);
  static_assert(!std::is_constructible_v<hk<double>, little_mdspan<float, 2>>);
  static_assert(!std::is_constructible_v<hk<float>, little_mdspan<const float, 2>>);
}
