// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <cctype>  // tolower

#include <sextant/cpu/backend.hpp>
#include <sextant/cpu/isa.hpp>

#include "which_gpu.hpp"

namespace {

bool matches(const char* pattern, const char* name) {
  if (*pattern == 0) return true;
  if (*pattern == '*') return matches(pattern + 1, name) || (*name != 0 && matches(pattern, name + 1));
  return *name != 0 &&
         std::tolower(static_cast<unsigned char>(*pattern)) == std::tolower(static_cast<unsigned char>(*name)) &&
         matches(pattern + 1, name + 1);
}

}  // namespace

ablation::chosen_rows ablation::choose(const options& asked, const std::vector<const char*>& names) {
  chosen_rows found;
  std::string list;
  for (const char* name : names) {
    found.wanted.push_back(matches(("*" + asked.only).c_str(), name));
    if (found.wanted.back()) list += std::string(name) + '\n';
  }
  if (list.empty())
    found.at_once = answer{{}, "--only '" + asked.only + "' is in the name of no row; --list prints them"};
  else if (asked.list) found.at_once = answer{list, {}};
  return found;
}

ablation::place ablation::place_of(const options& asked) {
  return asked.on_gpu() ? place::cuda : asked.backend == "cpu_serial" ? place::cpu_serial : place::cpu;
}

std::string ablation::heading(const options& asked) {
  const int threads = place_of(asked) == place::cpu_serial ? 1 : sextant::cpu::workers(sextant::cpu::parallel{});
  const std::string machine =
      asked.on_gpu() ? gpu_name()
                     : std::string(sextant::cpu::instruction_set) + ", " + std::to_string(threads) + " threads";
  return "Sextant on " + asked.backend + " (" + machine + "), " + asked.precision + ", ";
}
