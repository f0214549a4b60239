# sextant_forms: the forms of the CPU backend for every number type, compiled once (tests/forms.hpp declares them), so
# that a test program of many designs takes seconds to compile.
if(NOT TARGET sextant_forms)
  add_library(sextant_forms OBJECT ${CMAKE_CURRENT_LIST_DIR}/forms.cpp)
  target_link_libraries(sextant_forms PUBLIC sextant_own_code)
  target_compile_options(sextant_forms PRIVATE ${SEXTANT_TEST_FLAGS})
endif()
