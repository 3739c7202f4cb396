"""Which quantisation and how many threads are best for the embedded model on this machine.

    python bench/embedded.py [--repeats 5] [--threads 1 2] [--kinds Q4_1 Q4_0 Q8_0] [--source FILE.gguf]

For each: time to the first token of a prompt of about 96 tokens that was never seen before, prompt tokens a second,
output tokens a second (64 of them, one caller), memory, and what requantising did to the model: how often the first
token of the answer to 16 short questions is the one that the unchanged Q4_1 file gives, and how far its log-probability
moved. Prints a table; writes bench/out/embedded.json.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
from rich.console import Console
from rich.table import Table

from smallfirst.models.embedded import EmbeddedRuntime, default_threads
from smallfirst.models.weights import packaged

SEED = 1
WORDS = ("river", "window", "paper", "engine", "garden", "silver", "market", "letter", "bridge", "winter", "copper")
ASK = "Here is a list of words: {words}. Which of them is the name of a metal? Answer with that word only."

QUESTIONS = (
    "What is the capital of Italy?",
    "Name a colour of the rainbow.",
    "Is water wet? Answer yes or no.",
    "Translate 'good morning' to French.",
    "What is 7 times 8?",
    "Who wrote Hamlet?",
    "Give a synonym for happy.",
    "Text: Our shop opens at 9 and closes at 17. Question: When does the shop close?",
    "Classify the sentiment: I hate waiting in line. Answer positive or negative.",
    "Write a haiku about rain.",
    "List three fruits.",
    "What is the boiling point of water in Celsius?",
    "Extract the email: contact bob@example.com for help.",
    "What day comes after Tuesday?",
    "Finish: roses are red,",
    "Explain gravity in a sentence.",
)


def prompt(rng: random.Random, words: int = 36) -> str:
    """About 96 tokens with the chat template, different every time, so that no cached prefix helps."""
    return ASK.format(words=", ".join(rng.choice(WORDS) for _ in range(words)))


def post(runtime: EmbeddedRuntime, body: dict[str, object]) -> http.client.HTTPResponse:
    host, port = runtime.url.removeprefix("http://").removesuffix("/v1").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=300)
    headers = {"authorization": f"Bearer {runtime.key}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body | {"temperature": 0}), headers)
    return connection.getresponse()


def timed(runtime: EmbeddedRuntime, text: str, tokens: int) -> dict[str, float]:
    """One streamed request: seconds to the first token, and the server's own counts."""
    messages = [{"role": "user", "content": text}]
    start, first, timings = time.perf_counter(), 0.0, {}
    with post(runtime, {"messages": messages, "max_tokens": tokens, "stream": True, "ignore_eos": True}) as answer:
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if not first and event["choices"] and event["choices"][0]["delta"].get("content"):
                first = time.perf_counter() - start
            timings = event.get("timings", timings)
    return {"first_s": first} | timings


def first_token(runtime: EmbeddedRuntime, text: str) -> tuple[str, float]:
    messages = [{"role": "user", "content": text}]
    with post(runtime, {"messages": messages, "max_tokens": 1, "logprobs": True, "top_logprobs": 1}) as answer:
        token = json.load(answer)["choices"][0]["logprobs"]["content"][0]
    return token["token"], token["logprob"]


def memory_mb(pid: int | None) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    return int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024


async def measure(weights: Path, threads: int, repeats: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        runtime = EmbeddedRuntime(weights, name="bench", log=log, environ=os.environ, threads=threads)
        try:
            start = time.perf_counter()
            await runtime.start()
            await runtime.ready()
            ready = time.perf_counter() - start
            rng = random.Random(SEED)
            rows = [await asyncio.to_thread(timed, runtime, prompt(rng), 64) for _ in range(repeats + 1)][1:]
            words = [await asyncio.to_thread(first_token, runtime, question) for question in QUESTIONS]
            return {
                "ready_s": round(ready, 2),
                "prompt_tokens": statistics.median(r["prompt_n"] for r in rows),
                "first_ms": round(1000 * statistics.median(r["first_s"] for r in rows)),
                "prompt_per_s": round(statistics.median(r["prompt_per_second"] for r in rows)),
                "output_per_s": round(statistics.median(r["predicted_per_second"] for r in rows), 1),
                "rss_mb": round(memory_mb(runtime.pid)),
                "words": words,
            }
        finally:
            await runtime.stop()


def files(kinds: list[str], folder: Path, source: Path | None) -> dict[str, Path]:
    source = source or packaged(folder, folder)
    made = {}
    for kind in dict.fromkeys(["Q4_1", *kinds]):
        made[kind] = source
        if kind != "Q4_1":
            made[kind] = folder / f"{kind}.gguf"
            command = [sys.executable, "-m", "smallfirst.models.requantise", str(source), str(made[kind]), kind]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return made


def main() -> None:
    cores = default_threads() + 1
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, max(1, cores - 1), cores}))
    parser.add_argument("--kinds", nargs="+", default=["Q4_1", "Q4_0", "Q8_0"])
    parser.add_argument("--source", type=Path, help="the Q4_1 file, where it has been fetched already")
    options = parser.parse_args()
    rows, reference = [], None
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in files(options.kinds, Path(folder), options.source).items():
            for threads in options.threads:
                row = asyncio.run(measure(path, threads, options.repeats))
                words = row.pop("words")
                reference = reference or words
                rows.append({"kind": kind, "threads": threads, "mb": round(path.stat().st_size / 1e6), **row})
                rows[-1] |= compare(reference, words)
                print(rows[-1], file=sys.stderr)
    show(rows)
    harness.record("embedded", seed=SEED, rows=rows)


def compare(reference: list[tuple[str, float]], words: list[tuple[str, float]]) -> dict[str, object]:
    pairs = list(zip(reference, words, strict=True))
    moved = [abs(before - after) for (was, before), (now, after) in pairs if was == now]
    return {
        "same": f"{sum(was == now for (was, _), (now, _) in pairs)}/{len(pairs)}",
        "moved": round(statistics.mean(moved), 3),
    }


def show(rows: list[dict[str, object]]) -> None:
    table = Table(title="Embedded model: SmolLM2-135M-Instruct, one caller")
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
