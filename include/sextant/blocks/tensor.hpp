// SPDX-License-Identifier: Apache-2.0
/// @file  The tensors of a module: their names and shapes in a checkpoint, their place in memory, how they begin.
#pragma once

#include <cstddef>      // byte, size_t
#include <cstdint>      // uintptr_t
#include <span>         // span
#include <type_traits>  // remove_const_t, remove_cvref_t

#include <sextant/config.hpp>
#include <sextant/tensor/view.hpp>

/// Blocks and what they are made of. A module (module.hpp) is a small struct of views that is description and weights in
/// one: made, it has its sizes and no memory; bind() gives it memory. What all modules can do follows from two members:
///   tensors(visit)  of a leaf: visit(tensor) for each of its tensors
///   each(visit)     of anything larger: visit(name, child) for each of its parts, in the order of their memory
namespace sextant::blocks {

/// How the numbers of a tensor begin, before training.
struct start {
  enum class rule {
    constant,      ///< `a`
    normal,        ///< of mean 0 and deviation `a`, cut at 2 (PyTorch's trunc_normal_ cuts at +-2, not at 2 deviations)
    uniform,       ///< from `a` to `b`
    log_of_count,  ///< log(1), log(2), ... along the last axis (S4D-real: Mamba's A_log)
    log_uniform,   ///< the logarithm of what is uniform from `a` to `b` (Mamba-2's A_log)
    inverse_softplus,  ///< softplus^-1(s), s at least 1e-4 and its logarithm uniform from log `a` to log `b` (dt's bias)
  };
  rule by = rule::constant;
  double a = 0, b = 0;

  static constexpr start at(double value) { return {rule::constant, value, 0}; }
  static constexpr start normal(double deviation) { return {rule::normal, deviation, 0}; }
  static constexpr start uniform(double bound) { return {rule::uniform, -bound, bound}; }
};

/// What is kept of a tensor.
enum class kept {
  as_is,
  minus_exp,  ///< -exp(x): a rate, of a checkpoint's A_log
  half,       ///< x / 2: a mean of two where the code adds
};

/// A tensor of a module. Element (i, j, ...) of the public shape lies at memory[offset + i stride[0] + j stride[1] + ...].
/// Several tensors may share a piece of memory: the first says how much room all of them take, the others 0.
template <class View> struct tensor {
  using element = std::remove_const_t<typename View::element_type>;
  static constexpr int most = 4;  ///< axes

  const char* name = "";     ///< behind the name of the module: "weight"; "" is the module's own name
  int rank = 0;              ///< of the public shape
  index_t shape[most] = {};  ///< public: as PyTorch keeps it
  index_t stride[most] = {};
  View* memory = nullptr;  ///< the module's view of the memory
  index_t room = 0;        ///< elements of memory
  index_t offset = 0;      ///< elements
  start first{};
  kept as = kept::as_is;
  bool public_one =
      true;  ///< whether a checkpoint has it; one that is not there is zeros (a bias only BatchNorm brings)
  /// Whether BatchNorm is folded in: the module `norm` beside this one in the checkpoint, s = weight / sqrt(running_var
  /// + 1e-5). The tensor "weight" is kept times s of its first axis; "bias" as (bias - running_mean) s + norm.bias.
  bool normalised = false;

  constexpr index_t size() const {
    index_t n = 1;
    for (int r = 0; r < rank; ++r) n *= shape[r];
    return n;
  }
  /// As PyTorch keeps it.
  constexpr std::span<const index_t> public_shape() const { return std::span<const index_t>(shape, std::size_t(rank)); }
  /// Trainable numbers of the public module. The weight brings BatchNorm's weight along, the bias its bias.
  constexpr index_t parameters() const { return (public_one ? size() : 0) + (normalised ? shape[0] : 0); }
  /// Entries of a state_dict: BatchNorm's are weight, running_var, num_batches_tracked; bias, running_mean.
  constexpr index_t keys() const { return (public_one ? 1 : 0) + (normalised ? (name[0] == 'w' ? 3 : 2) : 0); }
  /// Where the public tensor's first element lies.
  constexpr const element* data() const { return memory->data() + offset; }
  /// Puts the module's view at other memory.
  constexpr void place(const element* at) const {
    index_t extents[View::rank], strides[View::rank];
    for (int r = 0; r < View::rank; ++r) extents[r] = memory->extent(r), strides[r] = memory->stride(r);
    *memory = View(at, extents, strides);
  }
};

/// Where a module stands: the names on the way to it, the last one first. An empty name stands for nothing.
struct path {
  const path* parent = nullptr;
  const char* name = "";
  index_t number = -1;  ///< instead of a name, from 0 on

  constexpr path() = default;
  constexpr path(const path& above, const char* part) : parent{&above}, name{part} {}
  constexpr path(const path& above, index_t part) : parent{&above}, number{part} {}
};

namespace detail {
struct ignore {
  template <class Tensor> constexpr void operator()(const Tensor&) const {}
};
}  // namespace detail

/// Tensors start at multiples of so many bytes in a module's memory.
inline constexpr std::size_t tensor_alignment = 64;

namespace detail {

/// BatchNorm's epsilon, the public models' everywhere.
inline constexpr double batch_norm_eps = 1e-5;

/// visit(place in memory, first index, place in the public tensor) over all numbers of a tensor.
template <class Tensor, class Visit> void for_each_number(const Tensor& t, const Visit& visit) {
  index_t extent[Tensor::most], stride[Tensor::most];
  for (int r = 0; r < Tensor::most; ++r)
    extent[r] = r < t.rank ? t.shape[r] : 1, stride[r] = r < t.rank ? t.stride[r] : 0;
  index_t i = 0;
  for (index_t a = 0; a < extent[0]; ++a)
    for (index_t b = 0; b < extent[1]; ++b)
      for (index_t c = 0; c < extent[2]; ++c)
        for (index_t d = 0; d < extent[3]; ++d)
          visit(a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3], a, i++);
}

/// Whether memory may be a module's.
inline bool is_aligned(const std::byte* memory) {
  return reinterpret_cast<std::uintptr_t>(memory) % tensor_alignment == 0;
}

/// The memory of a tensor, which is bound to memory that may be written.
template <class Tensor> typename Tensor::element* memory_of(const Tensor& t) {
  return const_cast<typename Tensor::element*>(t.data());
}

}  // namespace detail

/// Calls visit(path, tensor) for every tensor of a module, in the order of their memory.
template <class Module, class Visit> constexpr void for_each_tensor(Module& of, const path& at, const Visit& visit) {
  if constexpr (requires { of.tensors(detail::ignore{}); }) of.tensors([&](const auto& t) { visit(at, t); });
  else of.each([&](const auto& name, auto& child) { for_each_tensor(child, path(at, name), visit); });
}
/// The same, from a module that stands at the root.
template <class Module, class Visit> constexpr void for_each_tensor(Module& of, const Visit& visit) {
  for_each_tensor(of, path{}, visit);
}

/// Trainable numbers, as the public model counts them.
template <class Module> constexpr index_t parameters(Module of) {
  index_t count = 0;
  for_each_tensor(of, [&](const path&, const auto& t) { count += t.parameters(); });
  return count;
}
/// Entries of the public model's state_dict, tables that it could compute (rope.rotations) left out.
template <class Module> constexpr index_t keys(Module of) {
  index_t count = 0;
  for_each_tensor(of, [&](const path&, const auto& t) { count += t.keys(); });
  return count;
}

namespace detail {
template <class Tensor> constexpr std::size_t bytes_of(const Tensor& t) {
  const std::size_t bytes = std::size_t(t.room) * sizeof(typename Tensor::element);
  return (bytes + tensor_alignment - 1) / tensor_alignment * tensor_alignment;
}
}  // namespace detail

/// Bytes of memory that hold a module's weights, the same on every machine.
template <class Module> constexpr std::size_t bytes(Module of) {
  std::size_t sum = 0;
  for_each_tensor(of, [&](const path&, const auto& t) { sum += detail::bytes_of(t); });
  return sum;
}

template <class Module> struct repeated;

/// Gives a module its memory: bytes(...) from a multiple of tensor_alignment on, of the host or of a device. The
/// layout is the same wherever it lies, so that a copy of the memory is a copy of the weights. Returns what lies behind.
template <class Module> const std::byte* bind(Module& of, const std::byte* memory) {
  if constexpr (requires { of.tensors(detail::ignore{}); }) {
    of.tensors([&](const auto& t) {
      using element = typename std::remove_cvref_t<decltype(t)>::element;
      if (t.room == 0) return;
      t.place(reinterpret_cast<const element*>(memory));
      memory += detail::bytes_of(t);
    });
  } else if constexpr (requires { of.first_one(); }) {
    if (of.size() > 0) blocks::bind(of.first_one(), memory);
    memory += std::size_t(of.size()) * bytes(of.first_one());
  } else {
    of.each([&](const auto&, auto& child) { memory = blocks::bind(child, memory); });
  }
  return memory;
}
/// The same; without it std::bind would be found wherever it is known, and take the call.
template <class Module> const std::byte* bind(Module& of, std::byte* memory) {
  return blocks::bind(of, static_cast<const std::byte*>(memory));
}

/// Equal modules one behind another: a stage's blocks. Only the first is kept; the others are made when asked for.
template <class Module> struct repeated {
  constexpr repeated() = default;
  constexpr repeated(const Module& one, index_t times) : first_{one}, count_{times}, bytes_{bytes(one)} {}

  constexpr index_t size() const { return count_; }
  constexpr Module& first_one() { return first_; }
  constexpr const Module& first_one() const { return first_; }
  /// Module i; a copy, whose views are those of the memory.
  constexpr Module operator[](index_t i) const {
    Module one = first_;
    if (i == 0) return one;
    for_each_tensor(one, [&](const path&, const auto& t) {
      using element = typename std::remove_cvref_t<decltype(t)>::element;
      if (t.room == 0 || t.memory->data() == nullptr) return;
      t.place(reinterpret_cast<const element*>(reinterpret_cast<const std::byte*>(t.memory->data()) +
                                               std::size_t(i) * bytes_));
    });
    return one;
  }
  template <class Visit> constexpr void each(const Visit& visit) {
    for (index_t i = 0; i < count_; ++i) {
      Module one = (*this)[i];
      visit(i, one);
    }
  }

 private:
  Module first_{};
  index_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace sextant::blocks
