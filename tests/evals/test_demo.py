"""The demo: honest arithmetic, and the whole path without key, network or terminal."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from rich.console import Console

from smallfirst.classify.shipped import shipped_weights
from smallfirst.cli.demo_cmd import demo
from smallfirst.core import Price
from smallfirst.evals import demo as numbers
from smallfirst.evals import demo_view as view
from smallfirst.evals.chat import Chat
from smallfirst.evals.demo import Served, _threshold, fit_fold, path, routed
from smallfirst.evals.demo_upstream import FRONTIER, MID, SLM, DemoUpstream
from smallfirst.evals.prompts import samples
from smallfirst.evals.prompts_sample import body, part
from smallfirst.evals.record import shipped
from smallfirst.evals.scorers import score

PRICES = {
    SLM: Price(100_000_000, 100_000_000, 100_000_000, "test"),
    MID: Price(150_000_000, 600_000_000, 75_000_000, "test"),
    FRONTIER: Price(2_500_000_000, 10_000_000_000, 1_250_000_000, "test"),
}


def served(sample, value: float, share: float) -> Served:
    whole = numbers.gold_cost(sample, FRONTIER, PRICES[FRONTIER])
    return Served(sample.id, "slm", value, round(whole * share), whole, 1, 1000, 100)


def test_the_double_gives_recorded_answers_with_logprobs_and_gold():
    asked, known = samples(n=6), shipped().answers
    with DemoUpstream(asked, known, speed=1e6) as upstream:
        chat = Chat(upstream.url)
        for sample in asked:
            small = json.loads(chat.ask(body(sample, SLM) | {"logprobs": True}).body)
            assert small["choices"][0]["message"]["content"] == known[sample.id].text
            assert len(small["choices"][0]["logprobs"]["content"]) == len(known[sample.id].logprobs)
            best = json.loads(chat.ask(body(sample, FRONTIER)).body)
            assert score(sample, best["choices"][0]["message"]["content"]).value == 1.0
            assert "logprobs" not in best["choices"][0]
        assert chat.ask({"model": SLM, "messages": [{"role": "user", "content": "never seen"}]}).status == 404
        chat.close()


def test_the_threshold_serves_as_many_as_the_allowed_share_of_wrong_answers_lets_it():
    judged = [(0.9, 1.0), (0.8, 1.0), (0.7, 0.0), (0.6, 1.0), (0.5, 0.0)]
    assert _threshold(judged, 0.0) == 0.8
    assert _threshold(judged, 0.2) == 0.6
    assert _threshold(judged, 1.0) == 0.5
    assert _threshold([(0.9, 0.0), (0.9, 1.0)], 0.4) == numbers.NEVER  # equals are never told apart
    assert _threshold([], 0.5) == numbers.NEVER


def test_a_fold_looks_at_its_own_half_only():
    asked, known = samples(), dict(shipped().answers)
    weights = shipped_weights()
    fold = fit_fold("fit", asked, known, weights, 0.02)
    half = {sample.id: known[sample.id] for sample in asked if part(sample) == "fit"}
    assert fit_fold("fit", asked, half, weights, 0.02) == fold
    assert 0 < fold.try_above <= 1
    assert 0 < fold.accept <= numbers.NEVER
    assert {SLM, MID, FRONTIER} == set(fold.probes)


def test_the_path_goes_from_all_frontier_to_what_was_served():
    asked = samples(n=30)
    done = [served(sample, 1.0 if n % 3 else 0.0, 0.1) for n, sample in enumerate(asked)]
    points = path(done, asked, PRICES[FRONTIER])
    assert points[0] == (1.0, 1.0)
    end = routed(done)
    assert points[-1] == (pytest.approx(end.cost), pytest.approx(end.quality))
    assert len(points) == 31


def test_the_coin_costs_what_it_is_told_and_lies_between_small_and_frontier():
    asked, known = samples(n=60), shipped().answers
    points = {point.name: point for point in numbers.baselines(asked, known, PRICES, 0.5)}
    coin = points["random slm/frontier, same cost"]
    assert coin.cost == 0.5
    assert points["always slm"].quality < coin.quality < 1.0
    assert points["always mid"].cost < points["always frontier"].cost == 1.0


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_picture_fits_the_terminal(width: int):
    asked = samples(n=24)
    done = [served(sample, 1.0, 0.1) for sample in asked]
    marks = numbers.baselines(asked, shipped().answers, PRICES, 0.0)
    frame = view.Frame(24, done, path(done, asked, PRICES[FRONTIER]), marks, ["a note"])
    console = Console(width=width, record=True, force_terminal=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(view.picture(frame, width))
    text = console.export_text()
    assert "24 of 24" in text
    assert all(letter in text for letter in "SMF●")
    assert "gateway's own time, p50  0.1 ms" in text  # not wrapped
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_the_whole_demo_runs_without_key_network_or_terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("SMALLFIRST_HOME", str(tmp_path))
    result = CliRunner().invoke(demo, ["--n", "40", "--speed", "10000"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "assumed perfect" in result.output
    assert re.search(r"40/40", result.output)
    assert "always frontier" in result.output
    assert "random slm/frontier" in result.output
    assert "40 requests" in result.output  # the ledger's report
