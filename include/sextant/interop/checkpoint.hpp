// SPDX-License-Identifier: Apache-2.0
/// @file  Checkpoints: the weights of a module from a safetensors file with the public model's names, and back.
#pragma once

#include <algorithm>    // sort, binary_search
#include <cmath>        // exp, log, sqrt, isfinite
#include <cstddef>      // byte, size_t
#include <cstdint>      // int64_t, uint16_t
#include <limits>       // numeric_limits
#include <span>         // span
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <type_traits>  // remove_cvref_t
#include <vector>       // vector

#include <sextant/blocks/initialise.hpp>
#include <sextant/interop/safetensors.hpp>

namespace sextant::blocks {

/// The name of a tensor in a checkpoint: "layers.0.blocks.1.norm1.weight".
inline std::string name_of(const path& at, std::string_view tensor = {}) {
  std::string name = at.parent != nullptr ? name_of(*at.parent) : std::string{};
  const std::string own = at.number >= 0 ? std::to_string(at.number) : std::string(at.name);
  for (const std::string_view part : {std::string_view(own), tensor})
    if (!part.empty()) (name += name.empty() ? "" : ".") += part;
  return name;
}

namespace detail {

/// The name of the BatchNorm beside a module: the last part of the module's name replaced.
inline std::string norm_beside(const path& at) {
  const std::string name = name_of(at);
  const std::size_t last = name.rfind('.');
  return (last == std::string::npos ? "" : name.substr(0, last + 1)) + "norm.";
}

/// The i-th of the numbers that a weight may be stored as, exactly; of any other dtype NaN.
inline double weight_at(safetensors::dtype type, const std::byte* bytes, std::size_t i) {
  using safetensors::detail::load;
  switch (type) {
    case safetensors::dtype::f64:
      return load<double>(bytes, i);
    case safetensors::dtype::f32:
      return double(load<float>(bytes, i));
    case safetensors::dtype::bf16:
      return double(bfloat16::from_bits(load<std::uint16_t>(bytes, i)));
    case safetensors::dtype::f16:
      return double(float16::from_bits(load<std::uint16_t>(bytes, i)));
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

/// Loads the tensors of one archive and remembers their names.
class loader {
 public:
  loader(const safetensors::archive& from, std::string_view in_front) : archive(from), prefix(in_front) {}

  /// Fills a tensor of a module. After an error nothing more is read.
  template <class Tensor> void operator()(const path& at, const Tensor& t) {
    if (!error.empty()) return;
    std::vector<double> scale, shift;  // of BatchNorm
    if (t.normalised) {
      const std::string norm = norm_beside(at);
      const index_t channels[] = {t.shape[0]};
      const bool weight = std::string_view(t.name) == "weight";
      std::vector<double> variance;
      numbers(norm + "weight", channels, scale), numbers(norm + "running_var", channels, variance);
      if (!weight) numbers(norm + "bias", channels, shift);
      std::vector<double> mean;
      if (!weight) numbers(norm + "running_mean", channels, mean);
      if (!error.empty()) return;
      for (std::size_t c = 0; c < scale.size(); ++c) {
        if (!(variance[c] >= 0)) return fail(norm + "running_var", "is negative");
        scale[c] /= std::sqrt(variance[c] + batch_norm_eps);
        if (!weight) shift[c] -= mean[c] * scale[c];
      }
    }
    const std::string name = name_of(at, t.name);
    safetensors::tensor found;
    if (t.public_one && !find(name, t.public_shape(), found)) return;
    auto* const memory = memory_of(t);
    for_each_number(t, [&](index_t place, index_t channel, index_t i) {
      if (!error.empty()) return;
      double value = t.public_one ? weight_at(found.type, found.bytes.data(), std::size_t(i)) : 0;
      if (!std::isfinite(value)) return fail(name, "its number " + std::to_string(i) + " is NaN or infinite");
      value = kept_of(t.as, value);
      if (!scale.empty()) value *= scale[std::size_t(channel)];
      if (!shift.empty()) value += shift[std::size_t(channel)];
      memory[place] = typename Tensor::element(value);
      if (!std::isfinite(double(memory[place])))
        fail(name, "its number " + std::to_string(i) + " is beyond what the weights' type holds");
    });
  }

  /// Complains of a tensor under the prefix that no module has asked for: tables that a model could compute, BatchNorm's
  /// counters, and what the caller allows, aside.
  template <class Allowed> void refuse_others(const Allowed& allowed) {
    std::sort(used.begin(), used.end());
    for (std::size_t i = 0; i < archive.size() && error.empty(); ++i) {
      const std::string_view name = archive[i].name;
      if (!name.starts_with(prefix) || std::binary_search(used.begin(), used.end(), name)) continue;
      if (name.ends_with("num_batches_tracked") || name.ends_with("rope.rotations") || allowed(name)) continue;
      error = safetensors::detail::shown(name) + ": the network has no such tensor";
    }
  }

  std::string error;

 private:
  void fail(const std::string& name, const std::string& why) {
    if (error.empty()) error = safetensors::detail::shown(prefix + name) + ": " + why;
  }
  bool find(const std::string& name, std::span<const index_t> shape, safetensors::tensor& found) {
    const auto at = archive.find(prefix + name);
    if (!at) return fail(name, "is missing"), false;
    found = *at;
    used.push_back(found.name);
    if (found.shape.size() != shape.size() || !std::equal(shape.begin(), shape.end(), found.shape.begin()))
      return fail(name, "has shape " + safetensors::detail::shape_text(found.shape) + ", the network's is " +
                            safetensors::detail::shape_text(shape)),
             false;
    using enum safetensors::dtype;
    if (found.type != f64 && found.type != f32 && found.type != f16 && found.type != bf16)
      return fail(name,
                  "has dtype " + std::string(safetensors::name(found.type)) + "; F64, F32, F16 and BF16 are weights"),
             false;
    return true;
  }
  /// A vector of the checkpoint that goes into others.
  void numbers(const std::string& name, std::span<const index_t> shape, std::vector<double>& into) {
    safetensors::tensor found;
    if (!error.empty() || !find(name, shape, found)) return;
    for (std::size_t i = 0; i < std::size_t(found.count()); ++i) {
      into.push_back(weight_at(found.type, found.bytes.data(), i));
      if (!std::isfinite(into.back())) return fail(name, "its number " + std::to_string(i) + " is NaN or infinite");
    }
  }

  const safetensors::archive& archive;
  std::string prefix;
  std::vector<std::string_view> used;
};

/// What save() writes: names, shapes and numbers of their own.
struct saved {
  std::string name;
  safetensors::dtype type;
  std::vector<index_t> shape;
  std::vector<std::byte> bytes;
};
template <class Number>
void save_numbers(std::vector<saved>& all, std::string name, std::span<const index_t> shape,
                  const std::vector<Number>& numbers) {
  const auto bytes = std::as_bytes(std::span<const Number>(numbers));
  safetensors::dtype type = safetensors::dtype::i64;
  if constexpr (storage_type<Number>) type = safetensors::dtype_of<Number>;
  all.push_back({std::move(name), type, {shape.begin(), shape.end()}, {bytes.begin(), bytes.end()}});
}

/// Adds a tensor of a module in its public form. BatchNorm that was folded in comes back as one that changes nothing but
/// adds the bias.
template <class Tensor>
void save_tensor(std::vector<saved>& all, const std::string& prefix, const path& at, const Tensor& t) {
  using element = typename Tensor::element;
  std::vector<element> numbers(std::size_t(t.size()));
  for_each_number(t, [&](index_t place, index_t, index_t i) {
    const element value = t.data()[place];
    numbers[std::size_t(i)] = t.as == kept::as_is ? value : element(public_of(t.as, double(value)));
  });
  if (t.normalised) {
    const std::string norm = prefix + norm_beside(at);
    const auto channels = std::size_t(t.shape[0]);
    const index_t shape[] = {t.shape[0]};
    if (std::string_view(t.name) == "weight") {
      save_numbers(all, norm + "weight", shape, std::vector<float>(channels, 1.0f));
      save_numbers(all, norm + "running_var", shape, std::vector<float>(channels, float(1 - batch_norm_eps)));
      save_numbers(all, norm + "num_batches_tracked", {}, std::vector<std::int64_t>{0});
    } else {
      save_numbers(all, norm + "running_mean", shape, std::vector<float>(channels, 0.0f));
      save_numbers(all, norm + "bias", shape, t.public_one ? std::vector<element>(channels, element(0.0)) : numbers);
    }
  }
  if (t.public_one) save_numbers(all, prefix + name_of(at, t.name), t.public_shape(), numbers);
}

}  // namespace detail

/// What load() takes for granted in a checkpoint.
struct load_options {
  std::string_view prefix = "";  ///< of the module's tensors: "model." or ""
  /// Whether a tensor that the module does not have may stand there; none, if left out.
  bool (*allowed)(std::string_view name) = nullptr;
};

/// Binds a module to memory, bytes(module) of it from a multiple of tensor_alignment on, and fills that from the tensors
/// that the public model has under these names: in any of F64, F32, F16 and BF16, rounded once. BatchNorm is folded into
/// the convolution before it in double. Returns an empty string, or a sentence that names the tensor: one that is missing
/// or has another shape or dtype, a NaN or infinity, a number beyond the weights' type, and a tensor under the prefix
/// that the module does not have (rope.rotations and num_batches_tracked may stand there). The memory is then of no use.
template <class Module>
std::string load(Module& module, std::span<std::byte> memory, const safetensors::archive& from,
                 load_options options = {}) {
  if (memory.size() < bytes(module))
    return "the weights take " + std::to_string(bytes(module)) + " bytes, the memory has " +
           std::to_string(memory.size());
  if (!detail::is_aligned(memory.data())) return "the weights' memory does not begin at a multiple of 64 bytes";
  blocks::bind(module, memory.data());
  detail::loader load_one(from, options.prefix);
  for_each_tensor(module, [&](const path& at, const auto& t) { load_one(at, t); });
  load_one.refuse_others([&](std::string_view name) { return options.allowed != nullptr && options.allowed(name); });
  return load_one.error;
}

/// The same from a file; errors begin with its name.
template <class Module>
std::string load(Module& module, std::span<std::byte> memory, const std::string& path_of_file,
                 load_options options = {}) {
  safetensors::file file;
  if (std::string reason = file.open(path_of_file); !reason.empty()) return reason;
  const std::string reason = load(module, memory, *file, options);
  return reason.empty() ? reason : path_of_file + ": " + reason;
}

/// Writes a module's weights, which lie in the memory of the host, under the public model's names and in its shapes; each
/// in the type it is kept in. A network that was loaded, saved and loaded again has the same weights up to rounding: those
/// that are logarithms in public, and BatchNorm, which is written as one that does nothing but add a bias. Tables that
/// the public code keeps though it computes them (MILA's attn.rope.rotations) are not written: PyTorch reads such a file
/// with load_state_dict(..., strict=False). Returns an empty string, or "FILE: reason". Takes memory for a copy of the weights.
template <class Module> std::string save(Module module, const std::string& path_of_file, std::string_view prefix = "") {
  std::vector<detail::saved> all;
  for_each_tensor(module, [&](const path& at, const auto& t) { detail::save_tensor(all, std::string(prefix), at, t); });
  std::vector<safetensors::source> sources;
  for (const detail::saved& one : all) sources.push_back({one.name, one.type, one.shape, one.bytes});
  const std::pair<std::string, std::string> metadata[] = {{"format", "pt"}};
  return safetensors::write(path_of_file, sources, metadata);
}

}  // namespace sextant::blocks
