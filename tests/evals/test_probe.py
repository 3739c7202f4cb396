"""Probes: kept as they come, taken up where they stopped, and never borrowed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import decode_probe, p_correct
from smallfirst.classify.shipped import shipped_weights
from smallfirst.cli.build import probes_dir
from smallfirst.cli.probe_cmd import probe
from smallfirst.core import DataClass, Model, Outcome, Permit, Price, Replica, Status
from smallfirst.errors import DataError, SetupError
from smallfirst.evals import probe_run
from smallfirst.evals.demo_upstream import DemoUpstream
from smallfirst.evals.probe import Scored, fit_probe, load_probes, probe_path, save_probe, wilson
from smallfirst.evals.probe_run import Partial, Result, ask_all, ceiling, make_query, probe_of
from smallfirst.evals.prompts import samples
from smallfirst.models.sender import AnswerStream, Call

ASKED = samples(n=60)
GOLD = {sample.input: sample.target for sample in ASKED}
MODEL = Model("tiny/one", "slm", (Replica("here", "http://127.0.0.1:9/v1", "tiny"),))
PERMIT = Permit(DataClass.public, frozenset({("tiny/one", "here")}), "test")


class Scripted:
    """A Sender that answers from gold, unless `fail` says otherwise for the n-th call."""

    def __init__(self, fail: Callable[[int, Call], Outcome | None] = lambda n, call: None) -> None:
        self.calls: list[Call] = []
        self._fail = fail

    async def ask(self, call: Call, permit: Permit) -> Outcome:
        self.calls.append(call)
        failed = self._fail(len(self.calls), call)
        await asyncio.sleep(0)
        return failed or Outcome("tiny/one", Status.ok, GOLD[call.query.text], finish="stop")

    def stream(self, call: Call, permit: Permit) -> AnswerStream:
        raise NotImplementedError

    async def close(self) -> None: ...


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe_run, "PAUSE_S", 0.0)


def run(sender: Scripted, partial: Partial, parallel: int = 3) -> None:
    left = [sample for sample in ASKED if sample.id not in partial.results]
    with partial:
        asyncio.run(ask_all(sender, MODEL, PERMIT, left, partial.keep, parallel=parallel))


def test_a_model_that_is_always_right_gets_a_probe_that_says_so(tmp_path: Path):
    partial = Partial(tmp_path, MODEL.name, ASKED)
    run(Scripted(), partial)
    made = probe_of(MODEL.name, ASKED, partial.results, at=7)
    assert sum(row.n for row in made.rows.values()) == sum(row.right for row in made.rows.values()) == len(ASKED)
    file = save_probe(tmp_path, made)
    assert decode_probe(file.read_bytes()) == made
    assert load_probes(tmp_path, [MODEL]) == {MODEL.name: made}


@pytest.fixture
def heeded():
    """Ctrl-C is heeded, also where the tests run in the background of a script that has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
def test_an_interrupted_probe_goes_on_where_it_stopped(tmp_path: Path):
    def stop(n: int, call: Call) -> Outcome | None:
        if n == 21:
            signal.raise_signal(signal.SIGINT)  # ctrl-c
        return None

    with pytest.raises(KeyboardInterrupt):
        run(Scripted(stop), Partial(tmp_path, MODEL.name, ASKED), parallel=1)
    again = Partial(tmp_path, MODEL.name, ASKED)
    assert len(again.results) == 20
    sender = Scripted()
    run(sender, again)
    assert len(sender.calls) == len(ASKED) - 20
    assert set(again.results) == {sample.id for sample in ASKED}
    again.remove()
    assert Partial(tmp_path, MODEL.name, ASKED).results == {}


def test_a_result_cut_short_by_a_kill_is_asked_again(tmp_path: Path):
    partial = Partial(tmp_path, MODEL.name, ASKED)
    with partial:
        partial.keep(Result(ASKED[0].id, ASKED[0].kind, 1.0))
        partial.keep(Result(ASKED[1].id, ASKED[1].kind, 1.0))
    partial.path.write_bytes(partial.path.read_bytes()[:-9])
    assert list(Partial(tmp_path, MODEL.name, ASKED).results) == [ASKED[0].id]


def test_results_of_other_prompts_are_not_taken_over(tmp_path: Path):
    with Partial(tmp_path, MODEL.name, ASKED) as partial:
        partial.keep(Result(ASKED[0].id, ASKED[0].kind, 1.0))
    assert Partial(tmp_path, MODEL.name, ASKED[:30]).results == {}


@pytest.mark.usefixtures("no_pause")
def test_fleeting_faults_are_tried_again_and_lasting_ones_stop(tmp_path: Path):
    limited = Outcome("tiny/one", Status.rate_limited, retry_after_s=0.0)
    partial = Partial(tmp_path, MODEL.name, ASKED)
    run(Scripted(lambda n, call: limited if n % 3 == 1 else None), partial, parallel=1)
    assert len(partial.results) == len(ASKED)

    down = Outcome("tiny/one", Status.unavailable, error="connection refused")
    with pytest.raises(DataError, match="unavailable"):
        run(Scripted(lambda n, call: down if n > 5 else None), Partial(tmp_path / "b", MODEL.name, ASKED), parallel=1)
    assert len(Partial(tmp_path / "b", MODEL.name, ASKED).results) == 5

    refused = Outcome("tiny/one", Status.unauthorized, provider="here")
    with pytest.raises(SetupError, match="key"):
        run(Scripted(lambda n, call: refused), Partial(tmp_path / "c", MODEL.name, ASKED))


def test_a_model_that_takes_no_temperature_is_asked_without(tmp_path: Path):
    def strict(n: int, call: Call) -> Outcome | None:
        dropped = call.edit is not None and "temperature" in call.edit.drop
        return None if dropped else Outcome("tiny/one", Status.refused, http_status=400)

    partial = Partial(tmp_path, MODEL.name, ASKED)
    run(Scripted(strict), partial, parallel=1)
    assert len(partial.results) == len(ASKED)


def test_the_ceiling_is_unknown_without_a_price_and_never_low():
    assert ceiling(MODEL, ASKED) is None
    priced = Model("m", "mid", MODEL.replicas, price=Price(1_000_000_000, 2_000_000_000, 0, "test"))
    least = sum(len(sample.input) // 4 * 1_000 + sample.max_tokens * 2_000 for sample in ASKED)
    most = ceiling(priced, ASKED)
    assert most is not None
    assert most >= least


def test_a_sample_asks_as_the_gateway_would():
    constrained = next(sample for sample in ASKED if sample.schema)
    query = make_query(constrained)
    assert query.needs.json_schema
    assert query.response_schema is not None
    assert query.text == constrained.input
    assert "smallfirst" not in query.fields


def test_models_without_a_probe_have_none_and_the_demonstration_model_has_the_shipped_one(tmp_path: Path):
    embedded = Model("smollm", "slm", MODEL.replicas, demonstration=True)
    found = load_probes(tmp_path, [MODEL, embedded])
    assert found[MODEL.name] is None
    shipped = found["smollm"]
    assert shipped is not None, "python -m smallfirst.evals.probe_run makes it anew for another classifier"
    hardest = p_correct(shipped, "arithmetic", 0.5)
    assert hardest < 0.3  # a 135M model, after all


def test_a_probe_made_with_another_classifier_is_not_used(tmp_path: Path):
    made = fit_probe(MODEL.name, [Scored("hello", 1.0)], shipped_weights(), prompts="ab" * 32, at=0)
    stale = msgspec.structs.replace(made, digest="abc/def")
    save_probe(tmp_path, stale)
    assert load_probes(tmp_path, [MODEL]) == {MODEL.name: None}


def test_a_file_that_is_no_probe_is_named(tmp_path: Path):
    probe_path(tmp_path, MODEL.name).write_text("{}")
    with pytest.raises(DataError, match=r"tiny%2Fone\.json"):
        load_probes(tmp_path, [MODEL])


@pytest.mark.parametrize("name", ["a/b", "../../etc/passwd", "x:y", "\u00e9", "a b"])
def test_any_model_name_gives_a_file_inside_the_folder(tmp_path: Path, name: str):
    assert probe_path(tmp_path, name).resolve().parent == tmp_path.resolve()


def test_rows_go_by_what_the_classifier_sees():
    texts = [sample.input for sample in ASKED]
    made = fit_probe("m", [Scored(text, 1.0) for text in texts], shipped_weights(), prompts="0" * 64, at=0)
    classifier = Classifier.from_bytes(shipped_weights())
    assert set(made.rows) == {classifier.rate(text)[1] for text in texts}


def test_wilson():
    low, high = wilson(9, 10)
    assert (round(low, 4), round(high, 4)) == (0.5958, 0.9821)  # Brown, Cai and DasGupta 2001 give the formula
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 5)[1] == pytest.approx(1.0)


def test_what_the_gateway_imports_is_light():
    code = "import sys, smallfirst.evals.probe; print([m for m in ('numpy', 'pyarrow', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


CONFIG = """
providers:
  double: {{url: "{url}", location: cloud/somewhere}}
models:
  tiny: {{provider: double, model: gpt-4o, cost: {{input_per_m: 2.5, output_per_m: 10}}}}
  other: {{provider: double, model: gpt-4o-mini}}
tiers: [{{slm: [tiny]}}, {{mid: [other]}}]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMALLFIRST_HOME", str(tmp_path / "home"))
    with DemoUpstream(ASKED, {}, speed=1e6) as upstream:
        file = tmp_path / "smallfirst.yaml"
        file.write_text(CONFIG.format(url=upstream.url))
        yield str(file)


def test_the_price_is_shown_and_nothing_is_spent_without_a_yes(config: str, tmp_path: Path):
    result = CliRunner().invoke(probe, ["tiny", "--config", config, "--limit", "24"], input="n\n")
    assert result.exit_code == 1
    assert "at most $0.0" in result.output
    assert not list((tmp_path / "home").rglob("tiny*"))
    unknown = CliRunner().invoke(probe, ["other", "--config", config, "--limit", "24"], input="n\n")
    assert "price unknown" in unknown.output


def test_a_probe_is_saved_where_the_gateway_looks(config: str, tmp_path: Path):
    result = CliRunner().invoke(probe, ["tiny", "--config", config, "--limit", "24", "--yes"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "arithmetic" in result.output
    model = Model("tiny", "slm", MODEL.replicas)
    found = load_probes(probes_dir({"SMALLFIRST_HOME": str(tmp_path / "home")}), [model])["tiny"]
    assert found is not None
    assert sum(row.n for row in found.rows.values()) == sum(row.right for row in found.rows.values()) == 24


def test_an_unknown_model_is_answered_with_those_there_are(config: str):
    for arguments in (["nobody"], []):
        result = CliRunner().invoke(probe, [*arguments, "--config", config])
        assert result.exit_code == 2
        assert "tiny, other" in result.output
