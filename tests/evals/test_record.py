"""The recording: what is shipped fits the prompts of today, and recording again is one command."""

from __future__ import annotations

import importlib.resources

import msgspec
import pytest

from smallfirst.errors import DataError, SetupError
from smallfirst.evals import record
from smallfirst.evals.chat import Chat
from smallfirst.evals.demo_upstream import DemoUpstream
from smallfirst.evals.prompts import samples
from smallfirst.evals.prompts_sample import digest


def test_the_shipped_recording_answers_exactly_the_prompts_of_today():
    recording = record.shipped()
    asked = samples(recording.run.seed, recording.run.n)
    assert recording.run.samples_sha256 == digest(asked), "run python -m smallfirst.evals.record again"
    assert set(recording.answers) == {sample.id for sample in asked}


def test_the_shipped_recording_is_real_and_small():
    recording = record.shipped()
    file = importlib.resources.files("smallfirst.evals") / "data" / record.FILE
    assert len(file.read_bytes()) < 1_000_000
    assert len(recording.run.weights_sha256) == 64
    for answer in recording.answers.values():
        assert answer.latency_us > 0
        assert answer.output_tokens > 0
        assert len(answer.tokens) == len(answer.logprobs)
        assert all(logprob <= 0 for logprob in answer.logprobs)


def test_recording_over_http_keeps_text_logprobs_usage_and_digests(tmp_path, monkeypatch):
    asked, known = samples(n=12), record.shipped().answers
    weights, out = tmp_path / "weights.gguf", tmp_path / "answers.jsonl"
    weights.write_bytes(b"weights")
    monkeypatch.setenv("DEMO_KEY", "k")
    with DemoUpstream(asked, known, speed=1e6) as upstream:
        options = ["--url", upstream.url, "--key-env", "DEMO_KEY", "--weights", str(weights), "--out", str(out)]
        assert record.main([*options, "--n", "12"]) == 0
    made = record.read(out.read_bytes())
    assert made.run.n == 12
    assert made.run.samples_sha256 == digest(asked)
    for sample in asked:
        assert made.answers[sample.id].text == known[sample.id].text
        assert made.answers[sample.id].logprobs == known[sample.id].logprobs
        assert made.answers[sample.id].input_tokens == known[sample.id].input_tokens


def test_a_failed_request_names_the_sample(tmp_path):
    asked = samples(n=3)
    with DemoUpstream(asked[:2], record.shipped().answers, speed=1e6) as upstream:
        chat = Chat(upstream.url)
        with pytest.raises(DataError, match=asked[2].id):
            list(record.record(chat, record.MODEL, asked))
        chat.close()


def test_where_nobody_listens_is_said(tmp_path):
    with pytest.raises(SetupError, match="nothing listens"):
        Chat("http://127.0.0.1:1/v1").ask({})
    with pytest.raises(SetupError, match="URL"):
        Chat("localhost:4000")
    with pytest.raises(SetupError, match="--weights"):
        record.main(["--url", "http://127.0.0.1:1/v1"])


@pytest.mark.parametrize(("data", "where"), [(b"", ":1:"), (b"{}\n", ":1:"), (b"not json", ":1:")])
def test_a_file_that_is_no_recording_is_named_with_its_line(data: bytes, where: str):
    with pytest.raises(DataError, match=where):
        record.read(data)


def test_a_broken_line_is_named():
    head = msgspec.json.encode(record.shipped().run)
    with pytest.raises(DataError, match=":2:"):
        record.read(head + b'\n{"id": 3}')


@pytest.mark.parametrize("reply", [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{}], "usage": {}}'])
def test_what_is_no_completion_is_an_error(reply: bytes):
    with pytest.raises(DataError, match="not a chat completion"):
        record.recorded(samples(n=1)[0], reply, 5)
