# SPDX-License-Identifier: Apache-2.0
"""`classify`: scores, the pictures it writes, and what it refuses.

Usage: classify.py CLASSIFY
"""
import pathlib
import struct
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parents[2]


def run(*arguments):
    return subprocess.run([sys.argv[1], *arguments], capture_output=True, text=True, timeout=600)


def size_of(png):
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", png
    return struct.unpack(">II", data[16:24])


names = (root / "examples/classify/imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
assert len(names) == 1000 and names[0] == "tench" and names[999] == "toilet tissue"
with tempfile.TemporaryDirectory() as folder:
    norms, gates = pathlib.Path(folder) / "norms.png", pathlib.Path(folder) / "gates.png"
    done = run("--model", "forget_gate", "--top", "3", "--norms", str(norms), "--gates", str(gates))
    assert done.returncode == 0 and done.stderr == "", done
    lines = done.stdout.splitlines()
    assert len(lines) == 3 + 12 and all(0 < float(line.rsplit(" ", 1)[1]) < 1 for line in lines[3:]), lines
    shares = [float(line.split()[1]) for line in lines[:3]]
    assert shares == sorted(shares, reverse=True), lines
    assert size_of(norms) == (7 * 32, 7 * 32) and size_of(gates) == (8 + 12 * 32, 200)
same = [run("--top", "1", "--backend", backend).stdout for backend in ("cpu", "cpu_serial")]
assert same[0].split()[0] == same[1].split()[0], same
for refused in (["--model", "no_such"], ["--weights", "no such file"], ["--weights", str(root / "README.md")], ["no such picture"],
                ["--top", "0"], ["--model", "vim_t", "--gates", "x.png"]):
    done = run(*refused)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
print("classify: right")
