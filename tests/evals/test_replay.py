"""A replay: prompts from a file, sent over HTTP, counted by what the gateway's headers say."""

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from smallfirst.cli.replay_cmd import replay
from smallfirst.errors import DataError, SetupError
from smallfirst.evals.child_server import ChildServer, free_port
from smallfirst.evals.replay import Prompt, Replay, read_prompts
from smallfirst.evals.replies import Reply, tally


class Gateway(BaseHTTPRequestHandler):
    """Answers in upper case; `fail` in a prompt gets a 502, `drop` a broken connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = body["messages"][-1]["content"]
        self.server.seen.append((body["model"], said, self.headers.get("authorization")))
        if "drop" in said:
            self.close_connection = True
            return
        if "fail" in said:
            self.reply(502, {"error": {"message": "no", "type": "upstream_error", "param": None, "code": "no_answer"}})
            return
        headers = {"model": "small", "tier": "slm", "reason": "accepted", "attempts": "2", "complexity": "0.250",
                   "cost-usd": "0.000000125", "baseline-cost-usd": "0.0005", "overhead-ms": "0.40",
                   "request-id": f"r-{said}"}  # fmt: skip
        self.reply(200, {"choices": [{"message": {"content": said.upper()}}]}, headers)

    def reply(self, status, body, headers=None):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(f"X-Smallfirst-{name}", value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@contextmanager
def gateway():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    server.daemon_threads, server.seen = True, []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", server.seen
    finally:
        server.shutdown()
        server.server_close()


def some(*texts):
    return [Prompt(id=text, messages=({"role": "user", "content": text},)) for text in texts]


def test_every_prompt_gets_one_reply_with_what_the_headers_say():
    texts = [f"p{i}" for i in range(30)]
    with gateway() as (url, seen):
        replies = list(Replay(url, some(*texts), model="panel", concurrency=5, key="sk-x"))
    assert sorted(reply.id for reply in replies) == sorted(texts)
    assert {entry[0] for entry in seen} == {"panel"}
    assert {entry[2] for entry in seen} == {"Bearer sk-x"}
    one = replies[0]
    assert (one.model, one.tier, one.reason, one.attempts, one.complexity) == ("small", "slm", "accepted", 2, 0.25)
    assert (one.cost, one.baseline_cost, one.overhead_us, one.request_id) == (125, 500_000, 400, f"r-{one.id}")


def test_failures_are_replies_and_do_not_stop_the_rest():
    with gateway() as (url, _):
        replies = {reply.id: reply for reply in Replay(url, some("a", "fail", "drop", "b"), concurrency=1)}
    assert [replies[name].status for name in ("a", "fail", "drop", "b")] == [200, 502, 0, 200]
    assert replies["fail"].error == "no_answer"
    assert replies["drop"].error


def test_leaving_the_loop_stops_the_sending():
    with gateway() as (url, seen):
        for _ in Replay(url, some(*map(str, range(500))), concurrency=2):
            break
        assert len(seen) < 500


def test_a_gateway_that_is_not_there_is_one_clear_error():
    with pytest.raises(SetupError, match="nothing listens on 127"):
        list(Replay(f"http://127.0.0.1:{free_port()}/v1", some("a", "b")))


def test_prompts_are_read_with_ids_messages_and_targets(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(
        '{"prompt": "a", "target": 4, "extra": 1}\n\n{"id": 7, "messages": [{"role": "user", "content": "b"}]}\n'
    )
    assert read_prompts(file) == [
        Prompt(id="1", messages=({"role": "user", "content": "a"},), target="4"),
        Prompt(id="7", messages=({"role": "user", "content": "b"},)),
    ]
    assert len(read_prompts(file, limit=1)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"p\.jsonl, line 1"),
        ('{"prompt": 5}', r"line 1: .*prompt"),
        ('{"id": "a"}', "line 1: exactly one of `prompt` and `messages`"),
        ('{"prompt": "a", "messages": []}', "line 1: exactly one"),
        ('{"messages": []}', "line 1: messages must be"),
        ('{"messages": [{"content": "x"}]}', "line 1: messages must be"),
        ('{"prompt": "a", "id": "x"}\n{"prompt": "b", "id": "x"}', "line 2: id 'x' is that of line 1"),
        ("\n", "no prompt in it"),
    ],
)
def test_bad_lines_are_named(tmp_path, text, words):
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        read_prompts(tmp_path / "p.jsonl")


def test_sums():
    ok = {"status": 200, "model": "m", "reason": "fixed", "attempts": 1, "cost": 10, "baseline_cost": 100}
    replies = [Reply(id=str(i), latency_us=i, tier="slm", **ok) for i in range(1, 101)]
    replies += [
        Reply(id="top", latency_us=900, tier="frontier", **ok),
        Reply(id="x", status=502, latency_us=5, error="e"),
    ]
    sums = tally(replies)
    assert (sums.sent, sums.answered, sums.by_tier, sums.errors) == (102, 101, {"slm": 100, "frontier": 1}, {"e": 1})
    assert (sums.cost, sums.baseline_cost, sums.attempts) == (1010, 10100, 101)
    assert (sums.p50_us["slm"], sums.p95_us["slm"], sums.p50_us["frontier"]) == (50, 95, 900)
    unknown = Reply(id="y", status=200, latency_us=1, cost=1)
    assert tally([*replies, unknown]).baseline_cost is None  # a sum over some would be no sum
    assert tally([]).answered == 0


def test_the_command_reports_and_writes_replies(tmp_path):
    file, kept = tmp_path / "p.jsonl", tmp_path / "out.jsonl"
    file.write_text('{"prompt": "yes", "target": "YES"}\n{"prompt": "no", "target": "maybe"}\n{"prompt": "fail"}\n')
    with gateway() as (url, _):
        shown = CliRunner().invoke(replay, [str(file), "--url", url.removesuffix("/v1"), "--out", str(kept)])
        as_json = CliRunner().invoke(replay, [str(file), "--url", url, "--json", "--limit", "2"])
    assert shown.exit_code == 0, shown.output
    assert "2 of 3 prompts answered" in shown.output
    assert "right: 1 of 2" in shown.output
    assert [json.loads(line)["id"] for line in kept.read_text().splitlines()]
    assert "maybe" not in kept.read_text()  # neither prompts nor answers nor targets
    sums = json.loads(as_json.stdout)["replay"]
    assert (sums["answered"], sums["right"], sums["cost"]) == (2, 1, 250)


def test_with_a_config_a_gateway_is_started_and_its_ledger_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLFIRST_HOME", str(tmp_path / "home"))
    file, config = tmp_path / "p.jsonl", tmp_path / "c.yaml"
    file.write_text('{"prompt": "yes", "target": "YES"}\n{"prompt": "no", "target": "maybe"}\n')
    with gateway() as (url, _):
        config.write_text(
            f"providers: {{up: {{url: '{url}'}}}}\n"
            "models: {big: {provider: up, cost: {input_per_m: 1, output_per_m: 1}}}\ntiers: [{frontier: [big]}]\n"
        )
        shown = CliRunner().invoke(replay, [str(file), "--config", str(config)])
        as_json = CliRunner().invoke(replay, [str(file), "--config", str(config), "--json"])
    assert shown.exit_code == 0, shown.output
    assert "replay of p.jsonl" in shown.output
    assert "1 of 2 with a target" in shown.output
    found = json.loads(as_json.stdout)
    assert (found["report"]["requests"], found["replay"]["by_tier"]) == (2, {"frontier": 2})
    assert not (tmp_path / "home" / "data" / "ledger.db").exists()  # a replay is no traffic


def test_ctrl_c_reports_what_was_done(tmp_path, monkeypatch):
    class Interrupted(Replay):
        def __iter__(self):
            for number, reply in enumerate(super().__iter__()):
                if number == 2:
                    raise KeyboardInterrupt
                yield reply

    monkeypatch.setattr("smallfirst.cli.replay_cmd.Replay", Interrupted)
    file = tmp_path / "p.jsonl"
    file.write_text("".join(f'{{"prompt": "p{i}"}}\n' for i in range(20)))
    with gateway() as (url, _):
        result = CliRunner().invoke(replay, [str(file), "--url", url])
    assert result.exit_code == 130
    assert "2 of 2 prompts answered" in result.output
    assert "2 of 20 prompts were sent" in result.output


def test_url_and_config_together_are_refused(tmp_path):
    (tmp_path / "c.yaml").write_text("")
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}')
    asked = [str(tmp_path / "p.jsonl"), "--url", "http://x", "--config", str(tmp_path / "c.yaml")]
    result = CliRunner().invoke(replay, asked)
    assert result.exit_code == 2
    assert "give one of them" in result.output


def test_a_child_server_is_there_inside_and_gone_after(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"prompt": "a", "model": "m", "text": "b"}\n')
    port = free_port()
    command = [sys.executable, "-m", "smallfirst.cli.main", "recorded", "serve"]
    command += ["--data", str(tmp_path / "r.jsonl"), "--port", str(port)]
    url = f"http://127.0.0.1:{port}/v1"
    with ChildServer(command, f"http://127.0.0.1:{port}/health"):
        assert [reply.status for reply in Replay(url, some("a", "c"), model="m", concurrency=1)] == [200, 404]
    with pytest.raises(SetupError, match="nothing listens"):
        list(Replay(url, some("a"), model="m"))


def test_a_child_that_dies_says_its_last_words():
    command = [sys.executable, "-c", "import sys; sys.exit('no weights')"]
    with (
        pytest.raises(SetupError, match=r"status 1 before it was ready:\nno weights"),
        ChildServer(command, "http://x"),
    ):
        pass
