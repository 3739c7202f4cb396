"""One part of a text can't make all of it look hard; what every part shows stands."""

from __future__ import annotations

import random

import pytest

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.evenness import Part, excess, levelled_points, most_familiar
from smallfirst.classify.sample import THIRDS, thirds
from smallfirst.classify.shipped import shipped_weights
from smallfirst.classify.weights import decode
from smallfirst.core import Query
from smallfirst.evals.prompts import samples

WEIGHTS = decode(shipped_weights())
EVENED, PLAIN = Classifier(WEIGHTS), Classifier(WEIGHTS, evens=False)
GADGET = "$ \\ 0000 ( palindrome integers criminal kilowatts fraction = ^"
PROMPTS = random.Random(3).sample([one.input for one in samples(0) if 8 <= len(one.input.split()) <= 60], 60)


def part(points: float, *factors: int, known: int = 0, words: int = 9) -> Part:
    return Part(points, factors, known, words)


def test_a_part_adds_no_more_than_the_middle_one_and_the_leeway() -> None:
    assert levelled_points([part(1), part(2), part(90)], 5) == 1 + 2 + 7
    assert (
        levelled_points([part(-8), part(-9), part(90)], 5) == -8 - 9 + 5
    )  # what the others took off is not given to it
    assert levelled_points([part(80), part(81), part(90)], 20) == 251
    assert levelled_points([part(1), part(2), part(3), part(90)], 5) == 1 + 2 + 3 + 7


def test_a_part_takes_no_more_off_a_model_than_the_least_and_the_leeway() -> None:
    assert excess([part(0, -1), part(0, -1), part(0, -1)], [1.0]) is None
    assert excess([part(0, -2), part(0, 0), part(0, 1)], [1.0]) == [pytest.approx(0.25), 1.0, 1.0]


def test_a_familiar_part_makes_a_text_familiar() -> None:
    assert most_familiar([part(0, known=9), part(0, known=0)]) == 0.0
    assert most_familiar([part(0, known=0, words=1)]) == 1.0


def test_thirds_hold_every_word_once() -> None:
    text = "one two, three four; five six seven eight?"
    found = thirds(text) or []
    assert [word for words, _, _ in found for word in words] == b"one two three four five six seven eight".split()
    assert len(found) == THIRDS
    assert set().union(*(symbols for _, _, symbols in found)) == set(b",;?")
    assert thirds("too short to divide") is None


@pytest.mark.parametrize("place", ["after", "before"])
def test_a_gadget_moves_the_complexity_less_than_it_did(place: str) -> None:
    def moved(router: Classifier) -> float:
        """Mean rise over the prompts."""
        with_it = [f"{text} {GADGET}" if place == "after" else f"{GADGET} {text}" for text in PROMPTS]
        return sum(router.rate(one)[0] - router.rate(text)[0] for one, text in zip(with_it, PROMPTS, strict=True)) / 60

    assert moved(PLAIN) > 0.05
    assert moved(EVENED) < 0.75 * moved(PLAIN)


def test_evening_out_never_makes_a_text_look_harder() -> None:
    for text in PROMPTS:
        for one in (text, f"{text} {GADGET}", f"{GADGET * 20} {text}"):
            assert EVENED.rate_logit(one)[0] <= PLAIN.rate_logit(one)[0]


def test_an_easy_text_is_read_as_it_was() -> None:
    easy = [text for text in PROMPTS if PLAIN.rate_logit(text)[0] < 0]
    assert easy
    for text in easy:
        query = Query("q", "auto", text, {})
        assert EVENED.score(query, EVENED.heads) == PLAIN.score(query, PLAIN.heads)
