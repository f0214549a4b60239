// SPDX-License-Identifier: Apache-2.0
/// @file  What a design is called: its preset's name, or the nearest preset and what differs from it.
#pragma once

#include <sextant/design/presets.hpp>

namespace sextant {

namespace detail {

/// Text built at compile time.
struct text {
  static constexpr int capacity = 640;
  char characters[capacity] = {};
  int length = 0;

  constexpr void append(const char* s) {
    while (*s != 0 && length + 1 < capacity) characters[length++] = *s++;
  }
  constexpr void append(const char* s, int count) {
    for (int i = 0; i < count && length + 1 < capacity; ++i) characters[length++] = s[i];
  }
};

/// The compiler's name of a type.
template <class T> consteval text type_name() {
  const char* s = __PRETTY_FUNCTION__;  // ... [with T = name] or ... [T = name]
  int end = 0, begin = 0;
  while (s[end] != 0) ++end;
  for (int i = 0; i + 3 < end; ++i)
    if (s[i] == 'T' && s[i + 1] == ' ' && s[i + 2] == '=') {
      begin = i + 4;
      break;
    }
  text name;
  name.append(s + begin, end - 1 - begin);
  return name;
}
template <class Part> inline constexpr text own_type_name = type_name<Part>();

/// A part's name: the one it gives itself, or its type's.
template <class Part> constexpr const char* part_name() {
  if constexpr (requires { Part::name; }) return Part::name;
  else return own_type_name<Part>.characters;
}
template <class Part> constexpr const char* part_formula() {
  if constexpr (requires { Part::formula; }) return Part::formula;
  else return "";
}

template <class D, class E> constexpr int differences() {
  return int(!std::is_same_v<typename D::input_type, typename E::input_type>) +
         int(!std::is_same_v<typename D::forget_type, typename E::forget_type>) +
         int(!std::is_same_v<typename D::shortcut_type, typename E::shortcut_type>) +
         int(!std::is_same_v<typename D::norm_type, typename E::norm_type>) +
         int(!std::is_same_v<typename D::heads_type, typename E::heads_type>) +
         int(!std::is_same_v<typename D::block_type, typename E::block_type>) +
         int(!std::is_same_v<typename D::map_type, typename E::map_type>) +
         int(!std::is_same_v<typename D::position_type, typename E::position_type>) +
         int(!std::is_same_v<typename D::order_type, typename E::order_type>) +
         int(!std::is_same_v<typename D::output_type, typename E::output_type>) +
         int(!std::is_same_v<typename D::scale_type, typename E::scale_type>);
}

template <class Mine, class Theirs> constexpr void append_part(text& name, bool& first, const char* kind) {
  if constexpr (!std::is_same_v<Mine, Theirs>) {
    name.append(first ? " with " : ", ");
    name.append(kind);
    name.append(" ");
    name.append(part_name<Mine>());
    first = false;
  }
}
template <class D, class E> constexpr text name_beside(const char* preset) {
  text name;
  bool first = true;
  name.append(preset);
  append_part<typename D::input_type, typename E::input_type>(name, first, "input");
  append_part<typename D::forget_type, typename E::forget_type>(name, first, "forget");
  append_part<typename D::shortcut_type, typename E::shortcut_type>(name, first, "shortcut");
  append_part<typename D::norm_type, typename E::norm_type>(name, first, "norm");
  append_part<typename D::heads_type, typename E::heads_type>(name, first, "heads");
  append_part<typename D::block_type, typename E::block_type>(name, first, "block");
  append_part<typename D::map_type, typename E::map_type>(name, first, "map");
  append_part<typename D::position_type, typename E::position_type>(name, first, "position");
  append_part<typename D::order_type, typename E::order_type>(name, first, "order");
  append_part<typename D::output_type, typename E::output_type>(name, first, "output");
  append_part<typename D::scale_type, typename E::scale_type>(name, first, "scale");
  return name;
}

/// Calls visit(name, preset) for every preset.
template <class Visit> constexpr void for_each_preset(Visit visit) {
  visit("linear_attention", linear_attention);
  visit("mamba", mamba);
  visit("mamba2", mamba2);
  visit("mamba2s", mamba2s);
  visit("retnet", retnet);
  visit("gla", gla);
  visit("mlstm", mlstm);
  visit("mila", mila);
  visit("two_mamba", two_mamba);
  visit("s4d", s4d);
}

template <class D> consteval text design_name() {
  int fewest = part_count + 1;
  for_each_preset([&](const char*, auto preset) {
    constexpr int n = differences<D, decltype(preset)>();
    if (n < fewest) fewest = n;
  });
  text name;
  bool found = false;
  for_each_preset([&](const char* called, auto preset) {
    if (!found && differences<D, decltype(preset)>() == fewest) {
      name = name_beside<D, decltype(preset)>(called);
      found = true;
    }
  });
  return name;
}
template <class D> inline constexpr text name_of = design_name<D>();

}  // namespace detail

/// The name of a design: "mamba2", or the preset that differs in the fewest parts and those parts: "mila with shortcut
/// none". A part without a `name` goes by its type's. The text lives for ever. Numbers that parts carry are not named.
template <class Design> constexpr const char* name(const Design&) {
  return detail::name_of<std::remove_cvref_t<Design>>.characters;
}

}  // namespace sextant
