# Builds the consumer's program by pkg-config alone: build.sh <compiler and flags> <consumer folder> <prefix> <program>
set -eu
export PKG_CONFIG_PATH="$3/share/pkgconfig"
$1 $(pkg-config --cflags 'sextant >= 0.1' 'sextant < 0.2') "$2/program.cpp" "$2/other.cpp" -o "$4"
