# Functions that make tests. Tests are compiled with -O1: that vectorises nothing by itself, is a good deal quicker to
# compile than -O3, and the library's own vector code does not depend on it. NDEBUG is off.
find_package(doctest QUIET)
find_package(Eigen3 QUIET)
if(NOT doctest_FOUND OR NOT Eigen3_FOUND)
  message(FATAL_ERROR "The tests need doctest and Eigen: install Debian's doctest-dev and libeigen3-dev, "
                      "or do without the tests by -DSEXTANT_TESTS=OFF.")
endif()

set(SEXTANT_TEST_FLAGS -O1 -UNDEBUG CACHE STRING "Compiler flags of the tests, after those of the build type")
# Kernels are tested as they are used; nvcc would not have a second -O.
set(SEXTANT_CUDA_TEST_FLAGS -UNDEBUG -Xcompiler=-O1)
# Without optimisation instrumented code compiles in half the time and nothing is folded away before it is checked.
set(SEXTANT_SANITIZE -O0 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
include(CheckCXXSourceCompiles)
list(JOIN SEXTANT_SANITIZE " " CMAKE_REQUIRED_FLAGS)
check_cxx_source_compiles("int main() { return 0; }" SEXTANT_HAS_SANITIZERS)
unset(CMAKE_REQUIRED_FLAGS)

# sextant_shared(<suffix> [flags...]): what test programs share, compiled once for each set of flags, and only if used:
#   sextant_main<suffix>   doctest's main
#   sextant_forms<suffix>  the forms of the CPU backend for every number type; tests/forms.hpp declares them, so that a
#                          program of many designs takes seconds to compile
#   sextant_calls<suffix>  every design of the table of cases behind one interface, tests/calls.hpp. Not optimised: what
#                          designs add to the compiler's work is mostly the reference and the plan
function(sextant_shared suffix)
  file(GLOB calls CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/calls_*.cpp)
  add_library(sextant_main${suffix} OBJECT EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/main.cpp)
  add_library(sextant_forms${suffix} STATIC EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/forms.cpp)
  add_library(sextant_calls${suffix} STATIC EXCLUDE_FROM_ALL ${calls})
  target_compile_features(sextant_main${suffix} PRIVATE cxx_std_20)
  target_compile_options(sextant_main${suffix} PRIVATE -O1 ${ARGN})
  target_compile_options(sextant_forms${suffix} PRIVATE ${SEXTANT_TEST_FLAGS} ${ARGN})
  target_compile_options(sextant_calls${suffix} PRIVATE ${SEXTANT_TEST_FLAGS} -O0 ${ARGN})
  target_link_libraries(sextant_main${suffix} PUBLIC doctest::doctest)
  target_link_libraries(sextant_forms${suffix} PUBLIC sextant_own_code)
  target_link_libraries(sextant_calls${suffix} PUBLIC sextant_forms${suffix})
endfunction()

# sextant_test_executable(<target> <label> <source> <suffix>): one test program with the shared code of that suffix.
function(sextant_test_executable target label source suffix)
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE sextant_own_code sextant_main${suffix} Eigen3::Eigen)
  if(label MATCHES "^(covering|cpu|design|golden|models)$")
    target_link_libraries(${target} PRIVATE sextant_forms${suffix})
  elseif(label STREQUAL "laws")
    target_link_libraries(${target} PRIVATE sextant_calls${suffix})
  endif()
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${SEXTANT_TEST_FLAGS}>"
                                           "$<$<COMPILE_LANGUAGE:CUDA>:${SEXTANT_CUDA_TEST_FLAGS}>")
  # Not optimised: these take longer to compile than to run.
  if(label MATCHES "^(design|golden|interop|reference|tensor)$" OR source MATCHES "laws/(gates_of|shared_heads|scale|steps|derivative)")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O0>)
  endif()
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${target} PRIVATE SEXTANT_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               SEXTANT_BINARY_DIR="${PROJECT_BINARY_DIR}")
endfunction()

# sextant_cases(<target> <prefix> <label>): one ctest "<prefix>: <test case>" for each test case of a program.
function(sextant_cases target prefix label)
  set(cases ${CMAKE_CURRENT_BINARY_DIR}/${target}.cases.cmake)
  add_custom_command(TARGET ${target} POST_BUILD BYPRODUCTS ${cases} VERBATIM
    COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:${target}> -DPREFIX=${prefix} -DLABEL=${label} -DOUTPUT=${cases}
            -P ${PROJECT_SOURCE_DIR}/cmake/DiscoverCases.cmake)
  # A program that is not built yet counts as one test that cannot run; but those of label exhaustive, which are built
  # only by request, count as none.
  set(include_cases ${CMAKE_CURRENT_BINARY_DIR}/${target}.include.cmake)
  file(WRITE ${include_cases} "if(EXISTS \"${cases}\")\n  include(\"${cases}\")\nelseif(NOT ${label} STREQUAL exhaustive)\n"
                              "  add_test(\"${prefix}\" sh -c \"echo ${target} is not built; exit 1\")\n"
                              "  set_tests_properties(\"${prefix}\" PROPERTIES LABELS ${label})\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${include_cases})
endfunction()

# sextant_test(<label> <source>): a .cpp or, where SEXTANT_CUDA is on, a .cu file: executable sextant_test_<label>_<name>, its cases under <label>.<name>. Those of label
# exhaustive are built by the target sextant_exhaustive alone.
function(sextant_test label source)
  get_filename_component(name ${source} NAME_WE)
  set(target sextant_test_${label}_${name})
  sextant_test_executable(${target} ${label} ${source} "")
  sextant_cases(${target} ${label}.${name} ${label})
  if(label STREQUAL "exhaustive")
    set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL TRUE)
    add_dependencies(sextant_exhaustive ${target})
  endif()
endfunction()

# sextant_sanitized_test(<label> <source>): the same source under the address and undefined-behaviour sanitizers, as
# executable sextant_asan_<label>_<name>. Nothing where the compiler lacks them, or where all is built with them anyway.
function(sextant_sanitized_test label source)
  if(NOT SEXTANT_HAS_SANITIZERS OR CMAKE_CXX_FLAGS MATCHES "-fsanitize")
    return()
  endif()
  get_filename_component(name ${source} NAME_WE)
  set(target sextant_asan_${label}_${name})
  sextant_test_executable(${target} ${label} ${source} _sanitized)
  target_compile_options(${target} PRIVATE ${SEXTANT_SANITIZE})
  target_link_options(${target} PRIVATE ${SEXTANT_SANITIZE})
  sextant_cases(${target} sanitized.${label}.${name} sanitized)
endfunction()

# sextant_python_test(<label> <script> [arguments...]): ctest <label>.<name>, the script run by a Python that has NumPy
# with these arguments, or with the build folder if there are none.
function(sextant_python_test label script)
  sextant_find_python()
  get_filename_component(name ${script} NAME_WE)
  get_filename_component(script ${script} ABSOLUTE)
  set(arguments ${ARGN})
  if(NOT arguments)
    set(arguments ${PROJECT_BINARY_DIR})
  endif()
  add_test(NAME ${label}.${name} COMMAND ${SEXTANT_PYTHON} ${script} ${arguments})
  set_tests_properties(${label}.${name} PROPERTIES LABELS ${label} TIMEOUT 300)
endfunction()

# A Python that can import numpy, into the cache variable SEXTANT_PYTHON.
function(sextant_find_python)
  if(SEXTANT_PYTHON)
    return()
  endif()
  foreach(candidate python3 /usr/bin/python3)
    execute_process(COMMAND ${candidate} -c "import numpy" RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
    if(NOT failed)
      set(SEXTANT_PYTHON ${candidate} CACHE STRING "A Python 3 that has NumPy")
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "Some tests need Python with NumPy: install Debian's python3-numpy, "
                      "or do without the tests by -DSEXTANT_TESTS=OFF.")
endfunction()

add_custom_target(sextant_exhaustive)
sextant_shared("")
sextant_shared(_sanitized ${SEXTANT_SANITIZE})
