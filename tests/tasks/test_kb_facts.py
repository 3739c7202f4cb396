"""What is read word for word: sentences, numbers, names, denials, contraries."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from smallfirst.tasks.kb.contraries import negations, opposites
from smallfirst.tasks.kb.facts import names, numbers
from smallfirst.tasks.kb.rarity import Rarity
from smallfirst.tasks.kb.sentences import LONGEST, SHORTEST, content, split_sentences


def test_full_stops_of_abbreviations_end_nothing() -> None:
    text = 'Mr. Ahlgren paid $4.50 on 3 Nov. 2019 in the U.S. Senate. He left. "Why?" asked Dr. No.\n- one\n- two'
    assert [sentence.text for sentence in split_sentences(text)] == [
        "Mr. Ahlgren paid $4.50 on 3 Nov. 2019 in the U.S. Senate.",
        "He left.",
        '"Why?" asked Dr. No.',
        "- one",
        "- two",
    ]


@given(st.text(max_size=400), st.integers(1, 4))
def test_nothing_is_lost_but_blanks_and_strays(text: str, times: int) -> None:
    long = text * times
    found = split_sentences(long)
    assert all(long[one.start : one.end] == one.text and len(one.text) <= LONGEST for one in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    left = [
        long[a:b]
        for a, b in zip([0, *(one.end for one in found)], [*(one.start for one in found), len(long)], strict=True)
    ]
    assert all(len(part.strip()) < 4 * SHORTEST for part in left)


def test_two_ways_to_write_a_number_are_one() -> None:
    def normal(text: str) -> list[str]:
        return [fact.normal for fact in numbers(text)]

    assert normal("1,500 parts") == normal("1.5 thousand parts") == ["1500"]
    assert normal("twenty-five") == normal("25") == ["25"]
    assert normal("the 3rd of June") == normal("third, June") == ["3", "m6"]
    assert normal("two hundred") == ["200"]
    assert normal("one may march on") == []


def test_a_name_keeps_its_parts_and_no_opening_word() -> None:
    assert [fact.normal for fact in names("The Bank of Oslo paid. It was Vera Lind.")] == ["bank oslo", "vera lind"]
    text = "In Bergen they met Prof. Dahl"
    assert [text[fact.start : fact.end] for fact in names(text)] == ["Bergen", "Prof. Dahl"]


def test_denials_and_contraries() -> None:
    assert negations("It isn't so, nor was it ever without cause") == 3
    assert negations("It is so") == 0
    assert "decrease" in opposites("increase")
    assert "unlocked" in opposites("locked")


def test_a_word_of_every_passage_weighs_least() -> None:
    rarity = Rarity.of(["a blue door", "a blue lamp", "a blue heron"])
    assert 0 <= rarity("blue") < rarity("heron") < rarity("unseen") <= 1
    assert content("The doors were filmed, filming doors") == ["door", "film", "film", "door"]
