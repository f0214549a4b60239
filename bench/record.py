# SPDX-License-Identifier: Apache-2.0
"""Runs benchmarks and records their best and median times under bench/results/, one JSON file per programme of rows.

    python3 bench/record.py build/bench cpu [--filter REGEX] [--repetitions 20] [--output FILE]
    python3 bench/record.py build/bench cuda [--filter REGEX]
    python3 bench/record.py --from RUNS.json [--peers PEERS.json] [--results FOLDER]

The folder is a build with SEXTANT_BENCH=ON; `cpu` names the programs sextant_bench_cpu_*. Each row carries the benchmark's
name (design/form/backend/precision/shape), best_ms, median_ms and its counters; the file the processor, date and commit.

`cuda` runs sextant_bench_cuda_* on this machine's GPU. Each program has a file of its own in the folder of the GPU, such as
h200/chunked.json; a row there has the form that ran, the floor, what binds it and the fraction of it too. --from records
what these programs wrote elsewhere: Google Benchmark's JSON, or {"runs": [...]} of several; the commit is that of their
context (--benchmark_context=commit=...), or else this folder's. --peers puts a list of the peers' times (bench/gpu_report.py
says of what) into peers.json: new ones replace older ones of the same peer, case, shape and precision.
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


def head():
    done = subprocess.run(["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def output_of(program, only, *options):
    """What a program of benchmarks writes, read; None where nothing matches the filter."""
    command = [str(program), "--benchmark_format=json", f"--benchmark_filter={only}", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{program.name}: {done.stderr.strip()}")
    start = done.stdout.find("{")
    return json.loads(done.stdout[start:]) if start >= 0 else None


def iterations(run):
    """(name, row) of the benchmarks of a run; those that failed are named and left out."""
    for b in run["benchmarks"]:
        name = re.sub(r"(/iterations:\d+)?/(real|manual)_time$", "", b["run_name"])
        if b.get("error_occurred"):
            print(f"{name}: {b.get('error_message', 'failed')}", file=sys.stderr)
        elif b.get("run_type") == "iteration":
            yield name, b


def cpu_rows(run):
    times, rows = collections.defaultdict(list), {}
    for name, b in iterations(run):
        times[name].append(b["real_time"])
        rows[name] = b
    return [{"name": name, "label": rows[name].get("label", ""), "best_ms": round(min(t), 5),
             "median_ms": round(statistics.median(t), 5), "tokens": rows[name].get("tokens"),
             "flops": rows[name].get("flops"), "bytes": rows[name].get("bytes"), "workspace": rows[name].get("workspace")}
            for name, t in times.items()]


# Counters that a row of a GPU has where its benchmark has them, and decimals that are kept of them.
COUNTERS = {"cold_ms": 5, "floor_ms": 5, "of_floor": 4, "bytes": 0, "flops": 0, "exps": 0, "workspace": 0, "launches": 2,
            "images": 1, "tokens_per_s": 1, "memory_mb": 1}


def cuda_rows(run):
    """A benchmark's time is the median of its replays; of repeated benchmarks, the median one. Rows stand in the order of
    registration, also where benchmarks ran in another (--benchmark_enable_random_interleaving=true)."""
    times, rows = collections.defaultdict(list), {}
    for name, b in sorted(iterations(run), key=lambda named: named[1].get("family_index", 0)):
        times[name].append(b)
    for name, all_of_it in times.items():
        b = sorted(all_of_it, key=lambda one: one["real_time"])[len(all_of_it) // 2]
        *titles, binds = b.get("label", "").split("; ")
        title, form = (titles + ["", ""])[:2]
        rows[name] = {"name": name, "label": title, "form": form, "binds": binds.removeprefix("bound by "),
                      "median_ms": round(b["real_time"], 5), "best_ms": round(min(o["best_ms"] for o in all_of_it), 5)}
        for counter, places in COUNTERS.items():
            if counter in b:
                rows[name][counter] = round(b[counter], places) if places else b[counter]
    return list(rows.values())


def record_cuda(runs, results):
    """One file per program; a program whose benchmarks all failed leaves its file as it is."""
    for run in runs:
        context, rows = run["context"], cuda_rows(run)
        program = re.sub(r"^sextant_bench_cuda_", "", pathlib.Path(context["executable"]).name)
        if not rows:
            print(f"{program}: no rows", file=sys.stderr)
            continue
        record = {"gpu": context["gpu"], "date": context["date"][:10], "commit": context.get("commit") or head(), "rows": rows}
        write(results / context["gpu"].split()[-1].lower() / f"{program}.json", record)


def record_peers(new, results):
    """Older rows that the new ones do not replace stay."""
    fields = ("peer", "case", "shape", "dtype", "median_ms", "cold_ms", "ratio_to_ours", "workspace", "date", "gpu", "version")

    def case(row):
        return row["case"], row["shape"], row["dtype"], row["peer"]

    path = results / "h200" / "peers.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    have = {case(row) for row in new}
    rows = sorted(new + [row for row in old if case(row) not in have], key=case)
    lines = (" " + json.dumps({f: row[f] for f in fields if f in row}) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    print(f"{path}: {len(new)} new, {len(rows)} in all")


def write(path, record):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {len(record['rows'])} rows")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("build", type=pathlib.Path, nargs="?")
    arguments.add_argument("family", nargs="?")
    arguments.add_argument("--from", type=pathlib.Path, dest="written")
    arguments.add_argument("--peers", type=pathlib.Path)
    arguments.add_argument("--results", type=pathlib.Path, default=root / "bench" / "results")
    arguments.add_argument("--filter", default=".*")
    arguments.add_argument("--repetitions", type=int, default=20)
    arguments.add_argument("--output", type=pathlib.Path)
    given = arguments.parse_args()
    if given.peers:
        record_peers(json.loads(given.peers.read_text(encoding="utf-8")), given.results)
    if given.written:
        read = json.loads(given.written.read_text(encoding="utf-8"))
        record_cuda(read.get("runs", [read]), given.results)
    if given.peers or given.written:
        return
    if not given.build or not given.family:
        arguments.error("a folder and a family, or --from")
    programs = sorted(p for p in given.build.rglob(f"sextant_bench_{given.family}_*") if p.is_file() and p.suffix == "")
    if not programs:
        sys.exit(f"{given.build}: no programs sextant_bench_{given.family}_*")
    if given.family == "cuda":
        record_cuda([run for p in programs if (run := output_of(p, given.filter))], given.results)
        return
    options = [f"--benchmark_repetitions={given.repetitions}", "--benchmark_min_time=0.02"]
    record = {"processor": processor(), "threads": len(os.sched_getaffinity(0)),
              "date": datetime.date.today().isoformat(), "commit": head(),
              "rows": [row for p in programs if (run := output_of(p, given.filter, *options)) for row in cpu_rows(run)]}
    write(given.output or given.results / given.family / "forward.json", record)


if __name__ == "__main__":
    main()
