// SPDX-License-Identifier: Apache-2.0
/// @file  cuBLASLt for the linear layers of blocks: the caller's handle, workspace, and what it has answered before.
#pragma once

#include <cstdint>  // uint32_t, uint64_t
#include <cstring>  // memcmp, memset

#include <cublasLt.h>
#include <cuda_runtime_api.h>  // cudaEvent_t

#include <sextant/cuda/stream.cuh>
#include <sextant/status.hpp>

namespace sextant::gpu {

/// A matrix product as cuBLASLt is asked for it; equal where all bytes are. Sizes and strides in elements, row-major:
/// y [rows, outputs] = act(x [rows, inputs] weight [outputs, inputs]^T + bias) + plus.
struct product_shape {
  index_t rows, outputs, inputs;
  index_t of_x, of_weight, of_plus, of_y;  ///< from row to row
  int numbers;                             ///< cudaDataType_t of all of them
  int epilogue;                            ///< cublasLtEpilogue_t
  int adds;                                ///< whether there is a plus
  int alignment;                           ///< of all addresses, bytes: 16, or fewer
};

/// The caller's part of cuBLASLt: a handle (cublasLtCreate), memory of the device for it, and a table of the algorithms that it
/// chose, so that a shape is asked about once. Products of one object go to one stream at a time, and are called by one thread at
/// a time. Nothing is allocated: the object is about 60 KB, to be made once beside the handle and kept.
class matrix_products {
 public:
  /// `scratch`: a few MB for products whose terms are divided among blocks (32 MB let cuBLASLt choose freely); may be empty.
  explicit matrix_products(cublasLtHandle_t handle, workspace scratch = {}) : handle_{handle}, scratch_{scratch} {}
  matrix_products(const matrix_products&) = delete;
  matrix_products& operator=(const matrix_products&) = delete;

  /// While it tunes, a product of a new shape is computed by each of up to 16 algorithms that cuBLASLt offers and timed, and the
  /// quickest is kept: call what is to be quick once, then stop. Such calls wait for the device, cannot be captured, and where y
  /// is what is added leave nothing of use in it. Without it cuBLASLt's first guess is taken.
  void tune(bool starts) { tunes_ = starts; }

  /// Enqueues a product; bias null for an epilogue without one, plus null for none. `plus` may be y.
  status run(const product_shape& shape, const void* x, const void* weight, const void* bias, const void* plus, void* y,
             cudaStream_t on) {
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t of_weight, of_x, of_plus, of_y;
    const auto numbers = cudaDataType_t(shape.numbers);
    const bool doubles = numbers == CUDA_R_64F;
    const auto layout = [&](cublasLtMatrixLayoutOpaque_t& to, index_t height, index_t width, index_t step) {
      return cublasLtMatrixLayoutInit(&to, numbers, std::uint64_t(height), std::uint64_t(width), step);
    };
    const auto set = [&](cublasLtMatmulDescAttributes_t which, const auto& value) {
      return cublasLtMatmulDescSetAttribute(&product, which, &value, sizeof value);
    };
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const auto epilogue = cublasLtEpilogue_t(shape.epilogue);
    // Column by column, as cuBLAS reads matrices, y^T = weight x^T.
    cublasStatus_t answer = cublasLtMatmulDescInit(&product, doubles ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                                   doubles ? CUDA_R_64F : CUDA_R_32F);
    if (answer == CUBLAS_STATUS_SUCCESS) answer = set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    if (answer == CUBLAS_STATUS_SUCCESS) answer = set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (answer == CUBLAS_STATUS_SUCCESS && bias != nullptr) answer = set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    if (answer == CUBLAS_STATUS_SUCCESS) answer = layout(of_weight, shape.inputs, shape.outputs, shape.of_weight);
    if (answer == CUBLAS_STATUS_SUCCESS) answer = layout(of_x, shape.inputs, shape.rows, shape.of_x);
    if (answer == CUBLAS_STATUS_SUCCESS)
      answer = layout(of_plus, shape.outputs, shape.rows, shape.adds ? shape.of_plus : shape.of_y);
    if (answer == CUBLAS_STATUS_SUCCESS) answer = layout(of_y, shape.outputs, shape.rows, shape.of_y);
    if (answer != CUBLAS_STATUS_SUCCESS) return as_status(answer);

    const double one = 1, zero = 0;
    const float one_float = 1, zero_float = 0;
    const void* const factor = doubles ? static_cast<const void*>(&one) : &one_float;
    const void* const factor_of_plus = shape.adds ? factor
                                       : doubles  ? static_cast<const void*>(&zero)
                                                  : static_cast<const void*>(&zero_float);
    const auto multiply = [&](const cublasLtMatmulAlgo_t& by) {
      return cublasLtMatmul(handle_, &product, factor, weight, &of_weight, x, &of_x, factor_of_plus,
                            plus != nullptr ? plus : y, &of_plus, y, &of_y, &by, scratch_.data, scratch_.bytes, on);
    };
    entry* const found = find(shape);
    if (!found->known || (tunes_ && !found->tuned)) {
      cublasLtMatmulPreferenceOpaque_t wishes;
      cublasLtMatmulHeuristicResult_t several[candidates];
      int count = 0;
      answer = cublasLtMatmulPreferenceInit(&wishes);
      const auto wish = [&](cublasLtMatmulPreferenceAttributes_t which, const auto& value) {
        if (answer == CUBLAS_STATUS_SUCCESS)
          answer = cublasLtMatmulPreferenceSetAttribute(&wishes, which, &value, sizeof value);
      };
      const std::uint32_t alignment = std::uint32_t(shape.alignment);
      wish(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(scratch_.bytes));
      // Terms that are divided among blocks are added as floats, not as the tokens that they become.
      wish(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
      wish(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment);
      wish(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment);
      wish(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment);
      wish(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment);
      if (answer == CUBLAS_STATUS_SUCCESS)
        answer = cublasLtMatmulAlgoGetHeuristic(handle_, &product, &of_weight, &of_x, &of_plus, &of_y, &wishes,
                                                tunes_ ? candidates : 1, several, &count);
      if (answer == CUBLAS_STATUS_SUCCESS && count == 0) answer = CUBLAS_STATUS_NOT_SUPPORTED;
      if (answer != CUBLAS_STATUS_SUCCESS) return as_status(answer);
      const int best = tunes_ ? quickest(several, count, multiply, on) : 0;
      found->shape = shape, found->algorithm = several[best].algo, found->known = true, found->tuned = tunes_;
    }
    return as_status(multiply(found->algorithm));
  }

 private:
  struct entry {
    product_shape shape;
    cublasLtMatmulAlgo_t algorithm;
    bool known, tuned;
  };
  static constexpr std::size_t entries = 256, near = 8;
  static constexpr int candidates = 16;

  static status as_status(cublasStatus_t answer) {
    if (answer == CUBLAS_STATUS_SUCCESS) return {};
    if (answer == CUBLAS_STATUS_NOT_SUPPORTED) return {errc::unsupported, "cuBLASLt has no algorithm for this product"};
    return {errc::launch, cublasLtGetStatusString(answer)};
  }
  /// Where the shape is, or where it is to go: among `near` neighbours, in place of the last of them if all are taken.
  entry* find(const product_shape& shape) {
    std::uint64_t hash = 0;
    const index_t words[] = {shape.rows,
                             shape.outputs,
                             shape.inputs,
                             shape.of_x,
                             shape.of_weight,
                             shape.of_plus,
                             shape.of_y,
                             shape.numbers + 64 * shape.epilogue,
                             shape.adds + 64 * shape.alignment};
    for (const index_t word : words) hash = (hash ^ std::uint64_t(word)) * 0x9e3779b97f4a7c15u, hash ^= hash >> 29;
    for (std::size_t i = 0;; ++i) {
      entry& e = table_[(hash + i) % entries];
      if (e.known && std::memcmp(&e.shape, &shape, sizeof shape) == 0) return &e;
      if (!e.known) return &e;
      if (i + 1 == near) return e.known = e.tuned = false, &e;
    }
  }

  /// Which of several algorithms takes the least time, of three calls after a first one.
  template <class Multiply>
  static int quickest(const cublasLtMatmulHeuristicResult_t* several, int count, const Multiply& multiply,
                      cudaStream_t on) {
    cudaEvent_t start = nullptr, stop = nullptr;
    int best = 0;
    float least = 0;
    if (cudaEventCreate(&start) == cudaSuccess && cudaEventCreate(&stop) == cudaSuccess)
      for (int i = 0; i < count; ++i) {
        if (several[i].state != CUBLAS_STATUS_SUCCESS) continue;
        bool runs = multiply(several[i].algo) == CUBLAS_STATUS_SUCCESS;
        float ms = 0;
        runs = runs && cudaEventRecord(start, on) == cudaSuccess;
        for (int k = 0; k < 3; ++k) runs = runs && multiply(several[i].algo) == CUBLAS_STATUS_SUCCESS;
        runs = runs && cudaEventRecord(stop, on) == cudaSuccess && cudaEventSynchronize(stop) == cudaSuccess &&
               cudaEventElapsedTime(&ms, start, stop) == cudaSuccess;
        if (runs && (least == 0 || ms < least)) least = ms, best = i;
      }
    if (start != nullptr) (void)cudaEventDestroy(start);
    if (stop != nullptr) (void)cudaEventDestroy(stop);
    return best;
  }

  cublasLtHandle_t handle_;
  workspace scratch_;
  bool tunes_ = false;
  entry table_[entries] = {};
};

/// What blocks run on on a GPU: a stream and its workspace, and the caller's products. All operations but `linear` and
/// `convolution` take a plain stream as well.
struct block_stream : stream {
  matrix_products* products = nullptr;

  block_stream() = default;
  block_stream(const stream& on, matrix_products& its) : stream{on}, products{&its} {}
};

}  // namespace sextant::gpu
