# SPDX-License-Identifier: Apache-2.0
"""`classify --backend cuda`: every network in every precision of the build against the CPU; without a GPU, or in a build without CUDA,
one line and exit code 2.

Usage: classify_cuda.py CLASSIFY
"""
import re
import subprocess
import sys

BOUND = {"fp32": 2e-5, "bf16": 5e-2, "fp16": 1e-2}


def run(*arguments):
    return subprocess.run([sys.argv[1], *arguments], capture_output=True, text=True, timeout=600)


def answer(*arguments):
    """Scores by class, and what is said of forget gates."""
    done = run("--top", "1000", *arguments)
    assert done.returncode == 0 and done.stderr == "", done
    lines = done.stdout.splitlines()
    gates = [float(line.rsplit(" ", 1)[1]) for line in lines[1000:]]
    return {int(line.split()[0]): float(line.split()[3]) for line in lines[:1000]}, gates


def refused(done):
    return done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1 and \
        done.stderr.startswith("classify: backend cuda: ")


built = []
for precision in BOUND:
    done = run("--backend", "cuda", "--precision", precision, "--model", "vim_t")
    if done.returncode != 0:
        assert refused(done), done
        if "no GPU" in done.stderr:
            print("skipped: there is no GPU here:", done.stderr.strip())
            sys.exit(0)
        assert "this build" in done.stderr, done
    else:
        built.append(precision)
done = run("--precision", "bf16")
assert done.returncode == 2 and "fp32" in done.stderr and done.stderr.count("\n") == 1, done
names = re.search(r"\{([a-z0-9_,]+)\}", run("--help").stdout).group(1).split(",")
assert "vmamba_t" in names, names
for name in names if built else []:
    judge, gates = answer("--model", name)
    most = max(map(abs, judge.values()))
    for precision in built:
        found, its_gates = answer("--model", name, "--backend", "cuda", "--precision", precision)
        error = max(abs(found[c] - judge[c]) for c in judge) / most
        print(name, precision, f"{error:.1e}")
        assert error <= BOUND[precision], (name, precision, error)
        assert len(gates) == len(its_gates) and all(abs(a - b) <= 2e-2 for a, b in zip(gates, its_gates)), its_gates
