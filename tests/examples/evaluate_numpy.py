# SPDX-License-Identifier: Apache-2.0
"""The formula in plain NumPy, float64, token by token, and what the tests of `evaluate` share. Knows nothing of Sextant."""
import os
import subprocess
import sys
import tempfile

import numpy as np

TOLERANCE = {"fp64": 1e-12, "fp32": 1e-5, "bf16": 5e-3, "fp16": 2e-3}
INPUTS = ["one", "softplus_head", "softplus_channel", "sigmoid", "exponential"]
FORGETS = ["one", "constant", "exponential", "log_decay_head", "log_decay_key", "log_sigmoid", "softplus", "selective"]
SHORTCUTS = ["none", "learned"]
NORMS = ["none", "sum", "sum_undecayed"]
HEADS = ["single", "multi", "grouped"]
MAPS = ["identity", "elu_plus_one", "relu", "squared"]
ORDERS = ["causal", "global", "reversed"]


def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def softplus(x):
    return np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 20))))


def apply_map(name, x):
    """phi of the last axis."""
    if name == "identity":
        return x
    if name == "elu_plus_one":
        return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))
    if name == "relu":
        return np.where(x < 0, 0, x)
    K = x.shape[-1]
    pairs = [(i, j) for i in range(K) for j in range(i, K)]
    columns = [x[..., i] * x[..., j] * (1 if i == j else np.sqrt(2)) for i, j in pairs]
    return np.stack(columns, -1) if columns else x[..., :0]


def meaningful(s):
    """Whether the switches make a design, and why not."""
    if (s["input"], s["forget"]) in (("softplus_head", "selective"), ("softplus_channel", "exponential")):
        return False
    if s["order"] == "global" and s["forget"] != "one":
        return False
    return not (s["forget"] == "selective" and s["norm"] == "sum")


def shapes(s, B, T, Hk, H, K, V):
    """What the switches read, by file: the shape of each. Those of a state are not among them."""
    if s["forget"] == "diagonal":  # a state space that is the same for every token
        return {"v": (B, T, H, V), "a": (H, V, K), "b": (H, V, K), "c": (H, V, K), "d": (H, V), "log_dt": (H, V)}
    W = K * (K + 1) // 2 if s["map"] == "squared" else K
    files = {"q": (B, T, Hk, K), "k": (B, T, Hk, K), "v": (B, T, H, V)}
    per_channel = s["input"] == "softplus_channel" or s["forget"] == "selective"
    if per_channel or s["input"] == "softplus_head" or s["forget"] == "exponential":
        files["dt"] = (B, T, H, V) if per_channel else (B, T, H)
        files["bias"] = (H, V) if per_channel else (H,)
    if s["input"] in ("sigmoid", "exponential"):
        files["input"] = (B, T, H)
    if s["forget"] in ("log_decay_head", "softplus"):
        files["forget"] = (B, T, H)
    if s["forget"] in ("log_decay_key", "log_sigmoid"):
        files["forget"] = (B, T, H, W)
    if s["forget"] in ("constant", "exponential"):
        files["a"] = (H,)
    if s["forget"] == "selective":
        files["a"] = (H, V, W)
    if s["shortcut"] == "learned":
        files["d"] = (H, V)
    return files


def draw(random, name, shape):
    """Numbers that a file of this name could hold, mild enough for 16 bits."""
    x = random.standard_normal(shape)
    if name in ("q", "k"):
        return np.abs(x) * 0.5 + 0.1  # divisors far from 0 whatever the map
    if name == "a":
        return -0.1 - 0.5 * np.abs(x)
    if name == "forget":
        return -0.5 * np.abs(x)
    return 0.7 * x


def bf16(x):
    """Rounded to bfloat16, ties to even, from double at once."""
    x = np.asarray(x, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 256), exponent - 8)  # numpy rounds half to even


def stored(x, precision):
    """A token tensor as the precision stores it."""
    x = np.asarray(x)
    return {"fp64": lambda: x.astype(np.float64), "fp32": lambda: x.astype(np.float32).astype(np.float64),
            "bf16": lambda: bf16(x), "fp16": lambda: x.astype(np.float16).astype(np.float64)}[precision]()


def parameter(x, precision):
    """A parameter or a state: float64 with fp64, float32 otherwise."""
    return np.asarray(x).astype(np.float64 if precision == "fp64" else np.float32).astype(np.float64)


PARAMETERS = ("bias", "a", "b", "c", "d", "log_dt", "lepe", "lepe_bias", "initial_state", "initial_normalizer", "initial_stabilizer")


def as_stored(files, precision):
    return {n: (parameter if n in PARAMETERS else stored)(x, precision) for n, x in files.items()}


def mixer(s, f, scale=1.0, eps=0.0, forget=None):
    """y, S and z (None without a norm) of the switches s for the files f, in float64. A forget gate of another kind may
    be given by its values [B, T, H, K', V]."""
    B, T, H, V = f["v"].shape
    Hk = f["q"].shape[2]
    head = [h * Hk // H for h in range(H)]  # the key head of each head
    q, k = apply_map(s["map"], f["q"])[:, :, head], apply_map(s["map"], f["k"])[:, :, head]
    W = q.shape[-1]
    v = f["v"]
    if "dt" in f:
        delta = softplus(f["dt"] + f.get("bias", 0.0))
    gate = {"one": lambda: np.ones((B, T, H, 1)),
            "softplus_head": lambda: (delta if delta.ndim == 4 else delta[..., None]),
            "softplus_channel": lambda: delta,
            "sigmoid": lambda: sigmoid(f["input"])[..., None],
            "exponential": lambda: np.exp(f["input"])[..., None]}[s["input"]]()
    default = np.log1p(-(2.0 ** (-5.0 - np.arange(H))))
    gates = {"one": lambda: np.ones((B, T, H, 1, 1)),
             "constant": lambda: np.broadcast_to(np.exp(f.get("a", default))[:, None, None], (B, T, H, 1, 1)),
             "exponential": lambda: np.exp(f["a"] * delta)[..., None, None],
             "log_decay_head": lambda: np.exp(f["forget"])[..., None, None],
             "log_decay_key": lambda: np.exp(f["forget"])[..., None],
             "log_sigmoid": lambda: sigmoid(f["forget"])[..., None],
             "softplus": lambda: np.exp(-softplus(f["forget"]))[..., None, None],
             "selective": lambda: np.exp(f["a"].swapaxes(1, 2) * delta[..., None, :])}
    forget = gates[s["forget"]]() if forget is None else forget

    S = f.get("initial_state", np.zeros((B, H, W, V))).copy()
    z = f.get("initial_normalizer", np.zeros((B, H, W))).copy()
    y = np.zeros_like(v)

    def update(t):
        nonlocal S, z
        S = forget[:, t] * S + k[:, t, :, :, None] * (gate[:, t] * v[:, t])[:, :, None, :]
        z = (forget[:, t, :, :, 0] * z if s["norm"] == "sum" else z) + k[:, t]

    def read(t):
        y[:, t] = scale * np.einsum("bhk,bhkv->bhv", q[:, t], S)
        if s["norm"] != "none":
            y[:, t] /= np.einsum("bhk,bhk->bh", q[:, t], z)[..., None] + eps
        if s["shortcut"] == "learned":
            y[:, t] += f["d"] * v[:, t]

    order = range(T)[::-1] if s["order"] == "reversed" else range(T)
    for t in order:
        update(t)
        if s["order"] != "global":
            read(t)
    if s["order"] == "global":
        for t in order:
            read(t)
    return y, S, (z if s["norm"] != "none" else None)


def error(found, expected):
    """max|found - expected| / max|expected|; infinite where shapes differ or anything is not a number."""
    if found.shape != expected.shape:
        return np.inf
    if expected.size == 0:
        return 0.0
    difference, size = np.max(np.abs(found - expected)), np.max(np.abs(expected))
    return np.inf if not np.isfinite(difference) else difference / (size if size > 0 else 1.0)


class Evaluate:
    """The program, with a folder of its own for files. The command line is: EVALUATE [--backend cuda] [others]."""

    def __init__(self, arguments=None):
        arguments = sys.argv[1:] if arguments is None else arguments
        self.program, self.temporary = arguments[0], tempfile.TemporaryDirectory()
        self.on_gpu = arguments[1:3] == ["--backend", "cuda"]
        self.arguments = arguments[3 if self.on_gpu else 1:]
        self.backends = ["cuda"] if self.on_gpu else ["cpu", "cpu_serial"]
        # The generic form of a GPU sums in another order, and its exp is the device's.
        self.tolerance = {**TOLERANCE, "fp32": 5e-5} if self.on_gpu else TOLERANCE
        self.count = 0
        # The numbers are few: threads would only wait for one another.
        self.environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}

    def folder(self):
        self.count += 1
        path = os.path.join(self.temporary.name, str(self.count))
        os.mkdir(path)
        return path

    def save(self, files, dtype="<f8"):
        """Writes arrays to a new folder; dtype for all, or by file."""
        path = self.folder()
        for name, x in files.items():
            wanted = dtype.get(name, "<f8") if isinstance(dtype, dict) else dtype
            np.save(os.path.join(path, name + ".npy"), np.ascontiguousarray(x, dtype=wanted))
        return path

    def run(self, *arguments):
        if self.on_gpu and "--backend" not in arguments and "--in" in arguments:
            arguments = (*arguments, "--backend", "cuda")
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=120, env=self.environment)
        if self.on_gpu and "no GPU" in done.stderr:
            print("skipped: there is no GPU here:", done.stderr.strip())
            sys.exit(0)
        return done

    def results(self, source, *arguments, or_refusal=None):
        """What the program writes, by file; it must say nothing. None if it refuses, where it may in these words."""
        target = os.path.join(self.folder(), "made", "here")
        done = self.run("--in", source, "--out", target, *arguments)
        if or_refusal is not None and done.returncode != 0:
            self.is_refusal(done, target, arguments, or_refusal)
            return None
        assert done.returncode == 0 and done.stdout == "" and done.stderr == "", (arguments, done)
        return {n[:-4]: np.load(os.path.join(target, n)) for n in os.listdir(target)}

    def refused(self, source, *arguments, words=""):
        """The program must end with exit code 2, one line on standard error, and no output."""
        target = os.path.join(self.folder(), "never")
        done = self.run("--in", source, "--out", target, *arguments)
        self.is_refusal(done, target, arguments, words)
        return done.stderr

    @staticmethod
    def is_refusal(done, target, arguments, words):
        assert done.returncode == 2, (arguments, done)
        assert done.stdout == "" and done.stderr.endswith("\n") and done.stderr.count("\n") == 1, (arguments, done)
        assert words in done.stderr, (words, done.stderr)
        assert not os.path.exists(target), (arguments, os.listdir(target))


def options_of(s):
    return [word for name, value in s.items() for word in ("--" + name, value)]
