"""The fitted path of policies, from always asking the top model to hardly ever: one document, one scalar.

Knows which models are asked together at each step, the combiners that weigh what came back, and the rungs. Does not
know how it was fitted (learn/ladder.py) or proved (calibrate), and nothing of HTTP or files.

The scalar of a rung is the expected loss of score that is put up with to save the price of one mean call of the top
model. Rung 0 has scalar 0: the top model answers everything, alone. The next accept only what is nearly free of
loss; the last is the cheapest. At one rung a query's course is: while another step is expected to be worth its price,
ask its models; serve the leading answer where its expected loss, at the rung's price, is less than what going on would
cost; jump to the top where it will be asked anyway.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from math import exp, log1p

import msgspec

from smallfirst.errors import DataError
from smallfirst.verify.combiner import Combiner, Linear

FORMAT = 1


class Step(msgspec.Struct, frozen=True):
    """One step of the path: whom it asks, and how what is known afterwards is weighed. The first asks no one.

    All are functions of the same evidence, in the layout of verify/evidence.py for the models asked so far.
    """

    asks: tuple[str, ...]
    trust: tuple[tuple[float, ...], ...]  # by shape, then by model asked so far: whose answer leads
    loss: Combiner | None  # expected score of the top model less the leading answer's; None: nobody was asked yet
    right: Combiner | None  # chance that the leading answer is right, calibrated
    dear: Linear  # natural log of what the top model's call would cost, in mean calls
    ahead: tuple[Linear, ...] = ()  # a rung: what the next step and all after it will cost, loss included; empty: none


class Ladder(msgspec.Struct, frozen=True, dict=True):
    """The path. `digest` names it in certificates: any change of a number changes it."""

    format: int
    models: tuple[str, ...]  # every model of the path, the top last
    steps: tuple[Step, ...]
    rungs: tuple[float, ...]  # ascending from 0
    softness: float  # losses below about this are told apart but never negative: see `dread`
    heads: bytes = b""  # encoded per-model heads on the query's words; empty: none
    provenance: dict[str, str] = {}

    @property
    def top(self) -> str:
        """The model that is the baseline."""
        return self.models[-1]

    @cached_property
    def digest(self) -> str:
        """sha256 of the encoded ladder, in hex."""
        return hashlib.sha256(encode(self)).hexdigest()


def dread(loss: float, softness: float) -> float:
    """An expected loss as a positive number in the same order: about `loss` above `softness`, near 0 far below.

    So that the rungs next to always-top move in small steps, also among answers that are expected to be better than
    the top model's.
    """
    scaled = loss / softness
    return softness * (scaled + log1p(exp(-scaled))) if scaled > 0 else softness * log1p(exp(scaled))


def encode(ladder: Ladder) -> bytes:
    """The file's bytes: the same ladder gives the same bytes."""
    return msgspec.msgpack.encode(ladder, order="deterministic")


def decode(data: bytes) -> Ladder:
    """Read a ladder. Raises DataError where the bytes are not one of this format."""
    try:
        ladder = msgspec.msgpack.decode(data, type=Ladder)
    except msgspec.DecodeError as error:
        raise DataError(f"not a ladder file: {error}; fit it again") from error
    if ladder.format != FORMAT:
        raise DataError(f"a ladder of format {ladder.format}, not {FORMAT}: fit it again with this version")
    return ladder
