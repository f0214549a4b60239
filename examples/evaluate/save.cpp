// SPDX-License-Identifier: Apache-2.0
// Writes the results.
#include <filesystem>  // create_directories, rename, remove
#include <utility>     // pair

#include "files.hpp"
#include "refusal.hpp"

namespace evaluate {

namespace {

/// What is written of an element: 16 bits become <f4.
template <class Element> std::string write(const std::string& path, const block<Element>& from) {
  const std::vector<std::ptrdiff_t> shape(from.shape.begin(), from.shape.end());
  if constexpr (std::is_same_v<Element, float> || std::is_same_v<Element, double>) {
    return sextant::npy::write(path, shape, from.values);
  } else {
    return sextant::npy::write(path, shape, std::vector<float>(from.values.begin(), from.values.end()));
  }
}

}  // namespace

template <class Precision> void save(const std::string& folder, const subject& what, call<Precision>& results) {
  namespace fs = std::filesystem;
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (!fs::is_directory(folder)) throw refusal("--out " + folder + ": this folder cannot be made");

  // First beside their places, so that a full disk leaves no half of the results and nothing of older ones is lost.
  std::vector<std::pair<fs::path, fs::path>> moves;
  std::string error;
  for (const sextant::tensor_description& tensor : what.tensors) {
    if (!tensor.output || !error.empty()) continue;
    const fs::path place = fs::path(folder) / file_of(tensor), beside = place.string() + ".part";
    if (fs::is_directory(place, failure)) {
      error = place.string() + ": can't be written: it is a directory";
      continue;
    }
    moves.emplace_back(beside, place);
    results.with(tensor.name, [&](const auto& block) { error = write(beside.string(), block); });
  }
  for (const auto& [beside, place] : moves) {
    if (error.empty()) {
      fs::rename(beside, place, failure);
      if (failure) error = place.string() + ": can't be written: " + failure.message();
    }
    if (!error.empty()) fs::remove(beside, failure);
  }
  if (!error.empty()) throw refusal(error);
}

template void save<sextant::fp32>(const std::string&, const subject&, call<sextant::fp32>&);
template void save<sextant::fp64>(const std::string&, const subject&, call<sextant::fp64>&);
template void save<sextant::bf16>(const std::string&, const subject&, call<sextant::bf16>&);
template void save<sextant::fp16>(const std::string&, const subject&, call<sextant::fp16>&);

}  // namespace evaluate
