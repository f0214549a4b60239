// SPDX-License-Identifier: Apache-2.0
// evaluate --in DIR --out DIR [--design PRESET | switches]: a design on your own numbers, from NumPy files to NumPy
// files. Exit code 0, or 2 with one line on standard error and nothing written.
#include <cstdio>     // fprintf
#include <exception>  // exception
#include <new>        // bad_alloc
#include <stdexcept>  // length_error
#include <string>     // string
#include <utility>    // move

#include "files.hpp"
#include "refusal.hpp"
#include "run.hpp"

namespace evaluate {

namespace {

template <class Precision> void answer(const options& asked, const subject& what, sextant::npy::array first) {
  call<Precision> numbers = load<Precision>(asked, what, std::move(first));
  if (const sextant::status done = run(asked, numbers); !done) throw refusal(what.name + ": " + done.what);
  save(asked.out, what, numbers);
}

void answer(const options& asked) {
  const subject what = subject_of(asked);
  if (asked.where == place::cuda)
    if (const std::string why = why_no_gpu(); !why.empty()) throw refusal("--backend cuda: " + why);
  sextant::npy::array first = read_first(asked.in, what);
  const std::string precision = !asked.precision.empty() ? asked.precision : first.is_double() ? "fp64" : "fp32";
  if (precision == "fp64") answer<sextant::fp64>(asked, what, std::move(first));
  else if (precision == "bf16") answer<sextant::bf16>(asked, what, std::move(first));
  else if (precision == "fp16") answer<sextant::fp16>(asked, what, std::move(first));
  else answer<sextant::fp32>(asked, what, std::move(first));
}

int refuse(std::string why) {
  for (char& c : why)
    if (c == '\n' || c == '\r') c = ' ';
  std::fprintf(stderr, "evaluate: %s\n", why.c_str());
  return 2;
}

}  // namespace

}  // namespace evaluate

int main(int argc, char** argv) {
  const char* const no_memory = "the tensors and the state do not fit into memory";
  try {
    if (const auto asked = evaluate::parse(argc, argv)) evaluate::answer(*asked);
    return 0;
  } catch (const std::bad_alloc&) {
    return evaluate::refuse(no_memory);
  } catch (const std::length_error&) {
    return evaluate::refuse(no_memory);
  } catch (const std::exception& error) {
    return evaluate::refuse(error.what());
  }
}
