"""The examples of docs/outcomes.md are read as they stand, and its tables name every field."""

import re
from pathlib import Path

from smallfirst.evals.grades import _Row, join, read_grades
from smallfirst.models.answers import AnswerRow, read_answers

PAGE = (Path(__file__).parents[2] / "docs" / "outcomes.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_are_read_and_joined(tmp_path):
    answers, scores = (tmp_path / name for name in ("answers.jsonl", "scores.jsonl"))
    answers.write_text(EXAMPLES[0])
    scores.write_text(EXAMPLES[1])
    (joined,) = join(read_answers(answers), read_grades(scores))
    assert (joined.query_id, joined.scores) == ("t-18", (0.0, 1.0))


def test_every_field_is_explained():
    for field in (*AnswerRow.__struct_fields__, *_Row.__struct_fields__):
        assert f"`{field}`" in PAGE, field
