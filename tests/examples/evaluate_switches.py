# SPDX-License-Identifier: Apache-2.0
"""The switches of `evaluate` against plain NumPy.

Usage: evaluate_switches.py EVALUATE [PART of PARTS]
Without the numbers: designs in which every two positions of two switches, precisions, forms, orders of states meet that can.
With them: every design of the product, one precision and form each in turn; the share PART (from 0) of PARTS shares.
"""
import itertools
import sys

import numpy as np

import evaluate_numpy as ref

program = ref.Evaluate(sys.argv[1])
AXES = {"input": ref.INPUTS, "forget": ref.FORGETS, "shortcut": ref.SHORTCUTS, "norm": ref.NORMS, "heads": ref.HEADS,
        "map": ref.MAPS, "order": ref.ORDERS}
OTHERS = {"precision": list(ref.TOLERANCE), "form": ["automatic", "recurrent"], "backend": ["cpu", "cpu_serial"],
          "state": ["given", "absent"], "numbers": ["given", "left out"], "size": ["short", "long"]}
worst = dict.fromkeys(ref.TOLERANCE, 0.0)


def check(s, other, seed):
    """One design on numbers of its own."""
    random = np.random.default_rng(seed)
    B, T, H, V = (2, 5, 4, 3) if other["size"] == "short" else (1, 70, 2, 17)
    K = 3 if s["map"] == "squared" or other["size"] == "short" else 9
    if s["heads"] == "single":
        H = 1
    Hk = {"single": 1, "multi": H, "grouped": H // 2}[s["heads"]]
    wanted = ref.shapes(s, B, T, Hk, H, K, V)
    files = {name: ref.draw(random, name, shape) for name, shape in wanted.items()}
    if other["numbers"] == "left out":  # what may be
        files.pop("bias", None)
        if s["forget"] == "constant":
            files.pop("a")
    W = K * (K + 1) // 2 if s["map"] == "squared" else K
    if other["state"] == "given" and s["order"] != "global":
        files["initial_state"] = random.standard_normal((B, H, W, V))
        if s["norm"] != "none":
            files["initial_normalizer"] = np.abs(random.standard_normal((B, H, W)))
    scale, eps = (0.37, 0.25) if other["numbers"] == "given" else (1.0, 0.0)
    expected = ref.mixer(s, ref.as_stored(files, other["precision"]), scale, eps)

    options = ref.options_of(s) + ["--form", other["form"], "--backend", other["backend"], "--precision", other["precision"]]
    if other["numbers"] == "given":
        options += ["--scale", str(scale), "--eps", str(eps)]
    results = program.results(program.save(files), *options)
    names = {"y", "final_state"} | ({"final_normalizer"} if s["norm"] != "none" else set())
    assert set(results) == names, (s, set(results))
    for name, reference in zip(("y", "final_state", "final_normalizer"), expected):
        if name in names:
            assert results[name].dtype == ("<f8" if other["precision"] == "fp64" else "<f4"), (s, other, name)
            found = ref.error(results[name].astype(np.float64), reference)
            assert found <= ref.TOLERANCE[other["precision"]], (s, other, name, found)
            worst[other["precision"]] = max(worst[other["precision"]], found)


def covering():
    """Settings in which every two positions meet; greedy, the best of a few random ones at a time."""
    axes = {**AXES, **OTHERS}
    names = list(axes)
    random = np.random.default_rng(4)
    fits = lambda row: ref.meaningful({**dict.fromkeys(("input", "forget", "order"), "one"), "norm": "none", **row})
    left = {((a, x), (b, y)) for a, b in itertools.combinations(names, 2) for x in axes[a] for y in axes[b]
            if fits({a: x, b: y})}
    while left:
        first = dict(min(left))
        best, best_meets = None, -1
        for _ in range(40):
            row = {n: first.get(n, random.choice(axes[n])) for n in names}
            if not ref.meaningful(row):
                continue
            meets = sum(pair in left for pair in itertools.combinations(row.items(), 2))
            if meets > best_meets:
                best, best_meets = row, meets
        if best is None:
            continue
        left -= set(itertools.combinations(best.items(), 2))
        yield best


def product():
    """Every design, the other settings in turn."""
    random = np.random.default_rng(5)
    for values in itertools.product(*AXES.values()):
        row = dict(zip(AXES, values))
        if ref.meaningful(row):
            yield {**row, **{n: random.choice(x) for n, x in OTHERS.items()}}


rows = list(covering() if len(sys.argv) == 2 else product())
if len(sys.argv) > 2:
    part, parts = int(sys.argv[2]), int(sys.argv[4])
    rows = rows[part::parts]
for seed, row in enumerate(rows):
    check({n: str(row[n]) for n in AXES}, {n: str(row[n]) for n in OTHERS}, seed)
assert len(rows) > 50
print(len(rows), "designs agree with NumPy; worst error", {n: f"{e:.1e}" for n, e in worst.items()})
