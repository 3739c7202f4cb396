"""Packed rows: one addition adds every field, and the sums come out exact and signed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smallfirst.classify.sample import SEGMENTS, SYMBOLS, WORDS
from smallfirst.classify.tables import OTHERS, Packing, Tables

WIDTH = 5
MOST = 2 * SEGMENTS * WORDS
rows = st.lists(st.binary(min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=MOST)


def made(words: list[str], pairs: list[str]) -> Tables:
    """Every word is worth 2 in its second field, every pair 7 in its third, symbols and lengths nothing."""
    return Tables(
        words,
        pairs,
        bytes([129, 130, 128, 128, 128]) * len(words),
        bytes([128, 128, 135, 128, 128]) * len(pairs),
        bytes([128] * WIDTH) * OTHERS,
        WIDTH,
    )


@given(rows)
def test_sums_are_those_of_the_fields(table: list[bytes]) -> None:
    packing = Packing(WIDTH)
    total = sum(packing.rows(b"".join(table)))
    assert packing.sums(total, len(table)) == tuple(sum(row[at] - 128 for row in table) for at in range(WIDTH))


def test_the_largest_sums_fit() -> None:
    packing = Packing(WIDTH)
    for byte, value in ((0, -128), (255, 127)):
        (row,) = packing.rows(bytes([byte] * WIDTH))
        assert packing.sums(row * MOST, MOST) == (value * MOST,) * WIDTH


def test_a_word_counts_once_and_a_pair_once_in_a_segment() -> None:
    tables = made(["red", "fox"], ["red fox", "fox red"])
    assert tables.read("red fox red fox red fox zebra") == ([(2, 4, 14, 0, 0)], [1], 0, 3)


def test_an_unknown_word_adds_nothing_but_its_strangeness() -> None:
    assert made(["red"], []).read("zebra zebra yak") == ([(0,) * WIDTH], [1], 0, 2)


@given(st.text(max_size=1_000))
def test_what_was_found_adds_up_to_what_was_read(text: str) -> None:
    tables = made(["a", "the", "0"], ["the a", "0 0"])
    parts, _, _, _ = tables.read(text)
    if len(parts) == 1:
        found = [fields for _, fields in tables.found(text)]
        assert tuple(sum(column) for column in zip(*found, strict=True)) == parts[0]


def test_symbols_and_the_length_stand_in_the_first_segment() -> None:
    others = bytes([131, 128, 128, 128, 140]) * len(SYMBOLS) + bytes([128, 128, 128, 129, 128]) * (
        OTHERS - len(SYMBOLS)
    )
    tables = Tables([], [], b"", b"", others, WIDTH)
    assert tables.read("? ?!") == ([(6, 0, 0, 1, 24)], [1], 6, 0)
    parts, room, bare, _ = tables.read("what? " * 1_000)
    assert (parts, room, bare) == ([(3, 0, 0, 1, 12)] + [(0,) * WIDTH] * 3, [1] * 4, 3)
