"""Training on a small made-up world: it learns, repeats itself, and never looks at what is held out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.sample import length_class
from smallfirst.classify.shipped import shipped_weights
from smallfirst.classify.weights import encode
from smallfirst.errors import DataError
from smallfirst.learn.features import features_of, make_vocabulary, matrix
from smallfirst.learn.fit import Recipe, rounded
from smallfirst.learn.metrics import auroc, auroc_within
from smallfirst.learn.outcomes import Prompt, group_of, is_held_out, read_prompts
from smallfirst.learn.report import measure, slice_of
from smallfirst.learn.train_classifier import KnownKind, main, read_kinds, train

DATA = Path("../shared/data/outcomes")
FRUITS = ("apple", "pear", "plum", "fig", "lime", "date", "kiwi", "melon")
RECIPE = Recipe(least_words=2, least_pairs=2, c_complexity=1.0, folds=3)


def world(count: int = 400) -> list[Prompt]:
    """Prompts with `theorem` are hard for small models, those with `count` are easy."""
    prompts = []
    for n in range(count):
        hard = n % 2 == 0
        fruit = " ".join(FRUITS[(n * step) % 8] for step in (1, 3, 5))
        text = f"{'prove the theorem about' if hard else 'count every'} {fruit} {chr(97 + n % 26)}{chr(97 + n // 26)}"
        prompts.append(
            Prompt(
                text, group_of(text), "made", "math", "c", "mathematics" if hard else "other", 0.9 if hard else 0.1, 5
            )
        )
    return prompts


MADE = [KnownKind(f"label this note as red or blue: {a} {b}", "label") for a in FRUITS for b in FRUITS]


@pytest.fixture(scope="module")
def trained() -> Classifier:
    return Classifier(train(world(), MADE, RECIPE, 0))


def test_it_learns_what_is_hard_and_of_which_kind(trained: Classifier) -> None:
    hard, easy = trained.rate("prove the theorem about fig date apple"), trained.rate("count every fig date apple")
    assert hard[0] > 0.7
    assert easy[0] < 0.3
    assert (hard[1], easy[1]) == ("mathematics", "other")
    assert trained.rate("label this note as red or blue: fig date")[1] == "label"


def test_the_report_is_on_held_out_prompts_and_better_than_chance(trained: Classifier) -> None:
    prompts = world()
    report = measure(trained, prompts, [(one.text, one.kind) for one in MADE], seed=0, draws=20)
    assert report.rows == sum(is_held_out(prompt.group) for prompt in prompts)
    assert report.auroc.low <= report.auroc.value <= report.auroc.high
    assert report.auroc.value > 0.85  # of 0.9 and 0.1, the best there is is 0.9
    assert report.brier.value < report.brier_constant


def test_training_twice_gives_the_same_bytes(trained: Classifier) -> None:
    assert encode(train(world(), MADE, RECIPE, 0)) == encode(train(world(), MADE, RECIPE, 0))


def test_held_out_prompts_leave_no_trace() -> None:
    prompts = world()
    spoiled = [
        msgspec.structs.replace(prompt, text=prompt.text + " leaked leaked", hard=0.5)
        if is_held_out(prompt.group)
        else prompt
        for prompt in prompts
    ]
    assert encode(train(prompts, MADE, RECIPE, 0)) == encode(train(spoiled, MADE, RECIPE, 0))


def test_the_design_matrix_is_what_the_classifier_adds_up() -> None:
    """Unrounded weights times the row = the classifier's sum, up to rounding to a byte."""
    from smallfirst.learn.fit import clipped, contributions, fit_shares

    fit = [prompt for prompt in world() if not is_held_out(prompt.group)]
    shown = [features_of(prompt.text) for prompt in fit]
    vocabulary = make_vocabulary(shown, least_words=2, least_pairs=2)
    rows = matrix(vocabulary, shown)
    line = fit_shares(rows, np.array([prompt.hard for prompt in fit]), 1.0, 0)
    segments, rest = contributions(line, vocabulary, shown)
    room = [np.full(len(sums), 1e9) for sums in segments]
    assert clipped(segments, room, rest, 1.0) == pytest.approx(rows @ line.weights)


def test_rounding_keeps_half_a_step() -> None:
    values = np.array([-1.0, 0.0, 0.004, 0.5])
    points, step = rounded(values)
    assert (points.astype(float) - 128) * step == pytest.approx(values, abs=step / 2)
    assert rounded(np.zeros(3))[0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("line", ["{", '{"text": "x"}', '{"text": "x", "kind": "tools"}', '{"text": 1, "kind": "faq"}'])
def test_a_wrong_line_of_kinds_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "kinds.jsonl"
    path.write_text('{"text": "x", "kind": "faq", "id": "extra fields are fine"}\n\n' + line)
    with pytest.raises(DataError, match=r"kinds\.jsonl:3"):
        read_kinds(path)


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "w")]) == 2
    assert "zeroeval.parquet" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


@pytest.mark.shared
@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
def test_the_shipped_weights_rank_real_held_out_prompts() -> None:
    """Floors below what was measured: 0.710 pooled, 0.590 within a category, Brier 0.209 (constant 0.239)."""
    held = [prompt for prompt in read_prompts(DATA) if is_held_out(prompt.group) and prompt.hard is not None]
    classifier = Classifier.from_bytes(shipped_weights())
    truth = np.array([prompt.hard for prompt in held], dtype=np.float64)
    chance = np.array([classifier.rate(prompt.text)[0] for prompt in held])
    length = np.array([float(length_class(prompt.text)) for prompt in held])
    assert auroc(truth, chance) > 0.69
    assert auroc(truth, chance) > max(auroc(truth, length), auroc(truth, -length)) + 0.08
    assert auroc_within(truth, chance, np.array([slice_of(prompt) for prompt in held])) > 0.57
    assert abs(truth.mean() - chance.mean()) < 0.03
