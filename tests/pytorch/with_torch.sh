#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a script by a Python that may not be there: exit code 77 then.
if ! command -v "$1" >/dev/null; then
  echo "skipped: there is no $1: PyTorch could not be installed"
  exit 77
fi
exec "$@"
