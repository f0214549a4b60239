# SPDX-License-Identifier: Apache-2.0
"""What was aimed at on an H200 and on a CPU, beside what bench/results/ holds: bench/report.py puts it into docs/08_aims.md.

An aim is a most of milliseconds, or a least ratio of a peer's time to ours, at one case and shape. The page named last says
what limits the family, by profile or by count, and which other designs were tried; it is linked where the aim is missed.
"""
import json

import gpu_report
from gpu_report import ms, parts, shape_words

SELECTIVE, WGMMA, KEYED, GLOBAL = "selective", "chunked_wgmma", "keyed_wgmma", "global_mma"
MAMBA, MAMBA_LONG = "B8_T4096_Hk1_H1_K16_V2048", "B1_T131072_Hk1_H1_K16_V2048"
SSD_128, SSD_64 = "B8_T4096_Hk1_H32_K128_V64", "B8_T4096_Hk1_H32_K64_V64"
SSD_LONG_128, SSD_LONG_64 = "B1_T131072_Hk1_H32_K128_V64", "B1_T131072_Hk1_H64_K64_V64"
HEADS_64, HEADS_128 = "B8_T4096_Hk16_H16_K64_V64", "B8_T4096_Hk16_H16_K128_V128"
HEADS_LONG = "B1_T131072_Hk16_H16_K128_V128"
GLA_64 = "B8_T4096_Hk16_H16_K64_V128"
STEP = "_T1_Hk1_H64_K128_V64"
STAGES = ("B128_T3136_Hk2_H2_K32_V32", "B128_T784_Hk4_H4_K32_V32", "B128_T196_Hk8_H8_K32_V32", "B128_T49_Hk16_H16_K32_V32")

# (case, shape, precision, most milliseconds, page)
TIMES = [
    ("mamba", MAMBA, "bf16", 0.39, SELECTIVE), ("mamba, output gate", MAMBA, "bf16", 0.40, SELECTIVE),
    ("mamba, output gate", MAMBA, "fp32", 0.45, SELECTIVE), ("mamba", MAMBA_LONG, "bf16", 1.9, SELECTIVE),
    ("mamba2", SSD_128, "bf16", 0.105, WGMMA), ("mamba2", SSD_64, "bf16", 0.086, WGMMA),
    ("mamba2", SSD_LONG_128, "bf16", 0.55, WGMMA),
    ("plain", HEADS_64, "bf16", 0.071, WGMMA), ("plain", HEADS_128, "bf16", 0.134, WGMMA),
    ("plain, normalised", HEADS_64, "bf16", 0.076, WGMMA), ("plain, normalised", HEADS_128, "bf16", 0.145, WGMMA),
    ("plain, gate per head", HEADS_64, "bf16", 0.073, WGMMA), ("plain, gate per head", HEADS_128, "bf16", 0.136, WGMMA),
    ("retnet", HEADS_64, "bf16", 0.073, WGMMA), ("retnet", HEADS_128, "bf16", 0.136, WGMMA),
    ("plain", HEADS_LONG, "bf16", 0.75, WGMMA), ("linear_attention", HEADS_LONG, "bf16", 0.75, WGMMA),
    ("gla", HEADS_128, "bf16", 0.26, KEYED), ("gla", GLA_64, "bf16", 0.19, KEYED), ("gla", HEADS_LONG, "bf16", 1.3, KEYED),
    *(("mila, no shortcut", shape, "bf16", most, GLOBAL) for shape, most in zip(STAGES, (0.070, 0.040, 0.025, 0.018))),
    *(("mila", shape, "bf16", 1.25 * most, GLOBAL) for shape, most in zip(STAGES, (0.070, 0.040, 0.025, 0.018))),
    ("mamba2/step", "B128" + STEP, "bf16", 0.142, "decode"), ("mamba2/step", "B128" + STEP, "bf16, bf16 state", 0.074, "decode"),
    ("mamba2/step", "B8" + STEP, "bf16", 0.011, "decode"), ("mamba2/step", "B1" + STEP, "bf16", 0.0032, "decode"),
]

# (case, shape, precision, how a peer's name begins, least ratio, page): the quickest of the peers so named counts
RATIOS = [
    ("mamba", MAMBA, "bf16", "mamba CUDA", 2.7, SELECTIVE),
    ("mamba", "B8_T2048_Hk1_H1_K16_V1536", "bf16", "mamba CUDA", 3.0, SELECTIVE),
    ("mamba", "B8_T4096_Hk1_H1_K64_V2048", "bf16", "mamba CUDA", 3.0, SELECTIVE),
    ("mamba", "B1_T4096_Hk1_H1_K16_V2048", "bf16", "mamba CUDA", 1.5, SELECTIVE),
    ("mamba2", SSD_128, "bf16", "mamba Triton", 8.0, WGMMA), ("mamba2", SSD_128, "bf16", "fla", 5.0, WGMMA),
    ("mamba2", SSD_128, "bf16", "CUTLASS", 2.5, WGMMA), ("mamba2", SSD_64, "bf16", "ThunderKittens", 1.8, WGMMA),
    ("retnet", HEADS_128, "bf16", "ThunderKittens", 1.8, WGMMA), ("mamba2", SSD_LONG_64, "bf16", "ThunderKittens", 5.0, WGMMA),
    ("plain", HEADS_64, "bf16", "fla", 1.5, WGMMA), ("plain", HEADS_128, "bf16", "fla", 3.5, WGMMA),
    ("mlstm, sigmoid input gate, no norm", "B8_T8192_Hk16_H16_K128_V256", "bf16", "mlstm siging", 3.0, WGMMA),
    ("gla", HEADS_128, "bf16", "fla", 5.0, KEYED), ("gla", GLA_64, "bf16", "fla", 5.0, KEYED),
    ("mila, no shortcut", STAGES[0], "bf16", "MLLA, torch.compile", 7.0, GLOBAL),
    *(("mamba2/step", batch + STEP, precision, "flashinfer", 1.0, "decode")
      for batch in ("B128", "B8", "B1") for precision in ("bf16", "bf16, bf16 state")),
]
PROGRAMS = ("selective", "chunked", "keyed", "global", "decode", "long", "small")
ABLATIONS = {"linear_attention": WGMMA, "mamba": SELECTIVE, "mamba2": WGMMA, "gla": KEYED}
SECOND_ORDER_FLOORS = 2.0  # of the floor
COMPILE_SECONDS = 6.0  # of nvcc, beyond an empty file
# Depthwise 3x3 of 64 pictures and the causal convolution of B8 T4096 C2048, bf16: a quarter over this many milliseconds
CONVOLUTIONS = {"depthwise_3x3+x/bf16/B64/56x56/C64": 0.0119, "depthwise_3x3+x/bf16/B64/28x28/C128": 0.006,
                "depthwise_3x3+x/bf16/B64/14x14/C256": 0.003, "depthwise_3x3+x/bf16/B64/7x7/C512": 0.0015,
                "causal_conv1d/bf16/B8/T4096/C2048": 0.062}


def limits(page):
    """The link to what limits a family."""
    return f"[{page}](kernels/{page}.md#what-limits-it)"


def verdict(met, page, within_floor=True):
    """What a row ends with; `within_floor` is whether a kernel that takes its floor would meet the aim."""
    return "met" if met else f"missed: {limits(page)}" if within_floor else f"missed, and beyond the floor: {limits(page)}"


def line(*cells):
    return "| " + " | ".join(cells) + " |"


def rows(results):
    """Our recorded rows by (case, shape, precision): where two programs time the same, the first in PROGRAMS."""
    found = {}
    for program in PROGRAMS:
        for row in (gpu_report.load(results, program) or {"rows": []})["rows"]:
            found.setdefault(parts(row["name"]), row)
    return found


def times(results):
    found = rows(results)
    lines = ["| design | shape | io | at most, ms | measured | one call | |", "|---" * 7 + "|"]
    for case, shape, precision, most, page in TIMES:
        row = found.get((case, shape, precision))
        cells = [f"`{case}`", shape_words(shape), precision, f"{most:.3g}"]
        if row:
            cold = row.get("cold_ms")
            cells += [ms(row["median_ms"]), ms(cold) if cold else "-", verdict(row["median_ms"] <= most, page)]
        else:
            cells += ["-", "-", "not measured"]
        lines.append(line(*cells))
    return lines


def ratios(results):
    found, peers = rows(results), gpu_report.load(results, "peers") or []
    lines = ["| design | shape | io | peer | at least | measured | one call | its time / floor | |", "|---" * 9 + "|"]
    for case, shape, precision, name, least, page in RATIOS:
        row = found.get((case, shape, precision))
        beside = [p for p in gpu_report.beside(row, peers) if p[0]["peer"].startswith(name)] if row else []
        cells = [f"`{case}`", shape_words(shape), precision, name, f"{least:g}x"]
        if beside:
            peer, ratio = beside[0]
            cold, ours = min((p["cold_ms"] for p, _ in beside if p.get("cold_ms")), default=None), row.get("cold_ms")
            cells[3] = peer["peer"]
            most = peer["median_ms"] / row["floor_ms"]
            cells += [f"{ratio:.2f}x", f"{cold / ours:.2f}x" if cold and ours else "-", f"{most:.2f}x",
                      verdict(ratio >= least, page, most >= least)]
        else:
            cells += ["-", "-", "-", "not measured"]
        lines.append(line(*cells))
    return lines


def second_order(results):
    lines = []
    for row in (gpu_report.load(results, "second_order") or {"rows": []})["rows"]:
        case, shape, _ = parts(row["name"])
        if case == "two_mamba":
            times_floor = row["median_ms"] / row["floor_ms"]
            lines.append(line(f"`{case}`, {shape_words(shape)}: {SECOND_ORDER_FLOORS:g} times its floor", ms(row["floor_ms"]),
                              f"{ms(row['median_ms'])}, {times_floor:.2f} times",
                              verdict(times_floor <= SECOND_ORDER_FLOORS, "second_order")))
    return lines


def convolutions(results):
    lines = []
    for row in (gpu_report.load(results, "blocks") or {"rows": []})["rows"]:
        if row["name"] in CONVOLUTIONS:
            name, precision, *size = row["name"].split("/")
            most = 1.25 * CONVOLUTIONS[row["name"]]
            lines.append(line(f"`{name}`, {precision}, {' '.join(size)}: {most:.3g} ms", ms(row["floor_ms"]),
                              ms(row["median_ms"]), verdict(row["median_ms"] <= most, "blocks", row["floor_ms"] <= most)))
    return lines


def ablations(results):
    lines = []
    for name, page in ABLATIONS.items():
        record = gpu_report.load(results, f"ablation_{name}")
        if not record:
            continue
        flipped = list(gpu_report.ablation_rows(record))[1:]
        over = [f"{parts(row['name'])[0].rpartition('other ')[2]} {ratio:.2f}" for row, ratio, may in flipped if ratio > may]
        within = f"{len(flipped) - len(over)} of {len(flipped)} within" + (f"; {', '.join(over)}" if over else "")
        lines.append(line(f"`{name}`, one switch flipped: {gpu_report.ALLOWED} times the preset, more where the floor is higher",
                          "", within, verdict(not over, page)))
    return lines


def short(results):
    """Calls of one short sequence beside their quickest peers, by the rows of gpu_report.small."""
    cells = [[cell.strip() for cell in text.split("|")[1:-1]] for text in gpu_report.small(results)[4:] if text.startswith("|")]
    compared, counted = [c for c in cells if c[-1] != "-"], [c for c in cells if c[2] != "-"]
    slow = [c for c in compared if float(c[-1]) > gpu_report.ALLOWED_SMALL]
    many = [c for c in counted if float(c[2]) > 2]
    where = "[one short sequence](04_performance.md#growth-with-t)"
    lines = []
    if compared:
        most = max(compared, key=lambda c: float(c[-1]))
        lines.append(line(f"one sequence of up to 4096 tokens: {gpu_report.ALLOWED_SMALL} times the quickest peer", "",
                          f"at most {most[-1]} ({most[0]}, {most[1]})", "met" if not slow else f"missed: {where}"))
    if counted:
        lines.append(line("the same: two launches", "", ", ".join(f"{c[0]}, {c[1]}: {c[2]}" for c in many) or "at most 2",
                          "met" if not many else f"missed: {where}"))
    return lines


def compiler(results):
    seconds = (gpu_report.load(results, "compile_time") or {"seconds": {}})["seconds"]
    more = {what: s - seconds["empty file"] for what, s in seconds.items() if what.startswith("forward")}
    return [line(f"nvcc, `{what}`: {COMPILE_SECONDS:g} s beyond an empty file", "", f"{s:.1f} s",
                 "met" if s <= COMPILE_SECONDS else "missed: [where the time goes](04_performance.md#compile-time)")
            for what, s in more.items()]


def others(results):
    """Aims that are neither a time nor a ratio: of floors, of convolutions, of presets, of the compiler."""
    parts_of_it = (second_order, convolutions, ablations, short, compiler)
    return ["| aim | floor, ms | measured | |", "|---" * 4 + "|", *(text for part in parts_of_it for text in part(results))]


def networks(results):
    """Whole networks on an H200, and MILA-T on a CPU beside PyTorch."""
    record = {row["name"]: row for row in (gpu_report.load(results, "networks") or {"rows": []})["rows"]}
    peers = [p for p in gpu_report.load(results, "peers") or [] if p["shape"] == "B128_side224" and "compile" in p["peer"]]
    lines = ["| aim | measured | |", "|---" * 3 + "|"]

    def add(aim, measured, met, page="blocks"):
        lines.append(line(aim, measured, verdict(met, page)))

    one, many = record.get("mila_t/bf16/B1/224"), record.get("mila_t/bf16/B128/224")
    if one and many:
        add("MILA-T, batch 128: 20,300 pictures a second", f"{many['images']:,.0f}", many["images"] >= 20300)
        add("its memory: half of the public code's 1001 MB", f"{many['memory_mb']:.0f} MB", many["memory_mb"] <= 500.5)
        add("batch 1 in a graph: 1.0 ms", f"{ms(one['median_ms'])} ms", one["median_ms"] <= 1.0)
    if many and peers:
        ratio = peers[0]["median_ms"] / many["median_ms"]
        add("batch 128: 2.4 times the public MLLA code under torch.compile", f"{ratio:.2f} times", ratio >= 2.4)
    base, gated = record.get("linear_swin_t/bf16/B128/224"), record.get("linear_swin_t + forget gate/bf16/B128/224")
    if base and gated:
        lost = 1 - gated["images"] / base["images"]
        add("a forget gate takes 15 % of the baseline's pictures a second", f"{100 * lost:.0f} %", lost <= 0.15, SELECTIVE)
    cpu = results / "cpu" / "networks.json"
    by = {r["by"]: r["median_ms"] for r in json.loads(cpu.read_text(encoding="utf-8"))["rows"]
          if r["network"] == "mila_t" and r["batch"] == 1} if cpu.exists() else {}
    for peer, least in (("eager", 2.0), ("torch.compile", 1.0)):
        if peer in by and "sextant" in by:
            ratio = by[peer] / by["sextant"]
            add(f"MILA-T, batch 1, CPU: {least:g} times PyTorch, {peer}", f"{ratio:.2f} times", ratio >= least)
    return lines
