"""Heads at request time: bounded work, bounded influence, unfamiliar goes up."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.classify.heads import FORMAT, Factors, Head, Heads, HeadsFile, Prior, decode_heads, encode_heads
from smallfirst.classify.sample import SEGMENTS, SYMBOLS, WORDS
from smallfirst.classify.tables import OTHERS, ZERO
from smallfirst.errors import DataError

COUNT = 3
WIDTH = 1 + COUNT
WORDS_KNOWN = [f"w{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(400)]
PAIRS = [f"{left} {right}" for left, right in pairwise(WORDS_KNOWN[:200])]


def made() -> HeadsFile:
    """Random weights, so that nothing below depends on what training found."""
    rng = np.random.default_rng(0)

    def table(count: int, known: int) -> bytes:
        rows = rng.integers(0, 256, (count, WIDTH), dtype=np.uint8)
        rows[:, 0] = ZERO + known
        return rows.tobytes()

    others = np.full((OTHERS, WIDTH), ZERO, dtype=np.uint8)
    factors = Factors(
        words=WORDS_KNOWN,
        pairs=PAIRS,
        word_rows=table(len(WORDS_KNOWN), 1),
        pair_rows=table(len(PAIRS), 0),
        other_rows=others.tobytes(),
        count=COUNT,
        step=0.01,
        clip=1.0,
        familiar=0.4,
        unfamiliar_logit=1.5,
    )
    heads = [
        Head("small", 0.3, [0.5, -0.2, 0.1], 0.2, 100),
        Head("large", 1.3, [0.4, 0.3, 0.0], 1.1, 100),
    ]
    return HeadsFile(FORMAT, factors, Prior([0.0] * WIDTH, np.eye(WIDTH).tolist()), heads)


FILE = made()
HEADS = Heads(FILE)


class Counted(dict):  # type: ignore[type-arg]
    """A table that counts how often it is asked."""

    asked = 0

    def get(self, key: object, default: object = None) -> object:
        self.asked += 1
        return super().get(key, default)

    def __getitem__(self, key: object) -> object:
        self.asked += 1
        return super().__getitem__(key)


@pytest.mark.parametrize("text", ["one two", "word " * 1_000_000, "a b c d " * 10_000, "x" * 10**6, " " * 10**6])
def test_look_ups_are_capped_at_any_length_and_number_of_models(text: str) -> None:
    many = Heads(msgspec.structs.replace(FILE, heads=FILE.heads * 20))
    tables = [Counted(many.tables.words), Counted(many.tables.pairs), Counted(many.tables.symbols)]
    many.tables.words, many.tables.pairs, many.tables.symbols = tables
    assert many.logits(text) == HEADS.logits(text) * 20
    assert sum(table.asked for table in tables) <= 2 * SEGMENTS * WORDS + len(SYMBOLS)


def test_the_log_odds_are_the_sum_of_the_words_weights() -> None:
    text = "waa wab zebra wac"
    rows = np.frombuffer(FILE.factors.word_rows, dtype=np.uint8).reshape(-1, WIDTH)[:3, 1:].astype(float) - ZERO
    pair = np.frombuffer(FILE.factors.pair_rows, dtype=np.uint8).reshape(-1, WIDTH)[0, 1:].astype(float) - ZERO
    factors = (rows.sum(0) + pair) * FILE.factors.step
    factors *= min(1.0, FILE.factors.clip / float(np.linalg.norm(factors)))
    expected = [head.intercept + float(factors @ np.array(head.slopes)) for head in FILE.heads]
    assert HEADS.logits(text) == pytest.approx(expected)


@given(st.lists(st.sampled_from(WORDS_KNOWN), max_size=60), st.lists(st.sampled_from(WORDS_KNOWN), max_size=400))
def test_whatever_is_appended_stays_within_the_clip(text: list[str], suffix: list[str]) -> None:
    """The bound holds against words chosen to mislead: the sample has room for SEGMENTS segments' worth, no more."""
    factors = FILE.factors
    for head, logit in zip(FILE.heads, HEADS.logits(" ".join([*text, *suffix])), strict=True):
        bound = SEGMENTS * factors.clip * math.hypot(*head.slopes)
        assert head.intercept - bound - factors.unfamiliar_logit - 1e-9 <= logit <= head.intercept + bound + 1e-9


@given(st.lists(st.sampled_from(WORDS_KNOWN), max_size=40), st.integers(0, 100))
def test_the_stranger_a_text_the_lower_every_chance(words: list[str], strange: int) -> None:
    text = " ".join(words)
    more = text + " " + " ".join(f"zz{chr(97 + at % 26)}{chr(97 + at // 26)}q" for at in range(strange))
    short = len(words) + strange <= 80 and len(more) <= 500
    if short and len(words) + strange <= WORDS:  # the same room, so that the words weigh the same
        assert all(after <= before + 1e-9 for before, after in zip(HEADS.logits(text), HEADS.logits(more), strict=True))


@pytest.mark.parametrize("text", ["", "zebra yak gnu", "你好 世界", "\0" * 100, "zq " * 100_000])
def test_a_text_of_strange_words_is_far_below_the_models_level(text: str) -> None:
    for head, logit in zip(FILE.heads, HEADS.logits(text), strict=True):
        assert logit <= head.level - FILE.factors.unfamiliar_logit + 1e-9


def test_heads_survive_their_file_and_nothing_else_passes_for_one() -> None:
    data = encode_heads(FILE)
    assert decode_heads(data) == FILE
    assert Heads.from_bytes(data).logits("waa wbb") == HEADS.logits("waa wbb")
    short = msgspec.structs.replace(FILE, factors=msgspec.structs.replace(FILE.factors, word_rows=b"123"))
    for broken in (b"", data[:-1], encode_heads(msgspec.structs.replace(FILE, format=9)), encode_heads(short)):
        with pytest.raises(DataError, match="heads"):
            Heads.from_bytes(broken)
