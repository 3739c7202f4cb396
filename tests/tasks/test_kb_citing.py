"""Markers: what they point at is there, and what is said without one gets one where a passage says it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smallfirst.tasks.kb.citing import cite, plain
from smallfirst.tasks.kb.prompt import ABSENT, declines
from smallfirst.tasks.kb.store import Passage

PASSAGES = [
    Passage(7, "leave.md", "Leave", "Staff have 27 days of annual leave a year.", 10, 52),
    Passage(8, "fire.md", "Fire", "When the alarm sounds meet at the anchor on the quay.", 0, 53),
    Passage(9, "vpn.md", "VPN", "The VPN is called Causeway.", 0, 27),
]


def cited(answer: str) -> tuple[str, list[str]]:
    found = cite(answer, PASSAGES)
    assert [one.n for one in found.citations] == list(range(1, len(found.citations) + 1))
    return found.text, [one.document for one in found.citations]


def test_passages_are_numbered_as_the_answer_names_them() -> None:
    said = "The VPN is called Causeway [3]. Meet at the anchor on the quay [2]. It is called Causeway [3]."
    assert cited(said) == (
        "The VPN is called Causeway [1]. Meet at the anchor on the quay [2]. It is called Causeway [1].",
        ["vpn.md", "fire.md"],
    )


def test_several_in_one_marker_and_markers_after_the_full_stop() -> None:
    assert cited("27 days, and meet at the anchor. [1, 2]") == (
        "27 days, and meet at the anchor [1][2].", ["leave.md", "fire.md"]
    )  # fmt: skip


def test_a_marker_that_points_nowhere_is_taken_out_and_a_missing_one_put_in() -> None:
    assert cited("Staff have 27 days of annual leave [9].") == (
        "Staff have 27 days of annual leave [1].", ["leave.md"]
    )  # fmt: skip
    assert cited("Meet at the anchor.") == ("Meet at the anchor [1].", ["fire.md"])
    assert cited("Bananas grow upwards.") == ("Bananas grow upwards.", [])


def test_a_marker_at_a_passage_that_says_nothing_of_the_kind_is_corrected() -> None:
    assert cited("Meet at the anchor on the quay [1].")[1] == ["fire.md"]


def test_links_and_years_are_no_markers() -> None:
    assert plain("See [1](https://example.com), since [2019].") == "See [1](https://example.com), since [2019]."


@given(st.text(alphabet="ab [12,]9.\n(", max_size=80))
def test_any_answer_gives_citations_that_exist(answer) -> None:
    cited(answer)


def test_refusals_are_told_from_answers() -> None:
    for said in (
        ABSENT, "", f"{ABSENT}.", "The passages do not mention a tram.", "I don't know.",
        "I'm sorry, but the provided context does not contain any information on that. Please ask someone.",
        "There is no information about coffee machines in the knowledge base.",
    ):  # fmt: skip
        assert declines(said), said
    for said in (
        "27 days.", "You do not need a receipt for meals.",
        "It lapses. It can't be carried over. Ask in March. The handbook text does not say more about it.",
    ):  # fmt: skip
        assert not declines(said), said
