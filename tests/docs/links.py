# SPDX-License-Identifier: Apache-2.0
"""Every link of a page to a file or a heading of this repository leads somewhere, and so does every page that a source names."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
pages = [*root.glob("*.md"), *(p for folder in ("docs", "examples", "bench", "tests") for p in (root / folder).rglob("*.md"))]
sources = [p for folder in ("include", "examples", "bench", "tests", "cmake") for p in (root / folder).rglob("*.*")
           if p.suffix in (".hpp", ".cuh", ".cpp", ".cu", ".py", ".txt", ".cmake", ".sh")]


def anchor(heading):
    """A heading as GitHub names it: letters, digits and dashes."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page):
    return {anchor(h) for h in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)}


wrong, count = [], 0
for page in sorted(pages):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        file, _, heading = link.partition("#")
        if ":" in file:
            continue
        count += 1
        target = (page.parent / file).resolve() if file else page
        if not target.exists():
            wrong.append(f"{page.relative_to(root)}: no file {link}")
        elif heading and heading not in anchors(target):
            wrong.append(f"{page.relative_to(root)}: no heading {link}")
for source in sorted(sources):
    for name in re.findall(r"\bdocs/[\w/]+\.md\b", source.read_text(encoding="utf-8")):
        count += 1
        if not (root / name).exists():
            wrong.append(f"{source.relative_to(root)}: no page {name}")
print(f"{count} links, {len(wrong)} wrong")
print("\n".join(wrong))
sys.exit(1 if wrong or count == 0 else 0)
