# SPDX-License-Identifier: Apache-2.0
"""Our networks and the same in PyTorch, from the papers' formulas, give the same logits in float32, whoever made the
weights.

Usage: equal.py SEXTANT_NETWORK NAME... Exit code 77 where there is no PyTorch.
"""
import os
import subprocess
import sys
import tempfile

try:
    import torch
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

import files
from language import Language, Mamba, Mamba2, Switch
from mila import Mila
from parts import randomise
from swin import Swin
from vim import Vim
from vmamba import VMamba

torch.set_num_threads(1)  # scans are many small steps
bound = 1e-4


def tokens(batch, time):
    return lambda g: torch.randint(0, 500, (batch, time), generator=g, dtype=torch.int32)


def pictures(batch, height, width):
    return lambda g: torch.randn(batch, 3, height, width, generator=g)


rows = ("baseline", "input_gate", "forget_gate", "shortcut", "no_norm", "single_head", "block_sub", "block_all", "lepe", "cpe",
        "rope")
networks = {
    "mila": (Mila, pictures(2, 96, 64)),
    "vim": (Vim, pictures(1, 224, 224)),
    "vmamba": (VMamba, pictures(2, 72, 56)),
    "ape": (lambda: Swin("ape", picture=64), pictures(2, 64, 64)),
    **{row: (lambda row=row: Swin(row), pictures(2, 57, 75)) for row in rows},
    "mamba": (lambda: Language(768, 2, lambda: Mamba(768)), tokens(2, 37)),
    "mamba2": (lambda: Language(768, 2, lambda: Mamba2(768)), tokens(2, 37)),
    "moe_mamba": (lambda: Language(64, 2, lambda: Mamba(64), moe=lambda: Switch(64, 96, 4, 1)), tokens(3, 33)),
}
# Of these the weights are made by us as well.
ours_too = ("mila", "vim", "vmamba", "forget_gate", "mamba", "mamba2", "moe_mamba")


def ours(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (arguments, done.stderr)


def check(program, name, folder):
    make, random_input = networks[name]
    x = random_input(torch.Generator().manual_seed(2))
    weights, picture, logits = (os.path.join(folder, part) for part in ("weights", "input", "logits"))
    # Pictures go to PyTorch as [B, 3, H, W], to us as [B, H, W, 3].
    files.write(picture, {"ids": x} if x.dtype == torch.int32 else {"x": x.permute(0, 2, 3, 1)})

    def difference(network, maker):
        ours(program, name, "run", weights, picture, logits)
        found = files.read(logits)["logits"]
        with torch.no_grad():
            expected = network.eval()(x)
        assert found.shape == expected.shape, (found.shape, expected.shape)
        error = ((found - expected).abs().max() / expected.abs().max()).item()
        print(f"{name}, weights by {maker}: {error:.1e} of the largest logit, {expected.abs().max().item():.3g}", flush=True)
        assert error <= bound and expected.std() > 0, (name, maker, error)

    theirs = randomise(make(), 1)
    files.write(weights, theirs.state_dict())
    difference(theirs, "PyTorch")
    if name not in ours_too:
        return
    ours(program, name, "begin", "7", weights)
    theirs = make()
    theirs.load_state_dict(files.read(weights), strict=True)
    difference(theirs, "us")


with tempfile.TemporaryDirectory() as folder:
    for name in sys.argv[2:]:
        check(sys.argv[1], name, folder)
