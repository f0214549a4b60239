# SPDX-License-Identifier: Apache-2.0
"""Tables of what a GPU's benchmarks gave, ours beside the peers': bench/report.py puts them into the pages and prints them.

bench/results/h200/<program>.json is ours, as bench/record.py writes it. peers.json beside it is a list of
{"peer", "case", "shape", "dtype", "median_ms", "date", "gpu", "version"}: `case`, `shape` and `dtype` as in our
benchmarks' names ("mamba2", "B8_T4096_Hk1_H32_K128_V64", "bf16"; "mamba2/step" for decode), so that the two meet. A peer
timed in one run with ours may say so by "ratio_to_ours", its time over ours there, which then counts; "workspace" is what
it needs of memory beyond inputs and outputs, in bytes. "cold_ms" is the time of calls made one by one (bench/cold_calls.cuh),
ours as well as a peer's.
"""
import json
import re

ABLATIONS = ("linear_attention", "mamba", "mamba2", "gla")
# The sizes of the short table: those that papers and public kernels are tuned for, and a long sequence.
USUAL = ("B8_T4096_Hk1_H1_K16_V2048", "B1_T131072_Hk1_H1_K16_V2048", "B8_T4096_Hk1_H32_K128_V64", "B8_T4096_Hk1_H32_K64_V64",
         "B8_T4096_Hk16_H16_K64_V64", "B8_T4096_Hk16_H16_K128_V128", "B128_T3136_Hk2_H2_K32_V32", "B128_T1_Hk1_H64_K128_V64")
ALLOWED_SMALL = 1.5  # times the quickest peer that one short sequence may take
ALLOWED = 1.15  # times the preset that a design with one switch flipped may take, where its floor is not higher


def load(results, name):
    path = results / "h200" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def where(records):
    """GPU, date and commit of the records, each once."""
    return "; ".join(dict.fromkeys(f"{r['gpu']}, {r['date']}, commit {r['commit']}" for r in records))


def parts(name):
    """(case, shape, dtype) of a benchmark's name: design/form/backend/precision/shape."""
    design, form, _, precision, shape = name.rsplit("/", 4)
    return (design + "/step" if form == "step" else design), shape, precision


def shape_words(shape):
    """B8_T4096_Hk1_H32_K128_V64 as B8 T4096 H32 K128 V64, and how many queries and keys there are if not one for each head."""
    size = sizes(shape)
    words = [f"{key}{size[key]}" for key in ("B", "T", "H", "K", "V") if size[key] > 1 or key in "BKV"]
    return " ".join(words) + (f", {size['Hk']} q and k" if size["Hk"] < size["H"] else "")


def sizes(shape):
    """The numbers of B8_T4096_Hk1_H32_K128_V64 by their letters."""
    return {key: int(n) for key, n in re.findall(r"([A-Za-z]+)(\d+)", shape)}


def ms(x):
    return f"{x:.3g}" if x < 0.1 else f"{x:.3f}" if x < 10 else f"{x:.1f}"


def beside(row, peers):
    """The peers of a row with their times and ratios to ours, the quickest first."""
    found = [(p, p.get("ratio_to_ours") or p["median_ms"] / row["median_ms"]) for p in peers
             if (p["case"], p["shape"], p["dtype"]) == parts(row["name"])]
    return sorted(found, key=lambda pair: pair[1])


def line(row, peer):
    case, shape, dtype = parts(row["name"])
    cells = [f"`{case}`", shape_words(shape), dtype, ms(row["median_ms"]), ms(row["floor_ms"]), f"{100 * row['of_floor']:.0f} %"]
    cells += [peer[0]["peer"], ms(peer[0]["median_ms"]), f"{peer[1]:.2f}x"] if peer else ["-", "-", "-"]
    ours, its = row.get("cold_ms"), peer[0].get("cold_ms") if peer else None
    cells += [ms(ours) if ours else "-", ms(its) if its else "-", f"{its / ours:.2f}x" if ours and its else "-"]
    return "| " + " | ".join(cells) + " |"


def versions(peers):
    """Version and date of peers, each once."""
    known = dict.fromkeys(f"{p['version'].split(',')[0]} ({p['date']})" for p in peers)
    return "Peers: " + ", ".join(known) + "."


def table(results, programs, short):
    """Every row beside every peer; or those of usual sizes that have a peer, beside the quickest."""
    records = [r for r in (load(results, p) for p in programs) if r]
    if not records:
        return ["Not measured yet."]
    peers, shown = load(results, "peers") or [], []
    lines = [f"Median milliseconds; {where(records)}. Floor: the least time that bytes, products, exponentials or "
             "instructions need on this GPU. Ratio: the peer's time over ours. The last three columns: calls made one by one.", "",
             "| design | shape | io | ms | floor | of the floor | peer | its ms | ratio | one call | its | ratio |",
             "|---" * 12 + "|"]
    for row in (row for r in records for row in r["rows"]):
        found = beside(row, peers)
        if not short or (found and parts(row["name"])[1] in USUAL):
            found = found[:1] if short else found or [None]
            lines += [line(row, peer) for peer in found]
            shown += [peer[0] for peer in found if peer]
    return lines + ["", versions(shown)] if shown else lines


def summary(results):
    return table(results, ("selective", "chunked", "keyed", "global", "decode"), True)


def prefill(results):
    return table(results, ("selective", "chunked", "keyed", "global"), False)


def decode(results):
    return table(results, ("decode",), False)


def small(results):
    """One sequence of up to 4096 tokens, which is made of launches and latencies, beside the quickest peer."""
    records = [r for r in (load(results, p) for p in ("small", "global", "decode")) if r]
    if not records:
        return ["Not measured yet."]
    # Softmax attention, whose workspace is known, is another mixer than 2Mamba.
    peers, shown = [p for p in load(results, "peers") or [] if "workspace" not in p], []
    lines = [f"Median milliseconds, bf16; {where(records)}. Ratio: our time over the quickest peer's, which may be {ALLOWED_SMALL}.", "",
             "| design | shape | launches | ms | quickest peer | its ms | ratio |", "|---|---|---|---|---|---|---|"]
    rows = [row for r in records for row in r["rows"]]
    for row in sorted(rows, key=lambda row: parts(row["name"])[0]):
        case, shape, precision = parts(row["name"])
        size = sizes(shape)
        if size["B"] > 1 or size["T"] > 4096 or precision != "bf16":
            continue
        cells = [f"`{case}`", shape_words(shape), format(row["launches"], "g") if "launches" in row else "-", ms(row["median_ms"])]
        found = beside(row, peers)[:1]
        cells += [found[0][0]["peer"], ms(found[0][0]["median_ms"]), f"{1 / found[0][1]:.2f}"] if found else ["-", "-", "-"]
        shown += [peer[0] for peer in found]
        lines.append("| " + " | ".join(cells) + " |")
    return lines + ["", versions(shown)] if shown else lines


def listed(results, program, what, columns, cells):
    """A record as a table, a line a row."""
    record = load(results, program)
    if not record:
        return ["Not measured yet."]
    lines = [f"{what}; {where([record])}.", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return lines + ["| " + " | ".join(cells(row)) + " |" for row in record["rows"]]


def networks(results):
    """Whole networks: pictures a second, and the memory that they take."""
    def cells(row):
        name, precision, batch, side = row["name"].split("/")
        return f"`{name}`", precision, batch[1:], side, ms(row["median_ms"]), f"{row['images']:,.0f}", f"{row['memory_mb']:.0f}"
    lines = listed(results, "networks", "Median milliseconds of replays of a graph",
                   ("network", "precision", "batch", "pixels to a side", "ms", "pictures a second", "MB"), cells)
    for peer in load(results, "peers") or []:
        batch, _, side = peer["shape"].partition("_side")
        if side and peer["peer"].startswith("MLLA"):
            lines.append(f"| {peer['peer']}: `{peer['case']}` ({peer['version']}, {peer['date']}) | {peer['dtype']} | {batch[1:]} | {side} | "
                         f"{ms(peer['median_ms'])} | {1e3 * int(batch[1:]) / peer['median_ms']:,.0f} | - |")
    return lines


def language(results):
    """Language models: tokens a second of prompts and of decode."""
    def cells(row):
        name, precision, batch, tokens = row["name"].split("/")
        return (f"`{name}`", precision, "decode" if tokens == "T1" else f"{tokens[1:]} tokens", batch[1:], ms(row["median_ms"]),
                ms(row["floor_ms"]), f"{100 * row['of_floor']:.0f} %", f"{row['tokens_per_s']:,.0f}", f"{row['launches']:g}",
                f"{row['memory_mb']:.0f}")
    what = ("Median milliseconds of a call, replayed from a graph. Floor: reading the weights once, the states once and writing them, "
            "or the linear layers' products, or Mamba-1's exponentials")
    return listed(results, "language", what, ("model", "precision", "call", "sequences", "ms", "floor", "of the floor",
                                              "tokens a second", "launches", "MB"), cells)


def blocks(results):
    """The operations of blocks beside their floors."""
    def cells(row):
        name, precision, *size = row["name"].split("/")
        return (f"`{name}`", precision, " ".join(size), ms(row["median_ms"]), ms(row["floor_ms"]),
                f"{100 * row['of_floor']:.0f} %")
    return listed(results, "blocks", "Median milliseconds", ("operation", "precision", "size", "ms", "floor", "of the floor"),
                  cells)


def ablation_rows(record):
    """(row, times the preset, times that it may take) for a preset, which comes first, and its flipped designs."""
    preset = record["rows"][0]
    for row in record["rows"]:
        may = ALLOWED * max(1.0, row["floor_ms"] / preset["floor_ms"])
        yield row, row["median_ms"] / preset["median_ms"], may


def ablation(results):
    records = [r for r in (load(results, f"ablation_{name}") for name in ABLATIONS) if r]
    if not records:
        return ["Not measured yet."]
    lines = [f"Median milliseconds, bf16; {where(records)}. A design with one switch flipped may take {ALLOWED} times its "
             "preset, and more in proportion where its floor is higher.", "",
             "| design | shape | form | ms | floor | times the preset | may take | within |", "|---|---|---|---|---|---|---|---|"]
    for record in records:
        for row, times, may in ablation_rows(record):
            case, shape, _ = parts(row["name"])
            lines.append(f"| {case} | {shape_words(shape)} | {row['form']} | {ms(row['median_ms'])} | {ms(row['floor_ms'])} | "
                         f"{times:.2f} | {may:.2f} | {'yes' if times <= may else 'no'} |")
    return lines


def growth(results):
    """Times by the number of tokens, and below them the time of a token over that of the longest sequence's."""
    record = load(results, "long")
    if not record:
        return ["Not measured yet."]
    table = {}
    for row in record["rows"]:
        case, shape, _ = parts(row["name"])
        tokens = sizes(shape)["T"]
        table.setdefault((case, shape_words(shape.replace(f"T{tokens}_", "T1_"))), {})[tokens] = row["median_ms"]
    lengths = sorted({t for times in table.values() for t in times})
    lines = [f"Median milliseconds, bf16, one sequence; {where([record])}. Below: the time of a token, over that of a token of the "
             "longest sequence. 1.00 throughout is linear growth.", "",
             "| design | shape | " + " | ".join(f"{t // 1024}k" for t in lengths) + " |", "|---|---|" + "---|" * len(lengths)]
    for (case, shape), times in table.items():
        of_token = times[lengths[-1]] / lengths[-1]
        lines.append(f"| `{case}` | {shape} | " + " | ".join(ms(times[t]) for t in lengths) + " |")
        lines.append("| | | " + " | ".join(f"{times[t] / t / of_token:.2f}" for t in lengths) + " |")
    return lines


def second_order(results):
    """2Mamba beside softmax attention: time, memory while it computes, and what is kept for the next token."""
    record, peers = load(results, "second_order"), load(results, "peers") or []
    if not record:
        return ["Not measured yet."]
    rows = {parts(row["name"])[:2]: row for row in record["rows"]}
    softmax = {p["shape"]: p for p in peers if p["case"] == "two_mamba" and "workspace" in p}
    lines = [f"Median milliseconds and megabytes, bf16; {where([record])}. Softmax: "
             + "; ".join(dict.fromkeys(f"{p['peer']}, {p['version']} ({p['date']})" for p in softmax.values())) + ". Workspace: beyond "
             "inputs and outputs. Kept: for the next token, 2Mamba's state in float, softmax attention's keys and values.", "",
             "| B, T | 2Mamba | without gate and normaliser | floor | softmax | ratio | workspace | softmax's | kept | softmax's |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for (case, shape), row in rows.items():
        if case != "two_mamba":
            continue
        n, peer, bare = sizes(shape), softmax.get(shape), rows[("squared", shape)]
        heads = n["B"] * n["H"]
        state, cache = 4 * heads * n["K"] * (n["K"] + 1) // 2 * (n["V"] + 1), 2 * heads * n["T"] * (n["K"] + n["V"])
        cells = [f"{n['B']}, {n['T']}", ms(row["median_ms"]), ms(bare["median_ms"]), ms(row["floor_ms"])]
        cells += [ms(peer["median_ms"]), f"{peer['median_ms'] / row['median_ms']:.2f}x"] if peer else ["-", "-"]
        mb = [row["workspace"], peer["workspace"] if peer else None, state, cache]
        lines.append("| " + " | ".join(cells + ["-" if b is None else f"{b / 1e6:.3g}" for b in mb]) + " |")
    return lines


def compile_time(results):
    record = load(results, "compile_time")
    if not record:
        return ["Not measured yet."]
    lines = [f"User seconds of {record['compiler']} -O3 for sm_90a, the median of {record['runs']}; {record['date']}.", "",
             "| file | seconds |", "|---|---|"]
    return lines + [f"| {what.replace('#include', 'with')} | {s:.2f} |" for what, s in record["seconds"].items()]
