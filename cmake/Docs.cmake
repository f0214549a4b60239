# The reference of all public names by Doxygen, from the comments in the headers: target sextant_docs, result in
# <build folder>/reference/html/index.html. Any warning stops the build, such as one of a name without a comment; the
# members of a struct may explain themselves.
find_package(Doxygen QUIET)
if(NOT DOXYGEN_FOUND)
  message(FATAL_ERROR "The reference needs Doxygen: install Debian's doxygen, or do without it by -DSEXTANT_DOCS=OFF.")
endif()

set(DOXYGEN_PROJECT_NAME Sextant)
set(DOXYGEN_PROJECT_BRIEF "${PROJECT_DESCRIPTION}")
set(DOXYGEN_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/reference)
set(DOXYGEN_STRIP_FROM_PATH ${PROJECT_SOURCE_DIR}/include)
set(DOXYGEN_STRIP_FROM_INC_PATH ${PROJECT_SOURCE_DIR}/include)
set(DOXYGEN_INCLUDE_PATH ${PROJECT_SOURCE_DIR}/include)
set(DOXYGEN_FILE_PATTERNS *.hpp *.cuh)
set(DOXYGEN_EXTENSION_MAPPING cuh=C++)
set(DOXYGEN_EXCLUDE_SYMBOLS *::detail *::detail::* detail)
foreach(internals blockwise decoding diagonal lanes mma pooling runs wgmma)
  list(APPEND DOXYGEN_EXCLUDE_SYMBOLS sextant::gpu::${internals} sextant::gpu::${internals}::*)
endforeach()
set(DOXYGEN_JAVADOC_AUTOBRIEF YES)
set(DOXYGEN_HIDE_UNDOC_MEMBERS NO)
set(DOXYGEN_EXTRACT_STATIC YES)
set(DOXYGEN_ENABLE_PREPROCESSING YES)
set(DOXYGEN_MACRO_EXPANSION YES)
set(DOXYGEN_EXPAND_ONLY_PREDEF YES)
set(DOXYGEN_PREDEFINED SEXTANT_FN= SEXTANT_INLINE=inline __global__= __grid_constant__= "__launch_bounds__(bounds)=")
set(DOXYGEN_GENERATE_LATEX NO)
set(DOXYGEN_HAVE_DOT NO)
set(DOXYGEN_AUTOLINK_SUPPORT NO)
set(DOXYGEN_QUIET YES)
set(DOXYGEN_WARN_LOGFILE ${PROJECT_BINARY_DIR}/reference_warnings.txt)
# Our headers open with the licence and '/// @file  One sentence.'; Doxygen takes a word in that place for a file's name.
set(DOXYGEN_INPUT_FILTER "sed -e 1d -e 's|^/// @file  *|/// @file\\n/// |'")
# Of cpu/ and cuda/ the backends are public, and what the GPU's families of kernels take; how the forms do their work there
# is the library's own affair.
set(documented ${SEXTANT_HEADERS})
list(FILTER documented EXCLUDE REGEX "/sextant/(cpu|cuda)/")
set(public ${SEXTANT_HEADERS})
list(FILTER public INCLUDE REGEX
     "/(cpu/backend.hpp|cuda/(stream|forward|decode|selective|few_keys|state_space|state_space_chunked|chunked_wgmma|keyed_wgmma|second_order|chunked_mma|global_mma|global_sums).cuh)$")
doxygen_add_docs(sextant_doxygen ${documented} ${public} COMMENT "Doxygen reads the headers")
add_custom_target(sextant_docs VERBATIM
  COMMAND ${CMAKE_COMMAND} -DWARNINGS=${DOXYGEN_WARN_LOGFILE} -P ${PROJECT_SOURCE_DIR}/cmake/CheckDocs.cmake)
add_dependencies(sextant_docs sextant_doxygen)
