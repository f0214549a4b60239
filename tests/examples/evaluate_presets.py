# SPDX-License-Identifier: Apache-2.0
"""Every preset of `evaluate`, in every form that it has, precision and backend, against plain NumPy; and what --help says.

Usage: evaluate_presets.py EVALUATE [--backend cuda] [PRESET...]
"""
import re

import numpy as np

import evaluate_numpy as ref

program = ref.Evaluate()
PLAIN = {"input": "one", "forget": "one", "shortcut": "none", "norm": "none", "heads": "multi", "map": "identity",
         "order": "causal"}


def switched(**changed):
    """A preset that is a point of the switches."""
    s = {**PLAIN, **changed}

    def run(f, scale=1.0):
        y, S, z = ref.mixer(s, f, scale)
        return {"y": y, "final_state": S} | ({"final_normalizer": z} if z is not None else {})
    return s, run


def per_root(preset):
    s, run = preset
    return s, lambda f: run(f, f["q"].shape[-1] ** -0.5)


def gla():
    s = {**PLAIN, "forget": "log_sigmoid"}

    def run(f):
        gate = ref.sigmoid(f["forget"])[..., None] ** (1 / 16)
        y, S, _ = ref.mixer(s, f, f["q"].shape[-1] ** -0.5, forget=gate)
        return {"y": y, "final_state": S}
    return s, run


def two_mamba():
    s = {**PLAIN, "forget": "softplus", "map": "squared", "norm": "sum"}

    def run(f):
        y, S, z = ref.mixer(s, {**f, "k": f["k"] * f["k"].shape[-1] ** -0.5})
        return {"y": y, "final_state": S, "final_normalizer": z}
    return s, run


def mlstm():
    """Without the stabiliser, but for the states, which are S exp(-m), z exp(-m) and m."""
    s = {**PLAIN, "input": "exponential", "forget": "log_decay_head"}

    def run(f):
        B, T, H, V = f["v"].shape
        K = f["q"].shape[-1]
        m = f.get("initial_stabilizer", np.zeros((B, H))).copy()
        S = f.get("initial_state", np.zeros((B, H, K, V))) * np.exp(m)[..., None, None]
        z = f.get("initial_normalizer", np.zeros((B, H, K))) * np.exp(m)[..., None]
        y = np.zeros((B, T, H, V))
        for t in range(T):
            F, I = ref.sigmoid(f["forget"][:, t]), np.exp(f["input"][:, t])
            m = np.maximum(np.log(F) + m, f["input"][:, t])
            k, q = f["k"][:, t], f["q"][:, t] * K ** -0.5
            S = F[..., None, None] * S + k[..., None] * (I[..., None] * f["v"][:, t])[:, :, None]
            z = F[..., None] * z + I[..., None] * k
            divisor = np.maximum(np.abs(np.einsum("bhk,bhk->bh", q, z)), 1)
            y[:, t] = np.einsum("bhk,bhkv->bhv", q, S) / divisor[..., None]
        return {"y": y, "final_state": S * np.exp(-m)[..., None, None], "final_normalizer": z * np.exp(-m)[..., None],
                "final_stabilizer": m}
    return s, run


def mila(height, width):
    def turn(x):
        B, T, H, K = x.shape
        pairs = x.reshape(B, T, -1, 2)
        quarter = H * K // 4
        angle = np.zeros((T, 2 * quarter))
        for t in range(T):
            for m in range(quarter):
                angle[t, m] = t // width * 10000.0 ** (-m / quarter)
                angle[t, quarter + m] = t % width * 10000.0 ** (-m / quarter)
        c, s = np.cos(angle), np.sin(angle)
        turned = np.stack([pairs[..., 0] * c - pairs[..., 1] * s, pairs[..., 0] * s + pairs[..., 1] * c], -1)
        return turned.reshape(x.shape)

    def run(f):
        q, k = ref.apply_map("elu_plus_one", f["q"]), ref.apply_map("elu_plus_one", f["k"])
        B, T, H, V = f["v"].shape
        S = np.einsum("bthk,bthv->bhkv", turn(k), f["v"])
        z = k.sum(1)
        y = np.einsum("bthk,bhkv->bthv", turn(q), S) / T
        y /= np.einsum("bthk,bhk->bth", q, z)[..., None] / T + 1e-6
        if "lepe" in f:
            image = np.zeros((B, height + 2, width + 2, H * V))
            image[:, 1:-1, 1:-1] = f["v"].reshape(B, height, width, H * V)
            local = np.zeros((B, height, width, H * V)) + f.get("lepe_bias", 0.0)
            for i in range(3):
                for j in range(3):
                    local += f["lepe"][:, i, j] * image[:, i:i + height, j:j + width]
            y += local.reshape(y.shape)
        return {"y": y, "final_state": S, "final_normalizer": z}
    return {**PLAIN}, run


def s4d():
    """By the other view of it: a convolution, and what is left of the initial state."""
    def run(f):
        B, T, H, V = f["v"].shape
        a, c = f["a"].view(complex), f["c"].view(complex)  # neighbours are a real and an imaginary part
        b = f["b"].view(complex) if "b" in f else np.ones_like(a)
        step = np.exp(f["log_dt"])[..., None] * a
        F, enters = np.exp(step), (np.exp(step) - 1) / a * b
        powers = F ** np.arange(T + 1)[:, None, None, None]  # [T + 1, H, V, pairs]
        S = f.get("initial_state", np.zeros((B, H, 2 * a.shape[-1], V))).swapaxes(2, 3).copy().view(complex)
        kernel = 2 * np.einsum("thvm,hvm->thv", powers[:T], c * enters).real
        y = 2 * np.einsum("thvm,bhvm,hvm->bthv", powers[1:], S, c).real + f["d"] * f["v"]
        for t in range(T):
            y[:, t] += np.einsum("shv,bshv->bhv", kernel[t::-1], f["v"][:, :t + 1])
        last = powers[T] * S + np.einsum("thvm,bthv->bhvm", powers[T - 1::-1], f["v"]) * enters
        return {"y": y, "final_state": last.view(float).swapaxes(2, 3)}
    return {**PLAIN, "forget": "diagonal", "shortcut": "learned"}, run


GRID = (6, 5)
PRESETS = {
    "linear_attention": switched(map="elu_plus_one", norm="sum"),
    "mamba": switched(input="softplus_channel", forget="selective", shortcut="learned", heads="single"),
    "mamba2": switched(input="softplus_head", forget="exponential", shortcut="learned", heads="grouped"),
    "mamba2s": switched(input="softplus_head", forget="softplus"),
    "retnet": per_root(switched(forget="constant")),
    "gla": gla(),
    "mlstm": mlstm(),
    "mila": mila(*GRID),
    "two_mamba": two_mamba(),
    "s4d": s4d(),
}
FORMS = {
    "linear_attention": "recurrent scan chunked quadratic", "mamba": "recurrent scan quadratic",
    "mamba2": "recurrent scan chunked quadratic", "mamba2s": "recurrent scan chunked quadratic",
    "retnet": "recurrent scan chunked quadratic", "gla": "recurrent scan chunked quadratic",
    "mlstm": "recurrent chunked quadratic", "mila": "recurrent quadratic global",
    "two_mamba": "recurrent scan chunked quadratic", "s4d": "recurrent chunked",
}
ALL_FORMS = ["automatic", "recurrent", "scan", "chunked", "quadratic", "global"]

checks, worst = 0, dict.fromkeys(ref.TOLERANCE, 0.0)


def check(source, preset, form, precision, grid, expected):
    """One call, against what NumPy says."""
    global checks
    backend = random.choice(program.backends)
    options = ["--design", preset, "--form", form, "--precision", precision, "--backend", backend, *grid]
    partly = program.on_gpu and form == "chunked"  # a GPU has it for some shapes and precisions
    results = program.results(source, *options, or_refusal="form" if partly else None)
    if results is None:
        return
    assert set(results) == set(expected), (options, set(results))
    for name, reference in expected.items():
        assert results[name].dtype == ("<f8" if precision == "fp64" else "<f4")
        found = ref.error(results[name].astype(np.float64), reference)
        assert found <= program.tolerance[precision], (options, name, found)
        worst[precision] = max(worst[precision], found)
    checks += 1


def files_of(preset, s, B, T, H, K, V):
    """Every file that the preset reads."""
    W = K * (K + 1) // 2 if s["map"] == "squared" else K
    Hk = {"grouped": H // 2}.get(s["heads"], H)
    files = {name: ref.draw(random, name, shape) for name, shape in ref.shapes(s, B, T, Hk, H, K, V).items()}
    if preset == "mlstm":
        files["forget"] = random.standard_normal((B, T, H)) + 2
    if preset == "mila":
        files |= {"lepe": random.standard_normal((H * V, 3, 3)), "lepe_bias": random.standard_normal(H * V)}
    else:
        files["initial_state"] = random.standard_normal((B, H, W, V))
        if s["norm"] != "none" or preset == "mlstm":
            files["initial_normalizer"] = np.abs(random.standard_normal((B, H, W)))
        if preset == "mlstm":
            files["initial_stabilizer"] = random.standard_normal((B, H))
    return files


for seed, (preset, (s, run)) in enumerate(PRESETS.items()):
    if program.arguments and preset not in program.arguments:
        continue
    forms = [f for f in FORMS[preset].split() if not (program.on_gpu and f == "quadratic")]
    random = np.random.default_rng(seed)
    H = 1 if preset == "mamba" else 4
    files = files_of(preset, s, 2, GRID[0] * GRID[1], H, 4, 6)
    grid = ["--grid", f"{GRID[0]}x{GRID[1]}"] if preset == "mila" else []

    optional = ["bias", "b", "lepe_bias"] + (["a"] if preset == "retnet" else [])
    bare = {n: x for n, x in files.items() if n not in optional and not n.startswith("initial_") and n != "lepe"}
    stateless = {n: x for n, x in files.items() if not n.startswith(("initial_normalizer", "initial_stabilizer"))}
    for given in (files, bare, stateless):
        source = program.save(given)
        expected = {p: run(ref.as_stored(given, p)) for p in ref.TOLERANCE}
        for form in ALL_FORMS:
            if form != "automatic" and form not in forms:
                if given is files:
                    program.refused(source, "--design", preset, "--form", form, *grid, words=f"--form {form}")
                continue
            for precision in ref.TOLERANCE if given is files else ["fp64"]:
                check(source, preset, form, precision, grid, expected[precision])

    # Sizes that a GPU has kernels of its own for.
    if program.on_gpu:
        if preset == "mila":
            s, run = mila(14, 15)
        K, V = {"mamba": (16, 64), "s4d": (64, 24), "mamba2": (128, 64), "two_mamba": (16, 64), "mila": (32, 32)}.get(preset, (64, 64))
        files = files_of(preset, s, 2, 14 * 15, H, K, V)
        source = program.save(files)
        for precision in ref.TOLERANCE:
            expected = run(ref.as_stored(files, precision))
            for form in ["automatic", *(["chunked"] if "chunked" in forms else [])]:
                check(source, preset, form, precision, ["--grid", "14x15"] if preset == "mila" else [], expected)

# --help names every file of every preset, and how each is shaped.
done = program.run("--help")
assert done.returncode == 0 and done.stderr == "", done
for preset, (s, run) in PRESETS.items():
    text = re.search(rf"^  --design {preset},.*?(?=^  --design |\Z)", done.stdout, re.M | re.S).group()
    assert re.search(r"--form ([a-z|]*)", text).group(1).split("|") == ["automatic", *FORMS[preset].split()], text
    named = dict(re.findall(r"^    (\w+)\.npy +\[(.*?)\]", text, re.M))
    wanted = {"v": "B, T, H, V", "y": "B, T, H, V", "final_state": "B, H, K', V"}
    letters = {"q": "B, T, Hk, K", "k": "B, T, Hk, K", "b": "H, V, K", "c": "H, V, K", "log_dt": "H, V",
               "dt": "B, T, H, V" if preset == "mamba" else "B, T, H", "bias": "H, V" if preset == "mamba" else "H",
               "a": "H, V, K'" if preset in ("mamba", "s4d") else "H", "d": "H, V", "input": "B, T, H",
               "forget": "B, T, H, K'" if preset == "gla" else "B, T, H"}
    wanted |= {n: letters[n] for n in ref.shapes(s, 1, 1, 1, 1, 1, 1) if n in letters}
    if preset != "mila":
        wanted["initial_state"] = wanted["final_state"]
    else:
        wanted |= {"lepe": "C, 3, 3", "lepe_bias": "C"}
        assert "--grid HxW" in text
    if preset in ("linear_attention", "two_mamba", "mlstm", "mila"):
        wanted["final_normalizer"] = "B, H, K'"
        if preset != "mila":
            wanted["initial_normalizer"] = "B, H, K'"
    if preset == "mlstm":
        wanted |= {"initial_stabilizer": "B, H", "final_stabilizer": "B, H"}
    assert named == wanted, (preset, named, wanted)
print(checks, "calls of presets agree with NumPy; worst error", {n: f"{e:.1e}" for n, e in worst.items()})
