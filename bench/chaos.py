"""Requests through a gateway whose upstreams fail at random: each must be answered once, and have one entry.

    python bench/chaos.py [--requests 100000] [--at-once 64] [--seed 1] [--hedge]

Two upstreams on loopback behind one model, and one behind a second tier. Of their answers a fifth is a fault: an error
status (some with retry-after), a connection cut in the midst, bytes that are no HTTP, a broken stream. A third of the
requests are streams; one in fifty is given up by its client in the midst. Each carries its own number and the upstream
repeats it, so that an answer to somebody else's question would show. A request whose client left before the gateway had
read it has no entry; then no upstream may have seen its number.

Prints what was seen, writes bench/out/chaos.json; exit status 1 if a request was answered twice, got another's answer,
or is without its entry.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import harness

from smallfirst.cli.build import App
from smallfirst.cli.running import running
from smallfirst.cli.settings import Settings
from smallfirst.core import Usage
from smallfirst.engine.gates import ReplicaHedgeSettings, ResilienceSettings
from smallfirst.models.http import HttpClient, HttpFault
from smallfirst.models.loopback import ScriptedUpstream, Wire, fault
from smallfirst.models.scripted import Reply
from smallfirst.models.settings import CostSettings, ModelSettings, ProviderSettings, ReplicaSettings, RouterSettings

FREE = CostSettings(input_per_m=1, output_per_m=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hedge", action="store_true")
    chosen = parser.parse_args()
    moods = Moods(chosen.seed)
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        urls = [stack.enter_context(ScriptedUpstream(moods)).url for _ in range(3)]
        app = App(settings(urls, hedge=chosen.hedge), {"HOME": name}, ledger_path=folder / "ledger.db", probes={})
        began = time.perf_counter()
        with running(app) as url:
            seen = asyncio.run(drive(url, chosen.requests, chosen.at_once, chosen.seed))
        took = time.perf_counter() - began
        with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as ledger:
            entries = ledger.execute("SELECT count(*), count(DISTINCT id) FROM request").fetchone()
            numbers = {int(n) for (n,) in ledger.execute("SELECT session_id FROM request").fetchall()}
            statuses = dict(ledger.execute("SELECT status, count(*) FROM request GROUP BY status").fetchall())
            attempts = dict(ledger.execute("SELECT status, count(*) FROM attempt GROUP BY status").fetchall())
    missing = set(range(chosen.requests)) - numbers
    unread, lost = missing & seen.left - moods.numbers, missing - (seen.left - moods.numbers)
    bad = seen.counts["wrong"] + len(lost) + (entries[0] - entries[1]) + (entries[0] - len(numbers))
    print(f"{chosen.requests:,} requests in {took:.0f} s; faults injected: {sum(moods.drawn.values()):,}")
    for title, found in (
        ("clients saw", seen.counts),
        ("injected", moods.drawn),
        ("entries", statuses),
        ("calls", attempts),
    ):
        print(f"{title}: " + ", ".join(f"{word} {count:,}" for word, count in sorted(found.items(), key=str)))
    print(f"entries {entries[0]:,}, of them different {entries[1]:,}; given up before they were read {len(unread)}")
    if app.engine.hedger is not None:
        print(f"made again at the other replica: {app.engine.hedger.hedges:,}")
    print(f"answered with another's answer {seen.counts['wrong']}, without an entry {len(lost)}; wrong in all: {bad}")
    path = harness.record(
        "chaos", seed_of_faults=chosen.seed, requests=chosen.requests, seconds=took, seen=dict(seen.counts),
        unread=len(unread), injected=dict(moods.drawn), entries=entries, statuses=statuses, calls=attempts, wrong=bad,
    )  # fmt: skip
    print(f"written to {path}")
    sys.exit(1 if bad else 0)


def settings(urls: list[str], *, hedge: bool) -> Settings:
    return Settings(
        providers={f"p{n}": ProviderSettings(url=url) for n, url in enumerate(urls)},
        models={
            "small": ModelSettings(
                replicas=(ReplicaSettings(provider="p0", max_parallel=40), ReplicaSettings(provider="p1", weight=2)),
                cost=FREE, timeout_s=2,
            ),
            "large": ModelSettings(provider="p2", cost=FREE, timeout_s=2),
        },
        tiers=({"slm": ("small",)}, {"frontier": ("large",)}),
        router=RouterSettings(unprobed="trust", prior=0.95),
        resilience=ResilienceSettings(
            rest_s=0.05, longest_rest_s=0.2, hedge=ReplicaHedgeSettings(most=0.2) if hedge else None
        ),
    )  # fmt: skip


class Moods:
    """The upstreams' script: says the request's own text, or does something worse."""

    def __init__(self, seed: int) -> None:
        self._rng, self._lock, self.drawn = random.Random(seed), threading.Lock(), Counter[str]()
        self.numbers: set[int] = set()  # of the requests that an upstream has seen

    def __call__(self, request: object) -> Wire | Reply:
        fields = request.fields  # type: ignore[attr-defined]
        with self._lock:
            draw, kind = self._rng.random(), self._rng.choice(("status", "status", "patience", "cut", "bytes", "break"))
            if draw < 0.2:
                self.drawn[kind] += 1
        text = fields["messages"][-1]["content"]
        self.numbers.add(int(text.split()[-1].rstrip(".")))
        if draw >= 0.2 or (kind == "break" and not fields.get("stream")):
            return Reply(text=text, usage=Usage(5, 3))
        if kind == "status":
            return fault(500 if draw < 0.1 else 529)
        if kind == "patience":
            return fault(429, retry_after="0.05")
        if kind == "cut":
            return Wire(steps=(b'{"choices": [', "cut"))
        if kind == "bytes":
            return Wire(steps=(b"\x00 this is no HTTP\r\n\r\n",), framing="raw")
        return Reply(text=text, cut_after=2)


class Seen:
    """What clients saw, and the numbers of those that left."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.left: set[int] = set()


async def drive(url: str, requests: int, at_once: int, seed: int) -> Seen:
    """Send them all; what each client saw."""
    client, seen, rng = HttpClient(), Seen(), random.Random(seed + 1)
    target = client.target(f"{url}/chat/completions", None)
    numbers = iter(range(requests))

    async def worker() -> None:
        for n in numbers:
            stream, leaves = rng.random() < 0.33, rng.random() < 0.02
            seen.counts[await one(client, target, n, stream=stream, leaves=leaves)] += 1
            if leaves:
                seen.left.add(n)
            if n % 10_000 == 9_999:
                print(f"  {n + 1:,}", flush=True)

    await asyncio.gather(*[worker() for _ in range(at_once)])
    await client.close()
    return seen


async def one(client: HttpClient, target: object, n: int, *, stream: bool, leaves: bool) -> str:
    text = f"say number {n}."
    messages = [{"role": "user", "content": text}]
    fields = {"model": "auto", "stream": stream, "messages": messages, "smallfirst": {"session": str(n)}}
    body = json.dumps(fields).encode()
    try:
        if leaves:
            async with asyncio.timeout(0.001):
                await client.post(target, body, 30)  # type: ignore[arg-type]
        elif stream:
            return judged_stream(await read(client, target, body), text)
        else:
            answer = await client.post(target, body, 30)  # type: ignore[arg-type]
            return judged(answer.status, answer.body, text)
    except (TimeoutError, HttpFault):
        return "left" if leaves else "no answer"
    return "left"


async def read(client: HttpClient, target: object, body: bytes) -> bytes:
    answer = await client.open(target, body, 30)  # type: ignore[arg-type]
    return await answer.read_all()


def judged(status: int, body: bytes, text: str) -> str:
    if status != 200:
        return f"error {status}"
    return "answered" if json.loads(body)["choices"][0]["message"]["content"] == text else "wrong"


def judged_stream(data: bytes, text: str) -> str:
    events = [json.loads(line[5:]) for line in data.split(b"\n") if line.startswith(b"data:") and b"[DONE]" not in line]
    if not events:  # an error status: JSON, not events
        return "error before the stream"
    said = "".join((c["delta"].get("content") or "") for e in events for c in e.get("choices", ()))
    if any("error" in event for event in events):
        return "stream broke off" if text.startswith(said) else "wrong"
    return "answered" if said == text else "wrong"


if __name__ == "__main__":
    main()
