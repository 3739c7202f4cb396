"""About 330 checkable prompts as people in a company write them: original text, drawn by a seeded generator.

Six kinds (faq, label, extraction, arithmetic, formatting, rewriting), each in its own prompts_*.py. The same seed
gives the same prompts on every machine. Knows how they are drawn and dumped; no I/O except in `main`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import msgspec

from smallfirst.core import Kind
from smallfirst.evals.prompts_arithmetic import arithmetic
from smallfirst.evals.prompts_extraction import extraction
from smallfirst.evals.prompts_faq import faq
from smallfirst.evals.prompts_formatting import formatting
from smallfirst.evals.prompts_label import label
from smallfirst.evals.prompts_rewriting import rewriting
from smallfirst.evals.prompts_sample import Sample

KINDS: Mapping[Kind, Callable[[Random], list[Sample]]] = {
    "faq": faq,
    "label": label,
    "extraction": extraction,
    "arithmetic": arithmetic,
    "formatting": formatting,
    "rewriting": rewriting,
}
DEFAULT_N = 336
"""56 of each kind."""


def samples(seed: int = 0, n: int = DEFAULT_N) -> tuple[Sample, ...]:
    """`n` distinct samples, the kinds in equal shares (to within one), in a random but fixed order.

    A smaller `n` is a prefix of a larger one, so that a run cut short has seen all kinds. Raises ValueError where
    there are not so many.
    """
    drawn = {kind: _distinct(maker(Random(f"{seed}/{kind}")), seed) for kind, maker in KINDS.items()}
    rounds = [list(row) for row in zip(*drawn.values(), strict=False)]
    for number, row in enumerate(rounds):
        Random(f"{seed}/{number}").shuffle(row)
    flat = [sample for row in rounds for sample in row]
    if not 0 <= n <= len(flat):
        raise ValueError(f"n must be 0 to {len(flat)}, not {n}")
    return tuple(flat[:n])


def _distinct(made: list[Sample], seed: int) -> list[Sample]:
    once = {" ".join(sample.input.lower().split()): sample for sample in reversed(made)}
    return sorted(once.values(), key=lambda sample: Random(f"{seed}/{sample.id}").random())


def main(arguments: list[str] | None = None) -> int:
    """Write {id, text, kind} lines, as the classifier's training program reads them."""
    parser = argparse.ArgumentParser(prog="python -m smallfirst.evals.prompts", description=main.__doc__)
    parser.add_argument("--jsonl", type=Path, required=True, metavar="FILE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=DEFAULT_N)
    options = parser.parse_args(arguments)
    rows = [{"id": it.id, "text": it.input, "kind": it.kind} for it in samples(options.seed, options.n)]
    options.jsonl.write_bytes(msgspec.json.Encoder().encode_lines(rows))
    sys.stdout.write(f"wrote {len(rows)} prompts to {options.jsonl}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
