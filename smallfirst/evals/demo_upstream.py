"""The demo's stand-in for three models, on loopback: the embedded one as it was recorded, two others from gold.

It answers by prompt look-up, over HTTP, in the OpenAI form, after a wait like a real model's divided by `speed`. It
streams nothing: the demo does not ask for that. Knows samples and the recording. Does not know who is right: gold is a
correct answer by construction, and the screen says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from smallfirst.evals.prompts_sample import Sample
from smallfirst.evals.record import Recorded

SLM, MID, FRONTIER = "smollm2-135m", "gpt-4o-mini", "gpt-4o"
CHARS_PER_TOKEN = 4


class Pace(NamedTuple):
    """An assumed pace of a hosted model: seconds to the first token, tokens a second after it."""

    first_s: float
    tokens_per_s: float


PACES: Mapping[str, Pace] = {MID: Pace(0.35, 90.0), FRONTIER: Pace(0.55, 70.0)}
"""Round figures of the usual order, for the demo's waiting times only."""


class Said(NamedTuple):
    """What will be answered: the text, its usage and how long a real model would take."""

    text: str
    finish: str
    input_tokens: int
    output_tokens: int
    wait_s: float
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()


def from_recording(answer: Recorded) -> Said:
    """As it was recorded."""
    return Said(
        answer.text,
        answer.finish,
        answer.input_tokens,
        answer.output_tokens,
        answer.latency_us / 1e6,
        answer.tokens,
        answer.logprobs,
    )


def from_gold(sample: Sample, pace: Pace) -> Said:
    """The sample's target; tokens are characters / 4."""
    size = len(sample.input) + len(sample.system or "")
    output = -(-len(sample.target) // CHARS_PER_TOKEN)
    wait = pace.first_s + output / pace.tokens_per_s
    return Said(sample.target, "stop", -(-size // CHARS_PER_TOKEN), output, wait)


class DemoUpstream:
    """Serves `samples` at `url` from a thread of its own while the `with` block runs."""

    def __init__(self, samples: Sequence[Sample], answers: Mapping[str, Recorded], *, speed: float) -> None:
        self.url = ""
        self._speed = speed
        self._said: dict[tuple[str, str], Said] = {}
        for sample in samples:
            if sample.id in answers:
                self._said[SLM, sample.input] = from_recording(answers[sample.id])
            for model, pace in PACES.items():
                self._said[model, sample.input] = from_gold(sample, pace)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="demo upstream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        clients: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                clients.add(task)
                task.add_done_callback(clients.discard)
            # the gateway hangs up, or the demo is over: both end this connection and nothing else
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._client(reader, writer)
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in tuple(clients):
            task.cancel()
        if clients:
            await asyncio.wait(clients)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            lines = (line.partition(":") for line in head.split("\r\n")[1:])
            length = next((int(value) for name, _, value in lines if name == "content-length"), 0)
            status, answer = await self._answer(await reader.readexactly(length))
            payload = json.dumps(answer).encode()
            head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
            writer.write(head.encode() + payload)
            await writer.drain()

    async def _answer(self, request: bytes) -> tuple[str, dict[str, Any]]:
        body = json.loads(request)
        model = body["model"]
        said = self._said.get((model, body["messages"][-1]["content"]))
        if said is None:
            error = {"message": f"{model} has no answer to this prompt", "type": "invalid_request_error"}
            return "404 Not Found", {"error": error}
        await asyncio.sleep(said.wait_s / self._speed)
        return "200 OK", completion(model, said, logprobs=bool(body.get("logprobs")))


def completion(model: str, said: Said, *, logprobs: bool) -> dict[str, Any]:
    """A chat completion in the OpenAI form."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": said.text},
        "finish_reason": said.finish,
    }
    if logprobs and said.logprobs:
        pairs = zip(said.tokens, said.logprobs, strict=True)
        choice["logprobs"] = {"content": [{"token": token, "logprob": logprob} for token, logprob in pairs]}
    return {
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": said.input_tokens,
            "completion_tokens": said.output_tokens,
            "total_tokens": said.input_tokens + said.output_tokens,
        },
    }
