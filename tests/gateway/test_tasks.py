"""A fitted task behind a running gateway: with the openai client, and over plain HTTP."""

from __future__ import annotations

import base64
import http.client
import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from click.testing import CliRunner

from smallfirst.accounts.keys import Terms
from smallfirst.cli.triage_cmd import triage
from smallfirst.core import DataClass, Reason, Status, Usage
from smallfirst.engine.settings import CacheSettings, SessionSettings
from smallfirst.gateway.settings import ServerSettings
from smallfirst.ledger.queries import open_ledger, summary
from smallfirst.ledger.report import make_report
from smallfirst.models.loopback import Wire
from smallfirst.models.scripted import Reply
from smallfirst.models.settings import AbilitySettings
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings
from smallfirst.tasks.settings import TaskSettings
from tests.gateway.conftest import staging
from tests.tasks.tickets import BEYOND, SURE, UNSURE, model_file, tickets

DELIVERY = Reply(text='{"label": "delivery"}', usage=Usage(100, 8))
PERSONAL = f"{UNSURE}, write to ann.lee@example.com"
ABROAD = {"small": "cloud/us", "large": "cloud/us"}


def serving(stage: Any, folder: Path) -> Any:
    """`serve(large=script, sections=...)`: `tickets` before a small model that was never probed and a large one."""
    path = model_file(folder)

    def small(_: Any) -> str:
        return "not asked"

    def make(large: Any = lambda _: DELIVERY, *, task: dict[str, Any] | None = None, **more: Any) -> Any:
        sections = more.pop("sections", {})
        settings = TaskSettings(kind="triage", model=str(path), **(task or {}))
        sections = {**sections, "tasks": {"tickets": settings}}
        return stage(small=small, large=large, locations=ABROAD, probes={}, sections=sections, **more)

    return make


@pytest.fixture
def serve(stage: Any, tmp_path: Path) -> Any:
    """A gateway of one's own."""
    return serving(stage, tmp_path)


@pytest.fixture(scope="module")
def one_gateway(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("tasks")
    with staging(folder, home) as stage:
        yield serving(stage, folder)()


@pytest.fixture
def up(one_gateway: Any) -> Any:
    """The usual gateway, shared: what it was sent and wrote down is forgotten before each test."""
    one_gateway.entries.clear()
    for upstream in one_gateway.upstreams.values():
        upstream.requests.clear()
    one_gateway.upstreams["large"]._script = lambda _: DELIVERY
    return one_gateway


def label(up: Any, text: str, **more: Any) -> tuple[Any, dict[str, Any]]:
    """The raw answer of the openai client, and what stands in it."""
    raw = up.ask(text, **{"model": "task:tickets", **more})
    return raw, json.loads(raw.parse().choices[0].message.content)


def send(up: Any, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and JSON."""
    connection = http.client.HTTPConnection(*up.root.removeprefix("http://").split(":"), timeout=20)
    encoded = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, encoded, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def post(up: Any, body: Any, **headers: str) -> tuple[int, Any]:
    return send(up, "POST", "/v1/tasks/tickets", body, **headers)


def keyed(up: Any, **terms: Any) -> openai.OpenAI:
    secret, _ = up.app.accounts.register.create("a", Terms(**terms), 1_800_000_000)
    up.app.accounts.refresh()
    return openai.OpenAI(base_url=up.url, api_key=secret, max_retries=0, timeout=20)


def chat(client: openai.OpenAI, text: str = SURE, model: str = "task:tickets") -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


def test_what_the_small_model_is_sure_of_stays_with_it(up: Any) -> None:
    raw, said = label(up, SURE)
    assert said["label"] == "billing"
    assert said["confidence"] > 0.9
    shown = {name: raw.headers[f"x-smallfirst-{name}"] for name in ("tier", "model", "reason", "attempts", "cost-usd")}
    assert shown == {
        "tier": "slm", "model": "task:tickets", "reason": "accepted", "attempts": "1", "cost-usd": "0"
    }  # fmt: skip
    assert up.seen("large") == 0
    (entry,) = up.entries
    (attempt,) = entry.attempts
    assert (entry.served_tier, entry.policy, entry.cost, entry.would_escalate) == ("slm", "task:tickets", 0, False)
    assert (attempt.outcome.location, attempt.outcome.provider, attempt.priced) == ("device", "local", True)
    assert attempt.p_correct == pytest.approx(said["confidence"], abs=1e-4)
    assert entry.reached == (("task:tickets", "local", "device", False),)


def test_the_rest_is_handed_up_with_the_labels_as_a_constraint(up: Any) -> None:
    raw, said = label(up, UNSURE, max_tokens=3, temperature=1, stop=["x"])
    assert said == {"label": "delivery", "confidence": None}
    assert raw.headers["x-smallfirst-reason"] == "top_tier"
    result = raw.parse().model_extra["smallfirst"]["task"]
    assert (result["label"], result["sure"]) == ("delivery", False)
    assert len(result["local"]["labels"]) == 1
    (request,) = up.upstreams["large"].requests
    sent = request.fields
    form = sent["response_format"]
    assert form["json_schema"]["schema"]["properties"]["label"]["enum"] == ["account", "billing", "delivery", "none"]
    assert sent["messages"][-1] == {"role": "user", "content": UNSURE}
    assert (sent["temperature"], "stop" in sent, "max_tokens" in sent) == (0, False, False)
    (entry,) = up.entries
    assert [a.outcome.model for a in entry.attempts] == ["task:tickets", "large"]
    assert (entry.served_tier, entry.deferrals, entry.cost) == ("frontier", ("low_confidence", "unprobed"), 1_160_000)


def test_a_stream_is_the_same_answer_in_events(up: Any) -> None:
    for text, want in ((SURE, "billing"), (UNSURE, "delivery")):
        chunks = list(
            up.client.chat.completions.create(
                model="task:tickets", messages=[{"role": "user", "content": text}], stream=True,
                stream_options={"include_usage": True},
            )
        )  # fmt: skip
        words = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert json.loads(words)["label"] == want
        decision = chunks[-1].model_extra["smallfirst"]
        assert decision["task"]["label"] == want
        assert decision["model"] == ("large" if text == UNSURE else "task:tickets")
        assert chunks[-1].usage.total_tokens > 0


def test_out_of_scope_is_a_label_of_its_own(up: Any) -> None:
    assert label(up, BEYOND)[1]["label"] == "none"
    up.upstreams["large"]._script = lambda _: '{"label": "none"}'
    assert label(up, UNSURE)[1]["label"] == "none"


@pytest.mark.parametrize("said", ['{"label": "made up"}', "{}", "no idea", '{"label": 3}'])
def test_a_label_that_was_not_offered_is_no_answer(up: Any, said: str) -> None:
    up.upstreams["large"]._script = lambda _: said
    raw, shown = label(up, UNSURE)
    assert raw.headers["x-smallfirst-reason"] == "unsure"
    assert shown["confidence"] is not None
    (entry,) = up.entries
    assert (entry.served_model, entry.deferrals, entry.status) == ("task:tickets", ("low_confidence", "unprobed"), 200)


def test_what_may_not_leave_is_answered_here_and_says_so(up: Any) -> None:
    raw, _ = label(up, PERSONAL)
    result = raw.parse().model_extra["smallfirst"]["task"]
    assert result["sure"] is False
    assert "data of class personal because of email may not be sent to any configured model" in result["not_handed_up"]
    assert raw.headers["x-smallfirst-reason"] == "unsure"
    status, shown = post(up, {"input": PERSONAL})
    assert (status, shown["sure"], shown["handed_up"], shown["by"]) == (200, False, False, "task:tickets")
    assert "may not be sent" in shown["not_handed_up"]
    status, shown = post(up, {"input": UNSURE, "smallfirst": {"data_class": "health"}})
    assert (status, shown["reason"]) == (200, "unsure")
    assert up.seen("large") == 0
    assert all(e.would_escalate and e.reason is Reason.unsure for e in up.entries)
    assert up.entries[0].data_class is DataClass.personal


def test_a_class_that_nobody_may_see_is_refused(serve: Any) -> None:
    rule = RuleSettings(classes=("public", "internal"), to=TargetSettings(location="cloud"), do="allow")
    up = serve(sections={"privacy": PrivacySettings(rules=(rule,))})
    with pytest.raises(openai.PermissionDeniedError, match="may not be sent to the model task:tickets"):
        label(up, SURE)
    assert (up.seen("large"), up.entries[0].attempts) == (0, ())


def test_what_only_a_redacted_query_may_leave_for_leaves_redacted(serve: Any) -> None:
    rules = (
        RuleSettings(classes=tuple(DataClass.__members__), to=TargetSettings(location="device"), do="allow"),
        RuleSettings(classes=("public", "internal", "personal"), to=TargetSettings(location="cloud"), do="redact"),
    )
    up = serve(sections={"privacy": PrivacySettings(rules=rules, matters=False)})
    assert label(up, PERSONAL)[1]["label"] == "delivery"
    sent = up.upstreams["large"].requests[0].body
    assert b"ann.lee" not in sent
    assert b"<EMAIL_1>" in sent
    assert [redacted for *_, redacted in up.entries[0].reached] == [False, True]


def test_a_key_names_tasks_among_its_policies(serve: Any) -> None:
    up = serve()
    stranger = keyed(up, policies=("auto",))
    with pytest.raises(openai.PermissionDeniedError, match="may not use the policy 'task:tickets'") as caught:
        chat(stranger)
    assert caught.value.code == "policy_not_allowed"
    bearer = {"authorization": f"Bearer {stranger.api_key}"}
    assert post(up, {"input": SURE}, **bearer)[0] == 403
    assert post(up, {"input": [SURE, UNSURE]}, **bearer)[1]["error"]["code"] == "policy_not_allowed"
    assert send(up, "GET", "/v1/tasks", **bearer)[1]["data"] == []
    assert "task:tickets" not in [one.id for one in stranger.models.list()]
    assert post(up, {"input": SURE})[0] == 401
    up.app.accounts.register.create("b", Terms(), 1_800_000_000)
    secret, _ = up.app.accounts.register.create("c", Terms(policies=("task:tickets",), models=()), 1_800_000_000)
    up.app.accounts.refresh()
    clerk = openai.OpenAI(base_url=up.url, api_key=secret, max_retries=0)
    assert [one.id for one in clerk.models.list()] == ["task:tickets"]
    assert '"billing"' in chat(clerk).choices[0].message.content
    with pytest.raises(openai.PermissionDeniedError):
        chat(clerk, model="auto")
    chat(clerk, UNSURE)  # it may not use the model above: answered here
    assert (up.entries[-1].reason, up.entries[-1].key_id, up.seen("large")) == (Reason.unsure, "c", 0)


def test_a_budget_that_is_used_up_stops_the_hand_up_and_not_the_task(serve: Any) -> None:
    up = serve()
    client = keyed(up, usd_total=1e-6)
    chat(client)
    answer = chat(client, UNSURE)
    assert answer.model_extra["smallfirst"]["task"]["sure"] is False
    assert up.seen("large") == 0
    first, *others = [a.outcome.status for a in up.entries[-1].attempts]
    assert first is Status.ok
    assert set(others) == {Status.over_budget}


def test_dials_tighten_it(up: Any) -> None:
    post(up, {"input": UNSURE, "smallfirst": {"max_cost_usd": 0.0000001}})
    post(up, {"input": SURE, "smallfirst": {"max_quality_loss": 0.02}})
    post(up, {"input": SURE}, **{"x-smallfirst-tags": "x,y"})
    reasons = [(e.reason, e.served_model, e.deferrals) for e in up.entries]
    assert reasons[0] == (Reason.cost_limit, "task:tickets", ())
    assert reasons[1] == (Reason.no_certificate, "large", ("no_certificate",))  # its promise is not one of loss
    assert up.entries[2].tags == ("x", "y")


def test_time_that_is_up_serves_what_is_at_hand(serve: Any) -> None:
    up = serve(lambda _: Wire(steps=("stall",)))
    status, shown = post(up, {"input": UNSURE, "smallfirst": {"max_latency_ms": 200}})
    assert (status, shown["reason"], shown["by"]) == (200, "latency_limit", "task:tickets")
    assert up.entries[0].attempts[-1].outcome.status in (Status.cancelled, Status.timed_out)


def test_a_large_model_that_is_down_leaves_the_small_one(serve: Any) -> None:
    up = serve(lambda _: Wire(steps=(b"oops",), status=500))
    status, shown = post(up, {"input": UNSURE})
    assert (status, shown["reason"], shown["handed_up"], shown["sure"]) == (200, "unsure", True, False)


def test_nobody_above_who_takes_a_schema(serve: Any) -> None:
    up = serve(abilities={name: AbilitySettings(json_schema=False) for name in ABROAD})
    _, shown = post(up, {"input": UNSURE})
    assert (shown["reason"], up.seen("large")) == ("unsure", 0)
    assert "takes response_format json_schema" in shown["not_handed_up"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}}, "response_format"),
    ],
)
def test_what_a_task_does_not_take(up: Any, more: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        label(up, SURE, **more)
    assert (caught.value.code, caught.value.param) == ("unsupported", param)


def test_an_empty_turn_is_the_callers_mistake(up: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="no text in the last user turn"):
        label(up, "  ")
    assert up.seen("large") == 0


def test_the_other_apis_reach_it_too(up: Any) -> None:
    said = up.client.responses.create(model="task:tickets", input=UNSURE)
    assert json.loads(said.output_text)["label"] == "delivery"
    client = anthropic.Anthropic(base_url=up.root, api_key="none", max_retries=0)
    asked = {"model": "task:tickets", "max_tokens": 50, "messages": [{"role": "user", "content": SURE}]}
    assert json.loads(client.messages.create(**asked).content[0].text)["label"] == "billing"
    with client.messages.stream(**asked) as stream:
        assert json.loads(stream.get_final_text())["label"] == "billing"
    assert [e.served_model for e in up.entries] == ["large", "task:tickets", "task:tickets"]


def test_the_very_same_text_is_answered_from_the_cache(serve: Any) -> None:
    up = serve(sections={"cache": CacheSettings(ttl_s=60), "sessions": SessionSettings(ttl_s=60)})
    first, again = post(up, {"input": UNSURE})[1], post(up, {"input": UNSURE})[1]
    assert (again["reason"], again["label"], again["local"]) == ("cached", first["label"], first["local"])
    assert up.seen("large") == 1


def test_a_list_of_inputs_gets_a_line_each(up: Any) -> None:
    mail = b"Subject: Late parcel\r\nContent-Type: text/plain\r\n\r\nWhere is the courier? Tracking number 5."

    def file(name: str, data: bytes) -> dict[str, Any]:
        return {"file": {"filename": name, "file_data": base64.b64encode(data).decode()}}

    inputs = [SURE, UNSURE, "", file("a.eml", mail), file("a.pdf", b"no"), file("a.docx", b"no"), file("a.bin", b"no"),
              {"file": {"filename": "a.txt", "file_data": "***"}}, file("a.txt", b"caf\xe9"), {}, "a\0b"]  # fmt: skip
    status, whole = post(up, {"input": inputs})
    assert status == 200
    lines = whole["data"]
    assert [line.get("label") for line in lines[:4]] == ["billing", "delivery", None, "delivery"]
    errors = [(line["error"]["param"], line["error"]["message"]) for line in lines if line["object"] == "task.error"]
    for (param, words), (n, said) in zip(
        errors,
        (
            (2, "no text in it"), (4, "not a PDF"), (5, "not a Word file"), (6, "not a format that is read here"),
            (7, "not base64"), (8, "line 1: not UTF-8"), (9, "give one of"), (10, "NUL"),
        ),
        strict=True,
    ):  # fmt: skip
        assert param.startswith(f"input[{n}]")
        assert said in words
    assert len({entry.id for entry in up.entries}) == len(up.entries) == 3
    assert whole["cost_usd"] == sum(entry.cost for entry in up.entries) / 1e9
    assert [line["index"] for line in lines] == list(range(11))


def test_a_run_over_a_file_asks_the_gateway_and_its_report_counts_what_that_cost(up: Any, tmp_path: Path) -> None:
    data, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = tickets(12, seed=5, mixed=6)
    data.write_text("\n".join(json.dumps({"text": text, "label": queue}) for text, queue in rows))
    words = ["run", data, "--model", model_file(tmp_path), "--out", out, "--above", up.url]
    assert CliRunner().invoke(triage, [str(word) for word in words]).exit_code == 0
    asked = up.seen("large")
    assert 0 < asked < 12
    said = CliRunner().invoke(triage, ["report", "--data", str(data), "--run", str(out), "--json"])
    report = json.loads(said.stdout)
    assert (report["texts"], report["handed"]["n"]) == (18, asked)
    assert report["by_model"]["large"]["n"] == asked
    assert report["total"]["right"] == report["kept"]["right"] + report["handed"]["right"]
    paid = sum(entry.cost for entry in up.entries) / 1e9
    assert report["cost_usd"] == pytest.approx(paid) == asked * 0.00116
    assert report["cost_all_up_usd"] == pytest.approx(18 * 0.00116)
    assert report["handed_ms"] > 0


def test_a_document_that_unpacks_to_more_than_a_body_may_hold(serve: Any) -> None:
    docx = pytest.importorskip("docx", reason="the extra `documents` is not installed")
    made, packed = docx.Document(), io.BytesIO()
    made.add_paragraph("late parcel " * 20_000)
    made.save(packed)
    up = serve(server=ServerSettings(max_body_mb=0.1))
    data = base64.b64encode(packed.getvalue()).decode()
    status, said = post(up, {"input": {"file": {"filename": "a.docx", "file_data": data}}})
    assert (status, said["error"]["param"], said["error"]["code"]) == (413, "input.file", "document_too_large")


def test_the_page_says_what_is_there(up: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The client's code on docs/tasks.md runs as it stands, and the answer shown there has the fields that come."""
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code.replace("http://127.0.0.1:4000/v1", up.url), "docs/tasks.md", "exec"), {})
    assert '"label":"billing"' in capsys.readouterr().out
    (shown,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert list(json.loads(shown)) == list(post(up, {"input": SURE})[1])


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": []}, 400, "input"),
        ({"input": ["a"] * 101}, 400, "input"),
        ({"input": 3}, 400, "input"),
        ({"input": ["", " "]}, 400, "input[0]"),
        ({}, 400, "input"),
        ({"input": "a", "inputs": "b"}, 400, "inputs"),
        ({"input": {"text": "a", "messages": []}}, 400, "input.messages"),
        ({"input": "a", "smallfirst": {"max_cost_usd": -1}}, 400, "smallfirst.max_cost_usd"),
        ({"input": {"messages": [{"role": "clerk", "content": "a"}]}}, 400, "input"),
        (b"{", 400, None),
    ],
)
def test_mistakes_name_the_field(up: Any, body: Any, status: int, param: str | None) -> None:
    got, shown = post(up, body)
    assert (got, shown["error"]["param"]) == (status, param)
    assert up.entries == []


def test_tasks_are_listed_with_their_promise(up: Any) -> None:
    _, listed = send(up, "GET", "/v1/tasks")
    (task,) = listed["data"]
    assert (task["id"], task["kind"], task["endpoint"]) == ("task:tickets", "triage", "/v1/tasks/tickets")
    assert (task["promise"]["accuracy"], task["promise"]["confidence"]) == (0.9, 0.95)
    assert 0.5 < task["promise"]["coverage"] < 1
    assert task["labels"] == ["account", "billing", "delivery"]
    assert send(up, "GET", "/v1/tasks/tickets")[1] == task
    status, said = send(up, "POST", "/v1/tasks/letters", {"input": "a"})
    assert (status, said["error"]["code"]) == (404, "task_not_found")
    assert "task:tickets" in [one.id for one in up.client.models.list()]


def test_a_threshold_set_by_hand_promises_nothing(serve: Any) -> None:
    up = serve(task={"threshold": 1.0, "policy": "large"})
    assert send(up, "GET", "/v1/tasks/tickets")[1]["promise"] is None
    _, shown = post(up, {"input": SURE})
    assert (shown["by"], shown["reason"]) == ("large", "fixed")


def test_other_queries_never_meet_a_tasks_model(up: Any) -> None:
    up.ask("Say hello.")
    assert [a.outcome.model for a in up.entries[0].attempts] == ["large"]


def test_the_report_counts_it_as_the_smallest_tier(serve: Any) -> None:
    up = serve()
    for text in (SURE, SURE, BEYOND, UNSURE):
        post(up, {"input": text})
    up.app.ledger.flush()
    with closing(open_ledger(up.app.ledger_path)) as conn:
        report = make_report(summary(conn, 0, 1 << 60))
    assert {row.tier: row.requests for row in report.tiers} == {"slm": 3, "frontier": 1}
    assert report.deferrals == {"low_confidence": 1, "unprobed": 1}
    assert report.cost_usd == pytest.approx(1160e-6)
    assert report.saving is not None


def test_a_slow_model_holds_nobody_else_up(serve: Any) -> None:
    """Its code runs beside the event loop: while it is at work, the gateway answers others."""
    up = serve()
    held, go = threading.Event(), threading.Event()
    local = up.app.tasks[0].models[0].local
    judge = local._triage.judge

    def slow(texts: Any) -> Any:
        held.set()
        assert go.wait(10)
        return judge(texts)

    local._triage.judge = slow
    asking = threading.Thread(target=post, args=(up, {"input": SURE}))
    asking.start()
    assert held.wait(10)
    assert send(up, "GET", "/health")[0] == 200
    assert up.ask("Say hello.").http_response.status_code == 200
    go.set()
    asking.join()
    assert [e.served_model for e in up.entries] == ["large", "task:tickets"]
