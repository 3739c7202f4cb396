"""Prompts with a number for an answer: small sums from an office day, worked out here in whole cents and minutes.

Level 1: one step, small numbers; level 2: one harder step; level 3: two or more steps.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from smallfirst.evals.prompts_sample import Sample, make


class Sum(NamedTuple):
    """`value` is the answer in hundredths, so that no rounding is hidden in it."""

    group: str
    level: int
    ask: str
    value: int
    gold: str


def _plain(hundredths: int) -> str:
    whole, rest = divmod(hundredths, 100)
    return f"{whole:,}" if rest == 0 else f"{whole:,}.{rest:02d}"


def _sum(group: str, level: int, ask: str, hundredths: int, unit: str = "{}") -> Sum:
    return Sum(group, level, ask, hundredths, unit.format(_plain(hundredths)))


def _add(rng: Random) -> Sum:
    a, b = rng.randint(3, 49), rng.randint(3, 49)
    ask = rng.choice(
        (
            "What is {a} + {b}?",
            "{a} chairs in room one and {b} in room two. How many chairs in all?",
            "we had {a} orders this morning and {b} this afternoon, what's the total for today?",
            "add up {a} and {b} for me",
        )
    )
    return _sum("add", 1, ask.format(a=a, b=b), (a + b) * 100)


def _left(rng: Random) -> Sum:
    a = rng.randint(40, 99)
    b = rng.randint(5, 39)
    ask = rng.choice(
        (
            "There were {a} badges in the box and {b} have been handed out. How many are left?",
            "{a} minus {b}?",
            "Of {a} people invited, {b} have said no. How many could still come?",
        )
    )
    return _sum("left", 1, ask.format(a=a, b=b), (a - b) * 100)


def _price(rng: Random) -> Sum:
    n, cents = rng.randint(3, 24), rng.randint(15, 99) * 25
    ask = rng.choice(
        (
            "We need {n} toner cartridges at {p} euros each. What will they cost together?",
            "One lunch voucher is {p} euros. What do {n} cost?",
            "total for {n} x {p} EUR please",
            "If a taxi to the airport is {p} euros and we book {n} of them, how much is that?",
        )
    )
    return _sum("price", 2, ask.format(n=n, p=_plain(cents)), n * cents, "{} euros")


def _percent(rng: Random) -> Sum:
    p, base = rng.choice((5, 10, 15, 20, 25, 40, 75)), rng.randint(4, 60) * 20
    ask = rng.choice(
        (
            "What is {p}% of {b}?",
            "{p} percent of our {b} customers answered the survey. How many is that?",
            "The deposit is {p}% of {b} euros. How much do I transfer?",
        )
    )
    return _sum("percent", 2, ask.format(p=p, b=base), p * base)


def _discount(rng: Random) -> Sum:
    p, base = rng.choice((10, 15, 20, 25, 30)), rng.randint(6, 80) * 20
    ask = rng.choice(
        (
            "The list price is {b} euros and we get {p}% off. What do we pay?",
            "a desk costs {b}, there's a {p}% discount this week. final price?",
            "The supplier takes {p}% off our bill of {b} euros. What remains to be paid?",
        )
    )
    return _sum("discount", 3, ask.format(p=p, b=base), base * (100 - p), "{} euros")


def _hours(rng: Random) -> Sum:
    days, hours, rate = rng.randint(2, 5), rng.randint(4, 8), rng.randint(18, 45)
    ask = rng.choice(
        (
            "A temp worked {d} days of {h} hours at {r} euros an hour. What's the bill?",
            "{d} days, {h} hours each, {r} euros per hour: what do we owe the electrician?",
        )
    )
    return _sum("hours", 3, ask.format(d=days, h=hours, r=rate), days * hours * rate * 100, "{} euros")


def _minutes(rng: Random) -> Sum:
    start, length = rng.randint(8, 15) * 60 + rng.choice((0, 5, 15, 20, 40)), rng.choice((35, 50, 75, 95, 110, 145))
    end = start + length
    ask = rng.choice(
        (
            "A meeting ran from {s} to {e}. How many minutes was that?",
            "How many minutes are there between {s} and {e}?",
            "The line stood still from {s} until {e}. Give me the downtime in minutes.",
        )
    )
    times = {"s": f"{start // 60:02d}:{start % 60:02d}", "e": f"{end // 60:02d}:{end % 60:02d}"}
    return _sum("minutes", 2, ask.format(**times), length * 100, "{} minutes")


def _share(rng: Random) -> Sum:
    people, each = rng.randint(3, 12), rng.randint(6, 45)
    ask = rng.choice(
        (
            "A dinner bill of {t} euros is split evenly between {n} of us. How much does each one pay?",
            "{t} leaflets have to be divided equally among {n} branches. How many does each get?",
            "what's {t} divided by {n}?",
        )
    )
    return _sum("share", 2, ask.format(t=people * each, n=people), each * 100)


def _stock(rng: Random) -> Sum:
    pallets, boxes, per, sold = rng.randint(2, 6), rng.randint(8, 24), rng.randint(6, 20), rng.randint(20, 90)
    ask = rng.choice(
        (
            "{p} pallets with {b} boxes each came in, {k} bottles to a box. {s} bottles are already sold. "
            "How many bottles are left?",
            "Stock check: {p} pallets, {b} boxes per pallet, {k} units per box, minus {s} units sold. What remains?",
        )
    )
    value = (pallets * boxes * per - sold) * 100
    return _sum("stock", 3, ask.format(p=pallets, b=boxes, k=per, s=sold), value)


def _average(rng: Random) -> Sum:
    mean, shift = rng.randint(20, 90), rng.randint(3, 15)
    a, b = mean - shift, mean + rng.randint(1, 2)
    c = 3 * mean - a - b
    ask = rng.choice(
        (
            "Calls per day were {a}, {b} and {c}. What is the average?",
            "mean of {a}, {b}, {c}?",
            "Three branches had {a}, {b} and {c} visitors. On average, how many was that per branch?",
        )
    )
    return _sum("average", 2, ask.format(a=a, b=b, c=c), mean * 100)


def _growth(rng: Random) -> Sum:
    first, p = rng.randint(2, 18) * 200, rng.choice((5, 10, 20, 25, 50))
    ask = rng.choice(
        (
            "Revenue was {a} last year and is {p}% higher this year. What is it now?",
            "our rent of {a} goes up by {p} percent. what's the new rent?",
        )
    )
    return _sum("growth", 3, ask.format(a=first, p=p), first * (100 + p))


def _biggest(rng: Random) -> Sum:
    numbers = rng.sample(range(11, 99), 4)
    if numbers[-1] == max(numbers):  # a model that repeats the list must not be right by its last number
        numbers.reverse()
    ask = rng.choice(
        (
            "Which is the largest of these: {n}?",
            "Sales per region: {n}. What was the highest figure?",
        )
    )
    return _sum("largest", 1, ask.format(n=", ".join(map(str, numbers))), max(numbers) * 100)


MAKERS: tuple[Callable[[Random], Sum], ...] = (
    _add,
    _left,
    _price,
    _percent,
    _discount,
    _hours,
    _minutes,
    _share,
    _stock,
    _average,
    _growth,
    _biggest,
)
ENDINGS = ("", "", " Just the number, please.", " Answer with a number only.", "\nNo explanation needed.", " thx")


def arithmetic(rng: Random) -> list[Sample]:
    """Eight sums of each sort."""
    made = []
    for maker in MAKERS:
        for _ in range(8):
            it = maker(rng)
            params = {"value": it.value / 100}
            prompt = it.ask + rng.choice(ENDINGS)
            made.append(make("arithmetic", it.group, it.level, prompt, it.gold, "number", params=params))
    return made
