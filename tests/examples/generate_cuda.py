# SPDX-License-Identifier: Apache-2.0
"""`generate --backend cuda`: the tokens that the CPU finds; without a GPU, or in a build without CUDA, one line and exit code 2.

Usage: generate_cuda.py GENERATE SEXTANT_NETWORK, the program that makes small weights.
"""
import os
import subprocess
import sys
import tempfile

generate, network = sys.argv[1:]


def run(*arguments):
    return subprocess.run([generate, "Call me", *arguments], capture_output=True, text=True, timeout=120)


with tempfile.TemporaryDirectory() as folder:
    weights = os.path.join(folder, "weights.safetensors")
    ran = 0
    for model in ("mamba", "mamba2", "moe_mamba"):
        subprocess.run([network, model, "begin", "3", weights], check=True, timeout=120)
        for precision in ("fp32", "bf16", "fp16"):
            done = run("--weights", weights, "--tokens", "12", "--backend", "cuda", "--precision", precision)
            if done.returncode != 0:
                assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
                assert done.stderr.startswith("generate: backend cuda: "), done
                if "no GPU" in done.stderr:
                    print("skipped: there is no GPU here:", done.stderr.strip())
                    sys.exit(0)
                assert "this build" in done.stderr, done
                continue
            ran += 1
            tokens = done.stdout.split()
            assert len(tokens) == 12 and all(0 <= int(token) < 500 for token in tokens), done
            if precision == "fp32":
                assert tokens == run("--weights", weights, "--tokens", "12").stdout.split(), done
            again = run("--weights", weights, "--tokens", "12", "--backend", "cuda", "--precision", precision)
            assert again.stdout == done.stdout, (done, again)
    done = run("--weights", weights, "--precision", "fp16")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done
print(ran, "models and precisions")
