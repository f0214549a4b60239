# SPDX-License-Identifier: Apache-2.0
"""generate: the same tokens every time, and what it says where it can't.

Usage: generate.py GENERATE SEXTANT_NETWORK, the program that makes small weights.
"""
import os
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
        drawn = [run("Call me", "--weights", weights, "--tokens", "8", "--temperature", "2", "--seed", seed).stdout
                 for seed in ("1", "1", "2")]
        assert drawn[0] == drawn[1] != drawn[2], drawn
        assert run("Call me", "--weights", weights, "--precision", "bf16", "--tokens", "2").returncode == 0
    with open(weights, "rb") as file:
        content = file.read()
    with open(weights, "wb") as file:
        file.write(content[:-1])
    refused("is truncated", "a", "--weights", weights)
    refused("there is no such file", "a", "--weights", os.path.join(folder, "none"))
    refused("--model is", "a", "--model", "gpt")
    refused("prompt is empty", "")
    refused("not a tokenizer.json", "a", "--tokenizer", weights)
