# SPDX-License-Identifier: Apache-2.0
"""Safetensors files of PyTorch's tensors, read and written in a few lines: a second opinion on ours."""
import ctypes
import json
import struct

import torch

types = {torch.float32: "F32", torch.float64: "F64", torch.bfloat16: "BF16", torch.float16: "F16", torch.int32: "I32",
         torch.int64: "I64"}
names = {name: type_ for type_, name in types.items()}


def write(path, tensors):
    header, data, end = {}, [], 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        raw = ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size())  # without NumPy
        header[name] = {"dtype": types[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [end, end + len(raw)]}
        data.append(raw)
        end += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def read(path):
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    data, tensors = content[8 + length :], {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=names[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors
