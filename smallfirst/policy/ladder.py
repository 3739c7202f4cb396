"""The fitted path of policies, from always asking the top model to hardly ever: one document, one scalar.

Knows which models are asked together at each step, what weighs the answers, and the rungs. Does not know how it was
fitted (learn/ladder.py) or proved (calibrate), and nothing of HTTP or files.

The scalar of a rung is the expected loss of score that is put up with to save the price of one mean call of the top
model. Rung 0 has scalar 0: the top model answers everything, alone. The rungs next to it accept only what is nearly
free of loss; the last is the cheapest. At one rung, after each step (and before the first), the cheapest of three is
done: stop and serve the leading answer, which costs its expected loss at the rung's rate; ask the top model; or go on
to the next step, which costs what that is expected to cost in the end. All three are in mean calls of the top model.
The form of cascade is that of Dekoninck, Baader, Vechev 2024, "A unified approach to routing and cascading for LLMs".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from smallfirst.classify.heads import Heads
from smallfirst.errors import DataError
from smallfirst.verify.combiner import Chance, Fan, Gap, Price, dread
from smallfirst.verify.evidence import Seen, about, evidence, lead

FORMAT = 1


class Step(msgspec.Struct, frozen=True):
    """Whom a step asks, and how what is known afterwards is weighed. The first step asks no one.

    Everything reads the same evidence: verify/evidence.py, for the models asked so far in the order of `asked`.
    """

    asks: tuple[str, ...]
    asked: tuple[str, ...]  # by this step and those before
    trust: tuple[float, ...]  # of each in `asked`: whose answer leads
    dear: Price  # what the top model's call would cost
    gap: Gap | None = None  # what would be lost by serving the leading answer; None: nobody was asked yet
    right: Chance | None = None  # whether the leading answer is right, calibrated
    ahead: Fan | None = None  # a rung: cost of going on, over that of the top model's call; None: the last step


class Expected(msgspec.Struct, frozen=True):
    """What a rung is expected to do, from predictions out of fold on the rows it was fitted on. No promise."""

    loss: float  # relative
    spread: float  # standard error of `loss`
    cost: float  # of always-top, every attempt paid
    calls: float  # one after the other
    predicted: float = 0.0  # the part of `loss` that does not read the served answers' scores


class Ladder(msgspec.Struct, frozen=True):
    """The path. Its `digest` names it in certificates: any change of a number changes it."""

    format: int
    models: tuple[str, ...]  # of the path, the top last
    steps: tuple[Step, ...]
    rungs: tuple[float, ...]  # ascending from 0
    expected: tuple[Expected, ...]  # by rung
    softness: float  # see `dread`
    heads: bytes = b""  # encoded heads on the query's words (classify/heads.py); empty: none
    provenance: dict[str, str] = {}

    @property
    def top(self) -> str:
        """The model that is the baseline."""
        return self.models[-1]

    @property
    def digest(self) -> str:
        """sha256 of the encoded ladder, in hex."""
        return hashlib.sha256(encode(self)).hexdigest()

    def cheapest(self, max_loss: float, *, errors: float = 0.0, steady: bool = False) -> int:
        """The last rung at which loss plus so many standard errors is expected to stay within `max_loss`.

        Loss is taken to rise along the path: where estimates fall, they are pooled. `steady` reads `predicted` instead
        of `loss`: it varies less from one sample of rows to the next, so fewer choices miss by much. An estimate, not a
        certificate: without a margin a third of all choices miss a little.
        """
        losses = rising([one.predicted if steady else one.loss for one in self.expected])
        within = (
            rung
            for rung, (loss, one) in enumerate(zip(losses, self.expected, strict=True))
            if loss + errors * one.spread <= max_loss
        )
        return max(within, default=0)


def rising(values: Sequence[float]) -> list[float]:
    """The rising sequence nearest to `values` in least squares: what falls is pooled (Barlow et al. 1972)."""
    pools: list[tuple[float, int]] = []  # mean, members
    for value in values:
        mean, size = value, 1
        while pools and pools[-1][0] > mean:
            before, members = pools.pop()
            mean, size = (mean * size + before * members) / (size + members), size + members
        pools.append((mean, size))
    return [mean for mean, size in pools for _ in range(size)]


class Reader:
    """Reads queries and answers as a ladder does. Built once, shared by all requests."""

    def __init__(self, ladder: Ladder) -> None:
        self.heads = Heads.from_bytes(ladder.heads) if ladder.heads else None

    def about(self, text: str, *, tools: bool) -> list[float]:
        """A query's part of the evidence."""
        return about(text, tools=tools, logits=self.heads.logits(text) if self.heads is not None else ())


def look(trust: Sequence[float], query: Sequence[float], answers: Sequence[Seen]) -> tuple[int, Sequence[float]]:
    """(index of the leading answer or -1, evidence) after a step; `trust` and answers in the order of its `asked`."""
    if not answers:
        return -1, query
    leading = lead(answers, trust)
    return leading, evidence(query, answers, max(leading, 0))


class Weighed(msgspec.Struct, frozen=True, gc=False):
    """What each course would cost after a step, in mean calls of the top model."""

    stop: float  # infinite where nothing can be served
    top: float
    on: float  # infinite after the last step

    @property
    def course(self) -> str:
        """`stop`, `top` or `on`: the cheapest, and of equals the one that ends soonest."""
        if self.stop <= self.top and self.stop <= self.on:
            return "stop"
        return "top" if self.top <= self.on else "on"


def weigh(ladder: Ladder, rung: int, step: Step, leading: int, numbers: Sequence[float]) -> Weighed:
    """What each course would cost at this rung."""
    rate = ladder.rungs[rung]
    top = step.dear.value(numbers)
    if rate <= 0:
        return Weighed(float("inf"), top, float("inf"))
    stop = float("inf")
    if step.gap is not None and leading >= 0:
        stop = dread(step.gap.value(numbers), ladder.softness) / rate
    on = float("inf") if step.ahead is None else step.ahead.at(rung).value(numbers) * top
    return Weighed(stop, top, on)


def encode(ladder: Ladder) -> bytes:
    """The file's bytes: the same ladder gives the same bytes."""
    return msgspec.msgpack.encode(ladder, order="deterministic")


def decode(data: bytes) -> Ladder:
    """Read a ladder. Raises DataError where the bytes are not one of this format."""
    try:
        ladder = msgspec.msgpack.decode(data, type=Ladder)
    except msgspec.DecodeError as error:
        raise DataError(f"not a ladder: {error}; fit it again") from error
    if ladder.format != FORMAT:
        raise DataError(f"a ladder of format {ladder.format}, not {FORMAT}: fit it again with this version")
    if len(ladder.expected) != len(ladder.rungs) or not ladder.steps or ladder.rungs[0] != 0:
        raise DataError("a ladder that does not fit together: fit it again")
    return ladder
