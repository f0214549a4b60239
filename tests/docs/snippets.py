# SPDX-License-Identifier: Apache-2.0
"""Every C++ and CMake block of README.md and docs/*.md stands, line for line, in a file that the tests compile or run."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
compiled = [p for folder in ("examples", "tests") for pattern in ("*.cpp", "*.hpp", "*.cu") for p in (root / folder).rglob(pattern)]


def lines_of(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def contains(haystack, needle):
    return any(haystack[i : i + len(needle)] == needle for i in range(len(haystack) - len(needle) + 1))


sources = [lines_of(p.read_text(encoding="utf-8")) for p in compiled]
blocks, lost = 0, []
for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
    if not page.exists():
        continue
    for match in re.finditer(r"^```cpp\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
        blocks += 1
        if not any(contains(source, lines_of(match.group(1))) for source in sources):
            lost.append(f"{page.relative_to(root)}: no compiled file contains\n{match.group(1)}")
print(f"{blocks} C++ blocks in the pages, {len(lost)} of them in no compiled file")
print("\n".join(lost))
sys.exit(1 if lost or blocks == 0 else 0)
