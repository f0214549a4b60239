# SPDX-License-Identifier: Apache-2.0
"""Writes the weights of a PyTorch checkpoint (.pth, .pt, .bin) as a safetensors file, which the examples read.

    pip install torch==2.13.0
    python examples/convert.py model.pth model.safetensors

The weights are the checkpoint itself or what stands in it under state_dict_ema, model, state_dict or model_ema; a prefix
"module." of all names is taken away. Numbers stay as they are, or become --dtype. Only tensors are read of the file: it can
run no code.
"""
import argparse
import collections
import ctypes
import json
import struct
import sys

try:
    import torch
except ImportError as missing:
    torch, why_not = None, missing

NAMES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16",
         "int8": "I8", "uint8": "U8", "bool": "BOOL"}
WRAPPERS = ("state_dict_ema", "model", "state_dict", "model_ema")


def read(path):
    """What the checkpoint holds."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        sys.exit(f"convert.py: {path}: {error.strerror}")
    except Exception:  # pylint: disable=broad-except  # a broken pickle stops wherever it is broken
        sys.exit(f"convert.py: {path}: is no checkpoint, or holds more than tensors; none of its code was run")


def weights_of(checkpoint):
    """The tensors of a checkpoint by name."""
    while isinstance(checkpoint, dict):
        inside = next((checkpoint[key] for key in WRAPPERS if isinstance(checkpoint.get(key), dict)), None)
        if inside is None:
            break
        checkpoint = inside
    if not isinstance(checkpoint, dict):
        sys.exit("convert.py: the checkpoint is no dictionary of tensors")
    tensors = {name: value for name, value in checkpoint.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        sys.exit("convert.py: there is no tensor in the checkpoint, nor under " + ", ".join(WRAPPERS))
    for name in checkpoint.keys() - tensors.keys():
        print(f"convert.py: {name} is no tensor: left out", file=sys.stderr)
    if all(name.startswith("module.") for name in tensors):
        tensors = {name[len("module."):]: value for name, value in tensors.items()}
    return tensors


def write(path, tensors):
    """A safetensors file: the widest numbers first, so that all lie at multiples of their size."""
    header, end = collections.OrderedDict({"__metadata__": {"format": "pt"}}), 0
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    for name in order:
        tensor = tensors[name]
        dtype = NAMES.get(str(tensor.dtype).removeprefix("torch."))
        if not dtype:
            sys.exit(f"convert.py: {name} has dtype {tensor.dtype}, which is not written")
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            tensor = tensors[name].contiguous()
            size = tensor.numel() * tensor.element_size()
            if size:
                file.write((ctypes.c_char * size).from_address(tensor.data_ptr()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="what torch.save wrote")
    parser.add_argument("safetensors", help="the file to write")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of all floating point numbers")
    arguments = parser.parse_args()
    if not torch:
        sys.exit(f"convert.py needs PyTorch ({why_not}): pip install torch==2.13.0")
    tensors = weights_of(read(arguments.checkpoint))
    if arguments.dtype:
        dtype = getattr(torch, arguments.dtype)
        tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
    write(arguments.safetensors, {name: t.detach() for name, t in tensors.items()})
    print(f"{len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} numbers")


if __name__ == "__main__":
    main()
