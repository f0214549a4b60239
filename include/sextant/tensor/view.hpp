// SPDX-License-Identifier: Apache-2.0
/// @file  Non-owning strided arrays whose dimensions have names.
#pragma once

#include <cstddef>      // size_t
#include <type_traits>  // is_same, is_convertible

#include <sextant/config.hpp>

namespace sextant {

/// The names of dimensions.
namespace axis {
struct batch;
struct time;
struct head;
struct key;
struct value;
struct row;
struct column;
struct sequence;
}  // namespace axis

namespace detail {
template <class Axis, class... Axes> consteval int position_of() {
  int at = -1, i = 0;
  ((std::is_same_v<Axis, Axes> ? void(at = i) : void(), ++i), ...);
  return at;
}
template <class M> concept mdspan_like = requires(const M& m) {
  requires std::is_convertible_v<decltype(M::rank()), std::size_t>;
  m.data_handle();
  m.extent(0);
  m.stride(0);
};
}  // namespace detail

/// A non-owning strided array with one name per dimension. Extents and strides count elements; a stride may be 0 (all
/// indices are one element) or negative in what is only read. A default view has no data and extents 0: an optional
/// tensor left out. Any mdspan of the same rank and element converts.
template <class Element, class... Axes> class view {
 public:
  static constexpr int rank = int(sizeof...(Axes));
  using element_type = Element;

  view() = default;

  /// Row-major: the last index is contiguous.
  SEXTANT_FN constexpr view(Element* data, const index_t (&extents)[sizeof...(Axes)]) : data_{data} {
    index_t step = 1;
    for (int r = rank; r-- > 0;) {
      extent_[r] = extents[r];
      stride_[r] = step;
      step *= extent_[r];
    }
  }
  SEXTANT_FN constexpr view(Element* data, const index_t (&extents)[sizeof...(Axes)],
                            const index_t (&strides)[sizeof...(Axes)])
      : data_{data} {
    for (int r = 0; r < rank; ++r) {
      extent_[r] = extents[r];
      stride_[r] = strides[r];
    }
  }
  template <class Other>
    requires std::is_same_v<const Other, Element>
  SEXTANT_FN constexpr view(const view<Other, Axes...>& o) : data_{o.data_} {
    for (int r = 0; r < rank; ++r) {
      extent_[r] = o.extent_[r];
      stride_[r] = o.stride_[r];
    }
  }
  template <detail::mdspan_like Mdspan>
    requires(Mdspan::rank() == sizeof...(Axes)) && std::is_convertible_v<typename Mdspan::data_handle_type, Element*>
  constexpr view(const Mdspan& m) : data_{m.data_handle()} {
    for (int r = 0; r < rank; ++r) {
      extent_[r] = index_t(m.extent(std::size_t(r)));
      stride_[r] = index_t(m.stride(std::size_t(r)));
    }
  }

  template <class... Index> SEXTANT_FN constexpr Element& operator()(Index... i) const {
    static_assert(sizeof...(Index) == sizeof...(Axes), "a view takes one index for each of its axes");
    index_t at = 0;
    int r = 0;
    ((at += index_t(i) * stride_[r], ++r), ...);
    return data_[at];
  }
  template <class Axis> SEXTANT_FN constexpr index_t extent() const {
    constexpr int at = detail::position_of<Axis, Axes...>();
    static_assert(at >= 0, "this view has no such axis");
    return extent_[at];
  }
  template <class Axis> SEXTANT_FN constexpr index_t stride() const {
    constexpr int at = detail::position_of<Axis, Axes...>();
    static_assert(at >= 0, "this view has no such axis");
    return stride_[at];
  }
  SEXTANT_FN constexpr index_t extent(int r) const { return extent_[r]; }
  SEXTANT_FN constexpr index_t stride(int r) const { return stride_[r]; }
  /// All extents and strides, `rank` of each.
  SEXTANT_FN constexpr const index_t* extents() const { return extent_; }
  SEXTANT_FN constexpr const index_t* strides() const { return stride_; }
  /// The number of elements.
  SEXTANT_FN constexpr index_t size() const {
    index_t n = 1;
    for (int r = 0; r < rank; ++r) n *= extent_[r];
    return n;
  }
  SEXTANT_FN constexpr Element* data() const { return data_; }
  /// Whether a tensor was given.
  SEXTANT_FN constexpr explicit operator bool() const { return data_ != nullptr; }

 private:
  template <class, class...> friend class view;
  Element* data_ = nullptr;
  index_t extent_[sizeof...(Axes)] = {};
  index_t stride_[sizeof...(Axes)] = {};
};

// The views of a call, by their letters: batch, time, head, key, value.
template <class E> using bth = view<E, axis::batch, axis::time, axis::head>;  ///< [B, T, H]
template <class E> using bthk = view<E, axis::batch, axis::time, axis::head, axis::key>;  ///< [B, T, H, K]
template <class E> using bthv = view<E, axis::batch, axis::time, axis::head, axis::value>;  ///< [B, T, H, V]
/// [B, T, H, K, V]
template <class E> using bthkv = view<E, axis::batch, axis::time, axis::head, axis::key, axis::value>;
template <class E> using bh = view<E, axis::batch, axis::head>;  ///< [B, H]
template <class E> using bhk = view<E, axis::batch, axis::head, axis::key>;  ///< [B, H, K]
template <class E> using bhkv = view<E, axis::batch, axis::head, axis::key, axis::value>;  ///< [B, H, K, V]
template <class E> using head_view = view<E, axis::head>;  ///< [H]
template <class E> using hk = view<E, axis::head, axis::key>;  ///< [H, K]
template <class E> using hv = view<E, axis::head, axis::value>;  ///< [H, V]
template <class E> using hvk = view<E, axis::head, axis::value, axis::key>;  ///< [H, V, K]
template <class E> using hv33 = view<E, axis::head, axis::value, axis::row, axis::column>;  ///< [H, V, 3, 3]

}  // namespace sextant
