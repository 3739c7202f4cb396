"""Recorded answers: found by prompt, rendered where only the final answer was kept, served over HTTP, never scored."""

import asyncio
import json
from pathlib import Path

import pytest

from smallfirst.errors import DataError
from smallfirst.models.recorded import NO_ANSWER, Recording, Recordings, render_final
from smallfirst.models.recorded_files import load_recordings
from smallfirst.models.recorded_server import RecordedApp, speed_wait_s
from smallfirst.verify.canonical import canonical_text

SHARED = Path(__file__).parents[3] / "shared" / "data" / "outcomes"

SUM = Recording(prompt="What is 2 + 2?", model="small", text="It is 4, of course.", input_chars=100, output_chars=80)
ALL = Recordings([SUM, Recording(prompt="Name a river.", model="large", text="The Rhine", finish="length")])


def call(app, body, path="/v1/chat/completions", method="POST"):
    """(status, body) of one ASGI request."""
    sent = []

    async def receive():
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "http", "method": method, "path": path}, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def ask(prompt, model="small", **more):
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}


def test_white_space_does_not_matter_and_signs_do():
    assert ALL.find("  What is\n2 + 2? ", "small") is SUM
    assert ALL.find("What is 2 - 2?", "small") is None
    assert ALL.find("What is 2 + 2?", "large") is None


def test_a_role_is_played_by_the_first_that_answered():
    assert ALL.find("Name a river.", "small|large").model == "large"
    assert ALL.find("What is 2 + 2?", "small|large") is SUM
    assert ALL.has("small|large")
    assert not ALL.has("small|other")


def test_the_first_of_two_recordings_counts():
    twice = Recordings([SUM, Recording(prompt=SUM.prompt, model="small", text="5")])
    assert twice.find(SUM.prompt, "small") is SUM
    assert twice.models == {"small": 1}


@pytest.mark.parametrize(
    ("answer", "style", "text"),
    [
        ("C", "choice", "The answer is (C)."),
        ("[(1, 'x')]", "json", '{"answer":"[(1, \'x\')]"}'),
        (None, "json", NO_ANSWER),
    ],
)
def test_final_answers_are_rendered(answer, style, text):
    assert render_final(answer, style) == text


@pytest.mark.parametrize("answer", ["42", "-3/4", "[(1, 'x')]", "True", "C"])
def test_a_rendered_answer_reads_like_the_answer_itself(answer):
    assert canonical_text(render_final(answer, "json")) == canonical_text(answer)


def test_an_answer_comes_with_the_recorded_usage():
    status, body = call(RecordedApp(ALL), ask("What is 2 + 2?"))
    answer = json.loads(body)
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "It is 4, of course."
    assert answer["usage"] == {"prompt_tokens": 25, "completion_tokens": 20, "total_tokens": 45}


def test_a_stream_gives_the_same_text_and_usage_on_request():
    status, body = call(
        RecordedApp(ALL), ask("Name a river.", "large", stream=True, stream_options={"include_usage": True})
    )
    events = body.decode().split("\n\n")
    assert status == 200
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "The Rhine"
    assert choices[-1]["finish_reason"] == "length"
    assert chunks[-1]["usage"]["completion_tokens"] == 3
    assert b"usage" not in call(RecordedApp(ALL), ask("Name a river.", "large", stream=True))[1]


def test_only_the_last_user_message_is_looked_up():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "text", "text": "What is 2 + 2?"}]},
    ]
    assert call(RecordedApp(ALL), {"model": "small", "messages": messages})[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (ask("Name a lake."), 404, "prompt_not_recorded"),
        (ask("What is 2 + 2?", "other"), 404, "model_not_found"),
        ({"model": "small", "messages": []}, 400, "no_user_message"),
        ({"messages": []}, 400, "invalid_request"),
        (b"{", 400, "invalid_request"),
        (b"\xff\xfe", 400, "invalid_request"),
        (b"x" * (5 * 1024 * 1024), 413, "too_large"),
    ],
)
def test_what_is_not_recorded_is_an_openai_shaped_error(body, status, code):
    got, answer = call(RecordedApp(ALL), body)
    assert (got, json.loads(answer)["error"]["code"]) == (status, code)
    assert set(json.loads(answer)["error"]) == {"message", "type", "param", "code"}


def test_models_are_listed():
    status, body = call(RecordedApp(ALL), b"", "/v1/models", "GET")
    assert status == 200
    assert [model["id"] for model in json.loads(body)["data"]] == ["large", "small"]
    assert call(RecordedApp(ALL), b"", "/v1/embeddings")[0] == 404


def test_the_speed_law():
    assert speed_wait_s(SUM, 0.0, 5.0) == 0.0
    assert speed_wait_s(SUM, 40.0, 0.25) == pytest.approx(0.75)


def test_a_file_of_recordings_is_read_and_one_with_scores_is_refused(tmp_path):
    file = tmp_path / "r.jsonl"
    file.write_text('{"prompt": "a", "model": "m", "text": "b"}\n\n{"prompt": "c", "model": "n", "text": "d"}\n')
    assert load_recordings(file).models == {"m": 1, "n": 1}
    assert load_recordings(file, models={"n"}).prompts() == ["c"]
    file.write_text('{"prompt": "a", "model": "m", "text": "b", "score": 1.0}\n')
    with pytest.raises(DataError, match=r"r\.jsonl, line 1: .*score"):
        load_recordings(file)


def test_a_folder_of_tables(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def table(name, *rows):
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / f"{name}.parquet")

    asked = {"query_id": "1", "prompt": "2 + 2?", "input_chars": 50, "output_chars": 30}
    table("zeroeval", {**asked, "model": "m", "score": 1.0}, {**asked, "model": "n", "score": 0.0},
          {**asked, "query_id": "2", "prompt": "2 +  2?", "model": "m", "score": 0.0})  # fmt: skip
    table("answers_zeroeval", {"query_id": "1", "model": "m", "answer": "4", "unterminated": False},
          {"query_id": "1", "model": "n", "answer": None, "unterminated": True},
          {"query_id": "2", "model": "m", "answer": "5", "unterminated": False})  # fmt: skip
    table("zeroeval_outputs", {"query_id": "1", "model": "m", "output": "The sum is 4."})
    found = load_recordings(tmp_path, sources=["zeroeval"])
    assert len(found) == 1  # the second id is a copy of the first prompt
    told, cut = found.find("2 + 2?", "m"), found.find("2 + 2?", "n")
    assert (told.text, told.rendered, told.input_tokens, told.output_tokens) == ("The sum is 4.", False, 13, 8)
    assert (cut.text, cut.rendered, cut.finish) == (NO_ANSWER, True, "length")
    with pytest.raises(DataError, match="no source 'bfcl'"):
        load_recordings(tmp_path, sources=["bfcl"])
    with pytest.raises(DataError, match="file nor a folder"):
        load_recordings(tmp_path, sources=["mmlu_pro"])


@pytest.mark.shared
def test_the_recorded_tables():
    if not SHARED.is_dir():
        pytest.skip("../shared/data/outcomes is not there")
    found = load_recordings(SHARED, sources=["zeroeval"], models=["gemma-2-9b-it", "gpt-4o-2024-08-06"])
    assert len(found) > 1900
    assert set(found.models) == {"gemma-2-9b-it", "gpt-4o-2024-08-06"}
    prompt = found.prompts()[0]
    assert not found.find(prompt, "gemma-2-9b-it").rendered  # full texts were kept
    assert found.find(prompt, "gpt-4o-2024-08-06").rendered  # only the final answer was
