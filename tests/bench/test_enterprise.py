"""The pure functions of bench/enterprise on made-up rows: what is served where, and what a figure is made of."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "bench" / "enterprise"
MODULES = ("rows", "mix", "courses", "judge")


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, ModuleType]]:
    """The programs import each other by bare names: they are taken out again afterwards."""
    before = dict(sys.modules)
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in MODULES}
    sys.path.remove(str(FOLDER))
    for name in MODULES:
        sys.modules.pop(name, None)
        if name in before:
            sys.modules[name] = before[name]


def course(programs: dict[str, ModuleType], right: list[float], sure: list[float], sent: float = 400) -> Any:
    rows = [
        programs["rows"].Said(f"g{n}", "report", {"label": one}, {"label": p}, 10.0, sent, 10, sent)
        for n, (one, p) in enumerate(zip(right, sure, strict=True))
    ]
    return programs["courses"].local_course(rows, programs["mix"].read_mix(), ["label"], seed=0)


def test_setting_0_is_the_frontier_alone_and_what_is_served_locally_only_grows(programs: dict[str, ModuleType]) -> None:
    made = course(programs, [1, 0, 1, 1], [0.99, 0.6, 0.9, 0.8])
    assert made.score[0].tolist() == [1, 1, 1, 1]
    assert (made.tier[0] == 2).all()
    local = made.tier == 0
    assert (local[1:] >= local[:-1]).all()
    assert local[-1].all()
    assert made.score[-1].tolist() == [1, 0, 1, 1]
    assert (np.diff(made.usd[1:], axis=0) <= 0).all()


def test_a_hand_up_pays_for_the_local_try_too(programs: dict[str, ModuleType]) -> None:
    made = course(programs, [1.0], [0.5])
    assert made.tier[1, 0] == 2
    assert made.usd[1, 0] > made.usd[0, 0]
    assert made.us[1, 0] == pytest.approx(made.us[0, 0] + 10_000)


def test_dear_calls_are_saved_before_cheap_ones_at_equal_doubt(programs: dict[str, ModuleType]) -> None:
    cheap, dear = course(programs, [1.0], [0.9], sent=100), course(programs, [1.0], [0.9], sent=10_000)
    first = [int(np.argmax(one.tier[:, 0] == 0)) for one in (dear, cheap)]
    assert first[0] < first[1]


def test_a_drawn_sample_holds_the_mix_and_no_group_twice(programs: dict[str, ModuleType]) -> None:
    groups = {"a": [f"g{n // 2}" for n in range(400)], "b": [f"h{n}" for n in range(5000)]}
    drawn = programs["courses"].draw({"a": 0.25, "b": 0.75}, groups, seed=0)
    assert len({groups["a"][n] for n in drawn["a"]}) == len(drawn["a"]) == 200
    assert len(drawn["b"]) == pytest.approx(600, rel=0.2)
    again = programs["courses"].draw({"a": 0.25, "b": 0.75}, groups, seed=0)
    assert all((drawn[name] == again[name]).all() for name in drawn)


def test_figures_are_weighted_and_relative_to_all_frontier(programs: dict[str, ModuleType]) -> None:
    judge = programs["judge"]
    courses = {"a": course(programs, [1, 0] * 30, [0.99, 0.1] * 30), "b": course(programs, [1] * 60, [0.99] * 60)}
    weights = {"a": 0.5, "b": 0.5}
    worst = judge.measure("all", courses, weights, judge.all_local, 0)
    assert worst.loss == pytest.approx(0.25)
    low, high = worst.interval["loss"]
    assert low < 0.25 < high
    chosen = judge.choose(courses, weights)
    line = judge.measure("chosen", courses, weights, judge.at_setting(chosen), 0)
    assert line.loss == 0
    assert line.shares["slm"] == pytest.approx(0.75)
    assert line.cost == pytest.approx(0.25, abs=0.01)
    top = judge.measure("top", courses, weights, judge.at_setting(0), 0)
    assert (top.cost, top.loss, top.shares["frontier"]) == (1, 0, 1)


def test_a_coin_at_the_same_cost_loses_in_proportion(programs: dict[str, ModuleType]) -> None:
    courses = {"a": course(programs, [1, 0] * 10, [0.9] * 20)}
    share, loss = programs["judge"].random_at(courses, {"a": 1.0}, 0.5)
    assert share == pytest.approx(0.5, abs=0.01)
    assert loss == pytest.approx(0.25, abs=0.01)


def test_what_is_certified_keeps_the_promise_and_stops_where_it_is_broken(programs: dict[str, ModuleType]) -> None:
    judge, rng = programs["judge"], np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 1500)
    right = (rng.uniform(size=1500) < sure).astype(float)
    courses = {"a": course(programs, right.tolist(), sure.tolist())}
    proved, setting = judge.certify(courses, {"a": 1.0}, 0)
    assert 0 < setting <= proved.certified < len(programs["courses"].SETTINGS) - 1
    assert 1 - courses["a"].score[setting].mean() < 0.02


@pytest.mark.parametrize(
    ("weights", "words"),
    [({"banking77": 0.5}, "add up to 0.5"), ({"banking": 1.0}, "no such source"), ({"cuad": 2.0}, "not in 0..1")],
)
def test_a_wrong_table_is_named(
    programs: dict[str, ModuleType], tmp_path: Path, weights: dict[str, float], words: str
) -> None:
    mix = programs["mix"]
    path = tmp_path / "mix.yaml"
    path.write_bytes(msgspec.yaml.encode(msgspec.structs.replace(mix.read_mix(), weights=weights)))
    with pytest.raises(ValueError, match=words):
        mix.read_mix(path)


def test_other_weights_keep_the_proportions_inside_a_kind(programs: dict[str, ModuleType]) -> None:
    mix = programs["mix"]
    base = mix.read_mix()
    made = mix.reweighed(base, triage=0.6, knowledge_base=0.4)
    assert sum(made.weights.values()) == pytest.approx(1)
    assert made.weights["general"] == 0
    assert made.weights["banking77"] / made.weights["cfpb"] == pytest.approx(
        base.weights["banking77"] / base.weights["cfpb"]
    )
