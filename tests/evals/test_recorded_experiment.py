"""The whole demonstration on a sample made here: recorded upstreams, the real gateway, scores joined afterwards."""

import json
import os
import sys

import pytest

from smallfirst.classify.probes import ENOUGH
from smallfirst.classify.shipped import shipped_weights
from smallfirst.cli.build import App, read_settings
from smallfirst.cli.running import running
from smallfirst.errors import DataError
from smallfirst.evals.child_server import ChildServer, free_port
from smallfirst.evals.outcomes import Scored
from smallfirst.evals.recorded_experiment import (
    Lineup,
    beside,
    config_yaml,
    join,
    make_line,
    make_probes,
    play_roles,
    prepare,
    sample_rows,
)
from smallfirst.evals.replay import Prompt, Replay
from smallfirst.evals.replies import Reply
from smallfirst.learn.outcomes import group_of

LINEUP = Lineup(
    name="sums",
    source="sums",
    slm={"one": "slm-one", "two": "slm-two|slm-old"},
    mid={"mid": "mid-model"},
    frontier={"top": "top-model"},
)
WRONG_EVERY = {"slm-one": 2, "slm-two": 3, "slm-old": 3, "mid-model": 5, "top-model": 50}


def answer(model, number):
    """What a model says to "What is number + number?": wrong every so often, each in a way of its own."""
    off = number % WRONG_EVERY[model] == 0
    return json.dumps({"answer": str(2 * number + (len(model) if off else 0))}), 0.0 if off else 1.0


def sample(count=60):
    """(outcome rows, recordings): slm-old answered only the first ten prompts, slm-two the others."""
    rows, recordings = [], []
    for number in range(1, count + 1):
        prompt = f"What is {number} + {number}?"
        for model in WRONG_EVERY:
            if (model == "slm-old") == (number <= 10) or model not in ("slm-old", "slm-two"):
                text, score = answer(model, number)
                sizes = {"input_chars": len(prompt), "output_chars": len(text)}
                rows.append(Scored(str(number), prompt, model, score, group_of(prompt), "sums", **sizes))
                recordings.append({"prompt": prompt, "model": model, "text": text})
    return rows, recordings


def test_a_role_is_scored_by_whoever_played_it():
    played = play_roles(sample()[0], LINEUP.roles)
    assert {row.model for row in played} == {"one", "two", "mid", "top"}
    assert sum(row.model == "two" for row in played) == 60


def test_fit_and_report_share_no_prompt_and_probes_come_from_fit_alone():
    fit, report = prepare(sample()[0], LINEUP, seed=0)
    assert not set(fit.table.groups) & set(report.table.groups)
    assert (len(fit.scores), len(report.scores)) == (24, 36)
    probes = make_probes(fit, LINEUP, shipped_weights(), at=1)
    assert [probe.model for probe in probes] == ["one", "two", "mid"]  # the frontier needs none
    assert sum(row.n for row in probes[0].rows.values()) == 24
    assert sum(row.right for row in probes[0].rows.values()) == fit.scores[:, 0].sum()


def test_a_limited_replay_keeps_whole_groups():
    _, report = prepare(sample()[0], LINEUP, seed=0)
    assert len(sample_rows(report, 10, seed=1).scores) == 10
    assert sample_rows(report, None, seed=1) is report


def test_a_baseline_costs_what_it_costs():
    fit, report = prepare(sample()[0], LINEUP, seed=0)
    lines = {s.name: make_line(s, report, LINEUP, seed=0) for s in beside(fit, report, LINEUP, [])}
    top = lines["always frontier"]
    assert (top.cost, top.relative.low, top.relative.high, top.shares["frontier"]) == (1, 1, 1, 1)
    assert lines["always slm"].cost < lines["always mid"].cost < 1
    assert lines["oracle"].quality >= top.quality


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda replies: replies[1:], "35 replies do not stand for 36"),
        (lambda replies: [*replies[1:], replies[1]], "one each"),
        (lambda replies: [Reply(id="0", status=200, latency_us=1, model="top"), *replies[1:]], "names no cost"),
        (
            lambda replies: [Reply(id="0", status=200, latency_us=1, cost=1, model="x"), *replies[1:]],
            "no scores of 'x'",
        ),
    ],
)
def test_replies_that_do_not_fit_are_refused(change, words):
    _, report = prepare(sample()[0], LINEUP, seed=0)
    replies = [Reply(id=str(i), status=200, latency_us=1, cost=1, model="top") for i in range(36)]
    assert join("p", replies, report).shares == {"top": 1.0}
    with pytest.raises(DataError, match=words):
        join("p", change(replies), report)


def test_a_query_without_an_answer_scores_nothing():
    _, report = prepare(sample()[0], LINEUP, seed=0)
    replies = [Reply(id=str(i), status=200, latency_us=1, cost=1, model="top") for i in range(35)]
    served = join("p", [*replies, Reply(id="35", status=502, latency_us=1, error="no_answer")], report)
    assert served.scores[35] == 0


def test_over_http_from_end_to_end(tmp_path):
    rows, recordings = sample()
    fit, report = prepare(rows, LINEUP, seed=0)
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in recordings))
    port = free_port()
    (tmp_path / "c.yaml").write_text(config_yaml(LINEUP, f"http://127.0.0.1:{port}/v1"))
    environ = {**os.environ, "SMALLFIRST_HOME": str(tmp_path)}
    probes = {probe.model: probe for probe in make_probes(fit, LINEUP, shipped_weights(), at=1)}
    assert all(any(row.n >= ENOUGH for row in probe.rows.values()) for probe in probes.values())
    app = App(
        read_settings(tmp_path / "c.yaml", environ),
        environ,
        ledger_path=tmp_path / "ledger.db",
        probes={name: probes.get(name) for name in LINEUP.roles},
    )
    prompts = [Prompt(str(i), ({"role": "user", "content": p},)) for i, p in enumerate(report.table.prompts)]
    command = [sys.executable, "-m", "smallfirst.cli.main", "recorded", "serve"]
    command += ["--data", str(tmp_path / "r.jsonl"), "--port", str(port)]
    with ChildServer(command, f"http://127.0.0.1:{port}/health"), running(app) as url:
        panel = join("panel", list(Replay(url, prompts, model="panel")), report)
        top = join("top", list(Replay(url, prompts, model="top")), report)
    assert top.scores.tolist() == report.scores[:, 3].tolist()
    assert top.costs.tolist() == report.costs[:, 3].tolist()  # the gateway's bill is the table's
    one, two, mid = (report.scores[:, column] > 0 for column in range(3))
    agreed = mid & (one | two)  # wrong answers differ, so only right ones agree
    assert (panel.shares["mid"], panel.shares.get("top", 0)) == (agreed.mean(), (~agreed).mean())
    assert panel.scores[agreed].all()
    line = make_line(panel, report, LINEUP, seed=0)
    assert line.cost < 1
