"""`smallfirst calibrate`: outcomes in, a certificate out, or a refusal that says what to do."""

from __future__ import annotations

import json

import msgspec
import pytest
from click.testing import CliRunner

from smallfirst.calibrate.certificate import decode
from smallfirst.cli.calibrate_cmd import calibrate
from smallfirst.cli.certified import read_certified
from smallfirst.cli.evaluate_cmd import evaluate_verb
from smallfirst.cli.outcomes_cmd import outcomes
from smallfirst.errors import DataError, SmallfirstError
from smallfirst.evals.grading import coin
from smallfirst.models.answers import write_rows
from smallfirst.monitor.guard import ONE_TURN
from tests.evals.made_outcomes import CONFIG, make

ROWS, GRADES = make()


def write(folder, rows=ROWS, grades=GRADES):
    write_rows(folder / "answers.jsonl", rows)
    write_rows(folder / "grades.jsonl", grades)
    (folder / "c.yaml").write_text(CONFIG.format(url="http://127.0.0.1:9/v1"))


def run(folder, *args):
    files = ("--data", folder / "answers.jsonl", "--scores", folder / "grades.jsonl", "--config", folder / "c.yaml")
    result = CliRunner().invoke(
        calibrate, [str(arg) for arg in (*files, *args)], env={"SMALLFIRST_HOME": str(folder / "home")}
    )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrate")
    write(folder)
    result = run(folder, "--max-quality-loss", 0.1, "--out", folder / "certs" / "promise.json")
    return folder, result


def test_a_certificate_and_its_ladder_are_written(made):
    folder, result = made
    assert result.exit_code == 0, result.output
    certificate, ladder = read_certified(folder / "certs" / "promise.json")
    assert certificate.ladder == ladder.digest
    assert certificate.policy == "promise"
    assert certificate.grader == "checker:made"
    assert set(certificate.models) == {"a", "b", "mid", "best"}
    (bound,) = certificate.bounds
    assert bound.slice == "all"
    assert 0 < bound.rung <= bound.floor_rung
    assert bound.p_value <= 0.05
    assert bound.rows == certificate.rows
    assert certificate.expected.cost_ratio < 0.9
    assert certificate.expected.latency_ratio is not None
    assert sum(certificate.expected.mix.values()) == pytest.approx(1, abs=1e-4)
    assert ONE_TURN in certificate.notes


def test_the_page_shows_the_walk_the_floor_and_what_must_be_beaten(made):
    said = made[1].stdout
    for words in (
        "320 to fit on, 320 to certify on, 160 to report on",
        "walk, slice all",
        "a z-test, which is not valid, would have stopped at",
        "always best",
        "random at equal cost",
        "cheapest single",
        "oracle",
        "certificate ",
    ):
        assert words in said


@pytest.fixture
def fitted(made, monkeypatch):
    """The folder, with the fit of the same rows done already."""
    folder, _ = made
    _, ladder = read_certified(folder / "certs" / "promise.json")
    monkeypatch.setattr("smallfirst.evals.calibrating.fit_ladder", lambda *_, **__: ladder)
    return folder


def test_the_same_outcomes_give_the_same_certificate_but_for_the_time(made, fitted):
    run(fitted, "--max-quality-loss", 0.1, "--out", fitted / "again" / "promise.json")
    one, other = (read_certified(fitted / name / "promise.json") for name in ("certs", "again"))
    assert one[1] == other[1]
    same = {"id": "", "issued_at": ""}
    assert msgspec.structs.replace(one[0], **same) == msgspec.structs.replace(other[0], **same)


def test_a_promise_that_the_data_do_not_support_writes_nothing(fitted):
    folder = fitted
    with pytest.raises(DataError, match=r"prompt groups can't certify a loss of at most 0\.001"):
        run(folder, "--max-quality-loss", 0.001, "--out", folder / "none.json")
    assert not (folder / "none.json").exists()


def test_a_budget_takes_the_safest_setting_within_it(fitted):
    folder = fitted
    cheapest = decode((folder / "certs" / "promise.json").read_bytes())
    run(folder, "--max-quality-loss", 0.1, "--budget-ratio", 0.95, "--out", folder / "budget.json")
    within = decode((folder / "budget.json").read_bytes())
    assert 0 < within.bounds[0].rung < cheapest.bounds[0].rung
    assert within.expected.cost_ratio <= 0.95
    with pytest.raises(DataError, match=r"no certified rung costs at most 0.001"):
        run(folder, "--max-quality-loss", 0.1, "--budget-ratio", 0.001)


def test_a_latency_bound(fitted):
    folder = fitted
    with pytest.raises(DataError, match=r"is expected within 0.01 of always-frontier's latency"):
        run(folder, "--max-quality-loss", 0.1, "--max-latency-ratio", 0.01)


def test_slices_each_get_a_bound(tmp_path):
    write(tmp_path, *make(800, slices=True))
    result = run(tmp_path, "--max-quality-loss", 0.2, "--slices", "alone", "--out", tmp_path / "s.json")
    assert result.exit_code == 0, result.output
    certificate = decode((tmp_path / "s.json").read_bytes())
    assert {bound.slice for bound in certificate.bounds} == {"simple", "tricky"}
    assert certificate.slicing == "alone"


def test_models_may_go_by_their_endpoints_names(tmp_path, fitted):
    rows = [msgspec.structs.replace(row, model=f"org/{row.model}") for row in ROWS]
    write(tmp_path, rows, [msgspec.structs.replace(one, model=f"org/{one.model}") for one in GRADES])
    text = (tmp_path / "c.yaml").read_text()
    for name in ("a", "b", "mid", "best"):
        text = text.replace(f"  {name}: {{provider: here", f"  {name}: {{model: org/{name}, provider: here")
    (tmp_path / "c.yaml").write_text(text)
    assert run(tmp_path, "--max-quality-loss", 0.1).exit_code == 0


def test_evaluate_takes_the_joined_table_and_the_certified_policy(made):
    folder, _ = made
    table, env = folder / "outcomes.jsonl", {"SMALLFIRST_HOME": str(folder)}
    args = ["join", str(folder / "answers.jsonl"), "--scores", str(folder / "grades.jsonl"), "--out", str(table)]
    assert CliRunner().invoke(outcomes, args).exit_code == 0
    scores = [json.loads(line)["score"] for line in table.read_text().splitlines()]
    assert scores == [one.score for one in GRADES]
    config = folder / "served.yaml"
    config.write_text(CONFIG.format(url="http://127.0.0.1:9/v1") + "policies: {promise: {kind: certified, "
                      "certificate: certs/promise.json}}\n")  # fmt: skip
    args = [str(table), "--config", str(config), "--policy", "promise", "--draws", "50", "--json"]
    result = CliRunner().invoke(evaluate_verb, args, env=env)
    assert result.exit_code == 0, result.output
    (way,) = [one for one in json.loads(result.stdout)["ways"] if one["name"] == "promise"]
    assert way["cost"]["estimate"] < 0.9  # it routes: the certificate is in force here too
    assert 0 < way["tiers"]["frontier"] < 1


def test_asks_says_who_is_asked_together(made):
    folder, _ = made
    result = run(folder, "--max-quality-loss", 0.1, "--asks", "a+b", "--asks", "mid", "--out", folder / "two.json")
    assert result.exit_code == 0, result.output
    _, ladder = read_certified(folder / "two.json")
    assert [step.asks for step in ladder.steps] == [(), ("a", "b"), ("mid",)]


def changed(rows, **more):
    return [msgspec.structs.replace(row, **more) for row in rows]


@pytest.mark.parametrize(("rows", "grades", "says"), [
    ([row for row in ROWS if row.model == "best"], GRADES, "at least one model below it"),
    (changed(ROWS[:1], model="other"), GRADES, "the file has: other"),
    (ROWS, GRADES[:-1], "query_id 'q799': the score of 'best' is missing"),
    (ROWS[:200], GRADES, "rows are too few to fit a ladder on"),
    ([*changed(ROWS[:4], part="fit", prompt="the same"), *changed(ROWS[4:8], part="certify", prompt="The same!"),
      *changed(ROWS[8:], part="report")], GRADES, "one prompt stands on both sides of the split: 'q0' in fit, 'q1' in"),
    (changed(ROWS, part="training"), GRADES, "part 'training' is none of fit, certify, report"),
])  # fmt: skip
def test_bad_input_is_refused_with_what_to_do(tmp_path, rows, grades, says):
    write(tmp_path, rows, grades)
    with pytest.raises(SmallfirstError, match=says):
        run(tmp_path, "--max-quality-loss", 0.1)


@pytest.mark.parametrize(("score", "says"), [
    (None, "line 1: score is missing"), (1.5, "line 1: score must be in 0..1, not 1.5"),
])  # fmt: skip
def test_bad_scores_are_refused(tmp_path, score, says):
    write(tmp_path)
    lines = (tmp_path / "grades.jsonl").read_text().splitlines()
    first = {**json.loads(lines[0]), "score": score}
    (tmp_path / "grades.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]))
    with pytest.raises(SmallfirstError, match=says):
        run(tmp_path)


def test_grades_at_known_rates_are_weighted(tmp_path, fitted):
    """Agreeing queries graded at 0.3 stand for all: the certificate counts them by their known probability."""
    by_query = {}
    for row, one in zip(ROWS, GRADES, strict=True):
        by_query.setdefault(row.query_id, []).append((row, one))
    grades = []
    for query_id, cells in by_query.items():
        rate = 1.0 if len({row.answer for row, _ in cells}) > 1 else 0.3
        if coin(query_id, 0) < rate:
            grades += [msgspec.structs.replace(one, sample_prob=rate) for _, one in cells]
    assert len(grades) < len(GRADES)
    write(tmp_path, ROWS, grades)
    result = run(tmp_path, "--max-quality-loss", 0.1, "--out", tmp_path / "w.json")
    assert result.exit_code == 0, result.output
    weighted = decode((tmp_path / "w.json").read_bytes())
    whole = decode((fitted / "certs" / "promise.json").read_bytes())
    assert weighted.rows < whole.rows
    assert weighted.design.least_probability == 1.0
    assert weighted.expected.mix["frontier"] == pytest.approx(whole.expected.mix["frontier"], abs=0.15)
    assert "queries were not graded" in result.stderr


def test_own_parts_are_kept(tmp_path, fitted):
    parts = ["fit"] * 320 + ["certify"] * 320 + ["report"] * 160
    rows = [msgspec.structs.replace(row, part=parts[int(row.query_id[1:])]) for row in ROWS]
    write(tmp_path, rows, GRADES)
    result = run(tmp_path, "--max-quality-loss", 0.1)
    assert "320 to fit on, 320 to certify on, 160 to report on" in result.stdout


def test_plan_says_what_it_takes():
    result = CliRunner().invoke(calibrate, ["plan", "--loss", "0.01", "--changed", "0.1", "--max-quality-loss", "0.05"])
    assert result.exit_code == 0, result.output
    assert "To certify a loss of at most 0.05 at confidence 0.95 with chance 80%" in " ".join(result.stdout.split())
    refused = CliRunner().invoke(calibrate, ["plan", "--loss", "0.05"])
    assert "no number of rows certifies" in str(refused.exception)


def test_no_data_is_wrong_usage():
    result = CliRunner().invoke(calibrate, [])
    assert result.exit_code == 2
    assert "--data FILE" in result.output
