// SPDX-License-Identifier: Apache-2.0
/// @file  What a call answers.
#pragma once

namespace sextant {

/// Why a call did nothing.
enum class errc {
  ok,
  missing,      ///< a tensor that the design needs was not given
  shape,        ///< extents that do not fit together
  offsets,      ///< offsets that do not rise from 0 to T
  workspace,    ///< fewer bytes than workspace_bytes() says
  unsupported,  ///< the form asked for does not run this design, or not these shapes
  launch,       ///< the GPU's driver refused a kernel; `what` is its sentence
};

/// What a call answers: ok, or why nothing was computed and nothing was written. `what` is a sentence that lives for
/// ever. True when ok.
struct [[nodiscard]] status {
  errc code = errc::ok;
  const char* what = "ok";
  constexpr explicit operator bool() const { return code == errc::ok; }
};

}  // namespace sextant
