"""Which queries are graded depends on nothing but their ids, the seed and whether answers differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.errors import DataError
from smallfirst.evals.grading import CHECKERS, check, choose, coin
from smallfirst.models.answers import AnswerRow


def rows(query_id, *answers, reference=None):
    return [AnswerRow(query_id, f"m{n}", "2 + 2?", answer=text, reference=reference) for n, text in enumerate(answers)]


MANY = [row for i in range(400) for row in rows(f"q{i}", "4", "four" if i % 2 else "4.0")]


def test_disagreements_come_first_and_agreements_at_the_known_rate():
    piles = choose(MANY, agree_rate=0.25)
    differ = [pile.differ for pile in piles]
    assert differ == sorted(differ, reverse=True)
    assert sum(differ) == 200
    assert 25 <= len(piles) - 200 <= 75  # 50 expected of 200, 8 standard deviations
    assert {pile.sample_prob for pile in piles} == {1.0, 0.25}


def test_the_same_seed_chooses_the_same_and_what_is_done_is_left_out():
    first = [pile.query_id for pile in choose(MANY, agree_rate=0.3)]
    assert first == [pile.query_id for pile in choose(reversed_models(MANY), agree_rate=0.3)]
    assert first != [pile.query_id for pile in choose(MANY, agree_rate=0.3, seed=1)]
    assert [pile.query_id for pile in choose(MANY, agree_rate=0.3, done=set(first[:50]))] == first[50:]


def reversed_models(answers):
    """The same queries, other models: nothing but the ids may decide."""
    return [AnswerRow(row.query_id, f"other {row.model}", row.prompt, row.answer) for row in answers]


@given(st.text(), st.integers(0, 5))
def test_the_coin_is_fair_enough_to_be_one(query_id, seed):
    assert 0 <= coin(query_id, seed) < 1
    assert coin(query_id, seed) == coin(query_id, seed)


def test_answers_that_say_the_same_share_one_grade():
    (pile,) = choose(rows("q", "4", "The answer is 4.", "5", reference="4"))
    assert pile.texts == ("4", "5")
    assert [grade.score for grade in check(pile, "canonical", 7)] == [1.0, 1.0, 0.0]
    assert {(grade.grader, grade.at_us, grade.sample_prob) for grade in check(pile, "canonical", 7)} == {
        ("checker:canonical", 7, 1.0)
    }


def test_free_texts_that_differ_are_different_answers():
    (pile,) = choose(rows("q", "A long text. It says one thing.", "A long text. It says something else."))
    assert pile.differ


def test_a_lone_answer_is_not_graded():
    assert choose(rows("q", "4")) == []


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.5])
def test_rates_that_are_none(rate):
    with pytest.raises(DataError, match="--agree-rate must be above 0"):
        choose(MANY, agree_rate=rate)


@pytest.mark.parametrize(("checker", "answer", "reference", "score"), [
    ("canonical", "The answer is (B).", "B", 1.0),
    ("canonical", "The answer is (C).", "B", 0.0),
    ("canonical", "It is a long text. Word for word.", "It is a long text.  Word for word.", 1.0),
    ("exact", "Paris.", "paris", 1.0),
    ("exact", "It is Paris", "Paris", 0.0),
    ("includes", "It is Paris.", "Paris", 1.0),
    ("number", "So that is 1,204", "1204", 1.0),
    ("number", "17", "18", 0.0),
    ("json", '{"a": "1"}', '{"a": 1}', 1.0),
])  # fmt: skip
def test_checkers(checker, answer, reference, score):
    assert CHECKERS[checker](answer, reference) == score


def test_checkers_need_a_reference_that_they_understand():
    (pile,) = choose(rows("q", "4", "5"))
    with pytest.raises(DataError, match=r"has no `reference`.*use --judge MODEL or --terminal"):
        check(pile, "canonical", 0)
    with pytest.raises(DataError, match="needs numbers as references"):
        CHECKERS["number"]("4", "four")
