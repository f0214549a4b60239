# How Sextant's own programs are compiled: warnings as errors, ISO C++20, this machine's instructions, OpenMP if found.
# Only for the top-level project; a project that uses Sextant chooses for itself.
include(${CMAKE_CURRENT_LIST_DIR}/Warnings.cmake)
set(CMAKE_CXX_EXTENSIONS OFF)

option(SEXTANT_NATIVE "Compile examples, tests and benchmarks for this machine (-march=native)" ON)
set(SEXTANT_MACHINE_FLAGS)
if(SEXTANT_NATIVE)
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-march=native SEXTANT_HAS_MARCH_NATIVE)
  if(SEXTANT_HAS_MARCH_NATIVE)
    set(SEXTANT_MACHINE_FLAGS -march=native)
  endif()
endif()

add_library(sextant_own_code INTERFACE)
target_compile_options(sextant_own_code INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${SEXTANT_MACHINE_FLAGS}>")
target_link_libraries(sextant_own_code INTERFACE sextant::sextant sextant_warnings)
if(TARGET sextant::openmp)
  target_link_libraries(sextant_own_code INTERFACE sextant::openmp)
endif()
if(TARGET sextant::cuda)
  target_link_libraries(sextant_own_code INTERFACE sextant::cuda)
  target_compile_options(sextant_own_code INTERFACE "$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:${SEXTANT_CUDA_READ_ONLY}>")
  # .cpp files may make calls for a GPU too; kernels stand in .cu files.
  target_include_directories(sextant_own_code SYSTEM INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}>)
endif()

# sextant_third_party(<target> HEADER <header> PACKAGE <Debian package> FOR <what needs it> OFF_BY <option>)
# makes an interface target that includes somebody else's header-only library as system headers, or stops with one
# sentence that says how to get it and how to do without.
function(sextant_third_party target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "HEADER;PACKAGE;FOR;OFF_BY" "")
  string(MAKE_C_IDENTIFIER "SEXTANT_INCLUDE_${arg_HEADER}" folder)
  find_path(${folder} ${arg_HEADER})
  mark_as_advanced(${folder})
  if(NOT ${folder})
    message(FATAL_ERROR "${arg_FOR} needs <${arg_HEADER}>: install Debian's ${arg_PACKAGE}, "
                        "or do without it by -D${arg_OFF_BY}=OFF.")
  endif()
  if(NOT TARGET ${target})
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    target_include_directories(${target} SYSTEM INTERFACE ${${folder}})
  endif()
endfunction()
