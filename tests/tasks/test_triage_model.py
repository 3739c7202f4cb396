"""Fit, certify, judge, keep as a file: on tickets made for the tests, by words alone."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from smallfirst.errors import DataError, SetupError
from smallfirst.tasks.triage.fit import Wanted, fit_triage, part
from smallfirst.tasks.triage.kernel import Kernel, solve
from smallfirst.tasks.triage.model import Recipe, Triage, decode, encode
from smallfirst.tasks.triage.report import measure
from smallfirst.tasks.triage.rows import Labelled
from smallfirst.tasks.triage.terms import Likeness, build_index
from tests.tasks.tickets import tickets


def labelled(pairs):
    return [Labelled(text, (label,), f"line {n}") for n, (text, label) in enumerate(pairs, 2)]


@pytest.fixture(scope="module")
def parts():
    return part(labelled(tickets(900, beyond=240)), seed=1)


@pytest.fixture(scope="module")
def model(parts):
    return fit_triage(parts, Wanted(out_of_scope="none"), None)


def test_parts_share_no_text(parts) -> None:
    groups = [{row.group for row in rows} for rows in (parts.fit, parts.certify, parts.report)]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert sum(map(len, groups)) == 1140


def test_it_labels_what_it_never_saw_and_says_how_sure(parts, model) -> None:
    report = measure(Triage(model), parts.report)
    assert report.in_scope.value > 0.97
    assert report.scope_auroc is not None
    assert report.scope_auroc > 0.97
    assert model.certified is not None
    assert model.certified.kept <= len(parts.certify)


def test_a_text_like_nothing_it_knows_is_out_of_scope_and_not_kept_as_a_guess(model) -> None:
    strange, plain = Triage(model).judge(
        ["Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich", "refund my invoice"]
    )
    assert strange.labels == ()
    assert plain.labels == ("billing",)
    assert plain.in_scope > strange.in_scope


def test_the_file_judges_as_the_model_does(parts, model) -> None:
    texts = [row.text for row in parts.report[:20]]
    again = decode(encode(model))
    assert Triage(again).judge(texts) == Triage(model).judge(texts)
    with pytest.raises(DataError, match="triage fit"):
        decode(b"not a model")
    with pytest.raises(DataError, match="format 99"):
        decode(encode(msgspec.structs.replace(model, format=99)))


def test_the_same_rows_and_seed_give_the_same_bytes(parts, model) -> None:
    assert encode(fit_triage(parts, Wanted(out_of_scope="none"), None)) == encode(model)


def test_several_labels() -> None:
    pairs = tickets(400)
    both = [
        Labelled(f"{a} {b}", tuple(sorted({x, y})), "") for (a, x), (b, y) in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    rows = labelled(pairs) + both
    parts = part(rows, seed=0)
    found = Triage(fit_triage(parts, Wanted(several=True, accuracy=0.9), None)).judge(
        ["invoice refund. parcel courier late"]
    )
    assert found[0].labels == ("billing", "delivery")


def test_vectors_of_another_encoder_are_refused(model) -> None:
    class Other:
        name = "other"

        def embed(self, texts, told=None):
            return np.zeros((len(texts), 2), dtype=np.float32)

    with pytest.raises(SetupError, match="not other"):
        Triage(msgspec.structs.replace(model, embedder="all-minilm-l6-v2-int8", vectors=b""), Other())


def test_the_answers_solve_the_system() -> None:
    texts = [text for text, _ in tickets(60)]
    kernel, recipe = Kernel(texts, None), Recipe(1.0, 0.0, 0.2)
    truth = np.sign(np.random.default_rng(0).normal(size=(60, 3))).astype(np.float32)
    rows = np.arange(60)
    answers = solve(kernel, recipe, truth, rows)
    left = kernel.matrix(recipe, rows, rows) @ answers + 0.2 * answers
    assert np.allclose(left, truth, atol=1e-4)


def test_likeness_is_a_cosine() -> None:
    texts = [text for text, _ in tickets(40)]
    likeness = Likeness(build_index(texts, least=1))
    assert np.allclose([likeness(text)[n] for n, text in enumerate(texts)], 1.0, atol=1e-2)
    assert likeness("").max() == 0
    assert likeness("zzz qqq xxx").max() < 0.2


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("a b", "x"), ("c d", "x")], "at least two labels"),
        ([("a b", "x"), ("c d", "x"), ("e f", "y")], "single row"),
    ],
)
def test_rows_that_can_not_be_fitted(pairs, words) -> None:
    rows = labelled(pairs)
    parts = part(rows, seed=0, report=labelled([("q", "x")]))
    with pytest.raises(DataError, match=words):
        fit_triage(msgspec.structs.replace(parts, fit=rows), Wanted(), None)


def test_a_text_on_both_sides_is_refused() -> None:
    rows = labelled(tickets(30))
    with pytest.raises(DataError, match="training and the report rows: line 7"):
        part(rows, seed=0, report=rows[5:6])
