// SPDX-License-Identifier: Apache-2.0
/// @file  The gates and the map of a design for kernels that serve every design: the library's own parts behind one type.
#pragma once

#include <sextant/design/design.hpp>

// A kernel that is a template on a design is compiled once for each design. The kernels that serve every design are
// templates on the types below instead: every design of the library's own parts has the same ones and shares the kernel,
// in which a switch calls the part; a part of the user's is a type of its own.

namespace sextant::gpu {

/// One of several parts, chosen when the call is made.
template <class... Parts> struct choice {
  static constexpr int count = 0;
};
template <class First, class... Rest> struct choice<First, Rest...> {
  static constexpr int count = 1 + int(sizeof...(Rest));
  First part{};
  choice<Rest...> others{};

  /// Answers visit(part) for part number `which`.
  template <class Answer, class Visit> SEXTANT_FN Answer visit(int which, const Visit& call_it) const {
    if constexpr (sizeof...(Rest) == 0) return (void)which, call_it(part);
    else return which == 0 ? call_it(part) : others.template visit<Answer>(which - 1, call_it);
  }
  /// Takes a part's numbers, and answers its number.
  template <class Part> int take(const Part& chosen) {
    if constexpr (std::is_same_v<Part, First>) return part = chosen, 0;
    else return 1 + others.take(chosen);
  }
};

/// A gate, and what it reads.
template <class... Gates> struct gate_choice {
  choice<Gates...> parts{};
  int which = 0;
  per raw = per::nothing, rate = per::nothing;
  bool from_step = false, is_one = false;

  template <class Real> SEXTANT_FN Real value(Real x, Real a) const {
    if constexpr (is_long && (is_by_log<Gates, Real> && ...)) return math::exp(logarithm_apart(x, a));
    else if constexpr (is_long) return value_apart(x, a);
    else return parts.template visit<Real>(which, [&](const auto& gate) { return gate_value(gate, x, a); });
  }
  template <class Real> SEXTANT_FN Real logarithm(Real x, Real a) const {
    if constexpr (is_long) return logarithm_apart(x, a);
    else return parts.template visit<Real>(which, [&](const auto& gate) { return gate_log(gate, x, a); });
  }
  /// The rate of head h where the caller gives none.
  template <class Real> SEXTANT_FN Real default_rate(index_t h) const {
    // A scan in double has no registers left for a call.
    if constexpr (is_long && std::is_same_v<Real, float>) return default_rate_apart<Real>(h);
    else return default_rate_here<Real>(h);
  }

 private:
  // Many gates are compiled once for a kernel, and not wherever it calls them.
  static constexpr bool is_long = sizeof...(Gates) > 6;
  // Whether a gate's value is exp of its logarithm.
  template <class Gate, class Real>
  static constexpr bool is_by_log = std::is_same_v<Gate, forget::one> || (sextant::detail::offers_log<Gate, Real> &&
                                                                          !sextant::detail::offers_value<Gate, Real>);
  template <class Real> [[gnu::noinline]] SEXTANT_FN Real value_apart(Real x, Real a) const {
    return parts.template visit<Real>(which, [&](const auto& gate) { return gate_value(gate, x, a); });
  }
  template <class Real> [[gnu::noinline]] SEXTANT_FN Real logarithm_apart(Real x, Real a) const {
    return parts.template visit<Real>(which, [&](const auto& gate) { return gate_log(gate, x, a); });
  }
  template <class Real> [[gnu::noinline]] SEXTANT_FN Real default_rate_apart(index_t h) const {
    return default_rate_here<Real>(h);
  }
  template <class Real> SEXTANT_FN Real default_rate_here(index_t h) const {
    return parts.template visit<Real>(which, [&](const auto& gate) {
      using gate_type = std::remove_cvref_t<decltype(gate)>;
      if constexpr (requires { gate_type::template default_rate<Real>(h); })
        return gate_type::template default_rate<Real>(h);
      else return (void)h, Real(0);
    });
  }
};

/// A feature map.
template <class... Maps> struct map_choice {
  choice<Maps...> parts{};
  int which = 0;
  bool expands = false;

  /// phi of one number, of a map that does not expand.
  template <class Real> SEXTANT_FN Real value(Real x) const {
    return parts.template visit<Real>(which, [&](const auto& map) {
      using map_type = std::remove_cvref_t<decltype(map)>;
      if constexpr (sextant::detail::pointwise_map<map_type>) return map(x);
      else return x;
    });
  }
  /// phi of K numbers by `members` threads, of which this is number `member`: each writes its share of the W numbers.
  template <class Real>
  SEXTANT_FN void expand(const Real* x, index_t K, Real* phi, index_t W, index_t member, index_t members) const {
    parts.template visit<int>(which, [&](const auto& map) {
      using map_type = std::remove_cvref_t<decltype(map)>;
      if constexpr (requires { map.element(x, K, index_t(0)); }) {
        for (index_t i = member; i < W; i += members) phi[i] = map.element(x, K, i);
      } else if constexpr (sextant::detail::expanding_map<map_type>) {
        if (member == 0) map.expand(x, K, phi);
      }
      return 0;
    });
  }
};

namespace detail {

using namespace sextant::detail;

template <class Part, class... Listed> inline constexpr bool listed = (std::is_same_v<Part, Listed> || ...);

/// The choice of the listed parts if the part is one of them, else that of it alone.
template <template <class...> class Choice, class Part, class... Listed>
using choice_for = std::conditional_t<listed<Part, Listed...>, Choice<Listed...>, Choice<Part>>;

template <class Gate>
using input_choice = choice_for<gate_choice, Gate, input::one, input::softplus<per::head>, input::softplus<per::channel>,
                                input::sigmoid, input::exponential>;
template <class Gate>
using forget_choice =
    choice_for<gate_choice, Gate, forget::one, forget::constant, forget::exponential, forget::selective, forget::softplus,
               forget::log_decay<per::head>, forget::log_decay<per::key>, forget::log_decay<per::channel>,
               forget::log_decay<per::key_channel>, forget::log_sigmoid<per::head>, forget::log_sigmoid<per::key>,
               forget::log_sigmoid<per::channel>, forget::log_sigmoid<per::key_channel>>;
template <class Map>
using map_choice_for = choice_for<map_choice, Map, map::identity, map::elu_plus_one, map::relu, map::squared>;

template <class Choice, class Gate> Choice choose_gate(const Gate& gate) {
  Choice c;
  c.which = c.parts.take(gate);
  c.raw = raw_granularity<Gate>;
  c.rate = rate_granularity<Gate>;
  c.from_step = reads_step<Gate>;
  c.is_one = std::is_same_v<Gate, input::one> || std::is_same_v<Gate, forget::one>;
  return c;
}

}  // namespace detail

/// The gates and the map of a design.
template <class Input, class Forget, class Map> struct gates_and_map {
  Input input;
  Forget forget;
  Map map;
};
template <class Design>
using parts_of = gates_and_map<detail::input_choice<typename Design::input_type>,
                               detail::forget_choice<typename Design::forget_type>,
                               detail::map_choice_for<typename Design::map_type>>;
/// Those of every design of the library's own parts.
using library_parts = parts_of<design<>>;
template <class Design> parts_of<Design> choose_parts(const Design& design) {
  parts_of<Design> p;
  p.input = detail::choose_gate<decltype(p.input)>(design.input_gate);
  p.forget = detail::choose_gate<decltype(p.forget)>(design.forget_gate);
  p.map.which = p.map.parts.take(design.feature_map);
  p.map.expands = detail::expanding_map<typename Design::map_type>;
  return p;
}

}  // namespace sextant::gpu
