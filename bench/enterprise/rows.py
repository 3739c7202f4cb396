"""What the local part says on each row of a source: its possible answers, their scores, and how sure it is of each.

Knows the file that local.py keeps and judge.py reads, and how rows are dealt into parts. Does not know tasks or models.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from smallfirst.evals.outcomes import split

HERE = Path(__file__).resolve().parent.parent
SHARED = HERE.parent.parent / "shared" / "data"
KEPT = HERE / "out" / "enterprise"
PARTS = ("fit", "certify", "report")
SHARES = (0.40, 0.35, 0.25)


class Said(msgspec.Struct, frozen=True):
    """One row. Of the answers that the mix allows, the surest is the local one.

    Prices are not here: they belong to the mix. Tokens are characters / 4 of the request that the frontier model would
    get, and of the answer it is assumed to write.
    """

    group: str  # the same for all copies of a prompt
    part: str  # fit | certify | report; of the fit part only what left-out fits say is kept
    score: dict[str, float]  # answer -> against gold, 0..1
    sure: dict[str, float]  # answer -> its expected score, calibrated on the fit part
    ms: float  # CPU of the local answer
    sent: float  # input tokens
    got: float  # output tokens
    excerpt: float  # input tokens where a long document is sent as the product's excerpt
    said: str = ""  # the label, where others' answers are compared with it


class Source(msgspec.Struct, frozen=True):
    """The rows of one source that were not fitted on."""

    name: str
    seed: int
    fitted_on: int
    rows: list[Said]

    def part(self, name: str) -> list[Said]:
        return [row for row in self.rows if row.part == name]


def deal(groups: list[str], seed: int) -> list[str]:
    """The part of each row; all copies of a prompt in one."""
    dealt = split(groups, seed=seed, fractions=SHARES)
    return [next(name for name, its in zip(PARTS, dealt, strict=True) if group in its) for group in groups]


def path_of(name: str, seed: int) -> Path:
    return KEPT / f"{name}_{seed}.json"


def keep(source: Source) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    path_of(source.name, source.seed).write_bytes(msgspec.json.encode(source))


def load(name: str, seed: int) -> Source:
    return msgspec.json.decode(path_of(name, seed).read_bytes(), type=Source)
