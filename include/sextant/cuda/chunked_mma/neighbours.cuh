// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: neighbouring numbers of a row in shared memory, as floats and back.
#pragma once

#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::mma {

/// Two neighbouring numbers of a row.
template <class Token> __device__ __forceinline__ float2 load_pair(const Token* from) {
  if constexpr (sizeof(Token) == 4) return *reinterpret_cast<const float2*>(from);
  else {
    float2 pair;
    detail::widen_pair<Token>(*reinterpret_cast<const std::uint32_t*>(from), pair.x, pair.y);
    return pair;
  }
}
template <class Token> __device__ __forceinline__ void store_pair(Token* to, float x, float y) {
  if constexpr (sizeof(Token) == 4) *reinterpret_cast<float2*>(to) = {x, y};
  else *reinterpret_cast<std::uint32_t*>(to) = detail::round_pair<Token>(x, y);
}

/// Four neighbouring numbers of a row.
template <class Token> __device__ __forceinline__ float4 load_four(const Token* from) {
  if constexpr (sizeof(Token) == 4) return *reinterpret_cast<const float4*>(from);
  else {
    const uint2 words = *reinterpret_cast<const uint2*>(from);
    float4 four;
    detail::widen_pair<Token>(words.x, four.x, four.y), detail::widen_pair<Token>(words.y, four.z, four.w);
    return four;
  }
}

template <class Token> __device__ __forceinline__ void store_four(Token* to, float4 x) {
  if constexpr (sizeof(Token) == 4) *reinterpret_cast<float4*>(to) = x;
  else *reinterpret_cast<uint2*>(to) = {detail::round_pair<Token>(x.x, x.y), detail::round_pair<Token>(x.z, x.w)};
}

/// What rounding leaves out of four numbers.
template <class Token> __device__ __forceinline__ void store_rest(Token* to, float4 x) {
  const uint2 words{detail::round_pair<Token>(x.x, x.y), detail::round_pair<Token>(x.z, x.w)};
  float4 kept;
  detail::widen_pair<Token>(words.x, kept.x, kept.y), detail::widen_pair<Token>(words.y, kept.z, kept.w);
  store_four(to, float4{x.x - kept.x, x.y - kept.y, x.z - kept.z, x.w - kept.w});
}

/// Whether numbers that a kernel has computed may go into products as the sums of two of 16 bits: where a few tokens
/// dominate, one number is all that an answer is made of, and its rounding would stand beside that of y.
template <class Token> inline constexpr bool has_parts = std::is_same_v<Token, bfloat16>;

}  // namespace sextant::gpu::mma
