"""The shipped judges on recorded questions and answers they were not fitted on; skipped without ../shared/data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smallfirst.tasks.kb.answerable import Answerable, Found
from smallfirst.tasks.kb.grounded import Grounder
from smallfirst.tasks.kb.rarity import Rarity
from smallfirst.tasks.kb.sentences import content

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks" / "rag"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/tasks/rag is not there"),
]


@pytest.fixture(scope="module")
def squad():
    """A tenth of squad2 by title's first questions: (question, its passage, answerable); nothing was fitted on it."""
    pq = pytest.importorskip("pyarrow.parquet")
    texts = pq.read_table(SHARED / "squad2_halfdev_passages.parquet").to_pydict()
    passages = dict(zip(texts["passage_id"], texts["text"], strict=True))
    rows = pq.read_table(SHARED / "squad2_halfdev_questions.parquet").to_pylist()[::10]
    asked = [
        (row["question"], passages[json.loads(row["gold_ids"])[0]], str(row["answerable"]) == "True", row["answers"])
        for row in rows
    ]
    return Rarity.of(passages.values()), asked


def auroc(positive: list[float], negative: list[float]) -> float:
    won = sum((a > b) + (a == b) / 2 for a in positive for b in negative)
    return won / (len(positive) * len(negative))


def test_answerable_questions_rank_above_others_by_words_alone(squad) -> None:
    """A floor under what bench/tasks/answerability.py measures, on passages given instead of found."""
    rarity, asked = squad
    judge = Answerable.shipped(None, rarity)
    scored = [(judge(question, [Found(text)]), can) for question, text, can, _ in asked]
    assert auroc([p for p, can in scored if can], [p for p, can in scored if not can]) > 0.55


def test_a_copied_sentence_is_grounded_and_a_foreign_one_is_not(squad) -> None:
    rarity, asked = squad
    grounder = Grounder.shipped(None, rarity)
    pairs = [(answers, text) for _, text, can, answers in asked if can][:40]
    own, foreign = [], []
    for (answers, text), (_, other) in zip(pairs, pairs[7:] + pairs[:7], strict=True):
        said = next((s for s in text.split(". ") if json.loads(answers)[0] in s and len(content(s)) > 5), None)
        if said is not None and text != other:
            own.append(grounder(f"{said}.", [text]).p)
            foreign.append(grounder(f"{said}.", [other]).p)
    assert len(own) > 20
    assert auroc(own, foreign) > 0.97
    assert sum(p >= grounder.threshold for p in own) / len(own) > 0.9
