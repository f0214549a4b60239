# SPDX-License-Identifier: Apache-2.0
"""examples/convert.py: checkpoints in every wrapping come out as the same tensors; what is no checkpoint is refused.

Usage: convert.py CONVERT. Exit code 77 where there is no PyTorch, which a first part does without.
"""
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "torch.py").write_text("raise ImportError('no torch')", encoding="utf-8")

    def without_torch(*words):
        return subprocess.run([sys.executable, sys.argv[1], *words], env={**os.environ, "PYTHONPATH": folder},
                              capture_output=True, text=True)

    assert without_torch("--help").returncode == 0
    found = without_torch("a.pth", "b.safetensors")
    assert found.returncode == 1 and found.stderr == "convert.py needs PyTorch (no torch): pip install torch==2.13.0\n", found

try:
    import torch
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

import files

spec = importlib.util.spec_from_file_location("script", sys.argv[1])
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
weights = {"a.weight": torch.randn(3, 4), "a.bias": torch.randn(3).half(), "n": torch.tensor(7), "t": torch.randn(4, 5).T}


def convert(content, *more):
    """The tensors of the file that the script writes, or None and why it stopped."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "a.pth"), os.path.join(folder, "a.safetensors")
        torch.save(content, source)
        sys.argv = [sys.argv[0], source, target, *more]
        try:
            script.main()
        except (SystemExit, Exception) as error:
            return None, str(error)
        return files.read(target), ""


class Program:  # a pickle that would run code
    def __reduce__(self):
        return os.system, ("true",)


wrapped = ({"model": weights, "epoch": 3}, {"state_dict_ema": weights, "state_dict": {"wrong": torch.zeros(1)}},
           {"model": {"state_dict": weights}}, {"module." + name: tensor for name, tensor in weights.items()})
for content in (weights, *wrapped):
    found, error = convert(content)
    assert found is not None, error
    assert found.keys() == weights.keys(), found.keys()
    for name, tensor in weights.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
found, _ = convert(weights, "--dtype", "bfloat16")
assert found["a.weight"].dtype == torch.bfloat16 and found["n"].dtype == torch.int64
assert torch.equal(found["a.weight"], weights["a.weight"].bfloat16())
for content in ([1, 2], {"epoch": 3}, torch.zeros(2), {"model": Program()}):
    found, error = convert(content)
    assert found is None and error, content
with tempfile.TemporaryDirectory() as folder:
    for content in (None, b"", b"text", bytes(range(255, 0, -1))):
        path = pathlib.Path(folder, "a.pth")
        if content is not None:
            path.write_bytes(content)
        sys.argv = [sys.argv[0], str(path), "b.safetensors"]
        try:
            script.main()
        except SystemExit as error:
            assert str(error).startswith(f"convert.py: {path}: ") and "\n" not in str(error), error
        else:
            sys.exit(f"{content} was taken for a checkpoint")
