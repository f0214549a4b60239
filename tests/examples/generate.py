# SPDX-License-Identifier: Apache-2.0
"""generate: the same tokens every time, and what it says where it can't.

Usage: generate.py GENERATE SEXTANT_NETWORK, the program that makes small weights.
"""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile

generate, network = sys.argv[1:]


def run(*arguments):
    return subprocess.run([generate, *arguments], capture_output=True, text=True, timeout=120)


def refused(words, *arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == "" and words in done.stderr, (arguments, done)


with tempfile.TemporaryDirectory() as folder:
    weights = os.path.join(folder, "weights.safetensors")
    for model in ("mamba", "mamba2", "moe_mamba"):
        subprocess.run([network, model, "begin", "3", weights], check=True, timeout=120)
        first = run("Call me", "--weights", weights, "--tokens", "8")
        assert first.returncode == 0, first.stderr
        tokens = [int(token) for token in first.stdout.split()]
        assert len(tokens) == 8 and all(0 <= token < 500 for token in tokens), first.stdout
        assert ("Mamba-2" in first.stderr) == (model == "mamba2") and ("experts" in first.stderr) == (model == "moe_mamba")
        assert run("Call me", "--weights", weights, "--tokens", "8").stdout == first.stdout
        drawn = [run("Call me", "--weights", weights, "--tokens", "8", "--temperature", "2.5", "--seed", seed).stdout
                 for seed in ("1", "1", "2")]
        assert drawn[0] == drawn[1] != drawn[2], drawn
        assert run("Call me", "--weights", weights, "--precision", "bf16", "--tokens", "2").returncode == 0
    with open(weights, "rb") as file:
        content = file.read()
    with open(weights, "wb") as file:
        file.write(content[:-1])
    refused("is truncated", "a", "--weights", weights)

    def refused_file(words, tensors, *arguments):
        """A file of zeros with these names and shapes."""
        header, end = {}, 0
        for name, shape in tensors.items():
            size = 4 * math.prod(shape)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
            end += size
        text = json.dumps(header).encode()
        with open(weights, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + bytes(end))
        refused(words, "a", "--weights", weights, *arguments)

    mixer = "backbone.layers.0.mixer."
    mamba = {"backbone.embedding.weight": [10, 4], mixer + "in_proj.weight": [16, 4], mixer + "out_proj.weight": [4, 8],
             mixer + "conv1d.weight": [8, 1, 4], mixer + "A_log": [8, 16], mixer + "dt_proj.weight": [8, 1]}
    refused_file("not a Mamba language model", {"a": [1]})
    refused_file("A_log: is missing", {k: v for k, v in mamba.items() if "A_log" not in k})
    refused_file("A_log: has another shape", {**mamba, mixer + "A_log": [0, 2**40]})
    refused_file("no multiple of the model's", {**mamba, mixer + "out_proj.weight": [4, 9]})
    refused_file("fewer bytes", {**mamba, "backbone.embedding.weight": [10, 1], mixer + "out_proj.weight": [1, 2000]})
    mamba2 = {**mamba, mixer + "dt_bias": [2], mixer + "A_log": [2], mixer + "conv1d.weight": [8 + 2 * 256, 1, 4]}
    refused_file("A_log: is missing", {k: v for k, v in mamba2.items() if "A_log" not in k})
    refused_file("heads don't divide", {**mamba2, mixer + "A_log": [3]})
    refused_file("say how many, --keys", mamba2)
    refused_file("whole groups of 100 keys", mamba2, "--keys", "100")
    refused_file("is missing", mamba2, "--keys", "256")
    refused("there is no such file", "a", "--weights", os.path.join(folder, "none"))
    refused("--model is", "a", "--model", "gpt")
    refused("prompt is empty", "")
    for options in (["--tokens", "-1"], ["--temperature", "-0.5"], ["--top", "x"], ["--keys", "-1"]):
        refused("generate: " + options[0] + ": Value " + options[1] + " not in range", "a", *options)
    refused("--temperature is a number", "a", "--temperature", "nan")
    refused("generate: --precision: fp8 not in", "a", "--precision", "fp8")
    refused("generate: PROMPT is required (--help shows the options)")
    refused("not a tokenizer.json", "a", "--tokenizer", weights)
