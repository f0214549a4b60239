# The program evaluate, against plain NumPy.
if(TARGET evaluate)
  set(program $<TARGET_FILE:evaluate>)
  sextant_python_test(examples evaluate_switches.py ${program})
  sextant_python_test(examples evaluate_presets.py ${program})
  sextant_python_test(examples evaluate_refused.py ${program} ${PROJECT_SOURCE_DIR})
  sextant_python_test(examples evaluate_taken.py ${program})
  sextant_python_test(examples evaluate_page.py ${program} ${PROJECT_SOURCE_DIR})
  sextant_python_test(examples evaluate_objects.py "$<TARGET_OBJECTS:evaluate>")

  # The same on a GPU, where the build has CUDA and the machine one.
  if(TARGET sextant::cuda)
    foreach(name switches presets taken)
      add_test(NAME examples.evaluate_${name}_cuda
        COMMAND ${SEXTANT_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/evaluate_${name}.py ${program} --backend cuda)
      set_tests_properties(examples.evaluate_${name}_cuda PROPERTIES LABELS cuda TIMEOUT 1800
        SKIP_REGULAR_EXPRESSION "skipped: there is no GPU")
    endforeach()
  endif()

  # Every design of the product, in shares.
  sextant_find_python()
  foreach(share RANGE 3)
    add_test(NAME examples.evaluate_product_${share}
      COMMAND ${SEXTANT_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/evaluate_switches.py ${program} ${share} of 4)
    set_tests_properties(examples.evaluate_product_${share} PROPERTIES LABELS exhaustive TIMEOUT 1800)
  endforeach()
endif()
