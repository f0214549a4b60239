# SPDX-License-Identifier: Apache-2.0
"""`ablation --level mixer --backend cuda`: every row in every precision against float64, with the GPU's figures; without a GPU, or in
a build without CUDA, one line and exit code 2.

Usage: ablation_cuda.py ABLATION
"""
import json
import math
import subprocess
import sys

BOUND = {"fp32": 5e-5, "fp64": 1e-12, "bf16": 5e-3, "fp16": 2e-3}
FIGURES = ("gb_per_s", "tflop_per_s", "floor_fraction")


def run(*arguments):
    return subprocess.run([sys.argv[1], "--level", "mixer", *arguments], capture_output=True, text=True, timeout=600)


def rows(*arguments):
    done = run("--format", "json", "--repeat", "3", *arguments)
    assert done.returncode == 0 and done.stderr == "", done
    return json.loads(done.stdout)


assert "cuda" in run("--help").stdout
assert not set(FIGURES) & set(rows("--backend", "cpu", "--only", "baseline")[0])

done = run("--backend", "cuda", "--only", "baseline", "--format", "json")
if done.returncode != 0:
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
    assert done.stderr.startswith("ablation: backend cuda: "), done
    if "no GPU" in done.stderr:
        print("skipped: there is no GPU here:", done.stderr.strip())
    else:
        assert "this build" in done.stderr, done
    sys.exit(0)

names = run("--list").stdout.splitlines()
for precision, bound in BOUND.items():
    found = rows("--backend", "cuda", "--precision", precision)
    assert [row["name"] for row in found] == names, found
    for row in found:
        if (precision, row["name"]) == ("fp16", "- normalisation"):
            assert row["error"] is None, row  # plain sums over the picture are past 65504, on the CPU too
        else:
            assert row["error"] is not None and 0 <= row["error"] <= bound, (precision, row)
        assert row["median_ms"] > 0 and math.isclose(row["tokens_per_s"], 3136e3 / row["median_ms"], rel_tol=1e-3), row
        assert row["gb_per_s"] > 0 and row["tflop_per_s"] > 0, row
        assert row["floor_fraction"] is None or 0 < row["floor_fraction"] < 1, row
header = run("--backend", "cuda", "--only", "baseline", "--repeat", "1").stdout.splitlines()[0]
assert "cuda (" in header and "multiprocessors" in header, header
for form in ("recurrent", "scan"):
    for row in rows("--backend", "cuda", "--form", form, "--only", "Mamba-2"):
        assert row["form"] == form and row["error"] <= BOUND["fp32"], row
done = run("--backend", "cuda", "--form", "quadratic", "--only", "RetNet")
assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
print(len(names), "rows in", len(BOUND), "precisions")
