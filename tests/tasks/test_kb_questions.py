"""The example's own questions: where their passages are found; and what the three numbers count."""

from __future__ import annotations

import re

import pytest

from smallfirst.errors import DataError
from smallfirst.tasks.kb.conversation import variants
from smallfirst.tasks.kb.questions import Asked, Given, is_right, read_questions, report
from smallfirst.tasks.kb.search import Index
from tests.tasks.handbook import EXAMPLE, built

ASKED = read_questions(EXAMPLE / "questions.jsonl")


def test_the_examples_questions_find_their_documents_by_words_alone() -> None:
    index = Index(built())
    for one in ASKED:
        if one.unanswerable:
            continue
        earlier = [text for role, text in one.history if role == "user"]
        hits = index.search(variants(one.question, earlier), 3)
        assert one.document in [hit.passage.document for hit in hits], one.question
        assert any(answer in hit.passage.text for hit in hits for answer in one.answers), one.question


def test_a_second_turn_alone_finds_nothing_of_the_kind() -> None:
    index = Index(built())
    (one,) = (one for one in ASKED if one.question.startswith("And what happens"))
    assert one.document not in [hit.passage.document for hit in index.search(one.question, 3)]


def test_an_answer_is_right_by_its_words_or_by_what_it_cites() -> None:
    days = Asked("How many?", answers=("27 days", "27"))
    assert is_right(days, Given(True, "You have 27 days [1]."))
    assert not is_right(days, Given(True, "You have 127 days."))
    assert not is_right(days, Given(False, "27 days are not in the knowledge base."))
    cited = Asked("Where?", document="a.md")
    assert is_right(cited, Given(True, "There.", ("b.md", "a.md")))
    assert not is_right(Asked("?", unanswerable=True), Given(True, "27"))


def test_the_three_numbers() -> None:
    asked = [
        Asked("a", answers=("1",)), Asked("b", answers=("2",)), Asked("c", answers=("3",)), Asked("d", answers=("4",)),
        Asked("e", unanswerable=True), Asked("f", unanswerable=True),
    ]  # fmt: skip
    given = [
        Given(True, "1", tier="slm"), Given(True, "two", tier="mid"), Given(False), Given(True, "4", tier="slm"),
        Given(True, "5", tier="slm", cost_usd=0.5), Given(False),
    ]  # fmt: skip
    found = report(asked, given)
    assert (found.answered.value, found.answered.of) == (3 / 4, 4)
    assert (found.wrong.value, found.wrong.of) == (2 / 4, 4)
    assert (found.missed.value, found.missed.of) == (2 / 3, 3)
    assert found.by_tier == {"slm": 3, "mid": 1, "nobody": 2}
    assert (found.cost_usd, found.mistakes) == (0.5, (("b", "two"), ("e", "5")))


def test_of_nothing_there_is_no_share() -> None:
    found = report([Asked("e", unanswerable=True)], [Given(False)])
    assert (found.answered.value, found.wrong.value, found.missed.value) == (None, None, 0.0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"question": "a"}', "needs `answers`"),
        ('{"question": "a", "answer": "b"}', "unknown field"),
        ("{", "line 2"),
        ('{"question": "a", "history": [["robot", "b"]], "answers": ["c"]}', "robot"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, words) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(f'{{"question": "fine", "answers": ["a"]}}\n{line}\n')
    with pytest.raises(DataError, match=words) as caught:
        read_questions(path)
    assert "line 2" in str(caught.value)


def test_the_example_in_the_docs_runs(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "examples").symlink_to(EXAMPLE.parent)
    monkeypatch.chdir(tmp_path)
    page = (EXAMPLE.parents[1] / "docs" / "knowledge-base.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "knowledge-base.md", "exec"), {})
    said = capsys.readouterr().out
    assert "added=12" in said
    assert "Expenses > How to claim" in said
    assert "Morag Sinclair [1]. people/expenses.md" in said


def test_an_empty_file_is_named(tmp_path) -> None:
    (tmp_path / "q.jsonl").write_text("\n")
    with pytest.raises(DataError, match="no questions"):
        read_questions(tmp_path / "q.jsonl")
