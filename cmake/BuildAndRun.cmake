# Compiles one source with one compiler and runs the program. Run by ctest:
#   cmake -DCOMPILER=... -DFLAGS=x|y -DSOURCE=... -DPROGRAM=... -P BuildAndRun.cmake
cmake_policy(VERSION 3.25)
string(REPLACE "|" ";" FLAGS "${FLAGS}")
execute_process(COMMAND ${COMPILER} ${FLAGS} ${SOURCE} -o ${PROGRAM}
                RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(failed)
  message(NOTICE "${output}")
  message(FATAL_ERROR "${SOURCE} does not compile with ${COMPILER}.")
endif()
execute_process(COMMAND ${PROGRAM} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "${PROGRAM} ends with ${failed}.")
endif()
