# Installs the headers, the CMake package (findable as sextant and as Sextant) and the pkg-config file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/sextant)
install(TARGETS sextant EXPORT sextant-targets FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT sextant-targets NAMESPACE sextant:: DESTINATION ${package_dir})
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/sextant-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES cmake/sextant-config.cmake cmake/sextant-components.cmake
              ${PROJECT_BINARY_DIR}/sextant-config-version.cmake
        DESTINATION ${package_dir})

# The prefix is found from where the .pc file lies, so that an installed tree may be moved.
set(pc_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
if(IS_ABSOLUTE "${pc_dir}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(SEXTANT_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
  set(SEXTANT_PC_INCLUDEDIR ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
  file(RELATIVE_PATH up /${pc_dir} /)
  string(REGEX REPLACE "/$" "" up "${up}")
  set(SEXTANT_PC_PREFIX "\${pcfiledir}/${up}")
  set(SEXTANT_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/sextant.pc.in ${PROJECT_BINARY_DIR}/sextant.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sextant.pc DESTINATION ${pc_dir})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
