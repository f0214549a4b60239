# Checks one source that must be refused with a sentence. Run by ctest:
#   cmake -DSOURCE=... -DCOMPILERS=a|b -DFLAGS=x|y -P CompileFail.cmake
# The source names the sentence, or a part of it, in one or more lines '// expect: <text>' and guards the wrong lines by
# '#ifdef SEXTANT_BAD'. With every compiler it must compile without SEXTANT_BAD, so that no unrelated error can pass for
# the refusal, and must fail with it, with every expected text in the compiler's output.
cmake_policy(VERSION 3.25)
string(REPLACE "|" ";" COMPILERS "${COMPILERS}")
string(REPLACE "|" ";" FLAGS "${FLAGS}")

file(STRINGS ${SOURCE} lines REGEX "^// expect: ")
if(NOT lines)
  message(FATAL_ERROR "${SOURCE} has no line '// expect: <text>'.")
endif()

foreach(compiler IN LISTS COMPILERS)
  set(command ${CMAKE_COMMAND} -E env LC_ALL=C ${compiler} ${FLAGS} -fsyntax-only ${SOURCE})
  execute_process(COMMAND ${command} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failed)
    message(NOTICE "${output}")
    message(FATAL_ERROR "${compiler}: does not compile even without SEXTANT_BAD.")
  endif()
  execute_process(COMMAND ${command} -DSEXTANT_BAD
                  RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT failed)
    message(FATAL_ERROR "${compiler}: compiles with SEXTANT_BAD, and should be refused.")
  endif()
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^// expect: " "" expected "${line}")
    string(FIND "${output}" "${expected}" position)
    if(position EQUAL -1)
      message(NOTICE "${output}")
      message(FATAL_ERROR "${compiler}: refused, but not by the sentence\n  ${expected}")
    endif()
  endforeach()
  message(STATUS "${compiler}: refused as expected")
endforeach()
