"""What committing early does to the time to first token, and to quality.

    python bench/commit.py [--runs 1] [--at-once 8] [--embedded [--prompts 40]]

A real gateway (uvicorn, HTTP, real sockets) before two upstreams. The small one streams what the embedded 135M model
really wrote to the generated prompts when it was recorded, token by token with the log-probabilities of then, at the
pace of the stated law of a small model on a GPU of one's own; the large one streams the correct answer at the stated
law of a hosted frontier model (evals/data/latency_laws.yaml, without their spread). With --embedded the small one is
the embedded model itself, running beside all this. Probe and threshold are fitted on one half of the prompts (2% of
all answers served wrongly), everything here is of the other half. Every request asks for a stream; prompts that ask
for JSON by a schema are never committed.

First, the mechanism alone: 64 made answers of the small model, 30 to 300 tokens long, all good enough to be served,
half of them sure of their first tokens (.97) and half not (.80).

Time to first token: until the first event with words reaches the client. Quality: mean score of what the client got;
the large model's answers score 1 by construction. Prints a table, writes bench/out/commit.json.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import harness
import msgspec
import numpy as np

from smallfirst.classify.shipped import shipped_weights
from smallfirst.cli.build import App
from smallfirst.cli.running import running
from smallfirst.cli.settings import Settings
from smallfirst.evals.demo import fit_fold
from smallfirst.evals.demo_upstream import SLM, Said, from_gold, from_recording
from smallfirst.evals.latency import Law, shipped_laws
from smallfirst.evals.prompts import samples
from smallfirst.evals.prompts_sample import Sample, body, make, part
from smallfirst.evals.record import shipped
from smallfirst.evals.scorers import score
from smallfirst.models.http import HttpClient, Target
from smallfirst.models.loopback import Request, ScriptedUpstream, Wire, sse
from smallfirst.models.settings import CostSettings, ModelSettings, ProviderSettings
from smallfirst.policy.settings import CommitSettings, PolicySettings

BEST = "gpt-4o"
WAYS: dict[str, CommitSettings | None] = {
    "hold (default)": None,
    "1 token, .50": CommitSettings(tokens=1, above=0.5),
    "1 token, .70": CommitSettings(tokens=1, above=0.7),
    "4 tokens, .50": CommitSettings(tokens=4, above=0.5),
    "8 tokens, .50": CommitSettings(tokens=8, above=0.5),
    "8 tokens, .70": CommitSettings(tokens=8, above=0.7),
}
MADE_WAYS: dict[str, CommitSettings | None] = {
    "hold (default)": None,
    "8 tokens, .90": CommitSettings(tokens=8, above=0.9),
}
EMBEDDED_WAYS = ("hold (default)", "1 token, .50", "8 tokens, .50")


class Got(NamedTuple):
    """What one client saw."""

    first_s: float
    whole_s: float
    value: float
    reason: str
    model: str
    cost_usd: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--embedded", action="store_true", help="the embedded model itself, one request at a time")
    parser.add_argument("--prompts", type=int, default=0, help="only so many; 0: all of the half")
    chosen = parser.parse_args()
    recording = shipped()
    asked = samples(recording.run.seed, recording.run.n)
    fold = fit_fold("fit", asked, recording.answers, shipped_weights(), 0.02)
    report = [one for one in asked if part(one) == "report"]
    report = report[:: max(1, len(report) // chosen.prompts)] if chosen.prompts else report
    said = {SLM: {one.input: from_recording(recording.answers[one.id]) for one in asked}}
    laws = shipped_laws().tiers
    said[BEST] = {one.input: from_gold(one, _pace()) for one in asked}
    rows = (
        []
        if chosen.embedded
        else [made(name, commit, chosen.at_once, fold.probes) for name, commit in MADE_WAYS.items()]
    )
    for name, commit in WAYS.items():
        if chosen.embedded and name not in EMBEDDED_WAYS:
            continue
        policy = PolicySettings(accept={"slm": fold.accept}, try_above=fold.try_above, commit=commit)
        with contextlib.ExitStack() as stack:
            urls = {m: stack.enter_context(ScriptedUpstream(_script(said[m], laws[t]))).url
                    for m, t in ((SLM, "slm"), (BEST, "frontier"))}  # fmt: skip
            app = _app(policy, urls, stack.enter_context(tempfile.TemporaryDirectory()), chosen.embedded, fold.probes)
            url = stack.enter_context(running(app))
            at_once = 1 if chosen.embedded else chosen.at_once
            found = [one for _ in range(chosen.runs) for one in asyncio.run(drive(url, report, at_once))]
        rows.append(_row(name, found))
        print(_line(rows[-1]), flush=True)
    kind = "commit_embedded" if chosen.embedded else "commit"
    path = harness.record(kind, seed=recording.run.seed, prompts=len(report), accept=fold.accept, rows=rows)
    print(f"written to {path}")


def made(name: str, commit: CommitSettings | None, at_once: int, probes: Any) -> dict[str, Any]:
    """The mechanism alone: answers of many lengths, half of them sure."""
    asked = [make("faq", "made", 1, f"Tell me about number {n}.", "word0", "includes") for n in range(64)]
    said = {one.input: _made(n) for n, one in enumerate(asked)}
    laws = shipped_laws().tiers
    policy = PolicySettings(accept={"slm": 0.05}, try_above=0.0, commit=commit)
    with contextlib.ExitStack() as stack:
        small = stack.enter_context(ScriptedUpstream(_script(said, laws["slm"])))
        app = _app(
            policy, {SLM: small.url, BEST: small.url}, stack.enter_context(tempfile.TemporaryDirectory()), False, probes
        )
        found = asyncio.run(drive(stack.enter_context(running(app)), asked, at_once))
    row = _row(f"made: {name}", found)
    print(_line(row), flush=True)
    return row


def _made(n: int) -> Said:
    size = 30 + 270 * n // 63
    tokens = tuple(f" word{at * (n + 3) % 997}" for at in range(size))
    return Said("".join(tokens), "stop", 40, size, 0.0, tokens, (float(np.log(0.97 if n % 2 else 0.8)),) * size)


def _pace() -> Any:
    from smallfirst.evals.demo_upstream import PACES  # noqa: PLC0415 - only its length is used: the law sets the pace

    return PACES[BEST]


def _script(said: dict[str, Said], law: Law) -> Any:
    """Streams what was recorded, at the law's pace."""

    def answer(request: Request) -> Wire:
        fields = request.fields
        one = said[fields["messages"][-1]["content"]]
        first_s = (law.first_ms + law.input_token_ms * one.input_tokens) / 1000
        blocks = list(_events(fields["model"], one, asked=bool(fields.get("logprobs"))))
        if fields.get("stream"):
            return sse(blocks, delay_s=first_s, gap_s=law.token_ms / 1000)
        choice = {"index": 0, "message": {"role": "assistant", "content": one.text}, "finish_reason": one.finish}
        if fields.get("logprobs") and one.logprobs:
            choice["logprobs"] = {"content": [{"token": "x", "logprob": p} for p in one.logprobs]}
        whole = msgspec.json.encode({"choices": [choice], "usage": _usage(one)})
        return Wire(steps=(first_s + law.token_ms / 1000 * (one.output_tokens - 1), whole))

    return answer


def _events(model: str, one: Said, *, asked: bool) -> Any:
    tokens = one.tokens if "".join(one.tokens) == one.text else _pieces(one.text)
    for at, token in enumerate(tokens):
        choice: dict[str, Any] = {"index": 0, "delta": {"content": token}, "finish_reason": None}
        if asked and at < len(one.logprobs):
            choice["logprobs"] = {"content": [{"token": token, "logprob": one.logprobs[at]}]}
        yield (
            b"data: "
            + msgspec.json.encode({"object": "chat.completion.chunk", "model": model, "choices": [choice]})
            + b"\n\n"
        )
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": one.finish}], "usage": _usage(one)}
    yield b"data: " + msgspec.json.encode(end) + b"\n\n" + b"data: [DONE]\n\n"


def _pieces(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def _usage(one: Said) -> dict[str, int]:
    return {"prompt_tokens": one.input_tokens, "completion_tokens": one.output_tokens}


def _app(policy: PolicySettings, urls: dict[str, str], folder: str, embedded: bool, probes: Any) -> App:
    small = ProviderSettings(runtime="embedded", location="device") if embedded else ProviderSettings(url=urls[SLM])
    weights = {"weights": SLM} if embedded else {}
    settings = Settings(
        providers={"small": small, "large": ProviderSettings(url=urls[BEST])},
        models={
            SLM: ModelSettings(provider="small", cost=CostSettings(input_per_m=0.0, output_per_m=0.0), **weights),
            BEST: ModelSettings(provider="large", cost=CostSettings(input_per_m=2.5, output_per_m=10.0)),
        },
        tiers=({"slm": (SLM,)}, {"frontier": (BEST,)}),
        policies={"auto": policy},
    )
    environ = {"HOME": os.environ.get("HOME", folder)} if embedded else {"HOME": folder}
    return App(settings, environ, ledger_path=Path(folder) / "ledger.db", probes={SLM: probes[SLM], BEST: None})


async def drive(url: str, asked: list[Sample], at_once: int) -> list[Got]:
    client = HttpClient()
    target = client.target(f"{url}/chat/completions", None)
    queue, found = iter(asked), []

    async def worker() -> None:
        for sample in queue:
            found.append(await one(client, target, sample))

    await one(client, target, asked[0])  # connections, and an embedded model that is still loading
    await asyncio.gather(*[worker() for _ in range(at_once)])
    await client.close()
    return found


async def one(client: HttpClient, target: Target, sample: Sample) -> Got:
    began = time.perf_counter()
    answer = await client.open(target, json.dumps({**body(sample, "auto"), "stream": True}).encode(), 120)
    first, rest, text, decision = 0.0, b"", "", {}
    while data := await answer.read():
        *blocks, rest = (rest + data).split(b"\n\n")
        for block in blocks:
            if not block.startswith(b"data: {"):
                continue
            event = json.loads(block[6:])
            decision = event.get("smallfirst", decision)
            for choice in event.get("choices", ()):
                words = choice["delta"].get("content") or ""
                first = first or (time.perf_counter() - began if words else 0.0)
                text += words
    whole = time.perf_counter() - began
    return Got(
        first or whole, whole, score(sample, text).value, decision["reason"], decision["model"], decision["cost_usd"]
    )


def _row(name: str, found: list[Got]) -> dict[str, Any]:
    first = np.array([one.first_s for one in found])
    committed = [one for one in found if one.reason == "committed"]
    checked = [one for one in found if one.reason == "accepted"]
    return {
        "way": name, "n": len(found),
        "ttft_p50_ms": float(np.percentile(first, 50) * 1000), "ttft_p95_ms": float(np.percentile(first, 95) * 1000),
        "ttft_mean_ms": float(first.mean() * 1000),
        "whole_mean_ms": float(np.mean([one.whole_s for one in found]) * 1000),
        "small": sum(one.model == SLM for one in found) / len(found),
        "committed": len(committed) / len(found),
        "committed_right": float(np.mean([one.value for one in committed])) if committed else None,
        "accepted": len(checked) / len(found),
        "accepted_right": float(np.mean([one.value for one in checked])) if checked else None,
        "committed_ttft_p50_ms": float(np.median([one.first_s for one in committed]) * 1000) if committed else None,
        "accepted_ttft_p50_ms": float(np.median([one.first_s for one in checked]) * 1000) if checked else None,
        "quality": float(np.mean([one.value for one in found])), "cost_usd": sum(one.cost_usd for one in found),
    }  # fmt: skip


def _line(row: dict[str, Any]) -> str:
    def shown(name: str, how: str) -> str:
        return "-" if row[name] is None else format(row[name], how)

    committed = f"{row['committed']:.2f} (right {shown('committed_right', '.2f')}, "
    committed += f"p50 {shown('committed_ttft_p50_ms', '.0f')} ms)"
    checked = f"{row['accepted']:.2f} (right {shown('accepted_right', '.2f')}, "
    checked += f"p50 {shown('accepted_ttft_p50_ms', '.0f')} ms)"
    times = f"TTFT p50 {row['ttft_p50_ms']:5.0f} p95 {row['ttft_p95_ms']:5.0f} ms"
    return f"{row['way']:22} {times}; committed {committed}, checked {checked}; quality {row['quality']:.3f}"


if __name__ == "__main__":
    main()
