# The warnings under which all of our own code must compile, as errors. The library's headers are reached by -I, not as
# system headers, so they are held to the same. The list serves the target and the scripts that compile by themselves.
set(SEXTANT_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wsign-conversion -Werror)

add_library(sextant_warnings INTERFACE)
target_compile_options(sextant_warnings INTERFACE ${SEXTANT_WARNINGS})
