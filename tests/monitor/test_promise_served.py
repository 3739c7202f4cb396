"""A certificate served over real sockets: the offline decisions one by one, and what takes it out of force."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from click.testing import CliRunner

from smallfirst.calibrate.certificate import decode, encode, issue
from smallfirst.calibrate.promise import Promise
from smallfirst.cli import monitoring
from smallfirst.cli.build import App, read_settings
from smallfirst.cli.calibrate_cmd import calibrate
from smallfirst.cli.certified import ladder_path, read_certified
from smallfirst.cli.config_cmd import config
from smallfirst.cli.grade_cmd import grade
from smallfirst.cli.monitoring import standings
from smallfirst.cli.outcomes_cmd import outcomes
from smallfirst.cli.running import running
from smallfirst.core import OutReason, Reason, Usage
from smallfirst.evals.grades import join, read_grades
from smallfirst.evals.ladder import climb
from smallfirst.evals.outcome_board import board_of, deal
from smallfirst.ledger.notes import read_audits
from smallfirst.ledger.queries import open_ledger, summary
from smallfirst.models.answers import read_answers, write_rows
from smallfirst.models.loopback import ScriptedUpstream, Wire
from smallfirst.models.scripted import Reply
from smallfirst.monitor.pairs import PAIRS
from tests.evals.made_outcomes import CONFIG, MODELS, make
from tests.monitor.promises import bound

ROWS, GRADES = make()
SAID = {(row.prompt, row.model): row for row in ROWS}
HOME: list[Path] = []
PROMISE = "policies: {promise: {kind: certified, certificate: certs/promise.json}}\n"


def upstream(request):
    """What was recorded, by model and prompt; a judge that takes the truth from the table."""
    fields = request.fields
    row = SAID[fields["messages"][-1]["content"], fields["model"]]
    return Reply(text=row.answer, usage=Usage(row.input_tokens, row.output_tokens))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a certificate, its ladder and the outcomes they were made from."""
    folder = tmp_path_factory.mktemp("promise")
    HOME[:] = [folder]
    write_rows(folder / "answers.jsonl", ROWS)
    write_rows(folder / "grades.jsonl", GRADES)
    (folder / "c.yaml").write_text(CONFIG.format(url="http://127.0.0.1:9/v1"))
    args = ["--data", folder / "answers.jsonl", "--scores", folder / "grades.jsonl", "--config", folder / "c.yaml",
            "--max-quality-loss", 0.1, "--out", folder / "certs" / "promise.json"]  # fmt: skip
    made = CliRunner().invoke(calibrate, [str(arg) for arg in args], env={"SMALLFIRST_HOME": str(folder)})
    assert made.exit_code == 0, made.output
    return folder


class Served:
    """A running gateway and how to ask it."""

    def __init__(self, url, app, models):
        self.url, self.app, self.models = url, app, models
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)

    def send(self, method, path, body=None, **headers):
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = self.connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()

    def ask(self, prompt, model="promise", **more):
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
        status, headers, text = self.send("POST", "/v1/chat/completions", body)
        assert status == 200, text
        return {name.removeprefix("x-smallfirst-"): value for name, value in headers.items()}

    def audited(self, count):
        """The audits, once so many are written."""
        end = time.monotonic() + 20
        path = self.app.monitor._ledger
        while time.monotonic() < end:
            with contextlib.closing(open_ledger(path)) as conn:
                found = read_audits(conn)
            if len(found) >= count:
                return found
            self.app.ledger.flush(1)
        raise AssertionError(f"{len(found)} audits of {count}")


@pytest.fixture
def serve(home, tmp_path):
    """`serve(more_yaml)`: a gateway with the certificate, before an upstream that answers as recorded."""
    with contextlib.ExitStack() as stack:
        models = stack.enter_context(ScriptedUpstream(upstream))

        def start(more=PROMISE, certs=home, script=None):
            up = models if script is None else stack.enter_context(ScriptedUpstream(script))
            file = certs / f"{tmp_path.name}.yaml"
            file.write_text(CONFIG.format(url=up.url) + more)
            environ = {"SMALLFIRST_HOME": str(tmp_path)}
            app = App(read_settings(file, environ), environ, ledger_path=tmp_path / "ledger.db", probes={})
            return Served(stack.enter_context(running(app)), app, up)

        yield start


def offline(home):
    """The report part's rows as evals sees them: (prompt, served model, cost in nano-dollars), the rung that runs."""
    certificate, ladder = read_certified(home / "certs" / "promise.json")
    queries = join(ROWS, GRADES, MODELS)
    prices = {name: model.price for name, model in catalogue(home).items()}
    board = board_of(queries, MODELS, prices)
    rows = deal(queries, board.groups, seed=0, fractions=(0.4, 0.4, 0.2)).report
    climbed, rung = climb(board.rows(rows), ladder), certificate.bounds[0].rung
    return [
        (board.prompts[row], climbed.models[climbed.served[rung, n]], round(climbed.costs[rung, n]))
        for n, row in enumerate(rows)
    ]


def catalogue(home):
    environ = {"SMALLFIRST_HOME": str(home)}
    return App(read_settings(home / "c.yaml", environ), environ, ledger_path=home / "x.db", probes={}).catalogue.models


def test_over_http_each_decision_is_the_offline_one(home, serve):
    up = serve()
    served = []
    for prompt, model, cost in offline(home):
        headers = up.ask(prompt)
        served.append(headers["model"])
        assert (headers["model"], round(float(headers["cost-usd"]) * 1e9)) == (model, cost), prompt
        assert headers["certificate"].endswith("; inside")
    assert len(set(served)) > 1  # it routes
    up.app.ledger.flush()
    with contextlib.closing(open_ledger(up.app.ledger_path)) as conn:
        found = summary(conn, 0, 2**62).promises
    assert (found.inside, found.outside) == (len(served), {})


def test_the_certificate_can_be_read(home, serve):
    up = serve()
    status, _, body = up.send("GET", "/v1/certificate")
    (shown,) = json.loads(body)["data"]
    assert status == 200
    assert (shown["policy"], shown["in_force"], shown["voided_by"]) == ("promise", True, [])
    assert shown["certificate"] == json.loads((home / "certs" / "promise.json").read_bytes())


@pytest.fixture
def own(home, tmp_path):
    """A copy of the certificate that a test may change."""
    folder = tmp_path / "own"
    (folder / "certs").mkdir(parents=True)
    path = folder / "certs" / "promise.json"
    path.write_bytes((home / "certs" / "promise.json").read_bytes())
    ladder_path(path).write_bytes(ladder_path(home / "certs" / "promise.json").read_bytes())
    return folder


def change(own, **fields):
    path = own / "certs" / "promise.json"
    path.write_bytes(encode(issue(msgspec.structs.replace(decode(path.read_bytes()), **fields))))


@pytest.mark.parametrize(("fields", "says"), [
    ({"canonicaliser": "0" * 64}, "the canonicaliser is"),
    ({"verifier": "0" * 64}, "the verifier is"),
    ({"models": {"a": "0" * 64}}, "model 'a' is"),
    ({"ladder": "0" * 64}, "the ladder is"),
])  # fmt: skip
def test_a_digest_that_differs_takes_it_out_of_force(own, serve, fields, says):
    change(own, **fields)
    up = serve(certs=own)
    headers = up.ask(ROWS[0].prompt)
    assert (headers["model"], headers["reason"]) == ("best", Reason.no_certificate)
    assert headers["certificate"].endswith("; outside, digest")
    (loud,) = standings(tuple(up.app.guards.values()))
    assert "NOT IN FORCE" in loud
    assert says in loud
    (shown,) = json.loads(up.send("GET", "/v1/certificate")[2])["data"]
    assert (shown["in_force"], len(shown["voided_by"])) == (False, 1)
    assert b'smallfirst_certificate_in_force{policy="promise"} 0.0' in up.send("GET", "/metrics")[2]


def test_changed_prices_warn_and_serve(own, serve):
    change(own, prices="0" * 64)
    up = serve(certs=own)
    assert up.ask(ROWS[0].prompt)["certificate"].endswith("; inside")
    assert "prices have changed" in standings(tuple(up.app.guards.values()))[0]


def test_an_edited_certificate_is_refused_at_the_start(own, serve):
    path = own / "certs" / "promise.json"
    path.write_text(path.read_text().replace('"confidence": 0.95', '"confidence": 0.99'))
    with pytest.raises(Exception, match=r"policies.promise.certificate: .*its content is not what id"):
        serve(certs=own)


def test_the_dial_selects_a_certificate_at_least_that_strict(serve):
    up = serve()
    for dial, standing in ((0.1, "inside"), (0.2, "inside"), (0.05, "none; outside, too_strict")):
        headers = up.ask(ROWS[0].prompt, model="auto", smallfirst={"max_quality_loss": dial})
        assert headers["certificate"].endswith(standing)
    assert (headers["model"], headers["reason"]) == ("best", "no_certificate")
    up.app.ledger.flush()
    with contextlib.closing(open_ledger(up.app.ledger_path)) as conn:
        assert conn.execute("SELECT policy FROM request ORDER BY seq").fetchall() == [("promise",)] * 2 + [("auto",)]


def test_a_dial_loosens_nothing(own, serve):
    """Of two certificates the looser one is not taken for a policy that promises more already."""
    change(own, promise=Promise(0.3, 0.95), bounds=(bound(loss=0.3),))
    text = PROMISE.replace("}\n", ", loose: {kind: certified, certificate: certs/loose.json}}\n")
    for ending in (".json", ".ladder"):
        (own / "certs" / "promise").with_suffix(ending).rename((own / "certs" / "loose").with_suffix(ending))
    up = serve(text.replace("certs/promise.json", str(HOME[0] / "certs" / "promise.json")), certs=own)
    ids = {name: guarded.certificate.id for name, guarded in up.app.guards.items()}
    for model, dial, policy in (("promise", 0.5, "promise"), ("auto", 0.5, "loose"), ("loose", 0.1, "promise")):
        headers = up.ask(ROWS[0].prompt, model=model, smallfirst={"max_quality_loss": dial})
        assert headers["certificate"].startswith(ids[policy]), (model, dial)


def test_a_model_by_name_stays_the_one_whatever_the_dial(serve):
    up = serve()
    headers = up.ask(ROWS[0].prompt, model="a", smallfirst={"max_quality_loss": 0.1})
    assert (headers["model"], "certificate" in headers) == ("a", False)


def test_a_request_without_a_promise_says_nothing_of_one(serve):
    up = serve()
    assert "certificate" not in up.ask(ROWS[0].prompt, model="auto")


def test_a_stream_ends_with_its_standing(serve):
    up = serve()
    body = {"model": "promise", "messages": [{"role": "user", "content": ROWS[0].prompt}], "stream": True}
    _, _, text = up.send("POST", "/v1/chat/completions", body)
    last = json.loads(text.split(b"data: ")[-2])
    assert last["smallfirst"]["certificate"].endswith("; inside")


def test_a_conversation_and_a_failed_call_stand_outside(serve):
    up = serve()
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    body = {"model": "promise", "messages": [*turns, {"role": "user", "content": ROWS[0].prompt}]}
    _, headers, _ = up.send("POST", "/v1/chat/completions", body)
    assert headers["x-smallfirst-certificate"].endswith("outside, session")

    def down(request):
        return upstream(request) if request.fields["model"] != "a" else Wire(steps=(b"{}",), status=503)

    broken = serve(script=down)
    assert broken.ask(ROWS[0].prompt)["certificate"].endswith(f"outside, {OutReason.fallback}")


def watched(serve, more="", script=None):
    return serve(f"{PROMISE}monitor: {{audit_rate: 1.0, keep: audited, horizon: 200{more}}}\n", script=script)


def test_audits_ask_the_baseline_beside_the_request_and_keep_both_answers(serve, tmp_path):
    up = watched(serve)
    prompts = list(dict.fromkeys(row.prompt for row in ROWS))[:12]
    served = [up.ask(prompt)["model"] for prompt in prompts]
    audits = up.audited(12)
    assert {audit.status for audit in audits} == {"ok"}
    assert [audit.calls for audit in audits] == [int(model != "best") for model in served]
    assert all(audit.agreement == "same" for audit, model in zip(audits, served, strict=True) if model == "best")
    kept = read_answers(tmp_path / "data" / PAIRS)
    assert (tmp_path / "data" / PAIRS).stat().st_mode & 0o077 == 0
    assert {row.query_id for row in kept} == {audit.request_id for audit in audits}
    assert {row.sample_prob for row in kept} == {1.0}
    for row in kept:
        assert row.answer == SAID[row.prompt, row.model].answer
    assert b'smallfirst_audits_total{status="ok"} 12.0' in up.send("GET", "/metrics")[2]


def test_nothing_is_kept_of_classes_above(serve, tmp_path):
    up = watched(serve)
    up.ask(ROWS[0].prompt, smallfirst={"data_class": "personal"})
    up.ask(ROWS[4].prompt, smallfirst={"data_class": "internal"})
    first, second = up.audited(2)
    assert (first.kept, second.kept) == (False, True)
    assert {row.prompt for row in read_answers(tmp_path / "data" / PAIRS)} == {ROWS[4].prompt}


def test_the_days_money_ends_the_audits(serve):
    up = watched(serve, ", usd_per_day: 0")
    up.ask(ROWS[0].prompt)
    (audit,) = up.audited(1)
    assert (audit.status, audit.calls, audit.cost) == ("budget", 0, 0)


def test_people_grade_what_differs_and_the_running_gateway_learns_it(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(monitoring, "LOOK_S", 0.05)
    up = watched(serve, script=drifted)
    up.ask(ROWS[0].prompt)
    up.ask(ROWS[4].prompt)
    first, second = up.audited(2)
    watching = up.app.monitor.audits.watching
    assert (first.agreement, watching.waiting) == ("different", [first.request_id, second.request_id])
    args = [str(tmp_path / "data" / PAIRS), "--terminal", "ada", "--ledger", str(up.app.ledger_path)]
    graded = CliRunner().invoke(grade, args, input="g\nb\nb\ng\n", env={"SMALLFIRST_HOME": str(tmp_path)})
    assert graded.exit_code == 0, graded.output
    end = time.monotonic() + 20
    while watching.queued and time.monotonic() < end:
        time.sleep(0.02)
    assert (watching.waiting, watching.states["all"].audits) == ([], 2)


def test_recorded_traffic_becomes_outcomes_to_calibrate_on(serve, tmp_path):
    up = watched(serve, ", shadow: all")
    prompts = list(dict.fromkeys(row.prompt for row in ROWS))[:5]
    for prompt in prompts:
        up.ask(prompt)
    up.audited(5)
    ledger, env = str(up.app.ledger_path), {"SMALLFIRST_HOME": str(tmp_path)}
    kept = str(tmp_path / "data" / PAIRS)
    judged = CliRunner().invoke(grade, [kept, "--terminal", "ada", "--ledger", ledger, "--agree-rate", "1"],
                                input="g\n" * 20, env=env)  # fmt: skip
    assert judged.exit_code == 0, judged.output
    files = ["--out", str(tmp_path / "a.jsonl"), "--scores", str(tmp_path / "g.jsonl"), "--ledger", ledger]
    result = CliRunner().invoke(outcomes, ["export", *files], env=env)
    assert result.exit_code == 0, result.output
    assert "20 answers to 5 queries written" in " ".join(result.stdout.split())
    joined = join(read_answers(tmp_path / "a.jsonl"), read_grades(tmp_path / "g.jsonl"), MODELS)
    assert {query.prompt for query in joined} == set(prompts)
    assert all(row.input_tokens == 20 and row.latency_ms for query in joined for row in query.answers)


def test_export_says_what_to_do_where_nothing_was_kept(tmp_path):
    result = CliRunner().invoke(outcomes, ["export", "--out", "x.jsonl"], env={"SMALLFIRST_HOME": str(tmp_path)})
    assert "set `monitor.keep: audited`" in str(result.exception)


def test_shadow_all_asks_every_model_once(serve, tmp_path):
    up = watched(serve, ", shadow: all")
    prompts = list(dict.fromkeys(row.prompt for row in ROWS))[:6]
    for prompt in prompts:
        up.ask(prompt)
    up.audited(6)
    kept = read_answers(tmp_path / "data" / PAIRS)
    assert {(row.prompt, row.model) for row in kept} == {(prompt, model) for prompt in prompts for model in MODELS}
    asked = [(r.fields["messages"][-1]["content"], r.fields["model"]) for r in up.models.requests]
    assert len(asked) == len(set(asked)) == 24


def drifted(request):
    """The small models have become worthless and agree on it; the judge sees that."""
    fields = request.fields
    if "Grade each answer" in (text := fields["messages"][-1]["content"]):
        right = {name: 10 * (f'name="{name}">\n0\n' not in text) for name in "AB"}
        return Reply(text=json.dumps(right), usage=Usage(50, 10))
    return upstream(request) if fields["model"] == "best" else Reply(text="0", usage=Usage(20, 5))


def test_a_drift_sounds_the_alarm_and_the_highest_tier_answers_also_after_a_restart(serve):
    up = watched(serve, ", judge: best", script=drifted)
    prompts = list(dict.fromkeys(row.prompt for row in ROWS))
    count = 0
    while up.app.guards["promise"].in_force and count < len(prompts):
        up.ask(prompts[count])
        count += 1
        up.audited(count)
    assert count < 400, "no alarm"
    headers = up.ask(prompts[0])
    assert (headers["model"], headers["reason"]) == ("best", "no_certificate")
    assert headers["certificate"].endswith("outside, alarm")
    assert b'smallfirst_monitor_alarm{policy="promise",slice="all"} 1.0' in up.send("GET", "/metrics")[2]
    up.app.ledger.flush()
    with contextlib.closing(open_ledger(up.app.ledger_path)) as conn:
        found = summary(conn, 0, 2**62).promises
    assert [(alarm.policy, alarm.slice) for alarm in found.alarms] == [("promise", "all")]
    again = serve(PROMISE)  # without a monitor: the alarm stands all the same
    assert again.ask(prompts[0])["certificate"].endswith("outside, alarm")
    assert "an ALARM stands" in standings(tuple(again.app.guards.values()))[0]


def test_feedback_is_noted_and_nothing_else(serve):
    up = serve()
    request_id = up.ask(ROWS[0].prompt)["request-id"]
    assert up.send("POST", "/v1/feedback", {"request_id": request_id, "value": 0.5})[0] == 202
    assert up.send("POST", "/v1/feedback", {"request_id": request_id, "value": 1})[0] == 202
    up.app.ledger.flush()
    with contextlib.closing(open_ledger(up.app.ledger_path)) as conn:
        (opinion,) = summary(conn, 0, 2**62).promises.feedback.values()
    assert (opinion.count, opinion.mean) == (1, 1.0)


def test_bad_feedback_names_the_field(serve):
    up, id = serve(), "sf-" + "0" * 28
    for body, param in (
        ({"request_id": "sf-1", "value": 1}, "request_id"),
        ({"request_id": id, "value": 2}, "value"),
        ({"request_id": id}, None),
        ({"request_id": id, "value": 1, "comment": "it said ..."}, None),
        ([], None),
    ):
        status, _, text = up.send("POST", "/v1/feedback", body)
        assert status == 400
        assert json.loads(text)["error"]["param"] == param
    assert up.send("POST", "/v1/feedback", {"request_id": id, "value": 1, "x": "y" * 20_000})[0] == 413


def checked(folder, more):
    (folder / "check.yaml").write_text(CONFIG.format(url="http://127.0.0.1:9/v1") + more)
    return CliRunner().invoke(config, ["check", str(folder / "check.yaml")], env={"SMALLFIRST_HOME": str(folder)})


def test_config_check_says_what_the_certificate_promises(home):
    result = checked(home, PROMISE + "monitor: {audit_rate: 0.02, usd_per_day: 5, judge: best}\n")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "promise: loses at most 10.0% against best, 95% sure" in said
    assert "promise: in force" in said
    assert (
        "audits 2.00% of the requests of promise: the baseline answers them too, at most $5 a day; best grades" in said
    )
    assert "at most 0.05 chance of a false one within 10,000 audits" in said


def test_config_check_says_why_a_certificate_is_not_in_force(own):
    change(own, verifier="0" * 64)
    result = checked(own, PROMISE)
    assert result.exit_code == 0, result.output
    assert "promise: NOT in force" in result.stdout
    assert "not in force: the verifier is" in " ".join(result.stderr.split())


@pytest.mark.parametrize(("more", "says"), [
    ("policies: {promise: {kind: certified}}\n", "policies.promise.certificate: a policy of kind certified needs"),
    ("policies: {promise: {kind: certified, certificate: none.json}}\n", "No such file or directory; `smallfirst cali"),
    ("policies: {p: {kind: cascade, certificate: x.json}}\n", "does not read this; kind certified does"),
    ("policies: {p: {kind: certified, certificate: x.json, model: a}}\n", "p.model: a policy of kind certified does"),
    (PROMISE + "monitor: {policy: promis}\n", "monitor.policy: unknown policy `promis`; did you mean `promise`?"),
    (PROMISE + "monitor: {audit_rate: 0}\n", "monitor.audit_rate: 0.0 is not above 0"),
    (PROMISE + "monitor: {alpha: 0.9}\n", "monitor.alpha: 0.9 is not above 0"),
    (PROMISE + "monitor: {judge: bst}\n", "monitor.judge: unknown model `bst`; did you mean `best`?"),
    (PROMISE + "monitor: {usd_per_day: -1}\n", "monitor.usd_per_day: -1.0 is too small"),
    (PROMISE + "monitor: {keep_up_to: privat}\n", "monitor.keep_up_to: unknown data class `privat`"),
])  # fmt: skip
def test_mistakes_are_named(home, more, says):
    result = checked(home, more)
    assert result.exit_code == 1, result.output
    assert says in " ".join(result.stderr.split())


def test_a_monitor_that_nobody_can_grade_for_is_warned_of(home):
    result = checked(home, PROMISE + "monitor: {policy: promise}\n")
    assert "nobody could grade" in " ".join(result.stderr.split())
    assert "prompts and answers of audited requests are kept" in " ".join(
        checked(home, PROMISE + "monitor: {keep: audited}\n").stderr.split()
    )
