// SPDX-License-Identifier: Apache-2.0
// Reads the tensors: which ones, and of which shapes, is what the design says of itself.
#include <filesystem>  // exists
#include <limits>      // numeric_limits
#include <utility>     // move

#include "files.hpp"
#include "refusal.hpp"

namespace evaluate {

namespace {

namespace npy = sextant::npy;

std::string path_of(const std::string& folder, const std::string& file) {
  return (std::filesystem::path(folder) / file).string();
}
bool is_there(const std::string& path) {
  std::error_code failure;
  return std::filesystem::status(path, failure).type() != std::filesystem::file_type::not_found;
}

/// The letters of a shape as `describe` writes it: "[B, T, H]".
std::vector<std::string> letters_of(const std::string& shape) {
  std::vector<std::string> letters(1);
  for (const char c : shape) {
    if (c == ',') letters.emplace_back();
    else if (c != '[' && c != ']' && c != ' ') letters.back() += c;
  }
  return letters;
}

/// The size that a letter stands for: an index into `sizes`, or a number of its own.
index_t* size_of_letter(sizes& size, const std::string& letter, index_t& number) {
  if (letter == "B") return &size.B;
  if (letter == "T") return &size.T;
  if (letter == "Hk") return &size.Hk;
  if (letter == "K") return &size.K;
  if (letter == "H") return &size.H;
  if (letter == "V") return &size.V;
  if (letter == "K'") return &size.width;
  number = letter == "C" ? size.H * size.V : std::stol(letter);
  return &number;
}

std::string text_of(const std::vector<index_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

/// Checks a shape against the letters; those whose size is not yet known take it.
void fit(const std::string& path, const std::vector<index_t>& shape, const std::string& expected, sizes& size) {
  const std::vector<std::string> letters = letters_of(expected);
  bool fits = shape.size() == letters.size(), numbers = false;
  std::string known = "[";
  for (std::size_t i = 0; i < letters.size(); ++i) {
    index_t number = 0;
    const index_t* const wanted = size_of_letter(size, letters[i], number);
    numbers = numbers || *wanted >= 0;
    known += (i == 0 ? "" : ", ") + (*wanted < 0 ? letters[i] : std::to_string(*wanted));
    if (*wanted >= 0 && i < shape.size() && shape[i] != *wanted) fits = false;
  }
  if (!fits)
    throw refusal(path + ": shape " + text_of(shape) + ", expected " + expected + (numbers ? " = " + known + "]" : ""));
  for (std::size_t i = 0; i < letters.size(); ++i) {
    index_t number = 0;
    *size_of_letter(size, letters[i], number) = shape[i];
  }
}

/// The extents of a tensor of known sizes, and how many numbers that is.
std::vector<index_t> extents(const std::string& shape, sizes& size) {
  std::vector<index_t> found;
  for (const std::string& letter : letters_of(shape)) {
    index_t number = 0;
    found.push_back(*size_of_letter(size, letter, number));
  }
  return found;
}
std::size_t count(const std::vector<index_t>& shape) {
  index_t numbers = 1;
  bool empty = false;
  // Axes of length 0 do not excuse the others: strides are products too.
  for (const index_t extent : shape) {
    empty = empty || extent == 0;
    if (extent > 0 && numbers > std::numeric_limits<index_t>::max() / 64 / extent)
      throw refusal("a tensor of shape " + text_of(shape) + " would have more numbers than memory can hold");
    if (extent > 0) numbers *= extent;
  }
  return empty ? 0 : std::size_t(numbers);
}

npy::array read(const std::string& path, const sextant::tensor_description& tensor) {
  npy::read_result file = npy::read(path);
  if (!file && !is_there(path))
    file.error += std::string(", and it is needed: ") + tensor.meaning + ", " + file_shape(tensor);
  if (!file) throw refusal(file.error);
  return std::move(file.value);
}

/// The numbers of a file, each rounded once.
template <class Element> std::vector<Element> rounded(npy::array from) {
  if constexpr (std::is_same_v<Element, float> || std::is_same_v<Element, double>) {
    return std::move(from).as<Element>();
  } else {
    std::vector<Element> to;
    std::visit(
        [&to](const auto& values) {
          to.reserve(values.size());
          for (const auto x : values) to.push_back(Element(x));
        },
        from.values);
    return to;
  }
}

/// The numbers of heads that the design allows, and the sizes that follow from q and v.
void settle(const options& asked, const subject& what, sizes& size) {
  if (!what.has_queries) size.Hk = size.H;
  if (!what.allows(size.Hk, size.H))
    throw refusal(path_of(asked.in, "q.npy") + " has " + std::to_string(size.Hk) + " heads and v.npy " +
                  std::to_string(size.H) + ", but " + what.requirement);
  if (size.K > index_t(1) << 31)
    throw refusal(path_of(asked.in, what.has_queries ? "q.npy" : "c.npy") + ": K = " + std::to_string(size.K) + " keys are too many");
  size.width = what.width(size.K);
  if (!asked.grid) return;
  const auto [height, width] = *asked.grid;
  const bool is_all = height == 0 || width == 0 ? size.T == 0 : size.T % height == 0 && size.T / height == width;
  if (!is_all)
    throw refusal("--grid " + std::to_string(height) + 'x' + std::to_string(width) +
                  ": its pixels are the tokens, and " + path_of(asked.in, "q.npy") +
                  " has T = " + std::to_string(size.T));
}

}  // namespace

npy::array read_first(const std::string& folder, const subject& what) {
  std::error_code failure;
  if (!std::filesystem::is_directory(folder, failure)) throw refusal("--in " + folder + ": there is no such folder");
  return read(path_of(folder, file_of(what.tensors[0])), what.tensors[0]);
}

template <class Precision> call<Precision> load(const options& asked, const subject& what, npy::array first) {
  call<Precision> numbers;
  sizes& size = numbers.size;
  if (asked.grid) numbers.grid = *asked.grid;
  for (const sextant::tensor_description& tensor : what.tensors) {
    const std::string path = path_of(asked.in, file_of(tensor)), name = tensor.name;
    const bool is_initial = name.starts_with("initial_state.");
    if (is_initial && what.sums_all_tokens && is_there(path))
      throw refusal(path +
                    ": with order::global every token sees the sum over all tokens, and no state comes before them");
    numbers.with(name, [&](auto& block) {
      using element = typename std::remove_reference_t<decltype(block.values)>::value_type;
      if (tensor.output) {
        block.shape = extents(tensor.shape, size);
        block.values.assign(count(block.shape), element(0.0f));
        block.given = true;
      } else if (!tensor.optional || is_there(path)) {
        npy::array file = name == what.tensors[0].name ? std::move(first) : read(path, tensor);
        fit(path, {file.shape.begin(), file.shape.end()}, file_shape(tensor), size);
        if (name == (what.has_queries ? "v" : "c")) settle(asked, what, size);
        block.shape = extents(tensor.shape, size);
        (void)count(block.shape);
        block.values = rounded<element>(std::move(file));
        block.given = true;
      } else if (is_initial && numbers.initial_S.given) {  // a state without its normaliser: that starts at 0
        block.shape = extents(tensor.shape, size);
        block.values.assign(count(block.shape), element(0.0f));
        block.given = true;
      }
    });
  }
  return numbers;
}

template call<sextant::fp32> load<sextant::fp32>(const options&, const subject&, npy::array);
template call<sextant::fp64> load<sextant::fp64>(const options&, const subject&, npy::array);
template call<sextant::bf16> load<sextant::bf16>(const options&, const subject&, npy::array);
template call<sextant::fp16> load<sextant::fp16>(const options&, const subject&, npy::array);

}  // namespace evaluate
