// SPDX-License-Identifier: Apache-2.0
/// @file  The support matrix of README.md, made from what designs say of themselves; the page must hold it as it is.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>

#include <sextant/sextant.hpp>

namespace {

/// A table of markdown: one row per preset, one column per form, and the tensors that the design reads besides q, k, v.
std::string support_matrix() {
  const char* forms[] = {"recurrent", "scan", "chunked", "quadratic", "global"};
  std::string table = "| design | recurrent | scan | chunked | quadratic | global | reads besides q, k, v |\n|---|---|---|---|---|---|---|\n";
  sextant::detail::for_each_preset([&](const char*, const auto& design) {
    const sextant::design_description d = sextant::describe(design);
    table += "| `" + std::string(d.name) + "` |";
    for (const char* form : forms) {
      bool runs = false;
      for (int i = 0; i < d.form_count; ++i) runs = runs || std::string(d.forms[i]) == form;
      table += runs ? " ✓ |" : " · |";
    }
    std::string reads;
    bool has_keys = false;
    for (int i = 0; i < d.tensor_count; ++i) {
      const sextant::tensor_description& t = d.tensors[i];
      has_keys = has_keys || std::string(t.name) == "k";
      if (std::string("qkv").find(t.name) != std::string::npos) continue;
      if (t.output || std::string(t.name).find('.') != std::string::npos || std::string(t.name) == "offsets") continue;
      reads += (reads.empty() ? "`" : ", `") + std::string(t.name) + "` " + t.shape + (t.optional ? " (optional)" : "");
    }
    table += " " + reads + (has_keys ? "" : ", and no q and k") + " |\n";
  });
  return table;
}

}  // namespace

TEST_CASE("README.md holds the support matrix that the designs describe") {
  std::ifstream file(SEXTANT_SOURCE_DIR "/README.md");
  std::stringstream page;
  page << file.rdbuf();
  const bool found = page.str().find(support_matrix()) != std::string::npos;
  INFO("README.md should contain\n", support_matrix());
  CHECK(found);
}
