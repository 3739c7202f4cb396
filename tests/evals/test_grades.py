"""Scores meet answers only where none is missing that would choose by who was graded."""

import json

import pytest

from smallfirst.core import Grade
from smallfirst.errors import DataError
from smallfirst.evals.grades import UNNAMED, graders_of, join, read_grades
from smallfirst.models.answers import AnswerRow


def answers(*pairs, **more):
    return [AnswerRow(q, m, f"prompt {q}", answer="x", **more) for q, m in pairs]


def grade(query_id, model, score=1.0, grader="g", prob=1.0):
    return Grade(query_id, model, score, grader, prob)


BOTH = [("q1", "small"), ("q1", "large"), ("q2", "small"), ("q2", "large")]


def read(tmp_path, *rows):
    path = tmp_path / "grades.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_grades(path)


def test_a_table_of_scores_without_a_grader(tmp_path):
    (found,) = read(tmp_path, {"query_id": "q1", "model": "small", "score": 1, "category": "sums"})
    assert found == Grade("q1", "small", 1.0, UNNAMED)


@pytest.mark.parametrize(("more", "says"), [
    ({"score": None}, "line 1: score is missing .*grade it or cut it"),
    ({"score": 7}, "line 1: score must be in 0..1, not 7; divide by the highest there can be"),
    ({"score": "good"}, "line 1: Expected `float"),
    ({"sample_prob": 2}, "line 1: sample_prob must be above 0"),
])  # fmt: skip
def test_bad_grades_say_what_to_do(tmp_path, more, says):
    with pytest.raises(DataError, match=says):
        read(tmp_path, {"query_id": "q1", "model": "small", "score": 1, **more})


def test_two_scores_of_one_answer(tmp_path):
    row = {"query_id": "q1", "model": "small", "score": 1}
    assert len(read(tmp_path, row, {**row, "grader": "other", "score": 0})) == 2
    for second in (row, {**row, "score": 0}):
        with pytest.raises(DataError, match="line 2: a second score of 'small' on query_id 'q1' by file"):
            read(tmp_path, row, second)


def test_join_lines_scores_up_and_multiplies_what_is_known_of_the_sampling():
    found = join(answers(*BOTH, sample_prob=0.5), [grade("q1", "small", 0.0, prob=0.2), grade("q1", "large", prob=0.2)])
    (one,) = found
    assert (one.query_id, one.scores, one.sample_prob) == ("q1", (0.0, 1.0), 0.1)
    assert [row.model for row in one.answers] == ["small", "large"]


def test_a_call_that_failed_scores_nothing():
    rows = [*answers(("q1", "small")), AnswerRow("q1", "large", "prompt q1", answer=None)]
    (one,) = join(rows, [grade("q1", "small")])
    assert one.scores == (1.0, 0.0)


def test_half_graded_queries_are_refused():
    with pytest.raises(DataError, match="query_id 'q1': the score of 'large' is missing while other answers"):
        join(answers(*BOTH), [grade("q1", "small"), grade("q2", "small"), grade("q2", "large")])


def test_one_model_only():
    with pytest.raises(DataError, match="outcomes of one model only"):
        join(answers(("q1", "small")), [grade("q1", "small")])


def test_a_model_that_is_not_there():
    with pytest.raises(DataError, match="no outcomes of 'huge'; the file has: large, small"):
        join(answers(*BOTH), [grade("q1", "small")], ["small", "huge"])


def test_nothing_in_common():
    with pytest.raises(DataError, match="no query was both answered and graded"):
        join(answers(*BOTH), [grade("q9", "small"), grade("q9", "large")])


def test_several_graders_are_not_mixed():
    grades = [grade("q1", m, s, g) for g, s in (("judge:a", 0.0), ("person:b", 1.0)) for m in ("small", "large")]
    grades.append(grade("q2", "small", 1.0, "judge:a"))
    assert graders_of(grades) == ["judge:a", "person:b"]
    with pytest.raises(DataError, match="several graders speak"):
        join(answers(*BOTH[:2]), grades)
    (one,) = join(answers(*BOTH[:2]), grades, grader="person:b")
    assert one.scores == (1.0, 1.0)
    with pytest.raises(DataError, match="no grades by 'ada'"):
        join(answers(*BOTH), grades, grader="ada")
