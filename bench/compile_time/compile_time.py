# SPDX-License-Identifier: Apache-2.0
"""What including Sextant and calling it cost a compiler: user seconds of g++ -O2, the median of some runs, and a budget.

    python3 bench/compile_time/compile_time.py [--compiler g++] [--runs 7] [--json FILE]

Exits 1 where a budget is broken: sextant.hpp may cost 0.5 s more than an empty file, and one fp32 instantiation of forward
3 s more than that. Seconds are the compiler's own processor time, so that other work on the machine counts little.
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


def call(design, precision="fp32"):
    return CALL.replace("DESIGN", design).replace("PRECISION", precision)


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
INCLUDE_BUDGET, CALL_BUDGET = 0.5, 3.0


def seconds(compiler, program):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "program.cpp"
        source.write_text(program, encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([compiler, "-std=c++20", "-O2", "-march=native", "-fopenmp", f"-I{include}", "-c", str(source), "-o",
                        str(source.with_suffix(".o"))], check=True)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--compiler", default="g++")
    arguments.add_argument("--runs", type=int, default=7)
    arguments.add_argument("--json")
    given = arguments.parse_args()
    rows = {what: statistics.median(seconds(given.compiler, program) for _ in range(given.runs))
            for what, program in PROGRAMS.items()}
    empty, included = rows["empty file"], rows["#include <sextant/sextant.hpp>"]
    broken = []
    for what, took in rows.items():
        budget = empty + INCLUDE_BUDGET if what.endswith("sextant.hpp>") else included + CALL_BUDGET if "forward" in what else None
        over = budget is not None and took > budget
        broken += [what] if over else []
        print(f"{what:34} {took:6.2f} s" + (f"   budget {budget:.2f} s" if budget else "") + ("   OVER" if over else ""))
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps({"compiler": given.compiler, "runs": given.runs, "date": datetime.date.today().isoformat(),
                                                       "seconds": {w: round(s, 2) for w, s in rows.items()}}, indent=1) + "\n", encoding="utf-8")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
