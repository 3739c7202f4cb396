"""Records what a model really answers to the samples, once, so that the demo and the tests can show it anywhere.

`python -m smallfirst.evals.record` runs the embedded model, or asks the endpoint given by --url. The result is one
JSON Lines file: a first line about the run (digests of weights and prompts), then one answer a line. Knows the file's
form. Does not score: whoever reads the file does.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.resources
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.progress import track

from smallfirst.config.paths import cache_dir
from smallfirst.errors import DataError, SetupError
from smallfirst.evals.chat import Chat
from smallfirst.evals.prompts import DEFAULT_N, samples
from smallfirst.evals.prompts_sample import Sample, body, digest
from smallfirst.models.embedded import EmbeddedRuntime
from smallfirst.models.weights import QUANTISATION, obtain

MODEL = "smollm2-135m"
FILE = "embedded_answers.jsonl"
err = Console(stderr=True, highlight=False, emoji=False)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The file's first line: what the answers below are answers of."""

    model: str
    weights_sha256: str
    quantisation: str
    samples_sha256: str
    seed: int
    n: int
    temperature: float = 0.0
    threads: int | None = None


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `logprobs` (natural) stand beside `tokens`, in order; latency is of the recording machine."""

    id: str
    text: str
    finish: str
    input_tokens: int
    output_tokens: int
    latency_us: int
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()


class Endpoint(NamedTuple):
    """Who is asked, and the weights behind it."""

    chat: Chat
    weights: Path
    quantisation: str


class Recording(msgspec.Struct, frozen=True):
    """A whole file: the run, and its answers by sample id."""

    run: Run
    answers: Mapping[str, Recorded]


def read(data: bytes, name: str = FILE) -> Recording:
    """Parse a recording. Raises DataError with the line that can't be read."""
    lines = data.splitlines()
    try:
        run = msgspec.json.decode(lines[0], type=Run)
    except (IndexError, msgspec.DecodeError) as error:
        raise DataError(f"{name}:1: not a recording: {error}") from error
    answers = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            answer = msgspec.json.decode(line, type=Recorded)
        except msgspec.DecodeError as error:
            raise DataError(f"{name}:{number}: {error}") from error
        answers[answer.id] = answer
    return Recording(run, answers)


def shipped() -> Recording:
    """The recording that comes with smallfirst."""
    file = importlib.resources.files("smallfirst.evals") / "data" / FILE
    return read(file.read_bytes())


def recorded(sample: Sample, reply: bytes, latency_us: int) -> Recorded:
    """One line of the file, from the chat completion that came back. Raises DataError where it is not one."""
    try:
        answer = json.loads(reply)
        choice, usage = answer["choices"][0], answer["usage"]
        tokens = (choice.get("logprobs") or {}).get("content") or ()
        return Recorded(
            id=sample.id,
            text=choice["message"]["content"] or "",
            finish=choice["finish_reason"],
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            latency_us=latency_us,
            tokens=tuple(token["token"] for token in tokens),
            logprobs=tuple(round(float(token["logprob"]), 4) for token in tokens),
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"sample {sample.id}: not a chat completion: {error!r}") from error


def record(chat: Chat, model: str, chosen: Sequence[Sample]) -> Iterator[Recorded]:
    """Ask `chosen` one after the other, with log-probabilities. Raises DataError on an HTTP error."""
    for sample in chosen:
        request: dict[str, Any] = body(sample, model) | {"logprobs": True}
        # each prompt on its own: the cache would keep a neighbour's prefix, and sums of floats would differ by order
        request["cache_prompt"] = False
        reply = chat.ask(request)
        if reply.status != 200:
            raise DataError(f"sample {sample.id}: HTTP {reply.status}")
        yield recorded(sample, reply.body, reply.latency_us)


@contextmanager
def _endpoint(options: argparse.Namespace) -> Iterator[Endpoint]:
    """The endpoint of --url, or the embedded runtime started for this run, with the weights file behind it."""
    if options.url:
        if options.weights is None:
            raise SetupError("--url needs --weights: the file that it serves, for the digest")
        key = os.environ.get(options.key_env) if options.key_env else None
        with closing(Chat(options.url, key)) as chat:
            yield Endpoint(chat, options.weights, options.quantisation)
        return
    cache = cache_dir(os.environ)
    weights = obtain(options.model, cache)
    log = cache / "logs" / "record.log"
    runtime = EmbeddedRuntime(weights, name=MODEL, log=log, environ=os.environ, threads=options.threads, slots=1)
    with asyncio.Runner() as runner:
        runner.run(_started(runtime))
        try:
            with closing(Chat(runtime.url, runtime.key)) as chat:
                yield Endpoint(chat, weights, QUANTISATION)
        finally:
            runner.run(runtime.stop())


async def _started(runtime: EmbeddedRuntime) -> None:
    await runtime.start()
    await runtime.ready()


def main(arguments: list[str] | None = None) -> int:
    """Record the samples' answers into a file."""
    parser = argparse.ArgumentParser(prog="python -m smallfirst.evals.record", description=main.__doc__)
    parser.add_argument("--url", help="base URL of an OpenAI-compatible endpoint; default: start the embedded model")
    parser.add_argument("--key-env", help="name of the environment variable with its key")
    parser.add_argument("--weights", type=Path, help="the weights file it serves, for the digest (with --url)")
    parser.add_argument("--quantisation", default="unknown", help="of those weights, for the record (with --url)")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=DEFAULT_N)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data" / FILE)
    options = parser.parse_args(arguments)
    chosen = samples(options.seed, options.n)
    lines: list[Run | Recorded] = []
    with _endpoint(options) as endpoint:
        run = Run(
            model=options.model,
            weights_sha256=_sha256(endpoint.weights),
            quantisation=endpoint.quantisation,
            samples_sha256=digest(chosen),
            seed=options.seed,
            n=options.n,
            threads=options.threads,
        )
        lines.append(run)
        steps = track(record(endpoint.chat, options.model, chosen), "recording", total=len(chosen), console=err)
        lines.extend(steps)
    partial = options.out.with_suffix(".partial")
    partial.write_bytes(msgspec.json.Encoder().encode_lines(lines))
    partial.replace(options.out)
    err.print(f"wrote {len(lines) - 1} answers to {options.out}")
    return 0


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
