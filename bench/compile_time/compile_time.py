# SPDX-License-Identifier: Apache-2.0
"""What including Sextant and calling it cost a compiler: user seconds, the median of some runs, and a budget.

    python3 bench/compile_time/compile_time.py [--compiler g++] [--runs 7] [--json FILE]
    python3 bench/compile_time/compile_time.py --compiler nvcc [--runs 3] [--json FILE]

Exits 1 where a budget is broken. With a C++ compiler, -O2: sextant.hpp may cost 0.5 s more than an empty file, and one fp32
instantiation of forward 3 s more than that. With nvcc, -O3 for one GPU: the CUDA headers and one instantiation of forward
may cost 6 s more than an empty file. Seconds are the compiler's own processor time, so that other work on the machine
counts little.
"""
import argparse
import datetime
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

include = pathlib.Path(__file__).resolve().parents[2] / "include"

CALL = """#include <sextant/sextant.hpp>
bool call(const sextant::sequence<decltype(sextant::DESIGN), sextant::PRECISION>& x, sextant::cpu::parallel on) {
  return bool(forward(sextant::DESIGN, on, x));
}
"""


CUDA_CALL = """#include <sextant/cuda/forward.cuh>
#include <sextant/design/presets.hpp>
bool call(const sextant::sequence<decltype(sextant::DESIGN), sextant::PRECISION>& x, const sextant::gpu::stream& on) {
  return bool(forward(sextant::DESIGN, on, x));
}
"""


def call(design, precision="fp32", text=CALL):
    return text.replace("DESIGN", design).replace("PRECISION", precision)


def cuda_call(design, precision="bf16"):
    return call(design, precision, CUDA_CALL)


PROGRAMS = {
    "empty file": "",
    "#include <cmath>": "#include <cmath>\n",
    "#include <sextant/sextant.hpp>": "#include <sextant/sextant.hpp>\n",
    "forward(mamba, fp32)": call("mamba"),
    "forward(mamba2, fp32)": call("mamba2"),
    "forward(gla, fp32)": call("gla"),
    "forward(mila, fp32)": call("mila"),
    "forward(mlstm, fp32)": call("mlstm"),
    "forward(mamba2, fp64)": call("mamba2", "fp64"),
}
CUDA_PROGRAMS = {
    "empty file": "",
    "#include <sextant/cuda/forward.cuh>": "#include <sextant/cuda/forward.cuh>\n",
    "forward(mamba, bf16)": cuda_call("mamba"),
    "forward(mamba, fp32)": cuda_call("mamba", "fp32"),
    "forward(mamba2, bf16)": cuda_call("mamba2"),
    "forward(linear_attention, bf16)": cuda_call("linear_attention"),
    "forward(retnet, bf16)": cuda_call("retnet"),
    "forward(gla, bf16)": cuda_call("gla"),
    "forward(mlstm, bf16)": cuda_call("mlstm"),
    "forward(mila, bf16)": cuda_call("mila"),
}
INCLUDE_BUDGET, CALL_BUDGET, CUDA_BUDGET = 0.5, 3.0, 6.0
FLAGS = ["-O2", "-march=native", "-fopenmp"]
CUDA_FLAGS = ["-O3", "--expt-relaxed-constexpr", "-gencode", "arch=compute_90a,code=sm_90a"]


def is_cuda(compiler):
    return pathlib.Path(compiler).name.startswith("nvcc")


def budget_of(what, rows, cuda):
    if cuda:
        return rows["empty file"] + CUDA_BUDGET if "forward(" in what else None
    if what.endswith("sextant.hpp>"):
        return rows["empty file"] + INCLUDE_BUDGET
    return rows["#include <sextant/sextant.hpp>"] + CALL_BUDGET if "forward" in what else None


def seconds(compiler, program):
    with tempfile.TemporaryDirectory() as folder:
        cuda = is_cuda(compiler)
        source = pathlib.Path(folder) / ("program.cu" if cuda else "program.cpp")
        source.write_text(program, encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([compiler, "-std=c++20", *(CUDA_FLAGS if cuda else FLAGS), f"-I{include}", "-c", str(source), "-o",
                        str(source.with_suffix(".o"))], check=True)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--compiler", default="g++")
    arguments.add_argument("--runs", type=int, default=7)
    arguments.add_argument("--json")
    given = arguments.parse_args()
    rows = {what: statistics.median(seconds(given.compiler, program) for _ in range(given.runs))
            for what, program in (CUDA_PROGRAMS if is_cuda(given.compiler) else PROGRAMS).items()}
    broken = []
    for what, took in rows.items():
        budget = budget_of(what, rows, is_cuda(given.compiler))
        over = budget is not None and took > budget
        broken += [what] if over else []
        print(f"{what:36} {took:6.2f} s" + (f"   budget {budget:.2f} s" if budget else "") + ("   OVER" if over else ""))
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps({"compiler": given.compiler, "runs": given.runs, "date": datetime.date.today().isoformat(),
                                                       "seconds": {w: round(s, 2) for w, s in rows.items()}}, indent=1) + "\n", encoding="utf-8")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
