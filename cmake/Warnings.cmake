# The warnings under which all of our own code must compile, as errors. The library's headers are reached by -I, not as
# system headers, so they are held to the same. The list serves the target and the scripts that compile by themselves.
set(SEXTANT_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wsign-conversion -Werror)

add_library(sextant_warnings INTERFACE)
target_compile_options(sextant_warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${SEXTANT_WARNINGS}>")

# For .cu files: nvcc's own warnings, and the host compiler's. What nvcc makes of the code before the host compiler reads
# it is not ISO C++, hence no -Wpedantic.
if(SEXTANT_CUDA)
  set(SEXTANT_CUDA_WARNINGS ${SEXTANT_WARNINGS})
  list(REMOVE_ITEM SEXTANT_CUDA_WARNINGS -Wpedantic)
  list(JOIN SEXTANT_CUDA_WARNINGS "," SEXTANT_CUDA_WARNINGS)
  set(SEXTANT_CUDA_WARNINGS --Werror=all-warnings -Xcompiler=${SEXTANT_CUDA_WARNINGS})
  target_compile_options(sextant_warnings INTERFACE "$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:${SEXTANT_CUDA_WARNINGS}>")
endif()
