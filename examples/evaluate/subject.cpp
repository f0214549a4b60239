// SPDX-License-Identifier: Apache-2.0
// The tensors and rules of what is asked for, from what designs say of themselves.
#include "subject.hpp"

#include <algorithm>  // find, find_if

#include "presets.hpp"
#include "refusal.hpp"

namespace evaluate {

namespace {

using sextant::design;
using sextant::tensor_description;

/// Adds the tensors of a description that are not there yet. What the command line cannot give is left out.
void add_tensors(std::vector<tensor_description>& to, const sextant::design_description& says) {
  for (int i = 0; i < says.tensor_count; ++i) {
    const tensor_description& tensor = says.tensors[i];
    const std::string name = tensor.name;
    const bool known = std::find_if(to.begin(), to.end(), [&](const auto& t) { return t.name == name; }) != to.end();
    if (!known && name != "offsets" && name != "first_position") to.push_back(tensor);
  }
}

template <class Design> subject describe_as_subject(const Design& design) {
  const sextant::design_description says = describe(design);
  subject made;
  made.name = says.name;
  add_tensors(made.tensors, says);
  for (int i = 0; i < says.form_count; ++i) made.forms.push_back(says.forms[i]);
  using heads = typename Design::heads_type;
  made.heads = heads::name;
  made.requirement = heads::requirement;
  made.allows = &heads::allows;
  made.width = &sextant::state_width<typename Design::map_type>;
  made.has_queries = !sextant::time_invariant<typename Design::forget_type>;
  made.sums_all_tokens = std::is_same_v<typename Design::order_type, sextant::order::global>;
  // Here LePE may be left out: then the design goes without a shortcut.
  for (tensor_description& tensor : made.tensors)
    if (tensor.name == std::string("lepe")) {
      tensor.optional = true;
      tensor.meaning = "weights of the depthwise convolution of v (C = H V); no shortcut if absent";
    }
  return made;
}

/// Why parts do not fit: the library's own sentence for the same mistake in C++, and the switches that it is about.
struct misfit {
  const char* sentence = nullptr;
  bool input = false, norm = false, order = false;  // the forget gate is always one of them
};
template <class Input, class Forget, class Norm, class Order> misfit misfit_of() {
  using rules = sextant::rules<Input, Forget, Norm, Order, sextant::map::identity>;
  if (!rules::step_has_one_shape)
    return {
        "the input gate and the forget gate read the step size dt at two granularities: make both per head or both per channel",
        true};
  if (!rules::global_forgets_nothing)
    return {
        "order::global sums over all tokens without order, so nothing can be forgotten: use forget::one, or order::causal",
        false, false, true};
  if (!rules::normaliser_is_a_vector)
    return {
        "a forget gate that varies over channels would make the normaliser a second state: use norm::sum_undecayed or norm::none",
        false, true};
  if (!rules::all) return {"these parts do not fit together", true, true, true};
  return {};
}

void check_rules(const switches& chosen) {
  with_part<inputs>(chosen.input, [&](auto input) {
    with_part<forgets>(chosen.forget, [&](auto forget) {
      with_part<norms>(chosen.norm, [&](auto norm) {
        with_part<orders>(chosen.order, [&](auto order) {
          const misfit found = misfit_of<decltype(input), decltype(forget), decltype(norm), decltype(order)>();
          if (found.sentence == nullptr) return;
          std::string options = std::string("--forget ") + forget.name;
          if (found.input) options += std::string(" --input ") + input.name;
          if (found.norm) options += std::string(" --norm ") + norm.name;
          if (found.order) options += std::string(" --order ") + order.name;
          throw refusal(options + ": " + found.sentence);
        });
      });
    });
  });
}

/// The design of all switches as they stand when left out, one part changed.
constexpr auto plain = sextant::linear_attention.with(sextant::norm::none{}, sextant::map::identity{});

std::string describe_tensors(const std::vector<tensor_description>& tensors) {
  std::string text;
  for (const tensor_description& tensor : tensors) {
    const std::string file = file_of(tensor).empty() ? "--grid HxW" : file_of(tensor);
    std::string shape = file_of(tensor).empty() ? "" : file_shape(tensor);
    shape.resize(std::max<std::size_t>(shape.size(), 16), ' ');
    text += "    " + file + std::string(file.size() < 23 ? 23 - file.size() : 1, ' ') + shape + ' ' + tensor.meaning;
    if (tensor.output) text += " (written)";
    else if (tensor.optional) text += " (optional)";
    text += '\n';
  }
  return text;
}

/// "  --forget constant: F = exp(a_h): reads a.npy [H]", for every part of a switch.
template <class Parts> std::string describe_parts(const char* option) {
  std::string text;
  const subject nothing = describe_as_subject(plain);
  for_each_part<Parts>([&](auto part) {
    text += std::string("  ") + option + ' ' + part.name + ": " + part.formula;
    const char* separator = "; files ";
    for (const tensor_description& tensor : describe_as_subject(plain.with(part)).tensors) {
      const auto same = [&](const auto& t) { return t.name == std::string(tensor.name); };
      if (std::find_if(nothing.tensors.begin(), nothing.tensors.end(), same) != nothing.tensors.end()) continue;
      text += separator + file_of(tensor) + ' ' + file_shape(tensor);
      text += tensor.output ? " (written)" : tensor.optional ? " (optional)" : "";
      separator = ", ";
    }
    text += '\n';
  });
  return text;
}

}  // namespace

std::string file_of(const tensor_description& tensor) {
  const std::string name = tensor.name;
  if (name == "grid") return "";
  if (name.ends_with("_state.S")) return name.substr(0, name.size() - 2) + ".npy";
  if (name.ends_with("_state.z")) return name.substr(0, name.size() - 7) + "normalizer.npy";
  if (name.ends_with("_state.m")) return name.substr(0, name.size() - 7) + "stabilizer.npy";
  return name + ".npy";
}

std::string file_shape(const tensor_description& tensor) {
  const std::string name = tensor.name;
  return name == "lepe" ? "[C, 3, 3]" : name == "lepe_bias" ? "[C]" : tensor.shape;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> found;
  for_each_preset([&](const auto& design) { found.push_back(name(design)); });
  return found;
}

subject subject_of_preset(const std::string& asked) {
  subject found;
  for_each_preset([&](const auto& design) {
    if (asked == name(design)) found = describe_as_subject(design);
  });
  return found;
}

subject subject_of_switches(const switches& chosen) {
  check_rules(chosen);
  // The tensors of a design are those of its parts.
  subject found = describe_as_subject(plain);
  const auto add = [&](auto part) { add_tensors(found.tensors, describe(plain.with(part))); };
  with_part<inputs>(chosen.input, add);
  with_part<forgets>(chosen.forget, add);
  with_part<shortcuts>(chosen.shortcut, add);
  with_part<norms>(chosen.norm, add);
  with_part<head_kinds>(chosen.heads, [&](auto part) {
    found.heads = part.name;
    found.requirement = part.requirement;
    found.allows = &decltype(part)::allows;
  });
  with_part<maps>(chosen.map, [&](auto part) { found.width = &sextant::state_width<decltype(part)>; });
  with_part<orders>(chosen.order,
                    [&](auto part) { found.sums_all_tokens = std::is_same_v<decltype(part), sextant::order::global>; });
  found.name = "the switches";
  found.forms = {sextant::form::recurrent::name};
  return found;
}

subject subject_of(const options& asked) {
  subject found = asked.design.empty() ? subject_of_switches(asked.chosen) : subject_of_preset(asked.design);
  if (asked.where == place::cuda) std::erase(found.forms, sextant::form::quadratic::name);  // a GPU's has no use
  if (asked.form != sextant::form::automatic::name &&
      std::find(found.forms.begin(), found.forms.end(), asked.form) == found.forms.end()) {
    std::string known = sextant::form::automatic::name;
    for (const std::string& form : found.forms) known += ", " + form;
    throw refusal("--form " + asked.form + ": " +
                  (asked.design.empty()
                       ? "the switches go with " + known + "; a preset (--design) may have other forms"
                       : asked.design + " has " + known + (asked.where == place::cuda ? " on a GPU" : "")));
  }
  const bool has_grid = std::find_if(found.tensors.begin(), found.tensors.end(), [](const auto& t) {
                          return t.name == std::string("grid");
                        }) != found.tensors.end();
  if (has_grid && !asked.grid) throw refusal("--design " + found.name + " needs --grid HxW, the pixels of its images");
  if (!has_grid && asked.grid) throw refusal("--grid: there are no pixels in " + found.name);
  return found;
}

std::string tensor_help() {
  std::string text =
      "Files are C-order NumPy arrays of <f4 or <f8, read from --in and written to --out. B batch, T tokens, Hk heads of\n"
      "q and k, K keys, H heads of v, V channels; K' keys of the state: K, or K (K + 1) / 2 with map squared.\n\n"
      "Tensors of the switches, besides those of every design:\n" +
      describe_tensors(describe_as_subject(plain).tensors) + describe_parts<inputs>("--input") +
      describe_parts<forgets>("--forget") + describe_parts<shortcuts>("--shortcut") + describe_parts<norms>("--norm") +
      "  --map squared has K' = K (K + 1) / 2; log_sigmoid's temperature is 1 here, and 16 in gla.\n"
      "  --order global takes no initial_state.npy; its final_state.npy is the sum over all tokens.\n\n"
      "Tensors of the presets:\n";
  for_each_preset([&](const auto& design) {
    subject found = describe_as_subject(design);
    if (found.sums_all_tokens)  // no token comes before the first
      std::erase_if(found.tensors, [](const auto& t) { return std::string(t.name).starts_with("initial_state."); });
    text += "  --design " + found.name + ", --form automatic";
    for (const std::string& form : found.forms) text += '|' + form;
    text += "; heads " + found.heads + '\n' + describe_tensors(found.tensors);
  });
  return text;
}

}  // namespace evaluate
