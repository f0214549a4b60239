# SPDX-License-Identifier: Apache-2.0
"""The switches of `evaluate` against plain NumPy.

Usage: evaluate_switches.py EVALUATE [--backend cuda] [PART of PARTS]
Without the numbers: designs in which every three positions of switches, precision and form meet that can.
With them: every design of the product, one precision and form each in turn; the share PART (from 0) of PARTS shares.
"""
import itertools

import numpy as np

import evaluate_numpy as ref

program = ref.Evaluate()
AXES = {"input": ref.INPUTS, "forget": ref.FORGETS, "shortcut": ref.SHORTCUTS, "norm": ref.NORMS, "heads": ref.HEADS,
        "map": ref.MAPS, "order": ref.ORDERS}
OTHERS = {"precision": list(ref.TOLERANCE), "form": ["automatic", "recurrent"], "backend": program.backends,
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
            assert found <= program.tolerance[other["precision"]], (s, other, name, found)
            worst[other["precision"]] = max(worst[other["precision"]], found)


def covering(size=3):
    """Settings in which every few positions of the switches and of precision and form meet, and all else in turn: greedy,
    the best of a few random ones at a time."""
    names = [*AXES, "precision", "form"]
    axes = {n: {**AXES, **OTHERS}[n] for n in names}
    random = np.random.default_rng(4)
    plain = {"input": "one", "forget": "one", "norm": "none", "order": "causal"}
    left = {tuple(zip(group, values)) for group in itertools.combinations(names, size)
            for values in itertools.product(*(axes[n] for n in group)) if ref.meaningful({**plain, **dict(zip(group, values))})}
    while left:
        first = dict(next(iter(sorted(left))))
        rows = [{n: first.get(n, str(random.choice(axes[n]))) for n in names} for _ in range(30)]
        groups = [set(itertools.combinations(row.items(), size)) & left for row in rows if ref.meaningful(row)]
        rows = [row for row in rows if ref.meaningful(row)]
        if rows:
            best = max(range(len(rows)), key=lambda i: len(groups[i]))
            left -= groups[best]
            yield {**{n: random.choice(x) for n, x in OTHERS.items()}, **rows[best]}


def product():
    """Every design, the other settings in turn."""
    random = np.random.default_rng(5)
    for values in itertools.product(*AXES.values()):
        row = dict(zip(AXES, values))
        if ref.meaningful(row):
            yield {**row, **{n: random.choice(x) for n, x in OTHERS.items()}}


rows = list(product() if program.arguments else covering())
if program.arguments:
    part, parts = int(program.arguments[0]), int(program.arguments[2])
    rows = rows[part::parts]
for seed, row in enumerate(rows):
    check({n: str(row[n]) for n in AXES}, {n: str(row[n]) for n in OTHERS}, seed)
assert len(rows) > (0 if program.arguments else 50)
print(len(rows), "designs agree with NumPy; worst error", {n: f"{e:.1e}" for n, e in worst.items()})
