// SPDX-License-Identifier: Apache-2.0
/// @file  How blocks share a workspace: buffers taken from its front, the rest lent to operations; and how much they need.
#pragma once

#include <cstddef>  // byte, size_t
#include <cstdint>  // uintptr_t

#include <sextant/blocks/module.hpp>
#include <sextant/forward.hpp>
#include <sextant/status.hpp>
#include <sextant/workspace.hpp>

namespace sextant::blocks {

/// The memory of a workspace, taken piece by piece from its front; what a scope took goes back with `back_to`.
class buffers {
 public:
  static constexpr std::size_t alignment = 256;
  /// Where a workspace begins that is only measured.
  static constexpr std::uintptr_t nowhere = std::uintptr_t(1) << 20;

  buffers() = default;
  explicit buffers(workspace memory) {
    const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(memory.data);
    const std::size_t before = std::size_t((alignment - at % alignment) % alignment);
    first_ = at + before;
    bytes_ = memory.bytes > before ? memory.bytes - before : 0;
  }
  /// Memory without end that nobody may touch; *most becomes the bytes that were needed.
  explicit buffers(std::size_t* most) : first_{nowhere}, bytes_{~std::size_t(0) / 2}, most_{most} {}

  /// Rows without gaps. Where the memory is too small they have none, and fits() says so from then on.
  template <class E> rows<E> take(index_t count, index_t length) {
    const std::size_t wanted = (std::size_t(count * length) * sizeof(E) + alignment - 1) / alignment * alignment;
    E* const at = reinterpret_cast<E*>(first_ + used_);
    if (wanted > bytes_ - used_) {
      fits_ = false;
      return {nullptr, {count, length}};
    }
    used_ += wanted;
    if (most_ != nullptr && used_ > *most_) *most_ = used_;
    return {at, {count, length}};
  }
  std::size_t used() const { return used_; }
  /// Bytes in all, taken or not.
  std::size_t size() const { return bytes_; }
  void back_to(std::size_t used) { used_ = used; }
  bool fits() const { return fits_; }
  /// The backend with what is left.
  template <class On> On lend(const On& on) const {
    On same = on;
    same.memory = workspace(reinterpret_cast<std::byte*>(first_ + used_), bytes_ - used_);
    return same;
  }

 private:
  std::uintptr_t first_ = 0;
  std::size_t bytes_ = 0, used_ = 0;
  std::size_t* most_ = nullptr;
  bool fits_ = true;
};

/// What blocks answer where the workspace is too small.
inline constexpr status too_little_memory{errc::workspace, "workspace: fewer bytes than workspace_bytes() says"};

/// Calls functions that return a status until one does not succeed.
template <class... Steps> status in_order(const Steps&... steps) {
  status found;
  (void)(bool(found = steps()) && ...);
  return found;
}

/// In place of a backend: nothing is computed; *most becomes the bytes of workspace that the calls would need.
template <class On> struct measuring {
  On on{};
  std::size_t* most = nullptr;
  workspace memory{};

  void need(std::size_t bytes) const {
    const std::size_t all = std::size_t(reinterpret_cast<std::uintptr_t>(memory.data) - buffers::nowhere) + bytes;
    if (all > *most) *most = all;
  }
};

/// The bytes of workspace that call(measuring backend, buffers) needs.
template <class On, class Call> std::size_t bytes_needed(const On& on, const Call& call) {
  std::size_t most = 0;
  buffers memory(&most);
  (void)bool(call(measuring<On>{on, &most}, memory));
  return most + buffers::alignment;
}
/// Whether call(backend, buffers) would be refused, for what its mixers do not take or for a workspace too small: it is tried
/// on a measuring backend, so that nothing has moved by then.
template <class On, class Call> status would_run(const On& on, const Call& call) {
  std::size_t most = 0;
  buffers memory(&most);
  if (const status found = call(measuring<On>{on, &most}, memory); !found) return found;
  return buffers(on.memory).size() < most ? too_little_memory : status{};
}
/// A module's memory while something is only measured: pointers that nobody may follow.
template <class Module> Module bound_nowhere(Module of) {
  blocks::bind(of, reinterpret_cast<const std::byte*>(buffers::nowhere));
  return of;
}

/// Whether a backend has a convolution, relu and another convolution in one operation, two_convolutions(on, x, first, second, y): a
/// GPU for the sizes of a stem.
template <class On, class E>
bool takes_two_convolutions(const On&, const image<const E>&, const modules::convolution<E>&,
                            const modules::convolution<E>&, const image<E>&) {
  return false;
}

// The operations on a measuring backend: what they need of the workspace.
/// @cond
template <class On, class X, class E, class... More>
status linear(const measuring<On>& m, const X& x, const modules::linear<E>& w, const More&...) {
  return m.need(linear_bytes(m.on, x.template extent<axis::row>(), w)), status{};
}
template <class On, class X, class E, class... More>
status convolution(const measuring<On>& m, const X& x, const modules::convolution<E>& w, const More&...) {
  return m.need(convolution_bytes(m.on, x.template extent<axis::batch>(), x.template extent<axis::row>(),
                                  x.template extent<axis::column>(), w)),
         status{};
}
template <class On, class E>
bool takes_two_convolutions(const measuring<On>& m, const image<const E>& x, const modules::convolution<E>& first,
                            const modules::convolution<E>& second, const image<E>& y) {
  return takes_two_convolutions(m.on, x, first, second, y);
}
template <class On, class... More> status two_convolutions(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status layer_norm(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status rms_norm(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status add_layer_norm(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status add_rms_norm(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status gated_rms_norm(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status depthwise_3x3(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status depthwise_3x3_layer_norm(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status causal_conv1d(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status causal_conv1d_step(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status token_mean(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status add(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status multiply(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status times_silu(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status apply_activation(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status reorder(const measuring<On>&, const More&...) { return {}; }
template <class On, class... More> status spread_keys(const measuring<On>&, const More&...) { return {}; }
template <class On, class E> index_t columns_of_keys(const measuring<On>& m, const rows<E>& keys) {
  return columns_of_keys(m.on, keys);
}
template <class On, class... More> status merge_patches(const measuring<On>&, const More&...) { return {}; }
// A mixer's.
template <class Design, class Form, class Precision, class On>
status compute(const Design& design, const Form& form, const measuring<On>& m,
               const sequence_of<Design, Precision>& x) {
  return m.need(bytes_to_compute(design, form, m.on, x)), status{};
}
/// @endcond

}  // namespace sextant::blocks
