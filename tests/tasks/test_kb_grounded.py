"""Groundedness by words alone, on a small made-up text: each kind of change is found, the truth is not blamed."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import pytest

from smallfirst.tasks.kb.answerable import Answerable, Found
from smallfirst.tasks.kb.grounded import Grounder, grounded, together

PASSAGES = [
    "The Ravnsund Bridge\nThe Ravnsund Bridge was built in 1871 by the engineer Helga Storm. It is 412 metres long "
    "and carries two railway tracks. The steel was made in Trondheim. In 1926 a second pier was added by Jonas Falk.",
    "Ferries\nBefore the bridge opened, ferries crossed the sound every hour. The last was sold to Denmark in 1880.",
]
TRUE = "The Ravnsund Bridge was built in 1871 by Helga Storm."


@pytest.mark.parametrize(
    "wrong",
    [
        "The Ravnsund Bridge was built in 1871 by Astrid Noor.",  # a name from nowhere
        "The Ravnsund Bridge was built in 1871 by Jonas Falk.",  # a name from elsewhere in the same passage
        "The Ravnsund Bridge was built in 1803 by Helga Storm.",
        "The Ravnsund Bridge was not built in 1871 by Helga Storm.",
        "The library of Ravnsund lends out games on Sundays.",
    ],
)
def test_a_changed_answer_is_less_grounded(wrong: str) -> None:
    true, false = grounded(TRUE, PASSAGES), grounded(wrong, PASSAGES)
    assert false.p < true.p


def test_the_truth_passes_and_is_not_blamed() -> None:
    grounder = Grounder.shipped()
    found = grounder(f"{TRUE} The steel was made in Trondheim.", PASSAGES)
    assert found.p >= grounder.threshold
    assert found.unsupported == ()
    assert len(found.claims) == 2


def test_what_stands_nowhere_is_named() -> None:
    answer = f"{TRUE} It was painted by Astrid Noor in 1803 for the king."
    found = grounded(answer, PASSAGES)
    assert [answer[span.start : span.end] for span in found.unsupported] == ["Astrid Noor", "1803"]
    assert [span.why for span in found.unsupported] == ["name", "number"]
    assert found.p < found.claims[0].p


@pytest.mark.parametrize("answer", ["", "  \n", "Yes.", "I'm sorry, I do not have that.", "Which bridge?"])
def test_an_answer_that_claims_nothing_is_not_grounded(answer: str) -> None:
    assert grounded(answer, PASSAGES).p == 0.0


def test_without_passages_nothing_is_grounded() -> None:
    grounder = Grounder.shipped()
    assert grounder(TRUE, []).p < grounder.threshold
    assert grounder(TRUE, [""]).p < grounder.threshold


def test_the_example_of_the_docs_says_what_it_prints(capsys) -> None:
    page = (Path(__file__).parents[2] / "docs" / "grounding.md").read_text()
    example = page.split("```python\n")[1].split("```")[0]
    exec(compile(example, "docs/grounding.md", "exec"), {})
    assert capsys.readouterr().out.strip() == example.strip().rsplit("# ", 1)[1]


def test_one_wrong_claim_spoils_the_answer() -> None:
    assert together([0.9, 0.9, 0.1]) == pytest.approx(0.1)
    assert together([0.9, 0.4, 0.1]) < together([0.9, 0.9, 0.1])
    assert together([]) == 0.0


def test_a_question_about_something_else_is_less_answerable() -> None:
    judge = Answerable.shipped()
    hits = [Found(text, bm25) for text, bm25 in zip(PASSAGES, (9.0, 3.0), strict=True)]
    there = judge("who built the Ravnsund bridge", hits)
    assert there > judge("who designed the opera house of Bergen", hits)
    assert judge("who built the Ravnsund bridge", []) == 0.0
    assert 0.0 <= judge("", hits) <= 1.0
    assert 0.0 <= judge("who", [Found("")]) <= 1.0


def test_every_piece_of_evidence_is_a_plain_number() -> None:
    judge = Answerable.shipped()
    row = judge.evidence("How many tracks does it not carry in 1871?", [Found(text) for text in PASSAGES])
    assert all(isfinite(value) for value in row.values())
    assert row["denies"] == 1.0
    assert set(judge.weights.names) <= set(row)
