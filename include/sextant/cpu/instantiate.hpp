// SPDX-License-Identifier: Apache-2.0
/// @file  For programs of many designs: what all designs share on the CPU, compiled once and not in every file.
#pragma once

#include <sextant/cpu/forward.hpp>

// A form is a template on the type of its sums alone, and so is what a part does to a row of numbers; designs only
// choose among them. A program with a handful of designs need not care. One with hundreds includes this header wherever
// it calls forward(), and in one file of its own, compiled with all optimisation, writes
//   #include <sextant/cpu/instantiate.hpp>
//   SEXTANT_CPU_INSTANTIATE(float)
//   SEXTANT_CPU_INSTANTIATE(double)
// (or one file each). The other files then hold no code that runs per token, and may be compiled with none. All files
// must be compiled for the same instruction set. Gates and maps of the user's own stay where they are used.

// NOLINTBEGIN(bugprone-macro-parentheses): the arguments are types and the keyword `extern`.
#define SEXTANT_CPU_FORM(Extern, Of, Form, Real)                                             \
  Extern template status run_form<Of<Form, Real>::type>(const plan<Real>&, const parallel&); \
  Extern template status run_form<Of<Form, Real>::type>(const plan<Real>&, const serial&);   \
  Extern template form_memory memory_of<Of<Form, Real>::type>(const plan<Real>&, int);
#define SEXTANT_CPU_GATE(Extern, Gate, Real)                                                              \
  Extern template void gate_box<Gate, Real, false>(const void*, index_t, index_t, index_t, operand<Real>, \
                                                   operand<Real>, Real*, index_t, index_t);               \
  Extern template void gate_box<Gate, Real, true>(const void*, index_t, index_t, index_t, operand<Real>,  \
                                                  operand<Real>, Real*, index_t, index_t);
#define SEXTANT_CPU_MAP(Extern, Map, Real) \
  Extern template void map_row<Map, Real>(const void*, const Real*, index_t, Real*);
#define SEXTANT_CPU_STORAGE(Extern, Stored, Real)                                    \
  Extern template void load_row<Stored, Real>(const void*, index_t, index_t, Real*); \
  Extern template void store_row<Stored, Real>(const Real*, index_t, void*, index_t);

#define SEXTANT_CPU_INSTANCES(Extern, Real)                                              \
  SEXTANT_CPU_FORM(Extern, form_of, form::recurrent, Real)                               \
  SEXTANT_CPU_FORM(Extern, form_of, form::scan, Real)                                    \
  SEXTANT_CPU_FORM(Extern, form_of, form::chunked, Real)                                 \
  SEXTANT_CPU_FORM(Extern, form_of, form::quadratic, Real)                               \
  SEXTANT_CPU_FORM(Extern, form_of, form::global, Real)                                  \
  SEXTANT_CPU_FORM(Extern, invariant_form_of, form::recurrent, Real)                     \
  SEXTANT_CPU_FORM(Extern, invariant_form_of, form::chunked, Real)                       \
  SEXTANT_CPU_GATE(Extern, input::one, Real)                                             \
  SEXTANT_CPU_GATE(Extern, input::softplus<per::head>, Real)                             \
  SEXTANT_CPU_GATE(Extern, input::softplus<per::channel>, Real)                          \
  SEXTANT_CPU_GATE(Extern, input::sigmoid, Real)                                         \
  SEXTANT_CPU_GATE(Extern, input::exponential, Real)                                     \
  SEXTANT_CPU_GATE(Extern, forget::one, Real)                                            \
  SEXTANT_CPU_GATE(Extern, forget::constant, Real)                                       \
  SEXTANT_CPU_GATE(Extern, forget::exponential, Real)                                    \
  SEXTANT_CPU_GATE(Extern, forget::log_decay<per::head>, Real)                           \
  SEXTANT_CPU_GATE(Extern, forget::log_decay<per::key>, Real)                            \
  SEXTANT_CPU_GATE(Extern, forget::log_decay<per::channel>, Real)                        \
  SEXTANT_CPU_GATE(Extern, forget::log_decay<per::key_channel>, Real)                    \
  SEXTANT_CPU_GATE(Extern, forget::log_sigmoid<per::head>, Real)                         \
  SEXTANT_CPU_GATE(Extern, forget::log_sigmoid<per::key>, Real)                          \
  SEXTANT_CPU_GATE(Extern, forget::log_sigmoid<per::channel>, Real)                      \
  SEXTANT_CPU_GATE(Extern, forget::log_sigmoid<per::key_channel>, Real)                  \
  SEXTANT_CPU_GATE(Extern, forget::softplus, Real)                                       \
  SEXTANT_CPU_GATE(Extern, forget::selective, Real)                                      \
  SEXTANT_CPU_MAP(Extern, map::elu_plus_one, Real)                                       \
  SEXTANT_CPU_MAP(Extern, map::relu, Real)                                               \
  SEXTANT_CPU_MAP(Extern, map::squared, Real)                                            \
  Extern template void map_product_row<map::squared, Real>(const void*, Real*, index_t); \
  SEXTANT_CPU_STORAGE(Extern, Real, Real)                                                \
  SEXTANT_CPU_STORAGE(Extern, bfloat16, Real)                                            \
  SEXTANT_CPU_STORAGE(Extern, float16, Real)

/// Compiles, here, what every design whose sums are of type Real (float or double) shares. At namespace scope, once in
/// a program for each Real.
#define SEXTANT_CPU_INSTANTIATE(Real)              \
  namespace sextant::cpu::inline SEXTANT_CPU_ISA { \
  SEXTANT_CPU_INSTANCES(, Real)                    \
  }
// NOLINTEND(bugprone-macro-parentheses)

namespace sextant::cpu::inline SEXTANT_CPU_ISA {
SEXTANT_CPU_INSTANCES(extern, float)
SEXTANT_CPU_INSTANCES(extern, double)
}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
