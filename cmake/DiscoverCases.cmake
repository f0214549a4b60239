# Writes one ctest for each test case of a doctest program, so that ctest's list and count are those of the cases. Run
# after the program is linked:
#   cmake -DPROGRAM=... -DPREFIX=<dir>.<name> -DLABEL=... -DOUTPUT=<file> -P DiscoverCases.cmake
# A case is chosen by its number, not by its name, which may hold any character.
cmake_policy(VERSION 3.25)
execute_process(COMMAND ${PROGRAM} --list-test-cases --no-colors=true
                RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(failed)
  message(NOTICE "${output}")
  message(FATAL_ERROR "${PROGRAM} cannot list its test cases.")
endif()

string(REGEX MATCH "passing the current filters: ([0-9]+)" total "${output}")
set(total ${CMAKE_MATCH_1})

# A name's brackets and semicolons would be read as a list's; what has no meaning to ctest and CMake takes their place.
string(REPLACE "[" "(" output "${output}")
string(REPLACE "]" ")" output "${output}")
string(REPLACE ";" "," output "${output}")
string(REGEX REPLACE "[\"\\$]" "'" output "${output}")
string(REPLACE "\n" ";" lines "${output}")

set(timeout 300)
if(LABEL STREQUAL "exhaustive")
  set(timeout 7200)
endif()
set(properties "LABELS \"${LABEL}\" TIMEOUT ${timeout}")
if(LABEL STREQUAL "cuda")  # a case that needs a GPU says so where there is none
  string(APPEND properties " SKIP_REGULAR_EXPRESSION \"skipped: there is no GPU\"")
endif()
set(number 0)
set(names)
set(script)
foreach(line IN LISTS lines)
  if(line STREQUAL "" OR line MATCHES "^\\(doctest\\) |^=+$")
    continue()
  endif()
  math(EXPR number "${number} + 1")
  set(name "${PREFIX}: ${line}")
  if(name IN_LIST names)
    string(APPEND name " (${number})")
  endif()
  list(APPEND names "${name}")
  string(APPEND script
    "add_test(\"${name}\" \"${PROGRAM}\" --first=${number} --last=${number} --no-colors=true)\n"
    "set_tests_properties(\"${name}\" PROPERTIES ${properties})\n")
endforeach()
if(number EQUAL 0)
  message(FATAL_ERROR "${PROGRAM} has no test case.")
elseif(NOT number EQUAL total)
  message(NOTICE "${output}")
  message(FATAL_ERROR "${PROGRAM} has ${total} test cases, and ${number} were read from its list.")
endif()
file(WRITE ${OUTPUT} "${script}")
