"""Do two answers say the same?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import Outcome, Status
from smallfirst.verify.agreement import agreement, similarity


def said(text: str) -> Outcome:
    return Outcome("m", Status.ok, text)


LONG = "The invoice was sent to the customer in Hamburg on the third day, and has not been paid since then by anybody"


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("B", "The answer is (B).", "same"),
        ("42", "42 apples", "same"),
        ("42 apples", "42", "same"),
        ("42", "43", "different"),
        ("42 apples", "42 pears", "different"),
        ("4", "42 apples", "different"),
        (LONG, LONG.replace("anybody", "anyone"), "alike"),
        (LONG + " 12 times", LONG + " 13 times", "unclear"),
        (
            LONG,
            "Something else altogether was written here, about cats and dogs and the weather of last year.",
            "unclear",
        ),
        ("B", LONG, "unclear"),
    ],
)
def test_how_two_answers_compare(one: str, other: str, how: str) -> None:
    assert agreement(said(one), said(other)) == how
    assert agreement(said(other), said(one)) == how


@given(st.text(max_size=200), st.text(max_size=200))
def test_similarity_is_symmetric_and_between_0_and_1(one: str, other: str) -> None:
    assert similarity(one, other) == similarity(other, one)
    assert 0 <= similarity(one, other) <= 1
