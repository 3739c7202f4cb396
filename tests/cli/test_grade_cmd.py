"""`smallfirst grade` and `smallfirst outcomes`, end to end; the judge behind a real socket."""

from __future__ import annotations

import json
import sqlite3

import pytest
from click.testing import CliRunner

from smallfirst.cli.grade_cmd import grade
from smallfirst.cli.outcomes_cmd import outcomes
from smallfirst.evals.grades import read_grades
from smallfirst.models.answers import AnswerRow, write_rows
from smallfirst.models.loopback import ScriptedUpstream

ANSWERS = [
    AnswerRow(f"q{i}", model, f"What is {i} + {i}?", answer=str(2 * i + wrong * (i % 2)), reference=str(2 * i))
    for i in range(10)
    for model, wrong in (("small", 1), ("large", 0))
]


@pytest.fixture
def home(tmp_path):
    write_rows(tmp_path / "answers.jsonl", ANSWERS)
    return tmp_path


def run(home, command, *args, text=None):
    result = CliRunner().invoke(
        command, [str(arg) for arg in args], env={"SMALLFIRST_HOME": str(home / "home")}, input=text
    )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def in_ledger(home, query="SELECT count(*) FROM grade"):
    conn = sqlite3.connect(home / "home" / "data" / "ledger.db")
    found = conn.execute(query).fetchall()
    conn.close()
    return found


def test_checkers_write_to_the_ledger_and_to_a_file(home):
    result = run(
        home, grade, home / "answers.jsonl", "--check", "canonical", "--agree-rate", 1, "--out", home / "g.jsonl"
    )
    assert result.exit_code == 0, result.output
    assert "10 queries: 5 whose answers differ, 5 that agree" in result.stderr
    found = read_grades(home / "g.jsonl")
    assert len(found) == 20
    assert sum(one.score for one in found if one.model == "large") == 10
    assert sum(one.score for one in found if one.model == "small") == 5
    assert in_ledger(home) == [(20,)]


def test_a_second_run_goes_on_where_the_first_stopped(home):
    args = (home / "answers.jsonl", "--check", "canonical", "--agree-rate", 1)
    run(home, grade, *args, "--limit", 4)
    assert in_ledger(home) == [(8,)]
    result = run(home, grade, *args)
    assert "6 queries: 1 whose answers differ, 5 that agree; 4 are graded already" in result.stderr
    assert in_ledger(home) == [(20,)]


def test_a_person_grades_blind(home):
    result = run(home, grade, home / "answers.jsonl", "--terminal", "ada", "--limit", 3, text="g\nb\ns\nh\ng\n")
    assert result.exit_code == 0, result.output
    assert "small" not in result.output
    assert "large" not in result.output
    assert [score for (score,) in in_ledger(home, "SELECT score FROM grade ORDER BY score")] == [0.0, 0.5, 1.0, 1.0]
    assert in_ledger(home, "SELECT DISTINCT grader, blind, sample_prob FROM grade") == [("person:ada", 1, 1.0)]


def test_a_person_may_stop_at_any_time(home):
    run(home, grade, home / "answers.jsonl", "--terminal", "ada", text="g\nb\nq\n")
    assert in_ledger(home) == [(2,)]


def judge_config(home, url):
    (home / "c.yaml").write_text(
        f"providers: {{here: {{url: '{url}', location: premises}}}}\n"
        "models: {best: {provider: here, cost: {input_per_m: 1, output_per_m: 2}}}\n"
        "tiers: [{frontier: [best]}]\n"
    )
    return home / "c.yaml"


def test_a_judge_is_priced_first_and_its_prompt_is_named(home):
    def judge(request):
        text = request.fields["messages"][1]["content"]
        assert "small" not in text
        names = [name for name in "AB" if f'name="{name}"' in text]
        return json.dumps(dict.fromkeys(names, 8))

    with ScriptedUpstream(judge) as upstream:
        config = judge_config(home, upstream.url)
        args = (home / "answers.jsonl", "--judge", "best", "--config", config, "--out", home / "g.jsonl")
        refused = run(home, grade, *args, text="n\n")
        assert refused.exit_code == 1
        assert "best as judge, " in refused.stdout
        assert "at most $0.00" in refused.stdout
        assert not upstream.requests
        result = run(home, grade, *args, "--yes")
    assert result.exit_code == 0, result.output
    found = read_grades(home / "g.jsonl")
    assert {one.score for one in found} == {0.8}
    assert len({one.grader for one in found}) == 1
    assert found[0].grader.startswith("judge:best@")


def test_a_judge_may_not_see_what_the_rules_forbid(home):
    config = judge_config(home, "https://127.0.0.1:9/v1")
    text = config.read_text().replace("premises", "cloud/us")
    config.write_text(text)
    with pytest.raises(Exception, match="the privacy rules let no health text go to best"):
        run(
            home,
            grade,
            home / "answers.jsonl",
            "--judge",
            "best",
            "--config",
            config,
            "--data-class",
            "health",
            "--yes",
        )


def test_say_who_grades(home):
    result = run(home, grade, home / "answers.jsonl")
    assert result.exit_code == 2
    assert "one of --check, --judge, --terminal" in result.output


def test_check_says_what_is_in_a_file(home):
    run(home, grade, home / "answers.jsonl", "--check", "canonical", "--agree-rate", 1, "--out", home / "g.jsonl")
    said = run(home, outcomes, "check", home / "answers.jsonl", "--scores", home / "g.jsonl").stdout
    assert "20 answers to 10 queries (10 different prompts)" in said
    assert "graders: checker:canonical 20" in said
    assert "0.500" in said
