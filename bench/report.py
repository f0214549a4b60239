# SPDX-License-Identifier: Apache-2.0
"""Writes the measured figures of bench/results/ into the pages, between their marks, and the plots of docs/plots/.

    python3 bench/report.py                       writes
    python3 bench/report.py --check               exits 1 where a page holds other figures than the results
    python3 bench/report.py --print NAME [...]    prints figures: gpu_prefill is ours beside the peers'
    python3 bench/report.py --results FOLDER ...  the same from other results

A mark is a line `<!-- figures: NAME -->`; what follows it up to `<!-- end -->` is generated. Names: FIGURES below.
"""
import argparse
import json
import pathlib
import re
import sys

import aims
import gpu_report
import plots

root = pathlib.Path(__file__).resolve().parents[1]
results = root / "bench" / "results"


def load(name):
    return json.loads((results / name).read_text(encoding="utf-8"))


def where(record):
    return f"{record['processor']}, {record['threads']} threads, {record['date']}, commit {record['commit']}"


def peers():
    record = load("cpu/peers.json")
    lines = [f"Best of many calls, fp32, milliseconds; {where(record)}; ggml at commit {record['peer_commit']} on the same machine "
             "in the same minutes.", "", "| mixer | shape | best | median | floor | ggml's best | ratio |", "|---|---|---|---|---|---|---|"]
    for r in record["rows"]:
        peer = f"{r['peer_ms']:.3g} | {r['peer_ms'] / r['best_ms']:.1f}x" if r.get("peer_ms") else "- | -"
        lines.append(f"| {r['mixer']} | {r['shape']} | {r['best_ms']:.3g} | {'-' if r['median_ms'] is None else format(r['median_ms'], '.3g')} | {r['floor_ms']:.2g} | {peer} |")
    return lines


def growth():
    record = load("cpu/growth.json")
    table = {}
    for row in record["rows"]:
        design, tokens = row["name"].split("/")[0], int(re.search(r"_T(\d+)_", row["name"]).group(1))
        table.setdefault(design, {})[tokens] = row
    lengths = sorted(next(iter(table.values())))
    lines = [f"Best time in milliseconds; {where(record)}.", "",
             "| mixer | " + " | ".join(f"{t // 1024}k" for t in lengths) + " | workspace, all lengths |", "|---|" + "---|" * (len(lengths) + 1)]
    for design, row in table.items():
        spaces = sorted({int(row[t]["workspace"]) for t in lengths})
        lines.append(f"| `{design}` | " + " | ".join(f"{row[t]['best_ms']:.3g}" for t in lengths) +
                     " | " + " to ".join(f"{s / 1024:.0f} KiB" for s in dict.fromkeys([spaces[0], spaces[-1]])) + " |")
    return lines


def networks():
    if not (results / "cpu" / "networks.json").exists():
        return ["Not measured yet."]
    record, table = load("cpu/networks.json"), {}
    for r in record["rows"]:
        table.setdefault((r["network"], r["batch"], r["pixels"]), {})[r["by"]] = r
    lines = [f"Milliseconds of a call, fp32, best and median of several rounds in turns; {where(record)}; PyTorch {record['pytorch']}.", "",
             "| network | batch | pixels | best | median | PyTorch, eager | torch.compile | eager's median / ours | torch.compile's |",
             "|---|---|---|---|---|---|---|---|---|"]
    for (name, batch, pixels), by in table.items():
        ours, peers = by["sextant"], [by.get("eager"), by.get("torch.compile")]
        cells = [f"`{name}`", batch, pixels, f"{ours['best_ms']:.3g}", f"{ours['median_ms']:.3g}",
                 *(f"{p['best_ms']:.3g}, {p['median_ms']:.3g}" if p else "" for p in peers),
                 *(f"{p['median_ms'] / ours['median_ms']:.2f}x" if p else "" for p in peers)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def compile_time():
    record = load("cpu/compile_time.json")
    lines = [f"User seconds of {record['compiler']} -O2, the median of {record['runs']}; {record['date']}.", "", "| file | seconds |", "|---|---|"]
    return lines + [f"| {what.replace('#include', 'with')} | {s:.2f} |" for what, s in record["seconds"].items()]


def printed(file):
    """What a program printed, as it is."""
    return ["```", *(results / file).read_text(encoding="utf-8").splitlines(), "```"]


# How the rows of the paper's tables are built, as code.
BUILT_AS = {
    "baseline": "models::linear_swin_t", "+ input gate": ".with(input::softplus<per::channel>{})",
    "+ forget gate": ".with(forget::selective{}, order::causal{}, norm::sum_undecayed{})", "+ shortcut": ".with(shortcut::learned{})",
    "- normalisation": ".with(norm::none{})", "- multi-head": ".with(heads::single{})", "+ block design, all": ".with(block::mamba{})",
    "+ block design, sub": ".with(block::mila{})", "+ APE": ".with_absolute_position()", "+ LePE": ".with(shortcut::local{})",
    "+ CPE": ".with_conditional_position()", "+ RoPE": ".with(position::rotary_2d{})", "MILA-T": "models::mila_t",
}


def paper():
    """The counts of the paper's rows beside the paper's, from what `ablation` printed."""
    lines = ["| row | parameters | the paper's | multiply-accumulates | the paper's | built as |", "|---" * 6 + "|"]
    for text in (results / "h200" / "networks.txt").read_text(encoding="utf-8").splitlines()[3:]:
        name, parameters, millions, macs, billions, *_ = re.split(r"\s{2,}", text.strip())
        macs = f"{int(macs.replace(',', '')) / 1e9:.3f}G"
        lines.append(f"| {name} | {parameters} | {millions}M | {macs} | {billions}G | `{BUILT_AS[name]}` |")
    return lines


FIGURES = {
    "peers": peers, "growth": growth, "compile_time": compile_time, "networks_cpu": networks,
    "ablation": lambda: printed("cpu/ablation.txt"), "ablation_h200": lambda: printed("h200/ablation.txt"),
    "paper": paper, "networks_h200": lambda: printed("h200/networks.txt"),
    "gpu": lambda: gpu_report.summary(results), "gpu_selective": lambda: gpu_report.table(results, ("selective",), False),
    "gpu_keyed": lambda: gpu_report.table(results, ("keyed",), False),
    "gpu_state_space": lambda: gpu_report.table(results, ("state_space",), False),
    "gpu_few_keys": lambda: gpu_report.table(results, ("few_keys",), False), "gpu_prefill": lambda: gpu_report.prefill(results),
    "gpu_decode": lambda: gpu_report.decode(results), "gpu_ablation": lambda: gpu_report.ablation(results),
    "gpu_growth": lambda: gpu_report.growth(results), "gpu_second_order": lambda: gpu_report.second_order(results),
    "gpu_networks": lambda: gpu_report.networks(results), "gpu_language": lambda: gpu_report.language(results),
    "gpu_blocks": lambda: gpu_report.blocks(results),
    "gpu_small": lambda: gpu_report.small(results), "gpu_compile_time": lambda: gpu_report.compile_time(results),
    "aims_times": lambda: aims.times(results), "aims_ratios": lambda: aims.ratios(results),
    "aims_networks": lambda: aims.networks(results), "aims_others": lambda: aims.others(results),
}


def write_pages(check):
    changed = []
    for page in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        old = page.read_text(encoding="utf-8")
        new = re.sub(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)",
                     lambda m: m.group(1) + "\n" + "\n".join(FIGURES[m.group(2)]()) + "\n\n" + m.group(3), old, flags=re.S)
        if new != old:
            changed.append(page.name)
            if not check:
                page.write_text(new, encoding="utf-8")
    for name, draw in plots.PLOTS.items():
        path, new = root / "docs" / "plots" / name, draw(results)
        if new is not None and (path.read_text(encoding="utf-8") if path.exists() else None) != new:
            changed.append(name)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(new, encoding="utf-8")
    print("changed: " + (", ".join(changed) or "nothing"))
    return 1 if changed and check else 0


def main():
    global results
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--print", nargs="+", choices=FIGURES, metavar="NAME", dest="names")
    arguments.add_argument("--results", type=pathlib.Path, default=results)
    given = arguments.parse_args()
    results = given.results
    if not given.names:
        return write_pages(given.check)
    for name in given.names:
        print("\n".join(FIGURES[name]()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
