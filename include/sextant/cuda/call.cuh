// SPDX-License-Identifier: Apache-2.0
/// @file  A call as kernels take it: tensors with the types of their numbers forgotten, sequences within their bounds.
#pragma once

#include <cstdint>  // uintptr_t

#include <sextant/call/bind.hpp>
#ifdef __CUDACC__
#include <sextant/cuda/ptx/convert.cuh>
#endif
#include <sextant/cuda/stream.cuh>

namespace sextant::gpu {

/// What a tensor's numbers are stored as.
enum class storage { float32, float64, bfloat16, float16 };

namespace detail {

// By the hardware's conversions on a GPU; a program's host code never reads a tensor of the device.
template <class Stored> SEXTANT_FN float widened(Stored x) {
#ifdef __CUDA_ARCH__
  return ptx::as_float(x);
#else
  return float(x);
#endif
}
template <class Stored, class Real> SEXTANT_FN Stored rounded(Real x) {
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<Real, float>) return ptx::as_stored<Stored>(x);
#endif
  return Stored(x);
}

}  // namespace detail

/// A tensor of a call, whose numbers are read and rounded one by one. For kernels that must take every call; those that
/// are instantiated for one storage type read its vectors.
template <class Real> struct tensor : tensor_place {
  storage stored_as = storage::float32;

  /// The number at `from`.
  SEXTANT_FN Real read(const std::byte* from) const {
    switch (stored_as) {
      case storage::float64: return Real(*reinterpret_cast<const double*>(from));
      case storage::bfloat16: return Real(detail::widened(*reinterpret_cast<const bfloat16*>(from)));
      case storage::float16: return Real(detail::widened(*reinterpret_cast<const float16*>(from)));
      default: return Real(*reinterpret_cast<const float*>(from));
    }
  }
  /// `number`, rounded once, at `to`.
  SEXTANT_FN void write(std::byte* to, Real number) const {
    switch (stored_as) {
      case storage::float64: *reinterpret_cast<double*>(to) = double(number); return;
      case storage::bfloat16: *reinterpret_cast<bfloat16*>(to) = detail::rounded<bfloat16>(number); return;
      case storage::float16: *reinterpret_cast<float16*>(to) = detail::rounded<float16>(number); return;
      default: *reinterpret_cast<float*>(to) = float(number);
    }
  }
  /// The number of channel `channel` of one (batch, token, head); the same for key `key`, and for both. Read by a function
  /// that is compiled once for a kernel which reads many tensors.
  SEXTANT_FN Real of_channel(index_t b, index_t t, index_t h, index_t channel) const {
    return read_apart(stored_as, this->at(b, t, h) + channel * this->value);
  }
  SEXTANT_FN Real of_key(index_t b, index_t t, index_t h, index_t k) const {
    return read_apart(stored_as, this->at(b, t, h) + k * this->key);
  }
  SEXTANT_FN Real of_both(index_t b, index_t t, index_t h, index_t k, index_t channel) const {
    return read_apart(stored_as, this->at(b, t, h) + k * this->key + channel * this->value);
  }

 private:
  [[gnu::noinline]] SEXTANT_FN static Real read_apart(storage stored_as, const std::byte* from) {
    tensor its;
    its.stored_as = stored_as;
    return its.read(from);
  }
};

/// Whether a tensor's rows along an axis of this stride are whole pieces of 16 bytes at multiples of 16 bytes, rows of
/// neighbouring tokens less than 2 GiB apart.
template <class Real> bool in_pieces(const tensor<Real>& x, index_t along) {
  const auto whole = [](index_t bytes) { return bytes % 16 == 0; };
  constexpr index_t far = index_t(1) << 31;
  return along == x.element && whole(index_t(reinterpret_cast<std::uintptr_t>(x.data))) && whole(x.batch) &&
         whole(x.time) && whole(x.head) && -far < x.time && x.time < far;
}

/// How this backend's tensors are read, for bind_call(). Offsets lie in memory of the device: the host does not see them.
struct reading_numbers {
  static constexpr bool sees_offsets = false;
  template <class Stored, class Tensor> static void read_as(Tensor& to) {
    to.stored_as = std::is_same_v<Stored, double>     ? storage::float64
                   : std::is_same_v<Stored, bfloat16> ? storage::bfloat16
                   : std::is_same_v<Stored, float16>  ? storage::float16 : storage::float32;
  }
};

/// The tokens of one sequence.
struct stretch {
  index_t batch = 0, first = 0, length = 0;
  bool backwards = false;

  /// Where token t lies, t counting in the order in which the state meets the tokens.
  SEXTANT_FN index_t place(index_t t) const { return first + (backwards ? length - 1 - t : t); }
};

/// The tensors and choices of a call.
template <class Real> struct device_call : call<Real, tensor<Real>> {
  /// Sequence n, cut to the tokens that there are.
  SEXTANT_FN stretch sequence(index_t n) const {
    stretch s{.batch = n, .length = this->tokens, .backwards = this->order == order_kind::reversed};
    if (this->offsets == nullptr) return s;
    s.batch = 0;
    s.first = within(this->offsets[n * this->offsets_stride], 0);
    s.length = within(this->offsets[(n + 1) * this->offsets_stride], s.first) - s.first;
    return s;
  }

 private:
  SEXTANT_FN index_t within(index_t at, index_t low) const {
    return at < low ? low : at > this->tokens ? this->tokens : at;
  }
};

/// The call of a design and its tensors, and what is wrong with it.
template <class Design, class Precision>
[[gnu::noinline]] device_call<typename Precision::accumulator> make_call(const Design& design,
                                                                         const sequence_of<Design, Precision>& x,
                                                                         status& found) {
  device_call<typename Precision::accumulator> c;
  bind_call<reading_numbers>(c, design, x, found);
  return c;
}

}  // namespace sextant::gpu
