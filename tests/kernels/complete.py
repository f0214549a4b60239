# SPDX-License-Identifier: Apache-2.0
"""Every kernel of the headers is among those that the other tests here compile for sm_90a.

Usage: complete.py INCLUDE FOLDER_OF_CUBINS
"""
import pathlib
import re
import sys

include, cubins = map(pathlib.Path, sys.argv[1:3])
kernels = {}
for header in sorted(include.rglob("*.cuh")):
    for declaration in re.findall(r"__global__([^{;]*)", header.read_text(encoding="utf-8")):
        declaration = re.sub(r"__launch_bounds__\((?:[^()]|\([^()]*\))*\)", "", declaration)
        kernels.setdefault(re.search(r"(\w+)\s*\(", declaration).group(1), header)
code = b"".join(cubin.read_bytes() for cubin in cubins.glob("*_sm_90a.cubin"))
missing = [f"{name} ({header})" for name, header in kernels.items() if f"{len(name)}{name}".encode() not in code]
assert len(kernels) > 30, f"only {len(kernels)} kernels in {include}"
assert not missing, "no test here compiles " + ", ".join(missing)
print(f"{len(kernels)} kernels, all compiled")
