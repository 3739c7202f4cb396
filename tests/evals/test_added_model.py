"""A head from somebody's own scored outcomes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.shipped import shipped_weights
from smallfirst.core import Query
from smallfirst.errors import DataError
from smallfirst.evals.added_model import add_model

WEIGHTS = shipped_weights()


def write(path: Path, rows: int, model: str = "mine") -> Path:
    """Right on sums, wrong on proofs, nine times in ten."""
    rng = np.random.default_rng(0)
    lines = []
    for n in range(rows):
        sums = n % 2 == 0
        text = (
            f"How many pens are {n} pens and {n + 3} pens?"
            if sums
            else f"Let $f(x)=x^{n}$. Find the roots of $f(f(x))=0$."
        )
        right = float((rng.random() < 0.9) == sums)
        lines.append(msgspec.json.encode({"query_id": str(n), "prompt": text, "model": model, "score": right}))
    path.write_bytes(b"\n".join(lines))
    return path


def test_two_hundred_labels_make_a_probe_with_a_head(tmp_path: Path) -> None:
    added = add_model("m", write(tmp_path / "o.jsonl", 200), "mine", WEIGHTS, at=7)
    assert (added.labels, added.probe.model, added.probe.at) == (200, "m", 7)
    assert added.auroc > 0.8
    assert added.brier < added.brier_constant
    classifier = Classifier.from_bytes(WEIGHTS)
    easy, hard = (
        classifier.score(Query(id="", asked="auto", text=text, fields={}), {"m": added.probe}).p_correct["m"] or 0.0
        for text in ("How many pens are 7 pens and 99 pens?", "Let $f(x)=x^9$. Find the roots of $f(f(x))=0$.")
    )
    assert easy > 0.6
    assert hard < 0.4


@pytest.mark.parametrize(("rows", "name"), [(20, "mine"), (200, "other")])
def test_too_few_labels_are_refused(tmp_path: Path, rows: int, name: str) -> None:
    with pytest.raises(DataError, match="at least 50"):
        add_model("m", write(tmp_path / "o.jsonl", rows), name, WEIGHTS, at=0)
