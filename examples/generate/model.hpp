// SPDX-License-Identifier: Apache-2.0
/// @file  A language model of any of the library's kinds, with its weights and its state, behind one interface.
#pragma once

#include <cstddef>  // ptrdiff_t, size_t
#include <cstdint>  // int32_t, uint64_t
#include <memory>   // unique_ptr
#include <span>     // span
#include <string>   // string

namespace generate {

/// What generation needs of a model.
class model {
 public:
  virtual ~model() = default;
  /// Logits of what follows these tokens, which follow those of the calls before. Returns "" or what went wrong.
  virtual std::string next(std::span<const std::int32_t> tokens, std::span<const float>& logits) = 0;
  virtual std::string describe() const = 0;  ///< one line: kind, sizes, numbers
  virtual std::size_t state_bytes() const = 0;
};

/// How a model is asked for.
struct request {
  std::string weights{};            ///< a safetensors file, or "": weights begun with the seed
  std::string name = "mamba_130m";  ///< without a file: its sizes
  std::string backend = "cpu";      ///< or cuda
  std::string precision = "fp32";   ///< of weights and tokens: fp32 or bf16, on a GPU fp16 too
  std::ptrdiff_t keys = 0;          ///< of a group of a Mamba-2 file; 0: 128, if that is one group
  int threads = 0;                  ///< 0: all
  std::uint64_t seed = 1;
};

/// Makes a model; its sizes are found in the file. Returns null and why.
std::unique_ptr<model> make(const request& what, std::string& error);

}  // namespace generate
