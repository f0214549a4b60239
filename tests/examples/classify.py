# SPDX-License-Identifier: Apache-2.0
"""`classify`: scores, the pictures it writes, and what it refuses.

Usage: classify.py CLASSIFY
"""
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

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


def png(path, width, height, byte):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = (b"\0" + bytes([byte]) * width) * height
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
    return str(path)


def vim_of_zeros(path, head):
    """Weights of Vim-T, all of them zero but the head's, which are `head`."""
    C, D, N, R = 192, 384, 16, 12
    shapes = {"patch_embed.proj.weight": [C, 3, 16, 16], "patch_embed.proj.bias": [C], "cls_token": [1, 1, C],
              "pos_embed": [1, 197, C], "norm_f.weight": [C], "head.weight": [1000, C], "head.bias": [1000]}
    for i in range(24):
        layer = {"norm.weight": [C], "mixer.in_proj.weight": [2 * D, C], "mixer.out_proj.weight": [C, D]}
        for b in ("", "_b"):
            layer |= {f"mixer.conv1d{b}.weight": [D, 1, 4], f"mixer.conv1d{b}.bias": [D], f"mixer.x_proj{b}.weight": [R + 2 * N, D],
                      f"mixer.dt_proj{b}.weight": [D, R], f"mixer.dt_proj{b}.bias": [D], f"mixer.A{b}_log": [D, N],
                      f"mixer.D{b}": [D]}
        shapes |= {f"layers.{i}.{name}": shape for name, shape in layer.items()}
    header, data = {}, b""
    for name, shape in shapes.items():
        number = struct.pack("<e", head if name.startswith("head") else 0)
        begin, data = len(data), data + number * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return str(path)


with tempfile.TemporaryDirectory() as folder:
    # Of a long, thin picture the middle is seen; of one colour, what a square of it has.
    files = [png(pathlib.Path(folder) / f"{width}x{height}.png", width, height, 99)
             for width, height in ((8, 8), (100000, 1), (1, 100000), (3001, 300))]
    answers = [run("--model", "vim_t", "--top", "3", file) for file in files]
    assert all(done.returncode == 0 and done.stdout == answers[0].stdout != "" for done in answers), answers
    weights = vim_of_zeros(pathlib.Path(folder) / "w.safetensors", 1)
    done = run("--model", "vim_t", "--top", "1", "--weights", weights, files[0])
    assert done.returncode == 0 and "0.10 %" in done.stdout, done
    weights = vim_of_zeros(pathlib.Path(folder) / "w.safetensors", math.nan)
    done = run("--model", "vim_t", "--weights", weights, files[0])
    assert done.returncode == 2 and done.stdout == "" and "finite" in done.stderr and done.stderr.count("\n") == 1, done
for refused in (["--model", "no_such"], ["--weights", "no such file"], ["--weights", str(root / "README.md")], ["no such picture"],
                ["--top", "0"], ["--names", "no such file"], ["--model", "vim_t", "--gates", "x.png"]):
    done = run(*refused)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
print("classify: right")
