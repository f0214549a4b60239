# Stops if Doxygen warned of anything but a comment that is missing where it may: at a struct's member, and at a
# specialisation, whose template has one. Run as cmake -DWARNINGS=<file> -P CheckDocs.cmake
file(STRINGS ${WARNINGS} warnings)
list(FILTER warnings EXCLUDE REGEX "Member .* of (struct|class|union) .* is not documented")
list(FILTER warnings EXCLUDE REGEX "Member [a-z_]+< .* > .* is not documented")
list(REMOVE_DUPLICATES warnings)
if(warnings)
  list(LENGTH warnings count)
  list(JOIN warnings "\n" text)
  message(NOTICE "${text}")
  message(FATAL_ERROR "Doxygen warns ${count} times.")
endif()
