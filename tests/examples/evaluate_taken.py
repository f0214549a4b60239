# SPDX-License-Identifier: Apache-2.0
"""What `evaluate` takes though it is unusual: empty axes, mixed dtypes, files it has no use for, NaN, states in pieces.

Usage: evaluate_taken.py EVALUATE [--backend cuda]
"""
import os
import pathlib

import numpy as np

import evaluate_numpy as ref

program = ref.Evaluate()
random = np.random.default_rng(2)
PLAIN = {"input": "one", "forget": "one", "shortcut": "none", "norm": "none", "heads": "multi", "map": "identity",
         "order": "causal"}


def files_of(s, sizes):
    return {name: ref.draw(random, name, shape) for name, shape in ref.shapes(s, *sizes).items()}


def compare(results, expected, tolerance, what):
    for name, reference in expected.items():
        found = ref.error(results[name].astype(np.float64), reference)
        assert found <= tolerance, (what, name, found, results[name].shape, reference.shape)


def named(y, S, z):
    return {"y": y, "final_state": S} | ({"final_normalizer": z} if z is not None else {})


# Any axis may be 0 or 1.
RICH = [{**PLAIN, "input": "softplus_channel", "forget": "selective", "shortcut": "learned", "norm": "sum_undecayed"},
        {**PLAIN, "input": "sigmoid", "forget": "log_decay_key", "norm": "sum", "map": "squared", "order": "reversed"},
        {**PLAIN, "norm": "sum", "map": "elu_plus_one", "order": "global"}, {**PLAIN, "forget": "constant"}]
count = 0
for s in RICH:
    for sizes in ((0, 3, 2, 2, 3, 4), (2, 0, 2, 2, 3, 4), (2, 3, 0, 0, 3, 4), (2, 3, 2, 2, 0, 4), (2, 3, 2, 2, 3, 0),
                  (0, 0, 0, 0, 0, 0), (1, 1, 1, 1, 1, 1), (1, 40, 1, 1, 1, 1), (3, 1, 2, 2, 5, 33)):
        files = files_of(s, sizes)
        eps = 0.5  # where there are no keys, y is 0 / eps
        if s["order"] != "global":
            B, T, Hk, H, K, V = sizes
            W = K * (K + 1) // 2 if s["map"] == "squared" else K
            files["initial_state"] = random.standard_normal((B, H, W, V))
            files["initial_normalizer"] = np.ones((B, H, W))
        expected = named(*ref.mixer(s, files, eps=eps))
        for form in ("automatic", "recurrent"):
            results = program.results(program.save(files), *ref.options_of(s), "--form", form, "--eps", str(eps))
            compare(results, expected, 1e-12, (s, sizes, form))
            count += 1

# The precision is q.npy's unless asked for; files may be of both dtypes; parameters of 16-bit calls stay float32.
s = {**PLAIN, "input": "softplus_head", "forget": "exponential", "shortcut": "learned"}
files = files_of(s, (2, 9, 2, 2, 4, 5))
for q, others, expected in (("<f4", "<f4", "fp32"), ("<f8", "<f8", "fp64"), ("<f4", "<f8", "fp32"), ("<f8", "<f4", "fp64")):
    given = {n: x.astype(q if n == "q" else others) for n, x in files.items()}
    source = program.save(given, {n: x.dtype.str for n, x in given.items()})
    for precision in (None, *ref.TOLERANCE):
        results = program.results(source, *ref.options_of(s), *(["--precision", precision] if precision else []))
        used = precision or expected
        assert results["y"].dtype == results["final_state"].dtype == ("<f8" if used == "fp64" else "<f4")
        compare(results, named(*ref.mixer(s, ref.as_stored(given, used))), program.tolerance[used], (q, others, precision))
        count += 1

# What a design does not take is not even opened.
source = program.save(files)
for name in ("forget", "input", "gate", "lepe", "initial_normalizer", "final_state", "y", "grid", "offsets"):
    pathlib.Path(source, name + ".npy").write_bytes(b"broken")
expected = named(*ref.mixer(s, files))
compare(program.results(source, *ref.options_of(s)), expected, 1e-12, "ignored files")

# A dtype's other spellings, and Fortran order where it is no other.
np.save(os.path.join(source, "a.npy"), np.asfortranarray(files["a"]))
compare(program.results(source, *ref.options_of(s)), expected, 1e-12, "Fortran order of a vector")

# NaN in, NaN out, where it must and nowhere else.
holed = {n: x.copy() for n, x in files.items()}
holed["v"][1, 4, 0, 2] = np.nan
results = program.results(program.save(holed), *ref.options_of(s))
spoilt = np.isnan(ref.mixer(s, holed)[0])
assert spoilt.any() and not spoilt.all() and np.array_equal(np.isnan(results["y"]), spoilt)
assert np.isnan(results["final_state"][1, 0, :, 2]).all() and np.isfinite(results["final_state"][0]).all()
for name in ("q", "k", "dt"):
    holed = {n: x.copy() for n, x in files.items()}
    holed[name].flat[0] = np.nan
    assert np.isnan(program.results(program.save(holed), *ref.options_of(s))["y"]).any(), name
count += 6

# A sequence cut anywhere and continued equals the whole, the normaliser included.
s = {**PLAIN, "forget": "log_decay_head", "norm": "sum", "map": "elu_plus_one"}
files = files_of(s, (2, 30, 2, 2, 4, 5))
whole = program.results(program.save(files), *ref.options_of(s))
for cut in (0, 1, 16, 29, 30):
    first = program.results(program.save({n: x[:, :cut] for n, x in files.items()}), *ref.options_of(s))
    rest = {n: x[:, cut:] for n, x in files.items()}
    rest |= {"initial_state": first["final_state"], "initial_normalizer": first["final_normalizer"]}
    second = program.results(program.save(rest), *ref.options_of(s))
    joined = {**second, "y": np.concatenate([first["y"], second["y"]], 1)}
    compare(joined, whole, 1e-12, cut)
    # A state whose normaliser is not given goes with one of zeros.
    lone = {n: x for n, x in rest.items() if n != "initial_normalizer"}
    compare(program.results(program.save(lone), *ref.options_of(s)), named(*ref.mixer(s, lone)), 1e-12, ("lone", cut))
    count += 2

# Results may be written where the tensors lie, and over older ones.
source = program.save(files)
for _ in range(2):
    done = program.run("--in", source, "--out", source, *ref.options_of(s))
    assert done.returncode == 0 and sorted(os.listdir(source)) == sorted(
        [n + ".npy" for n in (*files, "y", "final_state", "final_normalizer")])
assert ref.error(np.load(os.path.join(source, "y.npy")), whole["y"]) == 0
# All defaults: linear attention without map and norm.
compare(program.results(program.save({n: files[n] for n in "qkv"})), named(*ref.mixer(PLAIN, files)), 1e-12, "defaults")
print(count + 3, "calls agree with NumPy")
