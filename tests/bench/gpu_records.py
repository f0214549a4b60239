# SPDX-License-Identifier: Apache-2.0
"""Runs of the GPU's benchmarks become records, and records beside the peers' times become tables."""
import json
import pathlib
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
bench = here.parents[1] / "bench"


def call(*words):
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=True)


def holds(what, text):
    if what not in text:
        sys.exit(f"'{what}' is not in:\n{text}")


with tempfile.TemporaryDirectory() as folder:
    results = pathlib.Path(folder)
    done = call(bench / "record.py", "--from", here / "runs.json", "--results", results)
    holds("B1_T7_Hk1_H32_K128_V64: out of memory", done.stderr)
    record = json.loads((results / "h200" / "chunked.json").read_text(encoding="utf-8"))
    assert record["gpu"] == "NVIDIA H200" and record["date"] == "2026-01-02" and record["commit"] == "0123abc"
    (row,) = record["rows"]
    assert row["name"] == "mamba2/automatic/gpu::stream/bf16/B8_T4096_Hk1_H32_K128_V64" and row["binds"] == "memory"
    assert row["median_ms"] == 0.2 and row["best_ms"] == 0.19 and row["form"] == "chunked"

    ours = {"case": "mamba2", "shape": "B8_T4096_Hk1_H32_K128_V64", "dtype": "bf16"}
    ours |= {"date": "2026-01-01", "version": "v1", "gpu": "NVIDIA H200"}
    peers = [{"peer": "slow", **ours, "median_ms": 1.0},
             {"peer": "quick", **ours, "median_ms": 0.5, "ratio_to_ours": 2.4, "cold_ms": 0.8},
             {"peer": "another", **ours, "dtype": "fp32", "median_ms": 0.1}]
    old = [{"peer": "slow", **ours, "median_ms": 9.0}, {"peer": "slow", **ours, "case": "gla", "median_ms": 9.0}]
    for rows in (old, peers):
        (results / "new.json").write_text(json.dumps(rows), encoding="utf-8")
        call(bench / "record.py", "--peers", results / "new.json", "--results", results)
    kept = json.loads((results / "h200" / "peers.json").read_text(encoding="utf-8"))
    assert [(p["case"], p["median_ms"]) for p in kept if p["peer"] == "slow"] == [("gla", 9.0), ("mamba2", 1.0)]
    assert len(kept) == 4
    line = "| `mamba2` | B8 T4096 H32 K128 V64, 1 q and k | bf16 | 0.200 | 0.075 | 38 % | "
    line += "quick | 0.500 | 2.40x | 0.250 | 0.800 | 3.20x |"
    holds(line, call(bench / "report.py", "--results", results, "--print", "gpu").stdout)
    both = call(bench / "report.py", "--results", results, "--print", "gpu_prefill").stdout
    holds(line, both)
    holds("| slow | 1.000 | 5.00x | 0.250 | - | - |", both)
    holds("Peers: v1 (2026-01-01)", both)
    assert "another" not in both
    short = [{"peer": "quick", **ours, "case": "gla", "shape": "B1_T512_Hk16_H16_K128_V128", "median_ms": 0.024}]
    (results / "new.json").write_text(json.dumps(short), encoding="utf-8")
    call(bench / "record.py", "--peers", results / "new.json", "--results", results)
    holds("| `gla` | B1 T512 H16 K128 V128 | 2 | 0.03 | quick | 0.024 | 1.25 |",
          call(bench / "report.py", "--results", results, "--print", "gpu_small").stdout)
    holds("| `mila_t` | bf16 | 128 | 224 | 6.400 | 20,000 | 490 |",
          call(bench / "report.py", "--results", results, "--print", "gpu_networks").stdout)
    aims = call(bench / "report.py", "--results", results, "--print", "aims_times", "aims_ratios").stdout
    holds("| `mamba2` | B8 T4096 H32 K128 V64, 1 q and k | bf16 | 0.105 | 0.200 | 0.250 | missed: [chunked_wgmma](", aims)
    holds("| `mamba2` | B8 T4096 H32 K64 V64, 1 q and k | bf16 | 0.086 | - | - | not measured |", aims)
    holds("| CUTLASS | 2.5x | - | - | - | not measured |", aims)
    new = [{"peer": "CUTLASS 111", **ours, "median_ms": 0.51, "cold_ms": 0.6}]
    (results / "new.json").write_text(json.dumps(new), encoding="utf-8")
    call(bench / "record.py", "--peers", results / "new.json", "--results", results)
    holds("| CUTLASS 111 | 2.5x | 2.55x | 2.40x | 6.80x | met |",
          call(bench / "report.py", "--results", results, "--print", "aims_ratios").stdout)
    language = call(bench / "report.py", "--results", results, "--print", "gpu_language").stdout
    holds("| `mamba_130m` | bf16 | decode | 128 | 0.500 | 0.100 | 20 % | 256,000 | 172 | 700 |", language)
    holds("| `mamba_130m` | bf16 | 2048 tokens | 1 | 4.000 | 1.000 | 25 % | 512,000 | 172 | 300 |", language)
    holds("| `linear:gelu` | bf16 | 100352 128-512 | 0.05 | 0.04 | 80 % |",
          call(bench / "report.py", "--results", results, "--print", "gpu_blocks").stdout)
    (row,) = json.loads((results / "h200" / "blocks.json").read_text(encoding="utf-8"))["rows"]
    assert row["binds"] == "matrix units" and row["label"] == ""
    # Once and a half the floor allows more than 1.15; the same floor does not.
    flipped = call(bench / "report.py", "--results", results, "--print", "gpu_ablation").stdout
    holds("| chunked | 0.290 | 0.150 | 1.45 | 1.72 | yes |", flipped)
    holds("| recurrent | 0.240 | 0.100 | 1.20 | 1.15 | no |", flipped)

with tempfile.TemporaryDirectory() as folder:
    results = pathlib.Path(folder)
    (results / "h200").mkdir()

    def measured(program, *rows):
        shown = [{"name": f"{case}/automatic/gpu::stream/bf16/{shape}", "label": case, "form": "chunked", "binds": "memory",
                  "median_ms": ms, "best_ms": ms, "floor_ms": 0.1, "of_floor": 0.1 / ms, "workspace": 5e6} for case, shape, ms in rows]
        record = {"gpu": "NVIDIA H200", "date": "2026-01-02", "commit": "0123abc", "rows": shown}
        (results / "h200" / f"{program}.json").write_text(json.dumps(record), encoding="utf-8")

    measured("long", ("gla", "B1_T4096_Hk16_H16_K128_V128", 0.2), ("gla", "B1_T8192_Hk16_H16_K128_V128", 0.2))
    text = call(bench / "report.py", "--results", results, "--print", "gpu_growth").stdout
    holds("| design | shape | 4k | 8k |", text)
    holds("| `gla` | B1 H16 K128 V128 | 0.200 | 0.200 |\n| | | 2.00 | 1.00 |", text)

    measured("second_order", ("two_mamba", "B1_T8192_Hk2_H2_K64_V64", 0.2), ("squared", "B1_T8192_Hk2_H2_K64_V64", 0.15))
    row = "| 1, 8192 | 0.200 | 0.150 | 0.100 | {} | 5 | {} | 1.08 | 4.19 |"
    holds(row.format("- | -", "-"), call(bench / "report.py", "--results", results, "--print", "gpu_second_order").stdout)
    softmax = {"peer": "softmax", "case": "two_mamba", "shape": "B1_T8192_Hk2_H2_K64_V64", "dtype": "bf16", "median_ms": 0.5,
               "workspace": 1e6, "date": "2026-01-01", "version": "v2", "gpu": "NVIDIA H200"}
    (results / "new.json").write_text(json.dumps([softmax]), encoding="utf-8")
    call(bench / "record.py", "--peers", results / "new.json", "--results", results)
    text = call(bench / "report.py", "--results", results, "--print", "gpu_second_order").stdout
    holds(row.format("0.500 | 2.50x", "1"), text)
    holds("Softmax: softmax, v2 (2026-01-01)", text)
