"""One checkable prompt: what is asked, a correct answer, and how an answer is scored.

The words are those of inspect_ai (Sample, target, scorer). Knows how a sample becomes a chat request and which half it
belongs to. Does not know what the prompts are about (prompts_*.py) or how an answer is scored (scorers.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from smallfirst.core import Kind

Part = Literal["fit", "report"]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """`target` is a correct answer as a good model would write it: its scorer gives it 1.0.

    `group` names the template it was made from; `level` is 1 (easy) to 3 (hard). `id` is a hash of what is asked.
    """

    id: str
    kind: Kind
    group: str
    level: int
    input: str
    target: str
    scorer: str
    params: Mapping[str, Any] = {}
    system: str | None = None
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 48


def make(
    kind: Kind,
    group: str,
    level: int,
    input: str,
    target: str,
    scorer: str,
    *,
    params: Mapping[str, Any] | None = None,
    system: str | None = None,
    schema: Mapping[str, Any] | None = None,
    max_tokens: int = 48,
) -> Sample:
    """A sample with its id: twelve hex digits of the hash of the system prompt and the input."""
    id = hashlib.sha256(f"{system or ''}\0{input}".encode()).hexdigest()[:12]
    return Sample(
        id=id,
        kind=kind,
        group=group,
        level=level,
        input=input,
        target=target,
        scorer=scorer,
        params=params or {},
        system=system,
        schema=schema,
        max_tokens=max_tokens,
    )


def part(sample: Sample) -> Part:
    """The fixed half a sample belongs to; by its id alone, so that it never depends on which others were drawn."""
    return "fit" if int(sample.id[-1], 16) % 2 == 0 else "report"


def body(sample: Sample, model: str) -> dict[str, Any]:
    """The chat-completions request that asks this sample of `model`, at temperature 0."""
    messages = [{"role": "system", "content": sample.system}] if sample.system else []
    messages.append({"role": "user", "content": sample.input})
    request: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "max_tokens": sample.max_tokens,
        "temperature": 0,
    }
    if sample.schema is not None:
        schema = {"name": "answer", "strict": True, "schema": sample.schema}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    return request


def digest(samples: Sequence[Sample]) -> str:
    """A hash of these samples with their targets and scorers, whatever their order."""
    lines = sorted(msgspec.json.encode(sample, order="sorted") for sample in samples)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
