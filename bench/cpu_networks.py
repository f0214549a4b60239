# SPDX-License-Identifier: Apache-2.0
"""Times whole networks on the CPU, ours and the same modules in PyTorch, eager and by torch.compile, in one run: in turns,
each round a process of its own, so that whatever else the machine does falls on all alike.

    python3 bench/cpu_networks.py build/bench [--rounds 5] [--minutes 5] [--threads 2] [--output FILE]

The Python that runs it has PyTorch (2.13 for the tables); the build has SEXTANT_BENCH=ON. PyTorch's modules are those of
tests/pytorch, which the tests hold to the same logits; their tables of rotations are made once, as the public code makes them.
Writes bench/results/cpu/networks.json after every process: of every network and kind the best of all calls and the median of
the rounds' medians. No process begins once the minutes are over; the first round times every network beside eager PyTorch
before torch.compile, which takes the longest to begin.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import record

NETWORKS = {"mila_t": lambda: __import__("mila").Mila(), "linear_swin_t": lambda: __import__("swin").Swin("baseline")}
PYTORCH = ("eager", "torch.compile")


def pytorch(name, kind, threads, seconds):
    """Milliseconds of calls on one picture of 224 x 224."""
    import torch
    sys.path.insert(0, str(record.root / "tests" / "pytorch"))
    import parts
    made, tables = parts.rotations, {}

    def rotations(*size):
        if size not in tables:
            tables[size] = made(*size)
        return tables[size]

    parts.rotations = rotations
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    network, x, times = NETWORKS[name]().eval(), torch.randn(1, 3, 224, 224), []
    with torch.inference_mode():
        if kind != "eager":
            for _ in range(2):  # the tables, before the graph is made
                network(x)
            network = torch.compile(network, fullgraph=True)
        for _ in range(5):
            network(x)
        end = time.perf_counter() + seconds
        while len(times) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            network(x)
            times.append(1e3 * (time.perf_counter() - start))
    return times


def ours(program, name, seconds):
    run = record.output_of(program, f"^{name}/fp32/B1/224/real_time$", f"--benchmark_min_time={seconds}")
    return next((row["best_ms"], row["median_ms"]) for _, row in record.iterations(run))


def theirs(command, name, kind, left):
    """The best and the median call of one process, or None where `left` seconds are too few for it."""
    try:
        done = subprocess.run([*command, "--pytorch", name, kind], capture_output=True, text=True, check=False, timeout=left)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        sys.exit(f"{name}, {kind}: {done.stderr[-2000:]}")
    times = json.loads(done.stdout.splitlines()[-1])
    return min(times), statistics.median(times)


def rows_of(times):
    return [{"network": name, "batch": 1, "pixels": 224, "by": kind, "best_ms": round(min(best for best, _ in rounds), 3),
             "median_ms": round(statistics.median(median for _, median in rounds), 3), "rounds": len(rounds)}
            for (name, kind), rounds in times.items() if rounds]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("build", type=pathlib.Path)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--minutes", type=float, default=5)
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--output", type=pathlib.Path, default=record.root / "bench/results/cpu/networks.json")
    arguments.add_argument("--pytorch", nargs=2, metavar=("NETWORK", "KIND"), help="prints these times: one round")
    given = arguments.parse_args()
    if given.pytorch:
        print(json.dumps(pytorch(*given.pytorch, given.threads, given.seconds)))
        return
    import torch
    end = time.monotonic() + 60 * given.minutes
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    cache = tempfile.TemporaryDirectory()  # of torch.compile, for all rounds: no other run's, which may be broken
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name
    program = next(given.build.rglob("sextant_bench_cpu_networks"))
    again = [sys.executable, __file__, str(given.build), "--threads", str(given.threads), "--seconds", str(given.seconds)]
    times = {(name, kind): [] for name in NETWORKS for kind in ("sextant", *PYTORCH)}
    for _ in range(given.rounds):
        for kind in PYTORCH:
            for name in NETWORKS:
                for which in ("sextant", kind):
                    left = end - time.monotonic()
                    done = None if left <= 0 else ours(program, name, given.seconds) if which == "sextant" else theirs(
                        again, name, kind, left)
                    if done is None:
                        continue
                    times[name, which].append(done)
                    print(name, which, *(f"{t:.1f}" for t in done), flush=True)
                    record.write(given.output, {
                        "processor": record.processor(), "threads": given.threads, "date": time.strftime("%Y-%m-%d"),
                        "commit": record.head(), "pytorch": torch.__version__.split("+")[0], "rows": rows_of(times)})


if __name__ == "__main__":
    main()
