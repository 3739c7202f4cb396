"""What a second call does to the tail, with one slow replica of two.

    python bench/hedging.py [--requests 2000] [--at-once 8] [--seed 1]

A real gateway before one model with two replicas on loopback. Each answers after about 50 ms (lognormal, spread .2).
One of them is slow in one of three ways: `rare`, it hangs for a second in one call of twenty (a pause, a batch that
is full); `often`, in one of ten; `always`, every call takes it 300 ms. Without hedging; with it after the p95 and 5%
second calls at most (the default of `resilience.hedge`); and with 60% at most. Whole answers. Prints a table, writes
bench/out/hedging.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np

from smallfirst.cli.build import App
from smallfirst.cli.running import running
from smallfirst.cli.settings import Settings
from smallfirst.core import Usage
from smallfirst.engine.gates import ReplicaHedgeSettings, ResilienceSettings
from smallfirst.models.http import HttpClient
from smallfirst.models.loopback import ScriptedUpstream
from smallfirst.models.scripted import Reply
from smallfirst.models.settings import CostSettings, ModelSettings, ProviderSettings, ReplicaSettings

WAYS = {"none": None, "p95, 5%": ReplicaHedgeSettings(), "p95, 60%": ReplicaHedgeSettings(most=0.6)}
KINDS = ("both well", "rare", "often", "always")
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Say hello."}]}).encode()
FREE = CostSettings(input_per_m=1, output_per_m=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    rows = []
    for kind in KINDS:
        for way, hedge in WAYS.items():
            rows.append(measure(kind, way, hedge, chosen))
            row = rows[-1]
            print(
                f"{kind:10} {way:9} p50 {row['p50_ms']:5.0f}  p95 {row['p95_ms']:5.0f}  p99 {row['p99_ms']:5.0f} ms, "
                f"second calls {row['second']:.3f}, calls at the slow one {row['at_slow']:.2f}, errors {row['errors']}",
                flush=True,
            )
    print(f"written to {harness.record('hedging', seed=chosen.seed, requests=chosen.requests, rows=rows)}")


class Pace:
    """The script of one replica: how long it takes."""

    def __init__(self, seed: int, kind: str) -> None:
        self._rng, self._kind, self._lock = random.Random(seed), kind, threading.Lock()

    def __call__(self, _: object) -> Reply:
        with self._lock:
            usual, draw = self._rng.lognormvariate(np.log(0.05), 0.2), self._rng.random()
        slow = {"rare": usual + (draw < 0.05), "often": usual + (draw < 0.1), "always": usual + 0.25}
        return Reply(text="Hello.", usage=Usage(10, 2), delay_s=slow.get(self._kind, usual))


def measure(kind: str, way: str, hedge: ReplicaHedgeSettings | None, chosen: argparse.Namespace) -> dict[str, Any]:
    slow, well = Pace(chosen.seed, kind), Pace(chosen.seed + 1, "well")
    with ScriptedUpstream(slow) as a, ScriptedUpstream(well) as b, tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            providers={"a": ProviderSettings(url=a.url), "b": ProviderSettings(url=b.url)},
            models={"m": ModelSettings(replicas=tuple(ReplicaSettings(provider=one) for one in "ab"), cost=FREE)},
            tiers=({"slm": ("m",)},),
            resilience=ResilienceSettings(hedge=hedge),
        )  # fmt: skip
        app = App(settings, {"HOME": folder}, ledger_path=Path(folder) / "ledger.db", probes={})
        with running(app) as url:
            waits, errors = asyncio.run(drive(url, chosen.requests, chosen.at_once))
        calls = len(a.requests) + len(b.requests)
        at = {q: float(np.percentile(waits, q) * 1000) for q in (50, 95, 99)}
        return {
            "kind": kind, "way": way, "p50_ms": at[50], "p95_ms": at[95], "p99_ms": at[99], "errors": errors,
            "second": calls / chosen.requests - 1, "at_slow": len(a.requests) / calls,
        }  # fmt: skip


async def drive(url: str, requests: int, at_once: int) -> tuple[list[float], int]:
    client, waits, errors = HttpClient(), [], 0
    target = client.target(f"{url}/chat/completions", None)
    numbers = iter(range(requests))

    async def worker() -> None:
        nonlocal errors
        for _ in numbers:
            began = time.perf_counter()
            answer = await client.post(target, BODY, 30)
            waits.append(time.perf_counter() - began)
            errors += answer.status != 200

    await asyncio.gather(*[worker() for _ in range(at_once)])
    await client.close()
    return waits, errors


if __name__ == "__main__":
    main()
