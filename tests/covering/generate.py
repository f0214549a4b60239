#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/covering/rows.hpp: few designs, each with a form and a precision, that meet every possible triple of
parts, forms and precisions. Deterministic: generate.py > rows.hpp, or generate.py --check rows.hpp.

The axes are those of tests/product.hpp in its order, then the forms and precisions of tests/covering/row.hpp. The rules
below choose rows; that these rows compile and that none of the triples is missing is for the C++ of covers.cpp to say,
which knows the library's own rules and nothing of these.
"""
import itertools
import sys

INPUTS = ["one", "softplus_head", "softplus_channel", "sigmoid", "exponential"]
FORGETS = ["one", "constant", "exponential", "log_decay_head", "log_decay_key", "log_sigmoid", "selective", "softplus"]
SHORTCUTS = ["none", "learned", "local"]
NORMS = ["none", "sum", "sum_undecayed", "mean", "abs_max"]
HEADS = ["single", "multi", "grouped"]
MAPS = ["identity", "elu_plus_one", "relu", "squared"]
ORDERS = ["causal", "global", "reversed"]
FORMS = ["automatic", "recurrent", "scan", "chunked", "quadratic", "global"]
PRECISIONS = ["fp32", "fp64", "bf16", "fp16"]
AXES = [INPUTS, FORGETS, SHORTCUTS, NORMS, HEADS, MAPS, ORDERS, FORMS, PRECISIONS]
INPUT, FORGET, NORM, ORDER, FORM = 0, 1, 3, 6, 7
BOUND = (INPUT, FORGET, NORM, ORDER, FORM)  # the axes that rules bind; any value of the others fits


def fits(input_, forget, norm, order, form):
    per_head_step, per_channel_step = forget == "exponential", forget == "selective"
    if input_ == "softplus_head" and per_channel_step or input_ == "softplus_channel" and per_head_step:
        return False
    if order == "global" and forget != "one" or norm == "mean" and order != "global":
        return False
    if forget == "selective" and norm in ("sum", "mean", "abs_max"):
        return False
    if norm == "abs_max" and (input_ == "softplus_channel" or forget in ("log_decay_key", "log_sigmoid")):
        return False
    if form == "scan":
        return order != "global" and norm != "abs_max"
    if form == "chunked":
        return order != "global" and forget != "selective"
    return form != "global" or order == "global"


def pairs_of(row):
    return [(axis, value) for axis, value in enumerate(row)]


def main():
    bound_rows = [c for c in itertools.product(*(range(len(AXES[a])) for a in BOUND))
                  if fits(*(AXES[a][v] for a, v in zip(BOUND, c)))]

    def possible(chosen):
        """The bound rows that agree with the values chosen so far."""
        wanted = [(i, chosen[a]) for i, a in enumerate(BOUND) if a in chosen]
        return [c for c in bound_rows if all(c[i] == v for i, v in wanted)]

    missing = dict.fromkeys(
        triple
        for axes in itertools.combinations(range(len(AXES)), 3)
        for values in itertools.product(*(range(len(AXES[a])) for a in axes))
        for triple in [tuple(zip(axes, values))]
        if possible(dict(triple)))
    rows = []
    while missing:
        chosen = dict(next(iter(missing)))
        while len(chosen) < len(AXES):
            # The value that meets most of what is still missing with two values chosen before; of equals, the value
            # used least, so that the work spreads.
            fitting = possible(chosen)
            best = None
            for axis in range(len(AXES)):
                if axis in chosen:
                    continue
                for value in range(len(AXES[axis])):
                    if axis in BOUND and not any(c[BOUND.index(axis)] == value for c in fitting):
                        continue
                    gain = sum(tuple(sorted([(axis, value), *two])) in missing
                               for two in itertools.combinations(chosen.items(), 2))
                    used = sum(row[axis] == value for row in rows)
                    if best is None or (gain, -used) > best[0]:
                        best = ((gain, -used), axis, value)
            chosen[best[1]] = best[2]
        row = tuple(chosen[a] for a in range(len(AXES)))
        for triple in itertools.combinations(pairs_of(row), 3):
            missing.pop(triple, None)
        rows.append(row)
    rows.sort()  # neighbours share parts

    text = "".join(f"    {{{', '.join(map(str, row))}}},\n" for row in rows)
    text = ("// SPDX-License-Identifier: Apache-2.0\n"
            "/// @file  The covering array, made by generate.py: input, forget, shortcut, norm, heads, map, order, form, precision.\n"
            "#pragma once\n\n#include \"covering/row.hpp\"\n\nnamespace sextant::test {\n\n"
            f"inline constexpr row rows[] = {{\n{text}}};\n\n}}  // namespace sextant::test\n")
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="ascii") as file:
            if file.read() != text:
                sys.exit(f"{sys.argv[2]} is not what generate.py makes: run it again")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
