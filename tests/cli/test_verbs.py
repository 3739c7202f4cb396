"""The other verbs as black boxes: ask, report, estimate, probe, replay, models, demo."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from conftest import jsonl

from smallfirst.cli.main import VERBS, cli
from smallfirst.core import Usage
from smallfirst.models.loopback import fault
from smallfirst.models.scripted import Reply

GOOD = Reply(text="Rome.", usage=Usage(9, 2), logprobs=(-0.1,))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb):
    """In this process: a start of Python for each is all that a process of its own would add."""
    ran = CliRunner().invoke(cli, [verb, "--help"])
    assert ran.exit_code == 0
    assert f"Usage: cli {verb} " in ran.output


def test_an_unknown_verb_and_no_verb(smallfirst):
    assert smallfirst("serv").returncode == 2
    ran = smallfirst("--help")
    assert all(verb in ran.stdout for verb in VERBS)


def test_ask_prints_the_answer_alone_and_the_rest_beside_it(smallfirst, configured):
    file = configured(small=lambda _: "unused", large=lambda _: GOOD)
    ran = smallfirst("ask", "--config", file, "What is the capital of Italy?")
    assert (ran.returncode, ran.stdout) == (0, "Rome.\n")
    assert "frontier/large" in ran.stderr
    assert "top_tier" in ran.stderr


def test_ask_explains_step_by_step_and_reads_standard_input(smallfirst, configured):
    file = configured(small=lambda _: "unused", large=lambda _: GOOD)
    ran = smallfirst("ask", "-c", file, "--explain", stdin="What is the capital of Italy?")
    assert ran.stdout == "Rome.\n"
    steps = [line.split()[0] for line in ran.stderr.splitlines() if line and not line.startswith(" ")]
    assert [step for step in steps if step in ("classify", "privacy", "policy", "attempt", "decision", "cost")] == [
        "classify", "privacy", "policy", "attempt", "decision", "cost",
    ]  # fmt: skip
    assert "unprobed" in ran.stderr


def test_ask_with_nothing_to_ask_or_nobody_to_answer(smallfirst, configured):
    file = configured(only=lambda _: fault(500))
    ran = smallfirst("ask", "-c", file)
    assert ran.returncode == 2
    ran = smallfirst("ask", "-c", file, "hello")
    assert ran.returncode == 1
    assert "error:" in ran.stderr
    assert "only" in ran.stderr
    ran = smallfirst("ask", "-c", file, "--data-class", "secrt", "hello")
    assert ran.returncode == 1
    assert "secret" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_report_from_what_a_gateway_wrote(smallfirst, serve, configured):
    empty = smallfirst("report")
    assert empty.returncode == 0
    assert "To fill it" in empty.stderr
    up = serve("--config", configured(small=lambda _: "unused", large=lambda _: GOOD))
    for _ in range(3):
        up.ask()
    up.stop()
    ran = smallfirst("report", "--monthly-queries", "1e6")
    assert "3 requests" in ran.stdout
    assert "frontier" in ran.stdout
    assert "unprobed" in ran.stdout
    found = json.loads(smallfirst("report", "--json").stdout)
    assert found["requests"] == 3
    assert found["cost_usd"] == pytest.approx(3 * (9 * 1 + 2 * 2) / 1e6)


def test_estimate_computes_and_doubts_the_quoted_figure(smallfirst):
    ran = smallfirst(
        "estimate", "--queries", "10e6", "--mix", "80/15/5", "--prices", "slm=0.001,mid=0.005,frontier=0.03"
    )
    assert ran.returncode == 0
    assert "$300,000 a month, $3,600,000 a year" in ran.stdout
    assert "$30,500" in ran.stdout
    assert "$45,000" in ran.stdout
    assert "does not follow" in ran.stdout
    wrong = smallfirst("estimate", "--mix", "80/30/5")
    assert wrong.returncode == 2
    assert "100" in wrong.stderr


def test_probe_makes_a_model_trusted(smallfirst, serve, configured):
    """It is asked before it spends; afterwards the gateway no longer hands up past the model unseen."""
    file = configured(small=lambda _: GOOD, large=lambda _: "large")
    asked = smallfirst("probe", "small", "-c", file, "--limit", "24", stdin="n\n")
    assert "at most $" in asked.stdout
    assert asked.returncode == 130
    assert smallfirst("probe", "nobody", "-c", file, "--yes").returncode == 2
    ran = smallfirst("probe", "small", "-c", file, "--yes", "--limit", "24")
    assert ran.returncode == 0, ran.stderr
    assert "95% interval" in ran.stdout
    listed = {row["model"]: row for row in json.loads(smallfirst("models", "list", "-c", file, "--json").stdout)}
    assert (listed["small"]["probed"], listed["large"]["probed"]) == ("yes", "no")
    assert "small: never probed" not in " ".join(serve("--config", file).said.split())


def test_replay_ends_in_the_report(smallfirst, serve, configured, tmp_path):
    file = configured(small=lambda _: "unused", large=lambda _: GOOD)
    prompts = jsonl(
        tmp_path / "prompts.jsonl",
        {"id": "a", "prompt": "Capital of Italy?", "target": "Rome"},
        {"id": "b", "messages": [{"role": "user", "content": "Capital of France?"}], "target": "Paris"},
    )
    ran = smallfirst("replay", prompts, "--config", file, "--out", tmp_path / "replies.jsonl")
    assert ran.returncode == 0, ran.stderr
    assert "2 requests" in ran.stdout
    assert "1 of 2 with a target" in ran.stdout
    assert len((tmp_path / "replies.jsonl").read_text().splitlines()) == 2
    up = serve("--config", file)
    ran = smallfirst("replay", prompts, "--url", up.root)
    assert "2 of 2 prompts answered" in ran.stdout
    up.stop()
    assert up.requests() == 2
    jsonl(tmp_path / "prompts.jsonl", {"prompt": "fine"}, {"promt": "typo"})
    ran = smallfirst("replay", prompts, "--config", file)
    assert ran.returncode == 1
    assert "prompts.jsonl" in ran.stderr
    assert "2" in ran.stderr


def test_models_list_shows_presets_with_prices_or_none(smallfirst, configured):
    rows = {row["preset"]: row for row in json.loads(smallfirst("models", "list", "--presets", "--json").stdout)}
    families = ("phi", "gemma", "llama", "mistral", "qwen", "smollm", "gpt-4o", "gpt-5", "claude", "gemini", "apple")
    for family in families:
        assert any(name.startswith(family) for name in rows), family
    assert rows["gpt-4o"]["$ in / out"] == "2.5 / 10"
    ran = smallfirst("models", "list", OPENAI_API_KEY="sk-not-sent-anywhere")
    assert ran.returncode == 0
    assert "sk-not-sent-anywhere" not in ran.stdout
    assert {"slm", "mid", "frontier"} <= set(ran.stdout.split())


def test_weights_that_nobody_has(smallfirst):
    ran = smallfirst("models", "pull", "nonsense")
    assert ran.returncode == 1
    assert "hf:ORG/REPO:FILE.gguf" in ran.stderr


def test_the_demo_needs_nothing(smallfirst):
    ran = smallfirst("demo", "--n", "40", "--speed", "10000")
    assert ran.returncode == 0, ran.stderr
    assert "always frontier" in ran.stdout
    assert "40 requests" in ran.stdout
