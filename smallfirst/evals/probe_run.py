"""Asks the samples of one configured model, scores the answers and keeps each result as it comes.

Run as a program it makes the shipped probe from the recorded answers, without asking anybody. Knows samples, scorers
and the Sender. Does not know configuration or terminals (cli/probe_cmd.py), and stores no answer text.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from smallfirst.classify.probes import Probe, encode_probe
from smallfirst.classify.shipped import shipped_weights
from smallfirst.core import Edit, Kind, Model, Needs, Outcome, Permit, Query, Schema, Status, Usage
from smallfirst.errors import DataError, SetupError
from smallfirst.evals import record
from smallfirst.evals.probe import SHIPPED, Scored, fit_probe, probe_path
from smallfirst.evals.prompts import samples
from smallfirst.evals.prompts_sample import Sample, body, digest
from smallfirst.evals.scorers import score
from smallfirst.models.sender import Call, Sender

CHARS_PER_TOKEN = 4
TRIES = 4
PAUSE_S = 1.0
"""Before the second try; it doubles. An upstream's own retry-after is obeyed instead, up to LONGEST_PAUSE_S."""
LONGEST_PAUSE_S = 30.0
FLEETING = frozenset((Status.rate_limited, Status.timed_out, Status.unavailable, Status.broken))


class Result(msgspec.Struct, frozen=True):
    """One sample, asked. `cost` in nano-dollars, 0 where the price is unknown; `cut`: the token limit ended it."""

    id: str
    kind: Kind
    score: float
    cost: int = 0
    cut: bool = False


class _Head(msgspec.Struct, frozen=True):
    model: str
    digest: str


class Partial:
    """The results so far, in a file beside the probe, so that an interrupted probe can go on."""

    def __init__(self, directory: Path, model: str, asked: Sequence[Sample]) -> None:
        self.path = probe_path(directory, model).with_suffix(".partial.jsonl")
        self._head = _Head(model, digest(asked))
        self.results: dict[str, Result] = {}
        self._read()
        self._file: IO[bytes] | None = None

    def _read(self) -> None:
        try:
            head, *lines = self.path.read_bytes().splitlines()
            if msgspec.json.decode(head, type=_Head) != self._head:
                return  # of other prompts: begin anew
        except (OSError, ValueError, msgspec.DecodeError):
            return
        for line in lines:
            try:
                result = msgspec.json.decode(line, type=Result)
            except msgspec.DecodeError:
                break  # a line cut short by a kill; it is asked again
            self.results[result.id] = result

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("wb")
        self._file.write(msgspec.json.encode(self._head) + b"\n")
        for result in self.results.values():
            self._file.write(msgspec.json.encode(result) + b"\n")
        self._file.flush()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def keep(self, result: Result) -> None:
        """Add a result; it is in the file when this returns."""
        if self._file is None:
            raise ValueError("the file is not open")
        self.results[result.id] = result
        self._file.write(msgspec.json.encode(result) + b"\n")
        self._file.flush()

    def remove(self) -> None:
        """Once the probe is saved."""
        self.path.unlink(missing_ok=True)


def ceiling(model: Model, asked: Sequence[Sample]) -> int | None:
    """The most that asking will cost, in nano-dollars: characters / 4 in, max_tokens out. None: price unknown."""
    if model.price is None:
        return None
    price = model.price
    return sum(price.cost(Usage(_input_tokens(sample), sample.max_tokens)) for sample in asked)


def _input_tokens(sample: Sample) -> int:
    return -(-(len(sample.input) + len(sample.system or "")) // CHARS_PER_TOKEN)


def make_query(sample: Sample) -> Query:
    """The sample as the gateway would have parsed it."""
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body(sample, "probe").items()}
    constrained = sample.schema is not None
    return Query(
        id=f"probe-{sample.id}",
        asked="probe",
        text=sample.input,
        fields=fields,
        needs=Needs(json_schema=constrained, input_tokens=_input_tokens(sample), output_tokens=sample.max_tokens),
        response_schema=Schema("answer", sample.schema) if sample.schema is not None else None,
    )


async def ask_all(
    sender: Sender,
    model: Model,
    permit: Permit,
    asked: Sequence[Sample],
    keep: Callable[[Result], None],
    *,
    parallel: int = 4,
) -> None:
    """Ask every sample of `model`'s first replica, `parallel` at a time, and `keep` each result.

    Raises SetupError where the key is refused, DataError where a request fails for good; what was kept stays kept.
    """
    waiting = iter(asked)
    asker = _Asker(sender, model, permit)

    async def work() -> None:
        for sample in waiting:
            keep(await asker.ask(sample))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, parallel)):
                group.create_task(work())
    except* (SetupError, DataError) as several:
        raise several.exceptions[0] from None


class _Asker:
    def __init__(self, sender: Sender, model: Model, permit: Permit) -> None:
        self._sender, self._model, self._permit = sender, model, permit
        self._drop: tuple[str, ...] = ()
        if not model.abilities.json_schema:
            self._drop = ("response_format",)  # the prompts ask for JSON in words as well

    async def ask(self, sample: Sample) -> Result:
        pause = PAUSE_S
        for attempt in range(TRIES):
            outcome = await self._send(sample)
            if outcome.ok:
                value = score(sample, outcome.text).value
                return Result(sample.id, sample.kind, value, outcome.cost, outcome.finish == "length")
            if outcome.status is Status.refused and "temperature" not in self._drop:
                self._drop += ("temperature",)  # some models take no temperature but their own
                continue
            if outcome.status not in FLEETING or attempt == TRIES - 1:
                break
            await asyncio.sleep(min(outcome.retry_after_s or pause, LONGEST_PAUSE_S))
            pause *= 2
        if outcome.status is Status.unauthorized:
            raise SetupError(f"{self._model.name}: the provider {outcome.provider} does not accept the key")
        raise DataError(f"{self._model.name}: {outcome.status} ({outcome.error or outcome.http_status})")

    async def _send(self, sample: Sample) -> Outcome:
        model = self._model
        edit = Edit(drop=self._drop) if self._drop else None
        call = Call(model, model.replicas[0], make_query(sample), edit, timeout_s=model.timeout_s)
        return await self._sender.ask(call, self._permit)


def probe_of(model: str, asked: Sequence[Sample], results: Mapping[str, Result], *, at: int) -> Probe:
    """The probe from `results` by sample id; samples without a result are left out."""
    scored = [Scored(sample.input, results[sample.id].score) for sample in asked if sample.id in results]
    return fit_probe(model, scored, shipped_weights(), prompts=digest(asked), at=at)


def recorded_results(recording: record.Recording, asked: Sequence[Sample]) -> dict[str, Result]:
    """The recorded answers, scored. Raises DataError where one is missing: the prompts have changed since."""
    results = {}
    for sample in asked:
        answer = recording.answers.get(sample.id)
        if answer is None:
            raise DataError(f"no recorded answer for sample {sample.id}; run python -m smallfirst.evals.record again")
        value = score(sample, answer.text).value
        results[sample.id] = Result(sample.id, sample.kind, value, 0, answer.finish == "length")
    return results


def main() -> int:
    """Make the shipped probe of the embedded model from its recorded answers."""
    recording = record.shipped()
    asked = samples(recording.run.seed, recording.run.n)
    probe = probe_of(recording.run.model, asked, recorded_results(recording, asked), at=0)
    file = Path(str(importlib.resources.files("smallfirst.classify"))) / "data" / SHIPPED
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(encode_probe(probe) + b"\n")
    sys.stdout.write(f"wrote {file.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
