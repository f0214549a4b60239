# The optional components, defined once for the build tree and for the installed package.
# Each is an interface target beside sextant::sextant that a project links when it wants what the component brings.

# sextant::openmp: compiles with OpenMP, by which cpu::parallel gets its threads.
# Leaves the target undefined when the compiler has no OpenMP.
macro(sextant_component_openmp)
  if(NOT TARGET sextant::openmp)
    find_package(OpenMP QUIET COMPONENTS CXX)
    if(OpenMP_CXX_FOUND)
      add_library(sextant::openmp INTERFACE IMPORTED GLOBAL)
      target_link_libraries(sextant::openmp INTERFACE sextant::sextant OpenMP::OpenMP_CXX)
    endif()
  endif()
endmacro()

# sextant::cuda: compiles .cu files as C++20, in which kernels call constexpr functions. CMake before 3.25.2 ignores
# CMAKE_CUDA_STANDARD 20 without a word, so the flag is given as it is. Enabling the language CUDA is left to the project
# that links this.
macro(sextant_component_cuda)
  if(NOT TARGET sextant::cuda)
    add_library(sextant::cuda INTERFACE IMPORTED GLOBAL)
    target_link_libraries(sextant::cuda INTERFACE sextant::sextant)
    target_compile_options(sextant::cuda INTERFACE $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-std=c++20$<SEMICOLON>--expt-relaxed-constexpr>)
  endif()
endmacro()
