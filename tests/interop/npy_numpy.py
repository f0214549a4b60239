# SPDX-License-Identifier: Apache-2.0
"""Files that NumPy writes are read right, files that we write are read by NumPy, and what can't be read is refused.

Usage: npy_numpy.py NPY_COPY, the program built from npy_copy.cpp.
"""
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np

copy = sys.argv[1]
checks = 0
warnings.simplefilter("ignore")  # NumPy warns that formats 2.0 and 3.0 need a newer NumPy


def run(source, target):
    return subprocess.run([copy, source, target], capture_output=True, text=True, timeout=60)


def copied(array, version, folder):
    """array, written by NumPy, copied by us, read by NumPy, must be the same bits in the same shape."""
    global checks
    source, target = os.path.join(folder, "source.npy"), os.path.join(folder, "target.npy")
    with open(source, "wb") as file:
        np.lib.format.write_array(file, array, version=version)
    done = run(source, target)
    assert done.returncode == 0 and done.stderr == "", (array.dtype, array.shape, version, done)
    back = np.load(target)
    assert back.shape == array.shape and back.dtype == array.dtype, (array.dtype, array.shape, back.shape)
    assert back.tobytes() == array.tobytes(), (array.dtype, array.shape)
    with open(target, "rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        np.lib.format.read_array_header_1_0(file)
        assert file.tell() % 64 == 0
    checks += 1


def refused(array, folder, words, cut=None, extra=b""):
    """A file that we can't read right: exit code 2, one line on standard error that names the file and the reason."""
    global checks
    source, target = os.path.join(folder, "refused.npy"), os.path.join(folder, "never.npy")
    np.save(source, array, allow_pickle=True)
    with open(source, "rb") as file:
        content = file.read()[:cut] + extra
    with open(source, "wb") as file:
        file.write(content)
    done = run(source, target)
    assert done.returncode == 2 and not os.path.exists(target), (array, done)
    assert done.stderr.startswith(source + ": ") and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr
    checks += 1


with tempfile.TemporaryDirectory() as folder:
    random = np.random.default_rng(1)
    shapes = [(), (1,), (7,), (0,), (2, 3), (3, 0, 2), (1, 1, 1), (2, 3, 4, 5), (1000, 17), (1,) * 32]
    for dtype in ("<f4", "<f8"):
        for shape in shapes:
            array = np.asarray(random.standard_normal(shape), dtype=dtype)
            for version in ((1, 0), (2, 0), (3, 0), None):
                copied(array, version, folder)
        copied(np.array([np.nan, np.inf, -np.inf, -0.0], dtype=dtype), None, folder)
        # A vector in Fortran order is the same bytes; a matrix isn't.
        copied(np.asfortranarray(np.ones((5, 1), dtype=dtype)), None, folder)
        refused(np.asfortranarray(np.ones((5, 2), dtype=dtype)), folder, "Fortran")
        refused(np.ones(3, dtype=dtype), folder, "truncated", cut=-1)
        refused(np.ones(3, dtype=dtype), folder, "more than its shape", extra=b"?")
    for dtype in (">f4", ">f8"):
        refused(np.ones(3, dtype=dtype), folder, "big-endian")
    for dtype in ("<f2", "<i4", "<i8", "|b1", "|u1", "<c8", "<c16", "<U3", "<M8[s]", "<f16", "O"):
        refused(np.ones(3).astype(dtype), folder, "has dtype")
    refused(np.ones(3, dtype=[("a", "<f4")]), folder, "structured")
print(f"{checks} files agree with NumPy {np.__version__}")
