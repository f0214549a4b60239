# SPDX-License-Identifier: Apache-2.0
"""Runs benchmarks and records their best and median times under bench/results/, one JSON file per programme of rows.

    python3 bench/record.py build/bench cpu [--filter REGEX] [--repetitions 20] [--output FILE]

The folder is a build with SEXTANT_BENCH=ON; `cpu` names the programs sextant_bench_cpu_*. Each row carries the benchmark's
name (design/form/backend/precision/shape), best_ms, median_ms and its counters; the file the processor, date and commit.
"""
import argparse
import collections
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[1]


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def run(program, only, repetitions):
    command = [str(program), "--benchmark_format=json", f"--benchmark_repetitions={repetitions}",
               "--benchmark_min_time=0.02", f"--benchmark_filter={only}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{program.name}: {done.stderr.strip()}")
    try:
        start = done.stdout.index("{")
    except ValueError:
        return []  # nothing matches the filter
    times, rows = collections.defaultdict(list), {}
    for b in json.loads(done.stdout[start:])["benchmarks"]:
        if b.get("run_type") != "iteration" or b.get("error_occurred"):
            continue
        name = re.sub(r"/real_time$", "", b["run_name"])
        times[name].append(b["real_time"])
        rows[name] = b
    return [{"name": name, "label": rows[name].get("label", ""), "best_ms": round(min(t), 5),
             "median_ms": round(statistics.median(t), 5), "tokens": rows[name].get("tokens"),
             "flops": rows[name].get("flops"), "bytes": rows[name].get("bytes"), "workspace": rows[name].get("workspace")}
            for name, t in times.items()]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("build", type=pathlib.Path)
    arguments.add_argument("family")
    arguments.add_argument("--filter", default=".*")
    arguments.add_argument("--repetitions", type=int, default=20)
    arguments.add_argument("--output", type=pathlib.Path)
    given = arguments.parse_args()
    programs = sorted(p for p in given.build.rglob(f"sextant_bench_{given.family}_*") if p.is_file() and p.suffix == "")
    if not programs:
        sys.exit(f"{given.build}: no programs sextant_bench_{given.family}_*")
    commit = subprocess.run(["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    record = {"processor": processor(), "threads": len(os.sched_getaffinity(0)),
              "date": datetime.date.today().isoformat(), "commit": commit.stdout.strip(),
              "rows": [row for p in programs for row in run(p, given.filter, given.repetitions)]}
    output = given.output or root / "bench" / "results" / given.family / "forward.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{output}: {len(record['rows'])} rows")


if __name__ == "__main__":
    main()
