# sextant_forms: the forms of the CPU backend for every number type, compiled once (tests/forms.hpp declares them), so
# that a test program of many designs takes seconds to compile.
# sextant_calls: every design of the table of cases (tests/cases.hpp) behind one interface, tests/calls.hpp. Not
# optimised: what designs add to the compiler's work is mostly the reference and the plan, and the forms are elsewhere.
if(NOT TARGET sextant_forms)
  add_library(sextant_forms OBJECT ${CMAKE_CURRENT_LIST_DIR}/forms.cpp)
  target_link_libraries(sextant_forms PUBLIC sextant_own_code)
  target_compile_options(sextant_forms PRIVATE ${SEXTANT_TEST_FLAGS})

  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/calls_*.cpp)
  add_library(sextant_calls OBJECT ${sources})
  target_link_libraries(sextant_calls PUBLIC sextant_own_code)
  target_compile_options(sextant_calls PRIVATE ${SEXTANT_TEST_FLAGS} -O0)
endif()
