# SPDX-License-Identifier: Apache-2.0
"""Runs the code of docs/evaluate.md as it stands there, and holds the page to what it says.

Usage: evaluate_page.py EVALUATE SOURCE_FOLDER
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

import evaluate_numpy as ref

page = (pathlib.Path(sys.argv[2]) / "docs" / "evaluate.md").read_text(encoding="utf-8")
environment = {**os.environ, "PATH": os.path.dirname(sys.argv[1]) + os.pathsep + os.environ["PATH"]}
blocks = re.findall(r"^```(python|sh)\n(.*?)^```$", page, re.M | re.S)
assert [language for language, _ in blocks] == ["python", "sh"], blocks

with tempfile.TemporaryDirectory() as folder:
    def run(*command):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stderr == "", done
        return done.stdout

    def load(name):
        return np.load(os.path.join(folder, name)).astype(np.float64)

    differences = dict(re.findall(r"(\w+) differs by (\S+)", run(sys.executable, "-c", blocks[0][1])))
    assert set(differences) == {"y", "final_state", "final_normalizer"}, differences
    assert all(float(d) <= 2e-15 for d in differences.values()), differences
    assert run("sh", "-ec", blocks[1][1]) == ""
    y = load("out/y.npy")
    assert 1e-12 < ref.error(load("rounded/y.npy"), y) <= 2e-2  # these inputs are rounded too
    assert ref.error(load("recurrent/y.npy"), y) <= 1e-12
    assert load("gla/y.npy").shape == y.shape

# "Change a line of the loop and they are not": every term counts.
for line, other in (("z = F * z + k", "z = z + k"), ("* (I * v)", "* v"), ("F[..., None] * S", "S")):
    assert line in blocks[0][1]
    with tempfile.TemporaryDirectory() as folder:
        differences = re.findall(r"differs by (\S+)", run(sys.executable, "-c", blocks[0][1].replace(line, other)))
        assert max(map(float, differences)) > 1e-3, (line, differences)

# The tables name every position and every file.
for word in (*ref.INPUTS, *ref.FORGETS, *ref.SHORTCUTS, *ref.NORMS, *ref.HEADS, *ref.MAPS, *ref.ORDERS, *ref.TOLERANCE):
    assert f"`{word}`" in page, word
named = set(re.findall(r"^ +(\w+\.npy) ", subprocess.run([sys.argv[1], "--help"], capture_output=True, text=True).stdout, re.M))
assert len(named) > 15 and all(f"`{file}`" in page for file in named), named
print("the page runs:", differences)
