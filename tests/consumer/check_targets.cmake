# Stops if Sextant, as a sub-project in <folder>, defines any target besides the library.
function(check_targets folder)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  get_property(subfolders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  if(NOT targets STREQUAL "sextant" OR subfolders)
    message(FATAL_ERROR "As a sub-project Sextant should define the target sextant alone; "
                        "it defines '${targets}' and adds the folders '${subfolders}'.")
  endif()
  get_target_property(type sextant::sextant TYPE)
  if(NOT type STREQUAL "INTERFACE_LIBRARY")
    message(FATAL_ERROR "sextant::sextant is a ${type}.")
  endif()
endfunction()
