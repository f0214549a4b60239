// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: what a block finds where in shared memory.
#pragma once

#include <sextant/cuda/chunked_mma/plan.cuh>

namespace sextant::gpu::mma {

/// One chunk of a head in shared memory.
template <class Token> struct chunk_memory {
  Token *q, *k, *v, *raw, *gate;  // of the stage; raw, then the rest of k; raw gates per channel, then gated v
  Token *q_rest, *v_rest;  // [tokens][q_stride], [tokens][v_stride]: what rounding leaves out of queries, of gated v
  Token* weights;          // [parts][tokens][weight_stride]: of the step's tokens (columns) for each token (row)
  float *first, *second, *middle;  // [steps][keys]: decays per key
  float* total;                    // [keys]: what a segment leaves of each key
  float* scores;                   // [tokens][score_stride]: q k^T within each step, in the place of y
  float* g;                        // [tokens][g_stride]: sums of logarithms per key, in the place of y
  float* y;                        // [slabs][tokens][y_stride]: what each slab of keys answers
  float* z;                        // [steps + 1][keys]: the normaliser before each step; the last one, after the chunk
  float *d, *bias;                 // [slice]: the shortcut of each channel, and what is added to its step
  std::uint64_t* angles;           // [keys / 2]: turns of each pair from one position to the next, in units of 2^-64
  chunk_gates* gates;

  __device__ chunk_memory(unsigned char* shared, const block_plan& p, int stage) {
    unsigned char* const mine = shared + stage * p.stage;
    q = reinterpret_cast<Token*>(mine + p.q), k = reinterpret_cast<Token*>(mine + p.k);
    v = reinterpret_cast<Token*>(mine + p.v), raw = reinterpret_cast<Token*>(mine + p.raw);
    gate = reinterpret_cast<Token*>(mine + p.gate), q_rest = reinterpret_cast<Token*>(shared + p.q_rest);
    v_rest = reinterpret_cast<Token*>(shared + p.v_rest);
    weights = reinterpret_cast<Token*>(shared + p.weights);
    first = reinterpret_cast<float*>(shared + p.first), second = reinterpret_cast<float*>(shared + p.second);
    middle = reinterpret_cast<float*>(shared + p.middle), g = reinterpret_cast<float*>(shared + p.g);
    total = reinterpret_cast<float*>(shared + p.total);
    scores = y = reinterpret_cast<float*>(shared + p.y);
    d = reinterpret_cast<float*>(shared + p.channels), bias = d + p.slice;
    angles = reinterpret_cast<std::uint64_t*>(shared + p.angles);
    z = reinterpret_cast<float*>(shared + p.z), gates = reinterpret_cast<chunk_gates*>(shared + p.gates);
  }
};

}  // namespace sextant::gpu::mma
