// SPDX-License-Identifier: Apache-2.0
/// @file  Distinction 4, normalisation: what y is divided by.
#pragma once

#include <sextant/design/part.hpp>

/// Normalisations. The normaliser z reads the mapped keys before any position is applied.
namespace sextant::norm {

/// y = scale q S (Mamba).
struct none {
  static constexpr part answers = part::norm;
  static constexpr const char* name = "none";
  static constexpr const char* formula = "y = scale q S";
};

/// y = scale q S / (q z + eps), z_t = F z_{t-1} + k_t (linear attention: Katharopoulos et al. 2020, arXiv 2006.16236).
/// The input gate never multiplies z.
struct sum {
  static constexpr part answers = part::norm;
  static constexpr const char* name = "sum";
  static constexpr const char* formula = "y = scale q S / (q z + eps), z_t = F z_{t-1} + k_t";
  double eps = 0;
};

/// As sum, but z_t = z_{t-1} + k_t whatever the forget gate: the ablation row '+ forget gate' of arXiv 2405.16605.
struct sum_undecayed {
  static constexpr part answers = part::norm;
  static constexpr const char* name = "sum_undecayed";
  static constexpr const char* formula = "y = scale q S / (q z + eps), z_t = z_{t-1} + k_t";
  double eps = 0;
};

/// As sum with eps counted per token: y = (scale q S / n) / (q z / n + eps), n tokens in the sequence, as MILA's code
/// divides by the mean of the keys. For order::global alone, where every token sees all n.
struct mean {
  static constexpr part answers = part::norm;
  static constexpr const char* name = "mean";
  static constexpr const char* formula = "y = scale q S / (q z + n eps), z = sum of the n keys";
  double eps = 1e-6;
};

/// y = scale q S / (max(|scale q z|, 1) + eps exp(m)), z_t = F z_{t-1} + I_t k_t with a per-head input gate (mLSTM:
/// Beck et al. 2024, arXiv 2405.04517). Computed with the stabiliser m_t = max(log F_t + m_{t-1}, log I_t): the state
/// holds S exp(-m), z exp(-m) and m, so that an input gate of any size stays in range.
struct abs_max {
  static constexpr part answers = part::norm;
  static constexpr const char* name = "abs_max";
  static constexpr const char* formula =
      "y = scale q S / (max(|scale q z|, exp(-m)) + eps), z_t = F' z_{t-1} + I' k_t, m_t = max(log F + m_{t-1}, "
      "log I), F' = exp(log F + m_{t-1} - m_t), I' = exp(log I - m_t)";
  double eps = 0;
};

}  // namespace sextant::norm
