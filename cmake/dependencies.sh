#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what Sextant's builds need and the machine lacks, by apt-get (Debian 12, Ubuntu 24.04 or newer).
#   sh cmake/dependencies.sh          for the examples
#   sh cmake/dependencies.sh tests    for the tests, benchmarks and docs too
# Does nothing, and asks for no rights, when all is there.
set -eu

needed="g++ cmake ninja-build make libcli11-dev libstb-dev"
wanted="" # installed if the distribution has them: checks that need them are left out otherwise
case "${1-}" in
  "") ;;
  tests)
    needed="$needed doctest-dev libeigen3-dev libbenchmark-dev python3 python3-numpy pkg-config clang ccache doxygen"
    wanted="python3-venv clang-19 libomp-19-dev libclang-rt-14-dev libclang-rt-18-dev"
    ;;
  *)
    echo "usage: sh cmake/dependencies.sh [tests]" >&2
    exit 2
    ;;
esac

if ! command -v apt-get >/dev/null; then
  echo "There is no apt-get here. What these packages hold is needed, however it is installed: $needed" >&2
  exit 0
fi

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
missing() {
  for package in "$@"; do
    installed "$package" || printf '%s ' "$package"
  done
}

# shellcheck disable=SC2086  # the lists are words on purpose
[ -n "$(missing $needed $wanted)" ] || exit 0

root() {
  if [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo DEBIAN_FRONTEND=noninteractive "$@"
  fi
}
offered() { apt-cache show --no-all-versions "$1" >/dev/null 2>&1; }

# shellcheck disable=SC2086
if [ -z "$(missing $needed)" ]; then
  # Only extras are missing. Without a list of packages that has them there is nothing to do.
  any=""
  for package in $(missing $wanted); do
    ! offered "$package" || any=yes
  done
  [ -n "$any" ] || exit 0
fi
root apt-get update -q
# shellcheck disable=SC2086
packages=$(missing $needed)
# shellcheck disable=SC2086
for package in $(missing $wanted); do
  if offered "$package"; then
    packages="$packages $package"
  fi
done
# shellcheck disable=SC2086
root apt-get install -q -y --no-install-recommends $packages
