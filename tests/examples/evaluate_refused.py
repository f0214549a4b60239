# SPDX-License-Identifier: Apache-2.0
"""What `evaluate` refuses, each with exit code 2, one line and nothing written; and what it takes though it is unusual.

Usage: evaluate_refused.py EVALUATE SOURCE_FOLDER
"""
import os
import pathlib
import re
import resource
import subprocess
import sys

import numpy as np

import evaluate_numpy as ref

program = ref.Evaluate(sys.argv[1:2])
headers = pathlib.Path(sys.argv[2]) / "include" / "sextant"
random = np.random.default_rng(1)
PLAIN = {"input": "one", "forget": "one", "shortcut": "none", "norm": "none", "heads": "multi", "map": "identity",
         "order": "causal"}
B, T, Hk, H, K, V = 2, 5, 4, 4, 3, 6
refusals = 0


def files_of(sizes=(B, T, Hk, H, K, V), **changed):
    s = {**PLAIN, **changed}
    return {name: ref.draw(random, name, shape) for name, shape in ref.shapes(s, *sizes).items()}


def refused(source, *arguments, words=""):
    global refusals
    refusals += 1
    return program.refused(source, *arguments, words=words)


def switch(**changed):
    return ref.options_of(changed)


# The command line.
plain = program.save(files_of())
refused(plain, "--bogus", words="--bogus")
refused(plain, "stray", words="stray")
refused(plain, "--input", "sigmoids", words="sigmoids")
refused(plain, "--forget", "mean", words="mean")
refused(plain, "--shortcut", "local", words="local")
refused(plain, "--norm", "mean", words="mean")
refused(plain, "--norm", "abs_max", words="abs_max")
refused(plain, "--map", "", words="--map")
refused(plain, "--order", "Causal", words="Causal")
refused(plain, "--heads", "4", words="--heads")
refused(plain, "--input", words="--input")
refused(plain, "--norm", "none", "--norm", "sum", words="--norm")
refused(plain, "--design", "mamba3", words="mamba3")
refused(plain, "--precision", "fp8", words="fp8")
refused(plain, "--form", "fastest", words="fastest")
if program.run("--in", plain, "--out", program.folder(), "--backend", "cuda").returncode != 0:
    refused(plain, "--backend", "cuda", words="--backend cuda: ")  # a build without CUDA, or a machine without a GPU
refused(plain, "--backend", "gpu", words="gpu")
refused(plain, "--scale", "much", words="much")
refused(plain, "--scale", "inf", words="finite")
refused(plain, "--eps", "1e", words="--eps")
refused(plain, "--eps", "nan", words="finite")
for form in ("scan", "chunked", "quadratic", "global"):
    refused(plain, "--form", form, words=form)
refused(plain, "--grid", "5x1", words="--grid")
refused(plain, "--design", "linear_attention", "--grid", "5x1", words="--grid")
for name, value in {**PLAIN, "scale": "1", "eps": "0"}.items():  # even where the switch is as the preset has it
    refused(plain, "--design", "linear_attention", "--" + name, value, words="--" + name)
for arguments in (["--in", plain], ["--out", program.folder()], [], ["--in"]):
    done = program.run(*arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, (arguments, done)
    refusals += 1
assert program.run("-h").returncode == 0 and program.run("-h").stdout == program.run("--help", "--design", "mila").stdout

# Parts that do not fit, in the words of the library's own refusal.
sentences = re.sub(r'"\s*\n\s*"', "", (headers / "design" / "design.hpp").read_text(encoding="utf-8"))  # literals of two lines
for s in ({"input": "softplus_head", "forget": "selective"}, {"input": "softplus_channel", "forget": "exponential"},
          {"forget": "selective", "norm": "sum"}, *({"forget": f, "order": "global"} for f in ref.FORGETS[1:])):
    everything = program.save({**files_of(), "dt": np.ones((B, T, H, V)), "a": np.ones((H, V, K)), "forget": np.ones((B, T, H))})
    line = refused(everything, *switch(**s), words=f"--forget {s['forget']}")
    assert line.split(": ", 2)[2].strip() in sentences, line

# Folders.
refused(os.path.join(plain, "nowhere"), words="nowhere")
refused(os.path.join(plain, "q.npy"), words="q.npy")
for target in (os.path.join(plain, "q.npy"), os.path.join(plain, "q.npy", "below")):  # a file is in the way
    done = program.run("--in", plain, "--out", target)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and target in done.stderr, done
taken = program.folder()
os.mkdir(os.path.join(taken, "final_state.npy"))
done = program.run("--in", plain, "--out", taken)
assert done.returncode == 2 and done.stderr.count("\n") == 1, done
assert os.listdir(taken) == ["final_state.npy"]

# A disk that is full: a limit to the size of files stands in for it. What was there before stays.
long = program.save(files_of((1, 2000, 1, 1, 2, 2)))
done = subprocess.run([sys.argv[1], "--in", long, "--out", taken], capture_output=True, text=True, restore_signals=False,
                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
assert done.returncode == 2 and done.stderr.count("\n") == 1 and "y.npy" in done.stderr, done
assert os.listdir(taken) == ["final_state.npy"]

# Every tensor: absent, misshapen, of another dtype, in Fortran order, cut short, no NumPy file at all.
DESIGNS = [{"input": "softplus_head", "forget": "exponential", "shortcut": "learned"},
           {"input": "softplus_channel", "forget": "selective"}, {"input": "sigmoid", "forget": "log_decay_head"},
           {"input": "exponential", "forget": "log_decay_key", "norm": "sum"}, {"forget": "constant"},
           {"forget": "log_sigmoid", "map": "squared"}, {"forget": "softplus"}]
for s in DESIGNS:
    files = files_of(**s)
    W = K * (K + 1) // 2 if s.get("map") == "squared" else K
    files["initial_state"] = random.standard_normal((B, H, W, V))
    if s.get("norm") == "sum":
        files["initial_normalizer"] = np.ones((B, H, W))
    program.results(program.save(files), *switch(**s))
    for name, x in files.items():
        others = {n: y for n, y in files.items() if n != name}
        if name not in ("bias", "initial_state", "initial_normalizer") and (name, s["forget"]) != ("a", "constant"):
            line = refused(program.save(others), *switch(**s), words=f"{name}.npy: there is no such file")
        for bad in (x[..., None], x[:-1], np.concatenate([x, x[..., :1]], -1), x.reshape(-1), x.sum(0)):
            if bad.shape in (x.shape, ()):
                continue
            line = refused(program.save({**others, name: bad}), *switch(**s), words="shape [")
            # Where q or v is not as meant, another tensor may be the first that does not fit.
            assert name in "qv" or (f"{name}.npy: shape {list(bad.shape)}, expected [" in line), (name, line)
            assert name not in ("dt", "a", "forget") or f"= {list(x.shape)}" in line, line
        for dtype in (">f4", ">f8", "<f2", "<i4", "<i8", "|b1", "<c16", "|u1"):
            refused(program.save(files, {name: dtype}), *switch(**s), words=f"{name}.npy: ")
        source = program.save(files)
        path = os.path.join(source, name + ".npy")
        content = pathlib.Path(path).read_bytes()
        for broken in (content[:-1], content[:40], b"", b"hello, this is no array", content[:6] + b"\x09" + content[7:],
                       content[:20] + b"\0" * 20 + content[40:], content + b"?"):
            pathlib.Path(path).write_bytes(broken)
            refused(source, *switch(**s), words=path)
        if sum(n > 1 for n in x.shape) > 1:
            np.save(path, np.asfortranarray(x))
            refused(source, *switch(**s), words="Fortran")
        os.remove(path)
        os.mkdir(path)
        refused(source, *switch(**s), words=path)

# Heads.
refused(plain, "--heads", "single", words="heads::single: q, k and v have one head")
halved = program.save(files_of((B, T, 2, H, K, V)))
refused(halved, words="heads::multi: q, k and v have the same number of heads")
refused(program.save(files_of((B, T, 3, 4, K, V))), "--heads", "grouped", words="heads::grouped: the number of heads of q")
refused(program.save(files_of((B, T, 0, 4, K, V))), "--heads", "grouped", words="heads::grouped")
program.results(halved, "--heads", "grouped")
refused(program.save({"q": np.ones((1, 4, 1, 3)), "k": np.ones((1, 4, 1, 3)), "v": np.ones((1, 4, 2, 3)),
                      "dt": np.ones((1, 4, 2, 3)), "a": np.ones((2, 3, 3)), "d": np.ones((2, 3))}),
        "--design", "mamba", words="heads::single")

# order::global has nothing before the first token.
state = program.save({**files_of(), "initial_state": np.zeros((B, H, K, V))})
refused(state, "--order", "global", words="initial_state.npy")

# MILA and its grid.
pictures = files_of((1, 6, 2, 2, 4, 3), map="elu_plus_one")
image = program.save(pictures)
program.results(image, "--design", "mila", "--grid", "2x3")
refused(image, "--design", "mila", words="--grid")
for grid in ("3x3", "6", "x6", "6x", "2x3x1", "-2x-3", "2.0x3", "2,3", "0x6", "", "99999999999999999999x1",
             "4294967296x4294967297"):
    refused(image, "--design", "mila", "--grid", grid, words="--grid")
for lepe in ((2, 3, 3, 3), (3, 3, 3), (6, 3), (6, 3, 2)):
    refused(program.save({**pictures, "lepe": np.ones(lepe)}), "--design", "mila", "--grid", "2x3",
            words="expected [C, 3, 3] = [6, 3, 3]")
refused(program.save({**pictures, "lepe": np.ones((6, 3, 3)), "lepe_bias": np.ones(5)}), "--design", "mila", "--grid", "2x3",
        words="expected [C] = [6]")
refused(program.save({**pictures, "initial_state": np.zeros((1, 2, 4, 3))}), "--design", "mila", "--grid", "2x3",
        words="initial_state.npy")
refused(program.save(files_of((1, 6, 1, 1, 2, 3))), "--design", "mila", "--grid", "2x3", words="multiple of 4")

# More numbers than there can be, without a crash.
huge = {"q": np.ones((0, 2, 1, 2**20)), "k": np.ones((0, 2, 1, 2**20)), "v": np.ones((0, 2, 1, 2**20))}
refused(program.save(huge), "--map", "squared", words="more numbers")
wide = {"q": np.ones((0, 1, 1, 2**40)), "k": np.ones((0, 1, 1, 2**40)), "v": np.ones((0, 1, 1, 1))}
refused(program.save(wide), words="too many")

print(refusals, "refusals")
