"""Does the embedded model itself know when a passage has no answer? A sample, because it is slow.

    python bench/tasks/reader.py --weights SmolLM2-135M-Instruct.Q8_0.gguf [--data ../shared/data/tasks/rag]

Questions of clapnq's fit part with the passage that retrieval puts first. Two signals: the log-odds of `yes` against
`no` when asked whether the text answers the question, and the mean log-probability of a short answer taken from it.
Prints AUROC with 95% intervals and seconds a question; writes bench/out/reader.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
from passages import DATA, HERE, Remembered, auroc, interval, part_of, read, retrieve

from smallfirst.models.embedded import EmbeddedRuntime

LONGEST = 1400
"""Characters of the passage that are shown."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    base = read(args.data, "clapnq")
    retrieve(base, Remembered())
    pairs = [(a, h[0]) for a, h in zip(base.asked, base.hits, strict=True) if part_of(a.group, args.seed) == "fit"]
    order = np.random.default_rng(args.seed).permutation(len(pairs))[: args.count]
    rows, seconds = asyncio.run(ask([(pairs[n][0], base.texts[pairs[n][1].at]) for n in order], args.weights))
    can = np.array([pairs[n][0].answerable for n in order])
    found: dict[str, object] = {"questions": len(order), "seconds a question": seconds}
    for name in ("yes", "sure"):
        values = np.array([row[name] for row in rows])
        found[name] = {"auroc": auroc(values[can], values[~can]), "interval": interval(values[can], values[~can])}
        print(name, found[name])
    print(f"{seconds:.1f} s a question")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    said = {"command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "found": found}
    (HERE / "out" / "reader.json").write_text(json.dumps(said, indent=1))


async def ask(pairs: list, weights: Path) -> tuple[list[dict[str, float]], float]:
    runtime = EmbeddedRuntime(
        weights, name="reader", log=HERE / "out" / "reader.log", environ=os.environ, threads=1, slots=1
    )
    await runtime.start()
    try:
        await runtime.ready()
        start = time.monotonic()
        rows = [await asyncio.to_thread(both, runtime, each.question, text[:LONGEST]) for each, text in pairs]
        return rows, (time.monotonic() - start) / len(pairs)
    finally:
        await runtime.stop()


def both(runtime: EmbeddedRuntime, question: str, text: str) -> dict[str, float]:
    shown = f"{text}\n\nQuestion: {question}\n"
    said = complete(runtime, f"{shown}Does the text above answer the question? Say yes or no.", 1)
    odds = {"yes": -12.0, "no": -12.0}
    for one in said[0]["top_logprobs"]:
        word = one["token"].strip().lower()
        if word in odds:
            odds[word] = float(np.logaddexp(odds[word], one["logprob"]))
    answer = complete(runtime, f"{shown}Answer in a few words taken from the text.", 12)
    return {"yes": odds["yes"] - odds["no"], "sure": float(np.mean([max(one["logprob"], -20) for one in answer]))}


def complete(runtime: EmbeddedRuntime, prompt: str, tokens: int) -> list[dict]:
    """The tokens of the answer with their log-probabilities."""
    body = {
        "model": "reader", "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "temperature": 0,
        "logprobs": True, "top_logprobs": 20,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {runtime.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{runtime.url}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        found = json.load(answer)["choices"][0]["logprobs"]["content"]
    return found or [{"logprob": math.log(1e-6), "top_logprobs": []}]


if __name__ == "__main__":
    main()
