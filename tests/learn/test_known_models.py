"""Factors and heads of recorded models: gaps, smoothing, and a head that is worth something out of fold."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.weights import encode
from smallfirst.core import Kind, Query
from smallfirst.learn.fit import Recipe
from smallfirst.learn.known_models import KnownRecipe, score_matrix, smoothed
from smallfirst.learn.metrics import auroc
from smallfirst.learn.outcomes import Prompt, group_of, is_held_out, model_name
from smallfirst.learn.train_classifier import train

RECIPE = Recipe(least_words=2, least_pairs=4, c_complexity=1.0, folds=3)
KNOWN = KnownRecipe(least_labels=50, factors=3, hold_words=3.0, hold_slopes=3.0, folds=3, least_words=2, least_pairs=4)
TASKS = ("prove the theorem about", "count every", "translate this into french:")
CHANCES = {"maths": (0.9, 0.5, 0.1), "tongue": (0.1, 0.5, 0.9), "large": (0.95, 0.95, 0.9), "new": (0.9, 0.9, 0.9)}
KINDS: tuple[Kind, ...] = ("mathematics", "arithmetic", "rewriting")
FRUITS = ("apple", "pear", "plum", "fig", "lime", "date", "kiwi", "melon")


def world(count: int = 500) -> list[Prompt]:
    """What a model gets right depends on the task. `new` was asked 20 prompts, fewer than a head takes."""
    rng = np.random.default_rng(0)
    prompts = []
    for n in range(count):
        task = int(rng.integers(3))
        text = f"{TASKS[task]} {' '.join(rng.choice(FRUITS, 3))} {chr(97 + n % 26)}{chr(97 + n // 26)}"
        scores = {
            name: float(rng.random() < chance[task]) for name, chance in CHANCES.items() if name != "new" or n < 20
        }
        hard = (0.1, 0.5, 0.9)[task]
        prompts.append(Prompt(text, group_of(text), "made", f"task{task}", "c", KINDS[task], hard, 4, scores))
    return prompts


@pytest.fixture(scope="module")
def trained() -> Classifier:
    return Classifier(train(world(), [], RECIPE, 0, KNOWN))


def test_models_with_enough_labels_get_a_head_and_others_none(trained: Classifier) -> None:
    assert list(trained.heads) == ["large", "maths", "tongue"]


def test_heads_rank_held_out_prompts_of_their_own_model(trained: Classifier) -> None:
    held = [prompt for prompt in world() if is_held_out(prompt.group)]
    for name in ("maths", "tongue"):
        heads = {name: trained.heads[name]}
        made = [trained.score(Query(id="", asked="auto", text=p.text, fields={}), heads).p_correct[name] for p in held]
        truth = np.array([prompt.scores[name] for prompt in held])
        assert auroc(truth, np.array(made, dtype=np.float64)) > 0.75  # the best there is: about 0.85


def test_training_with_heads_twice_gives_the_same_bytes() -> None:
    assert encode(train(world(), [], RECIPE, 0, KNOWN)) == encode(train(world(), [], RECIPE, 0, KNOWN))


def test_held_out_scores_leave_no_trace() -> None:
    spoiled = [
        msgspec.structs.replace(prompt, scores={"maths": 0.0, "stranger": 1.0}) if is_held_out(prompt.group) else prompt
        for prompt in world()
    ]
    assert encode(train(spoiled, [], RECIPE, 0, KNOWN)) == encode(train(world(), [], RECIPE, 0, KNOWN))


def test_gaps_stay_gaps() -> None:
    models, scores = score_matrix(world(), 10)
    assert models == ("large", "maths", "new", "tongue")
    assert np.isnan(scores).sum(0).tolist() == [0, 0, 480, 0]
    drawn = smoothed(scores, ["one"] * len(scores), 0.4)
    assert (np.isnan(drawn) == np.isnan(scores)).all()


def test_smoothing_draws_a_score_towards_its_models_mean_on_the_task() -> None:
    scores = np.array([[1.0], [0.0], [1.0], [1.0]])
    tasks = ["a", "a", "b", "b"]
    assert smoothed(scores, tasks, 0.0) == pytest.approx(scores)
    whole = smoothed(scores, tasks, 1.0)[:, 0]
    assert whole.tolist() == pytest.approx([0.625, 0.625, 0.875, 0.875])  # with two rows of the overall mean 0.75


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
        ("GPT-4O-2024-05-13", "gpt-4o-2024-05-13"),
        ("Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b-instruct-v0.1"),
        ("Gemini-Flash-1.5-002", "gemini-1.5-flash-002"),
        ("Llama-3.1-405B-Inst@sambanova", "Llama-3.1-405B-Inst"),
    ],
)
def test_a_model_has_one_name_in_every_table(one: str, other: str) -> None:
    assert model_name(one) == model_name(other)


def test_releases_stay_apart() -> None:
    assert model_name("gpt-4o-2024-05-13") != model_name("gpt-4o-2024-08-06")
    assert model_name("gemini-1.5-flash") != model_name("gemini-1.5-flash-002")
