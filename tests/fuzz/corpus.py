# SPDX-License-Identifier: Apache-2.0
"""Writes the inputs that fuzzing begins with: safetensors files that are right, and hostile ones; edits of a checkpoint.

Usage: corpus.py TARGET FOLDER. FOLDER/list is what libFuzzer's -seed_inputs=@ wants. What an input means: see TARGET.cpp.
"""
import json
import pathlib
import struct
import sys

folder = pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
count = 0


def save(content):
    global count
    (folder / f"{count:03}").write_bytes(content)
    count += 1


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def both(header, data=b"", length=None):
    """As a file, with a length of the caller's choice, and as header and data."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    save(b"\1" + struct.pack("<Q", len(text) if length is None else length) + text + data)
    if length is None:
        save(b"\0" + text + b"\0" + data)


def safetensors():
    bits = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
            "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
            "C64": 64, "F64": 64, "I64": 64, "U64": 64}
    for dtype, width in bits.items():
        both({"w": tensor(dtype, [2, 4], 0, width)}, bytes(range(width)))
    both({})
    both({"__metadata__": {"format": "pt"}, "a": tensor("F32", [], 0, 4), "b": tensor("U8", [3], 4, 7)}, b"\0\0\x80?abc")
    both({"b": tensor("U8", [0, 5], 0, 0), "a": tensor("BF16", [1, 2, 1], 0, 4)}, b"abcd")
    both({"a": tensor("U8", [3], 0, 3), "b": tensor("U8", [3], 2, 5)}, b"abcde")
    both({"a": tensor("U8", [3], 0, 3), "b": tensor("U8", [3], 4, 7)}, b"abcdefg")
    both({"a": tensor("F32", [2**62, 4], 0, 0)})
    both({"a": tensor("F32", [2**63], 0, 2**63)})
    both({"a": tensor("F32", [3], 12, 0)}, bytes(12))
    both(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"ab")
    both(b'{"\\ud83d\\ude00\\u00e4\\n":{"shape":[1] , "data_offsets":\t[0,1],"dtype":"U8"}}   ', b"a")
    both(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]', b"a")
    both(b"{" * 1000)
    both(b'{"a":' + b"[" * 1000)
    for length in (2**64 - 1, 2**63, 2**32, 100_000_001, 99_999_999, 0):
        both({"a": tensor("U8", [1], 0, 1)}, b"a", length)


def checkpoint():
    """Nothing edited, and each kind of edit alone, for each type of weights and a prefix."""
    for chosen in range(4):
        save(bytes([chosen]))
        for what in range(10):
            for where, a, b in ((0, 0, 0), (7, 1, 3), (23, 20, 255)):
                save(bytes([chosen, what, where, a, b]))


{"safetensors": safetensors, "checkpoint": checkpoint}[sys.argv[1]]()
(folder / "list").write_text(",".join(str(folder / f"{n:03}") for n in range(count)))
