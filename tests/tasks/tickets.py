"""Tickets made for the tests: three queues, each with its own words, and some that belong nowhere."""

from __future__ import annotations

import functools
import random
from pathlib import Path

from smallfirst.tasks.triage.fit import Wanted, fit_triage, part
from smallfirst.tasks.triage.model import TriageModel, encode
from smallfirst.tasks.triage.rows import Labelled

QUEUES = {
    "billing": ["invoice", "refund", "charged twice", "payment failed", "credit note", "receipt", "price", "tax"],
    "delivery": ["parcel", "late", "courier", "tracking number", "wrong address", "damaged box", "customs", "depot"],
    "account": ["password", "log in", "two-factor code", "e-mail change", "locked out", "profile", "username", "reset"],
}
FRAMES = [
    "Hello, my {a} problem is about the {b} since {n} days.",
    "Please help: {a} and {b}, order {n}.",
    "I still wait for an answer on {a}, see also {b} ({n}).",
    "{a}? {b}! It is the {n}th time I write.",
]
ELSEWHERE = ["the weather in Oslo", "a poem on cats", "your job openings", "who won the match", "a recipe for soup"]


def tickets(count: int, seed: int = 0, beyond: int = 0, mixed: int = 0) -> list[tuple[str, str]]:
    """(text, queue), evenly over the queues, all different; `beyond` more are out of scope, `mixed` more have words of
    two queues and belong to either: nobody can be sure of those."""
    rng = random.Random(seed)
    made: dict[str, str] = {}
    while len(made) < count:
        queue = sorted(QUEUES)[len(made) % len(QUEUES)]
        a, b = rng.sample(QUEUES[queue], 2)
        made[rng.choice(FRAMES).format(a=a, b=b, n=rng.randrange(2, 99999))] = queue
    while len(made) < count + beyond:
        made[f"Tell me about {rng.choice(ELSEWHERE)} number {rng.randrange(99999)}"] = "none"
    while len(made) < count + beyond + mixed:
        one, other = rng.sample(sorted(QUEUES), 2)
        a, b = rng.choice(QUEUES[one]), rng.choice(QUEUES[other])
        made[rng.choice(FRAMES).format(a=a, b=b, n=rng.randrange(2, 99999))] = rng.choice((one, other))
    return list(made.items())


SURE, UNSURE, BEYOND = (
    "refund of my invoice, charged twice",
    "Please help: parcel and refund, order 77",
    "xyzzy plugh",
)
"""A text that the fitted model keeps (billing), one that it is not sure of, and one that belongs nowhere."""


@functools.cache
def fitted() -> TriageModel:
    """A small model without sentence vectors, fitted once for all tests: at least 90% of what it keeps is right."""
    drawn = tickets(400, beyond=60, mixed=90)
    rows = [Labelled(text, (queue,), f"line {n}") for n, (text, queue) in enumerate(drawn, 2)]
    return fit_triage(part(rows, seed=0), Wanted(accuracy=0.9, out_of_scope="none"), None)


def model_file(folder: Path) -> Path:
    """The same as a file."""
    path = folder / "tickets.triage"
    path.write_bytes(encode(fitted()))
    return path
