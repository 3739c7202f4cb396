"""Recorded prompts through a running gateway: what was served, by whom, at what cost.

Knows the JSONL of prompts, the gateway's wire and its response headers. Does not know scores, policies or the ledger:
whoever has scores joins them to the replies by id (recorded_experiment.py does).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.errors import DataError, SetupError
from smallfirst.evals.chat import Chat
from smallfirst.evals.replies import Reply, make_reply

POLL_S = 0.2
"""How often the caller's thread looks up, so that Ctrl-C is heard."""


class Prompt(msgspec.Struct, frozen=True):
    """One prompt to send. `target` is what a right answer says, where the file knows it."""

    id: str
    messages: tuple[Mapping[str, Any], ...]
    target: str | None = None


class _Line(msgspec.Struct):
    id: str | int | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    target: str | int | float | None = None


def read_prompts(path: Path, limit: int | None = None) -> list[Prompt]:
    """The prompts of a JSONL file, at most `limit`. Raises DataError that names the line and the field."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    decoder = msgspec.json.Decoder(_Line)
    prompts: list[Prompt] = []
    seen: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if limit is not None and len(prompts) >= limit:
                break
            if not line.strip():
                continue
            prompt = _prompt(decoder, line, number, path.name)
            if prompt.id in seen:
                raise DataError(f"{path.name}, line {number}: id {prompt.id!r} is that of line {seen[prompt.id]} too")
            seen[prompt.id] = number
            prompts.append(prompt)
    if not prompts:
        raise DataError(f'{path.name}: no prompt in it; a line looks like {{"prompt": "What is 2 + 2?"}}')
    return prompts


def _prompt(decoder: msgspec.json.Decoder[_Line], line: bytes, number: int, name: str) -> Prompt:
    where = f"{name}, line {number}"
    try:
        row = decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: {error}") from None
    if (row.prompt is None) == (row.messages is None):
        raise DataError(f"{where}: exactly one of `prompt` and `messages` is needed")
    messages = row.messages if row.messages is not None else [{"role": "user", "content": row.prompt}]
    if not messages or not all(isinstance(message.get("role"), str) for message in messages):
        raise DataError(f"{where}: messages must be a list of objects with a `role`, and not empty")
    target = None if row.target is None else str(row.target)
    return Prompt(id=str(number if row.id is None else row.id), messages=tuple(messages), target=target)


class Replay:
    """Sends prompts through `url` (ending in /v1) with `concurrency` callers. One use.

    Iterate to get the replies as they come; leave the loop, or Ctrl-C, and no further prompt is sent.
    """

    def __init__(
        self,
        url: str,
        prompts: Sequence[Prompt],
        *,
        model: str = "auto",
        concurrency: int = 4,
        key: str | None = None,
        timeout_s: float = 180.0,
    ) -> None:
        self._url, self._model, self._key, self._timeout_s = url, model, key, timeout_s
        self._todo: queue.SimpleQueue[Prompt] = queue.SimpleQueue()
        for prompt in prompts:
            self._todo.put(prompt)
        self._count = len(prompts)
        self._callers = max(1, min(concurrency, len(prompts)))
        self._done: queue.SimpleQueue[Reply | SetupError] = queue.SimpleQueue()
        self._stop = threading.Event()

    def __iter__(self) -> Iterator[Reply]:
        for number in range(self._callers):
            threading.Thread(target=self._call, name=f"replay-{number}", daemon=True).start()
        try:
            for _ in range(self._count):
                yield self._next()
        finally:
            self._stop.set()

    def _next(self) -> Reply:
        while True:
            try:
                reply = self._done.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if isinstance(reply, SetupError):
                raise reply
            return reply

    def _call(self) -> None:
        """One caller: its own connection, prompts until there are none or somebody stops it."""
        try:
            chat = Chat(self._url, self._key, self._timeout_s)
        except SetupError as error:
            self._done.put(error)
            return
        while not self._stop.is_set():
            try:
                prompt = self._todo.get_nowait()
            except queue.Empty:
                break
            try:
                answer = chat.ask({"model": self._model, "messages": prompt.messages})
            except SetupError as error:  # nobody listens: the rest would fail alike
                self._done.put(error)
                break
            except Exception as error:  # noqa: BLE001 - a caller that died silently would leave the replay waiting
                chat.close()
                chat = Chat(self._url, self._key, self._timeout_s)
                self._done.put(Reply(id=prompt.id, status=0, latency_us=0, error=type(error).__name__))
                continue
            self._done.put(make_reply(prompt.id, prompt.target, answer))
        chat.close()
