"""Whether a gateway's memory and file descriptors stay flat, under mixed load for a long time or under many streams.

    python bench/soak.py [--minutes 30] [--rate 120] [--texts 0] [--seed 1]
    python bench/soak.py --streams 500 --seconds 60 [--rounds 3]

Mixed: `smallfirst serve` in a process of its own, before three upstreams that fail in a fifth of their answers (as in
bench/chaos.py). Chat completions, messages and responses; a third of them streams; half of them with a metered key; one
in thirty is given up by its client in the midst; sessions and a cache are on, with small bounds, so that they fill
before it is measured. Resident memory and descriptors of the gateway's process tree are read each second. After the
first half (at most fifteen minutes) a line is fitted through what is left (Theil and Sen), with an interval from a
block bootstrap, because neighbouring seconds are alike. Flat: the interval's upper end is below 3 MB an hour (half a
descriptor a minute). What was found in a message is remembered for 65,536 messages (privacy/inspector.py): at 120
different ones a second that takes ten minutes and some 8 MB to fill, so a run of less than half an hour says "grows"
unless `--texts 2000` lets it ask the same two thousand again and again. In a few minutes no slope can be told very
exactly; then it says "can't tell".

Streams: so many are held open for so long, each getting an event four times a second, in several rounds with all
closed in between. The first round makes room that is kept (stacks, buffers, the allocator's arenas). Flat: within the
last round memory rises by less than 2%, the last round's peak is at most 2% above the second's, no stream has an error,
and all descriptors are closed afterwards.

Prints a table, writes bench/out/soak.json (soak_streams.json); exit status 1 unless the verdict is flat.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import chaos
import harness

from smallfirst.models.http import HttpClient, HttpFault, Target
from smallfirst.models.loopback import ScriptedUpstream

CONFIG = """\
ledger: {{url: "sqlite:///{folder}/ledger.db"}}
providers: {{{providers}}}
models:
  small:
    replicas: [{{provider: p0, max_parallel: 600}}, {{provider: p1, weight: 2, max_parallel: 600}}]
    cost: {{input_per_m: 1, output_per_m: 1}}
    timeout_s: 5
  large: {{provider: p2, cost: {{input_per_m: 2, output_per_m: 2}}, timeout_s: 5}}
tiers: [{{slm: [small]}}, {{frontier: [large]}}]
router: {{unprobed: trust, prior: 0.95}}
resilience: {{rest_s: 0.05, longest_rest_s: 0.2}}
keys:
  required: false
  accept: [{{name: metered, key: "${{BENCH_CLIENT_KEY}}", team: all, usd_per_day: 1000000, rpm: 900000000}}]
teams: {{all: {{usd_per_month: 1000000, tpm: 900000000}}}}
sessions: {{ttl_s: 60, max_sessions: 500}}
cache: {{ttl_s: 60, max_entries: 500, max_mb: 1}}
"""
WARMING_S = 900.0
MOST_MB_AN_HOUR, MOST_FDS_A_MINUTE = 3.0, 0.5
BLOCK_S, DRAWS = 20, 400
ROUND_RISE = 0.02
GAP_S = 0.25


def rss_mb(pid: int) -> float:
    """Resident memory of a process and its descendants."""
    found = 0
    for one in harness.tree(pid):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
            found += next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return found / 1024


def descriptors(pid: int) -> int:
    found = 0
    for one in harness.tree(pid):
        with contextlib.suppress(OSError):
            found += len(list(Path(f"/proc/{one}/fd").iterdir()))
    return found


class Samples:
    """A process's memory and descriptors, each second, with what it was doing."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.rows: list[tuple[float, float, int]] = []

    async def take(self, every_s: float = 1.0) -> None:
        began = time.monotonic()
        while True:
            self.rows.append((time.monotonic() - began, rss_mb(self._pid), descriptors(self._pid)))
            await asyncio.sleep(every_s)


# --- a line and how sure it is


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Theil and Sen: the median slope of pairs; of long series every so many points, which tells as much."""
    step = max(1, len(times) // 300)
    points = list(zip(times, values, strict=True))[::step]
    found = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for at, earlier in enumerate(points)
        for later in points[at + 1 :]
    ]
    return statistics.median(found) if found else 0.0


def fitted(times: Sequence[float], values: Sequence[float], seed: int) -> dict[str, float]:
    """A slope a second with a 95% interval: residuals are drawn again in blocks."""
    line = slope(times, values)
    level = statistics.median(value - line * at for at, value in zip(times, values, strict=True))
    left = [value - level - line * at for at, value in zip(times, values, strict=True)]
    rng = random.Random(seed)
    drawn = []
    for _ in range(DRAWS):
        noise: list[float] = []
        while len(noise) < len(left):
            start = rng.randrange(max(1, len(left) - BLOCK_S))
            noise += left[start : start + BLOCK_S]
        again = [level + line * at + one for at, one in zip(times, noise, strict=False)]
        drawn.append(least_squares(times, again))
    drawn.sort()
    return {"value": line, "low": drawn[int(DRAWS * 0.025)], "high": drawn[int(DRAWS * 0.975)]}


def least_squares(times: Sequence[float], values: Sequence[float]) -> float:
    middle, level = statistics.fmean(times), statistics.fmean(values)
    over = sum((at - middle) * (value - level) for at, value in zip(times, values, strict=True))
    return over / sum((at - middle) ** 2 for at in times)


def verdict(line: dict[str, float], most: float) -> str:
    if line["high"] < most:
        return "flat"
    return "grows" if line["low"] > 0 else "can't tell"


def told(line: dict[str, float]) -> str:
    return f"{line['value']:+.3f} ({line['low']:+.3f} to {line['high']:+.3f})"


# --- mixed load


def request(n: int, rng: random.Random, texts: int) -> tuple[str, bytes, bool, bool]:
    """(path, body, whether it is a stream, whether its client leaves). One in ten repeats an earlier one."""
    stream, leaves = rng.random() < 0.33, rng.random() < 0.03
    again = rng.random() < 0.1
    text = f"say number {n % 1000 if again else n % texts if texts else n}."
    turn = [{"role": "user", "content": text}]
    common = {"model": "auto", "stream": stream, "smallfirst": {"session": str(n % 2000), "tags": [f"t{n % 7}"]}}
    way = n % 3
    if way == 0:
        body: dict[str, object] = {**common, "messages": turn, **({"temperature": 0} if again else {})}
        return "chat/completions", json.dumps(body).encode(), stream, leaves
    if way == 1:
        return "messages", json.dumps({**common, "messages": turn, "max_tokens": 50}).encode(), stream, leaves
    return "responses", json.dumps({**common, "input": turn}).encode(), stream, leaves


async def mixed(url: str, seconds: float, rate: float, seed: int, texts: int = 0) -> Counter[str]:
    """Send requests at `rate` a second for so long; what clients saw."""
    client, rng, seen = HttpClient(), random.Random(seed), Counter[str]()
    paths = ("chat/completions", "messages", "responses")
    targets = {(path, key): client.target(f"{url}/{path}", key) for path in paths for key in (None, harness.CLIENT_KEY)}
    running: set[asyncio.Task[None]] = set()
    began, n = time.monotonic(), 0
    said = began
    while (now := time.monotonic()) - began < seconds:
        while n < (now - began) * rate and len(running) < 256:
            path, body, stream, leaves = request(n, rng, texts)
            target = targets[path, harness.CLIENT_KEY if n % 2 else None]
            task = asyncio.create_task(one(client, target, body, seen, stream=stream, leaves=leaves))
            running.add(task)
            task.add_done_callback(running.discard)
            n += 1
        if now - said > 60:
            said = now
            print(f"  {(now - began) / 60:.0f} min, {n:,} requests", flush=True)
        await asyncio.sleep(0.01)
    await asyncio.gather(*running)
    await client.close()
    return seen


async def one(
    client: HttpClient, target: Target, body: bytes, seen: Counter[str], *, stream: bool, leaves: bool
) -> None:
    try:
        async with asyncio.timeout(0.003 if leaves else 30):
            if stream:
                answer = await client.open(target, body, 30)
                await answer.read_all()
                seen[f"stream {answer.status}"] += 1
            else:
                seen[f"answer {(await client.post(target, body, 30)).status}"] += 1
    except (TimeoutError, HttpFault):
        seen["left" if leaves else "no answer"] += 1


async def soak(url: str, pid: int, seconds: float, rate: float, seed: int, texts: int) -> tuple[Samples, Counter[str]]:
    samples = Samples(pid)
    taking = asyncio.create_task(samples.take())
    seen = await mixed(url, seconds, rate, seed, texts)
    taking.cancel()
    return samples, seen


def run_mixed(minutes: float, rate: float, seed: int, texts: int) -> int:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        moods = chaos.Moods(seed)
        urls = [stack.enter_context(ScriptedUpstream(Forgetful(moods))).url for _ in range(3)]
        child, _ = stack.enter_context(harness.gateway(config(urls, folder), folder))
        print(f"{minutes:g} minutes of {rate:g} requests a second")
        samples, seen = asyncio.run(soak(own_url(), child.pid, minutes * 60, rate, seed, texts))
        alive = child.poll() is None
    warm = min(WARMING_S, minutes * 30)
    rows = [row for row in samples.rows if row[0] >= warm]
    times = [row[0] for row in rows]
    memory = fitted(times, [row[1] for row in rows], seed)
    files = fitted(times, [float(row[2]) for row in rows], seed)
    an_hour = {name: value * 3600 for name, value in memory.items()}
    a_minute = {name: value * 60 for name, value in files.items()}
    verdicts = {"memory": verdict(an_hour, MOST_MB_AN_HOUR), "descriptors": verdict(a_minute, MOST_FDS_A_MINUTE)}
    peak, last = max(row[1] for row in samples.rows), statistics.median(row[1] for row in rows[-30:])
    print(f"clients saw: {', '.join(f'{word} {count:,}' for word, count in sorted(seen.items()))}")
    print(f"memory: {samples.rows[0][1]:.1f} MB at first, {rows[0][1]:.1f} after {warm:.0f} s, {last:.1f} at the end,")
    print(f"  peak {peak:.1f}; {told(an_hour)} MB an hour: {verdicts['memory']}")
    least, most = min(row[2] for row in rows), max(row[2] for row in rows)
    print(f"descriptors: {least} to {most}; {told(a_minute)} a minute: {verdicts['descriptors']}")
    if not alive:
        print("the gateway ended by itself")
    path = harness.record(
        "soak", seed=seed, minutes=minutes, rate=rate, texts=texts, seen=dict(seen), warm_s=warm,
        memory_mb_an_hour=an_hour,
        descriptors_a_minute=a_minute, verdicts=verdicts, alive=alive,
        samples=[(round(at), round(mb, 2), fds) for at, mb, fds in samples.rows[:: max(1, len(samples.rows) // 600)]],
    )  # fmt: skip
    print(f"written to {path}")
    return 0 if alive and set(verdicts.values()) == {"flat"} else 1


class Forgetful:
    """chaos.Moods without the memory of every request: this process is not to grow either."""

    def __init__(self, moods: chaos.Moods) -> None:
        self._moods = moods

    def __call__(self, request: object) -> object:
        self._moods.numbers.clear()
        return self._moods(request)


def config(urls: Sequence[str], folder: Path) -> str:
    providers = ", ".join(f'p{n}: {{url: "{url}", location: premises}}' for n, url in enumerate(urls))
    return CONFIG.format(folder=folder, providers=providers)


def own_url() -> str:
    return f"http://127.0.0.1:{harness.PORT}/v1"


# --- many streams


@contextlib.asynccontextmanager
async def paced() -> AsyncIterator[str]:
    """An upstream that sends an event four times a second until it is told to end; yields its url."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    event = b'data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            asked = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in asked.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = json.loads(await reader.readexactly(int(length.split(b":")[1])))
            writer.write(head)
            for _ in range(int(body["max_tokens"])):
                writer.write(event)
                await writer.drain()
                await asyncio.sleep(GAP_S)
            writer.write(end)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def held(url: str, streams: int, seconds: float) -> Counter[str]:
    """So many streams at once, each read to its end; how they ended."""
    client, seen = HttpClient(), Counter[str]()
    target = client.target(f"{url}/chat/completions", harness.CLIENT_KEY)
    body = json.dumps(
        {
            "model": "small", "stream": True, "max_tokens": int(seconds / GAP_S),
            "messages": [{"role": "user", "content": "Tell me a long story."}],
        }
    ).encode()  # fmt: skip

    async def stream() -> None:
        try:
            answer = await client.open(target, body, 60)
            data = await answer.read_all()
            good = (
                answer.status == 200
                and data.rstrip().endswith(b"[DONE]")
                and data.count(b'"word "') == int(seconds / GAP_S)
            )
            seen["whole" if good else f"error {answer.status}"] += 1
        except (TimeoutError, HttpFault) as fault:
            seen[f"broken: {fault}"[:60]] += 1

    async def late(n: int) -> None:
        await asyncio.sleep(n * 0.004)  # not all in one moment: a listening socket has a queue
        await stream()

    await asyncio.gather(*(late(n) for n in range(streams)))
    await client.close()
    return seen


async def rounds(streams: int, seconds: float, times: int) -> tuple[list[dict[str, object]], bool]:
    """Each round's memory: before, at first, at its end, at most; what was seen; descriptors after it."""
    found: list[dict[str, object]] = []
    async with paced() as url:
        with tempfile.TemporaryDirectory() as name, started(config([url] * 3, Path(name)), Path(name)) as pid:
            for _ in range(times):
                before, fds = rss_mb(pid), descriptors(pid)
                samples = Samples(pid)
                taking = asyncio.create_task(samples.take())
                seen = await held(own_url(), streams, seconds)
                taking.cancel()
                await asyncio.sleep(3)
                inside = [row for row in samples.rows if row[0] > seconds * 0.2 and row[2] >= 2 * streams]
                found.append(
                    {
                        "before_mb": before, "first_mb": inside[0][1] if inside else 0.0,
                        "last_mb": inside[-1][1] if inside else 0.0, "peak_mb": max(row[1] for row in samples.rows),
                        "after_mb": rss_mb(pid), "fds_before": fds, "fds_peak": max(row[2] for row in samples.rows),
                        "fds_after": descriptors(pid), "seen": dict(seen),
                    }
                )  # fmt: skip
                print(f"  {found[-1]}", flush=True)
    last = found[-1]
    base = found[min(1, len(found) - 1)]
    flat = (
        float(last["last_mb"]) <= float(last["first_mb"]) * (1 + ROUND_RISE)  # type: ignore[arg-type]
        and float(last["peak_mb"]) <= float(base["peak_mb"]) * (1 + ROUND_RISE)  # type: ignore[arg-type]
        and int(last["fds_after"]) <= int(base["fds_before"]) + 5  # type: ignore[call-overload]
        and all(one["seen"] == {"whole": streams} for one in found)
    )
    return found, flat


@contextlib.contextmanager
def started(text: str, folder: Path) -> Iterator[int]:
    with harness.gateway(text, folder) as (child, _):
        yield child.pid


def run_streams(streams: int, seconds: float, times: int) -> int:
    print(f"{streams} streams for {seconds:g} s, {times} times")
    found, flat = asyncio.run(rounds(streams, seconds, times))
    print(f"memory and descriptors: {'flat' if flat else 'NOT flat'}")
    path = harness.record("soak_streams", streams=streams, seconds=seconds, rounds=found, flat=flat)
    print(f"written to {path}")
    return 0 if flat else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=120.0)
    parser.add_argument("--texts", type=int, default=0, help="so many different prompts; 0: all are")
    parser.add_argument("--streams", type=int, help="hold so many streams instead")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.streams:
        return run_streams(given.streams, given.seconds, given.rounds)
    return run_mixed(given.minutes, given.rate, given.seed, given.texts)


if __name__ == "__main__":
    sys.exit(main())
