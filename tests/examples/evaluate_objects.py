# SPDX-License-Identifier: Apache-2.0
"""What runs per token stands in the files of `evaluate` that are compiled with all optimisation, and in no other.

Usage: evaluate_objects.py OBJECT...
"""
import os
import re
import shutil
import subprocess
import sys

if shutil.which("nm") is None:
    print("nm is not here: nothing is checked")
    sys.exit(0)

PER_TOKEN = re.compile(r"\b(gate_box|map_row|map_product_row|load_row|store_row|recurrence|run_form|memory_of|gate_tiles|"
                       r"read_mapped|finisher|multiply)<")
designs, forms = 0, 0
for path in sys.argv[1].split(";") if len(sys.argv) == 2 else sys.argv[1:]:
    if path.endswith(".cu.o"):  # kernels are compiled with all optimisation everywhere
        continue
    listing = subprocess.run(["nm", "--demangle", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    bodies = [line for line in listing.splitlines() if PER_TOKEN.search(line)]
    if os.path.basename(path).startswith("forms_"):
        forms += 1
        assert len(bodies) > 50, (path, len(bodies))
    else:
        designs += os.path.basename(path).startswith(("product_", "presets_"))
        assert not bodies, (path, len(bodies), bodies[0])
assert designs == 24 and forms == 2, (designs, forms)
print(designs, "files of designs hold nothing that runs per token")
