// SPDX-License-Identifier: Apache-2.0
/// @file  The forms in which a design can be computed, and which designs each of them runs.
#pragma once

#include <sextant/design/design.hpp>

/// How a design is computed. All forms of one design are equal up to rounding.
namespace sextant::form {

/// The form that the backend finds fastest for the design.
struct automatic {
  static constexpr const char* name = "automatic";
};
/// The recurrence, token by token: O(T), every design; the form of decode.
struct recurrent {
  static constexpr const char* name = "recurrent";
};
/// Pairs (F, S) combined by the associative operator, in parallel over stretches of time: O(T).
struct scan {
  static constexpr const char* name = "scan";
};
/// Matrix products inside chunks of `length` tokens and a state between them: O(T).
struct chunked {
  static constexpr const char* name = "chunked";
  index_t length = 0;  ///< tokens per chunk; 0: the backend's choice
};
/// The masked matrix of weights, row by row: O(T^2).
struct quadratic {
  static constexpr const char* name = "quadratic";
};
/// Two passes over the tokens: the sums, then the products. O(T), order::global alone.
struct global {
  static constexpr const char* name = "global";
};

/// Whether a form runs a design, with the sentence for when it does not.
template <class Form, class Design> struct support {
  static constexpr bool is_global = std::is_same_v<typename Design::order_type, order::global>;
  static constexpr per forget = granularity<typename Design::forget_type>;
  static constexpr bool stabilised = std::is_same_v<typename Design::norm_type, norm::abs_max>;
  static constexpr bool invariant = time_invariant<typename Design::forget_type>;

  static constexpr bool value = [] {
    if constexpr (std::is_same_v<Form, automatic> || std::is_same_v<Form, recurrent>) return true;
    else if constexpr (std::is_same_v<Form, quadratic>) return !invariant;
    else if constexpr (std::is_same_v<Form, scan>) return !is_global && !stabilised && !invariant;
    else if constexpr (std::is_same_v<Form, chunked>)
      return !is_global && (invariant || (forget != per::channel && forget != per::key_channel));
    else return is_global;
  }();
};
/// Whether a form runs a design.
template <class Form, class Design> inline constexpr bool runs = support<Form, std::remove_cvref_t<Design>>::value;

}  // namespace sextant::form
