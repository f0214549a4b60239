# SPDX-License-Identifier: Apache-2.0
"""`ablation` on whole networks: the rows, their counts and their errors against float64, and what is refused.

Usage: ablation_networks.py ABLATION
"""
import json
import subprocess
import sys

# Parameters; multiply-accumulates with those of norms.
COUNTS = {
    "baseline": (28265032, 4462003968), "+ input gate": (28534600, 4505356032), "+ forget gate": (28680328, 4825679616),
    "+ shortcut": (28269448, 4462003968), "- normalisation": (28265032, 4460573952), "- multi-head": (24226504, 3858753600),
    "+ block design, all": (32648776, 5267178240), "+ block design, sub": (30470152, 4821690624),
    "+ APE": (29695048, 4462003968), "+ LePE": (28309192, 4474874112), "+ CPE": (28309192, 4474874112),
    "+ RoPE": (28265032, 4462003968), "MILA-T": (24392200, 4156489728)}


def run(*arguments):
    return subprocess.run([sys.argv[1], *arguments], capture_output=True, text=True, timeout=600)


def rows(*arguments):
    done = run("--format", "json", "--repeat", "1", *arguments)
    assert done.returncode == 0 and done.stderr == "", done
    return json.loads(done.stdout)


assert run("--list").stdout.splitlines() == list(COUNTS)
for pattern in ("- multi-head", "+ CPE", "MILA-T"):
    (row,) = rows("--only", pattern)
    assert (row["name"], row["params"], row["macs"]) == (pattern, *COUNTS[pattern]), row
    assert 0 <= row["error"] <= 2e-6 and row["median_ms"] > 0 and row["relative_speed"] > 0, row
    assert row["paper_top1"] > 70 and (row["paper_images_per_s"] is None) == (pattern == "MILA-T"), row
(row,) = rows("--only", "baseline", "--precision", "fp64", "--batch", "2", "--backend", "cpu_serial")
assert row["error"] <= 1e-12 and row["relative_speed"] == 1 and row["params"] == COUNTS["baseline"][0], row

for refused in (["--form", "chunked"], ["--tokens", "7"], ["--precision", "bf16"], ["--only", "no such row"],
                ["--level", "mixer", "--batch", "3"], ["--level", "block"]):
    done = run(*refused)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
for precision, bound in (("bf16", 5e-2), ("fp16", 1e-2), ("fp32", 2e-5)):
    done = run("--backend", "cuda", "--precision", precision, "--batch", "2", "--only", "MILA-T", "--format", "json")
    if done.returncode == 0:
        (row,) = json.loads(done.stdout)
        assert row["error"] <= bound and row["images_per_s"] > 0, row
    else:
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
        assert done.stderr.startswith("ablation: backend cuda: "), done
        assert "no GPU" in done.stderr or "this build" in done.stderr, done
print(len(COUNTS), "networks")
