"""Tickets made for the tests: three queues, each with its own words, and some that belong nowhere."""

from __future__ import annotations

import random

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


def tickets(count: int, seed: int = 0, beyond: int = 0) -> list[tuple[str, str]]:
    """(text, queue), evenly over the queues, all different; `beyond` more are out of scope."""
    rng = random.Random(seed)
    made: dict[str, str] = {}
    while len(made) < count:
        queue = sorted(QUEUES)[len(made) % len(QUEUES)]
        a, b = rng.sample(QUEUES[queue], 2)
        made[rng.choice(FRAMES).format(a=a, b=b, n=rng.randrange(2, 99999))] = queue
    while len(made) < count + beyond:
        made[f"Tell me about {rng.choice(ELSEWHERE)} number {rng.randrange(99999)}"] = "none"
    return list(made.items())
