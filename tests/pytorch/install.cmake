# Installs a Python package into a virtual environment of its own; says so and goes on where that can't be. Run as
#   cmake -DPYTHON=... -DFOLDER=<environment> -DPACKAGE=<name==version> -P install.cmake
foreach(python python3 ${PYTHON})  # one of a distribution may lack what venv needs
  execute_process(COMMAND ${python} -m venv ${FOLDER} RESULT_VARIABLE failed OUTPUT_VARIABLE error ERROR_VARIABLE error)
  if(NOT failed)
    break()
  endif()
endforeach()
if(NOT failed)
  # Byte code is written when it is first needed. Without an index at hand nobody waits for one.
  execute_process(COMMAND ${FOLDER}/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --retries 1
                          --timeout 20 ${PACKAGE}
                  RESULT_VARIABLE failed OUTPUT_QUIET ERROR_VARIABLE error)
endif()
if(failed)
  message(NOTICE "${PACKAGE} can't be installed, tests that need it are skipped: ${error}")
  file(REMOVE_RECURSE ${FOLDER})
endif()
file(WRITE ${FOLDER}/installed "${PACKAGE}\n")
