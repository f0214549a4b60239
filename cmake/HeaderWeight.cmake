# Checks that <sextant/sextant.hpp>, with all it includes, stays free of the heavy and the stateful: input and output,
# strings, containers, functions with erased types, other libraries. Run by ctest:
#   cmake -DCOMPILER=... -DFLAGS=x|y -DWORK=<scratch folder> -P HeaderWeight.cmake
cmake_policy(VERSION 3.25)
string(REPLACE "|" ";" FLAGS "${FLAGS}")
set(source ${WORK}/weight.cpp)
file(WRITE ${source} "#include <sextant/sextant.hpp>\n")
execute_process(COMMAND ${COMPILER} ${FLAGS} -M ${source}
                RESULT_VARIABLE failed OUTPUT_VARIABLE included ERROR_VARIABLE errors)
if(failed)
  message(NOTICE "${errors}")
  message(FATAL_ERROR "${COMPILER} cannot preprocess <sextant/sextant.hpp>.")
endif()
separate_arguments(included UNIX_COMMAND "${included}")
if(NOT included MATCHES "sextant/sextant.hpp")
  message(FATAL_ERROR "The list of included files lacks sextant.hpp itself: ${included}")
endif()

set(heavy iostream ostream istream fstream sstream cstdio random functional string vector map memory regex thread)
foreach(file IN LISTS included)
  get_filename_component(name "${file}" NAME)
  if(name IN_LIST heavy OR file MATCHES "/(sextant/interop|eigen3|cub|cuda)/")
    message(FATAL_ERROR "<sextant/sextant.hpp> comes to include ${file}.")
  endif()
endforeach()
list(LENGTH included count)
message(STATUS "${count} files, none of them heavy")
