# SPDX-License-Identifier: Apache-2.0
"""Plots of what bench/results/ holds, as SVG with the standard library alone: bench/report.py writes them into docs/plots/.

PLOTS maps a file's name to the function that draws it from a folder of results; it returns None where the records that it
needs are not there. The same records give the same bytes. Axes are logarithmic; colours follow the reader's light or dark
scheme, and lines differ by their marks too.
"""
import math

import gpu_report

WIDTH, HEIGHT = 760, 470  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 84, 34, 46, 130
STYLE = """text { font: 16px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-weight: 600 } .ground { fill: #ffffff } .grid { stroke: #d1d9e0; stroke-width: 1 }
.frame { stroke: #59636e; fill: none } polyline { fill: none; stroke-width: 2.5 }
.s0 { stroke: #0969da; fill: #0969da } .s1 { stroke: #bc4c00; fill: #bc4c00 } .s2 { stroke: #1a7f37; fill: #1a7f37 }
.s3 { stroke: #8250df; fill: #8250df } .s4 { stroke: #bf3989; fill: #bf3989 } .s5 { stroke: #59636e; fill: #59636e }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .ground { fill: #0d1117 } .grid { stroke: #3d444d } .frame { stroke: #9198a1 }
.s0 { stroke: #4493f8; fill: #4493f8 } .s1 { stroke: #f0883e; fill: #f0883e } .s2 { stroke: #3fb950; fill: #3fb950 }
.s3 { stroke: #ab7df8; fill: #ab7df8 } .s4 { stroke: #db61a2; fill: #db61a2 } .s5 { stroke: #9198a1; fill: #9198a1 }
}"""


def number(x):
    """A coordinate."""
    return f"{x:.1f}".rstrip("0").rstrip(".")


def mark(kind, x, y):
    """One of six marks, so that a line is known without its colour."""
    if kind == 0:
        return f'<circle class="s0" cx="{number(x)}" cy="{number(y)}" r="5"/>'
    corners = {1: [(-5, -5), (5, -5), (5, 5), (-5, 5)], 2: [(0, -6), (6, 5), (-6, 5)], 3: [(0, -7), (7, 0), (0, 7), (-7, 0)],
               4: [(0, 6), (6, -5), (-6, -5)], 5: [(-6, -2), (6, -2), (6, 2), (-6, 2)]}[kind]
    return f'<polygon class="s{kind}" points="' + " ".join(f"{number(x + a)},{number(y + b)}" for a, b in corners) + '"/>'


def short(value):
    """A tick's text: 0.01, 1, 10, 1k, 1M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def panel(top, title, x_title, y_title, x_ticks, lines):
    """One plot of lines [(name, [(x, y), ...])]; x_ticks [(x, text)]. Positive numbers only."""
    xs, ys = [x for x, _ in x_ticks], [y for _, points in lines for _, y in points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    high += high == low
    ground = top + HEIGHT - BOTTOM

    def across(x):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / min(xs)) / math.log(max(xs) / min(xs))

    def up(y):
        return ground - (HEIGHT - TOP - BOTTOM) * (math.log10(y) - low) / (high - low)

    out = [f'<text class="title" x="{LEFT}" y="{top + 28}">{title}</text>']
    for x, text in x_ticks:
        at = number(across(x))
        out += [f'<line class="grid" x1="{at}" y1="{top + TOP}" x2="{at}" y2="{ground}"/>',
                f'<text x="{at}" y="{ground + 22}" text-anchor="middle">{text}</text>']
    for power in range(low, high + 1):
        at = number(up(10.0**power))
        out += [f'<line class="grid" x1="{LEFT}" y1="{at}" x2="{WIDTH - RIGHT}" y2="{at}"/>',
                f'<text x="{LEFT - 8}" y="{number(up(10.0**power) + 5)}" text-anchor="end">{short(10.0**power)}</text>']
    middle = (top + TOP + ground) // 2
    out += [f'<rect class="frame" x="{LEFT}" y="{top + TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>',
            f'<text x="{(LEFT + WIDTH - RIGHT) // 2}" y="{ground + 46}" text-anchor="middle">{x_title}</text>',
            f'<text transform="translate(24 {middle}) rotate(-90)" text-anchor="middle">{y_title}</text>']
    columns = 2 if max(len(name) for name, _ in lines) > 22 else 3
    for i, (name, points) in enumerate(lines):
        path = " ".join(f"{number(across(x))},{number(up(y))}" for x, y in points)
        x, y = LEFT + 8 + i % columns * (675 // columns), ground + 76 + i // columns * 26
        out += [f'<polyline class="s{i}" style="fill:none" points="{path}"/>', *(mark(i, across(x), up(y)) for x, y in points),
                mark(i, x, y - 5), f'<text x="{x + 14}" y="{y}">{name}</text>']
    return out


def page(panels):
    """Panels [(title, x_title, y_title, x_ticks, lines)] one below the other."""
    height = HEIGHT * len(panels)
    body = [line for i, one in enumerate(panels) for line in panel(i * HEIGHT, *one)]
    title = "; ".join(one[0] for one in panels)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
                      f"<title>{title}</title>", f"<style>{STYLE}</style>",
                      f'<rect class="ground" width="{WIDTH}" height="{height}"/>', *body, "</svg>", ""])


def thousands(lengths):
    return [(t, f"{t // 1024}k" if t < 2**20 else f"{t // 2**20}M") for t in lengths]


def second_order(results):
    """2Mamba beside softmax attention: time and memory."""
    record, peers = gpu_report.load(results, "second_order"), gpu_report.load(results, "peers") or []
    softmax = {p["shape"]: p for p in peers if p["case"] == "two_mamba" and "workspace" in p}
    rows = []
    for row in record["rows"] if record else []:
        case, shape, _ = gpu_report.parts(row["name"])
        if case == "two_mamba" and shape in softmax and gpu_report.sizes(shape)["B"] == 1:
            rows.append((gpu_report.sizes(shape), row, softmax[shape]))
    if len(rows) < 2:
        return None
    ticks = thousands([n["T"] for n, _, _ in rows])

    its = rows[0][2]["peer"]
    workspace, kept, cache = [], [], []  # as gpu_report.second_order counts them
    for n, row, peer in rows:
        if row["workspace"] > 0:
            workspace.append((n["T"], row["workspace"] / 1e6))
        kept.append((n["T"], 4e-6 * n["H"] * (n["K"] * (n["K"] + 1) // 2) * (n["V"] + 1)))
        cache.append((n["T"], 2e-6 * n["H"] * n["T"] * (n["K"] + n["V"])))
    without = [n["T"] for n, row, _ in rows if row["workspace"] == 0]
    none = f" (none up to {thousands([max(without)])[0][1]})" if without else ""
    return page([
        (f"Second order beside softmax attention, {record['gpu']}, bf16, 16 heads", "tokens", "milliseconds", ticks,
         [("2Mamba, Sextant", [(n["T"], row["median_ms"]) for n, row, _ in rows]),
          (f"softmax, {its}", [(n["T"], peer["median_ms"]) for n, _, peer in rows])]),
        ("Memory: the workspace, and what is kept for the next token", "tokens", "megabytes", ticks,
         [("2Mamba, kept: its state", kept), ("softmax, kept: keys and values", cache),
          ("2Mamba, workspace" + none, workspace),
          ("softmax, workspace", [(n["T"], peer["workspace"] / 1e6) for n, _, peer in rows])])])


def growth(results):
    """Every causal family from 4k to 1M tokens."""
    record, table = gpu_report.load(results, "long"), {}
    for row in record["rows"] if record else []:
        case, shape, _ = gpu_report.parts(row["name"])
        table.setdefault(case, []).append((gpu_report.sizes(shape)["T"], row["median_ms"]))
    if not table:
        return None
    ticks = thousands(sorted({t for points in table.values() for t, _ in points}))
    return page([(f"One sequence, {record['gpu']}, bf16", "tokens", "milliseconds", ticks,
                  [(case, sorted(points)) for case, points in list(table.items())[:6]])])


def pictures(results):
    """MILA-T's pictures a second by their size, and beside them a bound: softmax attention of as many tokens, alone."""
    record, peers = gpu_report.load(results, "networks"), gpu_report.load(results, "peers") or []
    ours, bound = {}, {}
    for row in record["rows"] if record else []:
        name, _, batch, side = row["name"].split("/")
        if name == "mila_t":
            ours.setdefault(int(side), {})[int(batch[1:])] = row["images"]
    for p in peers:
        if p["case"] == "mila_t" and "_side" in p["shape"]:
            n = gpu_report.sizes(p["shape"])
            bound.setdefault(n["side"], {})[n["B"]] = 1e3 * n["B"] / p["median_ms"]
    sides = sorted(ours)
    if len(sides) < 2:
        return None

    def lines(title, of, batch):
        points = [(s, of[s][batch(of[s])]) for s in sides if s in of and batch(of[s]) in of[s]]
        return [(title, points)] if len(points) > 1 else []

    drawn = lines("MILA-T, one picture", ours, min) + lines("softmax attention alone, one picture", bound, min)
    many = {s: of for s, of in ours.items() if max(of) > 1 or s == max(sides)}
    if len(many) > 3:  # as many pixels as 128 pictures of 224
        drawn += lines("MILA-T, as many pixels as 128 of 224", many, max) + lines("softmax attention alone, as many", bound, max)
    return page([(f"Long pictures, {record['gpu']}, bf16", "pixels to a side", "pictures a second",
                  [(s, str(s)) for s in sides], drawn)])


PLOTS = {"second_order.svg": second_order, "growth.svg": growth, "pictures.svg": pictures}
