"""The outcome format, its answers: one row for what one model said to one query. docs/outcomes.md explains every field.

Knows rows as JSONL and parquet, how a row becomes the Query and the Outcome that the gateway would have had, and back.
Does not know scores: they lie in a table of their own (evals/grades.py), and a row that carries one is read without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.core import NANO, Needs, Outcome, Query, Schema, Signals, Status, ToolCall, Usage
from smallfirst.errors import DataError, SetupError
from smallfirst.models.recorded import characters_to_tokens

KEPT_FIELDS = ("tools", "tool_choice", "response_format", "max_tokens", "max_completion_tokens", "temperature", "n")
"""Of a request's fields beside its messages: what an answer's validity can depend on."""


class AnswerRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model answered to one query. `prompt` is the last user turn; `messages` all turns where there are more.

    Tokens that are None are estimated as characters / 4. `sample_prob` is the known probability with which the query
    was chosen to be in the table.
    """

    query_id: str
    model: str
    prompt: str = ""
    answer: str | None = None  # None: no answer came
    messages: tuple[dict[str, Any], ...] | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    request: dict[str, Any] | None = None  # further fields that were sent: tools, response_format, max_tokens
    category: str = ""
    slice: str = ""
    part: str = ""  # fit, certify or report, where the split is not to be drawn
    tier: str = ""
    reference: str | None = None  # what a right answer says, for graders
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    first_logprob: float | None = None
    mean_logprob: float | None = None
    sample_prob: float = 1.0
    at_us: int = 0


def read_answers(path: Path) -> list[AnswerRow]:
    """Every row of a .jsonl or .parquet file, checked.

    Raises DataError that names file, line and field: no prompt, a probability outside 0..1, two rows for one query and
    model, one query_id with two prompts. SetupError without pyarrow (parquet only).
    """
    kept: dict[tuple[str, str], AnswerRow] = {}
    lines: dict[tuple[str, str], int] = {}
    prompts: dict[str, tuple[str, int]] = {}
    for line, raw in table_rows(path):
        where = f"{path.name}, line {line}"
        row = _row(raw, where)
        key = (row.query_id, row.model)
        if (other := lines.setdefault(key, line)) != line:
            raise DataError(
                f"{where}: a second row for query_id {row.query_id!r} and model {row.model!r}, after line {other}; "
                "keep one of them, or give a query that was asked again an id of its own"
            )
        kept[key] = row
        asked, first = prompts.setdefault(row.query_id, (row.prompt, line))
        if asked != row.prompt:
            raise DataError(f"{where}: query_id {row.query_id!r} has another prompt than on line {first}")
    if not kept:
        raise DataError(f"{path.name}: no outcomes in it; docs/outcomes.md shows what a row looks like")
    return list(kept.values())


def _row(raw: Mapping[str, Any], where: str) -> AnswerRow:
    try:
        row = msgspec.convert(_plain(raw), AnswerRow, strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise DataError(f"{where}: {error}") from None
    if not row.prompt and row.messages:
        row = msgspec.structs.replace(row, prompt=last_user_text(row.messages))
    if not row.prompt:
        raise DataError(f"{where}: `prompt` is missing or empty, and no user turn stands in `messages`")
    if not 0 < row.sample_prob <= 1:
        raise DataError(f"{where}: sample_prob must be above 0 and at most 1, not {row.sample_prob}")
    return row


def _plain(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is missing; JSON text where a table can hold no nesting is read as what it says."""
    row = {name: value for name, value in raw.items() if value is not None and name in AnswerRow.__struct_fields__}
    for name in ("messages", "tool_calls", "request"):
        if isinstance(row.get(name), str):
            row[name] = msgspec.json.decode(row[name])
    return row


def last_user_text(messages: Iterable[Mapping[str, Any]]) -> str:
    """The words of the last user turn, as gateway/parse.py reads them."""
    for message in reversed(tuple(messages)):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return "\n".join(part["text"] for part in content if isinstance(part, dict) and part.get("text"))
            return content or ""
    return ""


def query_of(row: AnswerRow) -> Query:
    """The query as the gateway would have seen it, so that answers are looked at offline exactly as live."""
    request = row.request or {}
    form = request.get("response_format") or {}
    schema = form.get("json_schema") or {}
    tools = tuple(t["function"] for t in request.get("tools") or () if isinstance(t.get("function"), dict))
    messages = row.messages or ({"role": "user", "content": row.prompt},)
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in request.items()}
    return Query(
        id=row.query_id,
        asked="auto",
        text=row.prompt,
        fields={"messages": msgspec.Raw(msgspec.json.encode(messages)), **fields},
        needs=Needs(
            tools=bool(tools),
            json_object=form.get("type") == "json_object",
            json_schema=form.get("type") == "json_schema",
            input_tokens=input_tokens(row),
            output_tokens=request.get("max_completion_tokens") or request.get("max_tokens") or 0,
        ),
        response_schema=Schema(schema.get("name", "answer"), schema.get("schema", {})) if schema else None,
        tools=tuple(Schema(tool.get("name", ""), tool.get("parameters") or {}) for tool in tools),
    )


def outcome_of(row: AnswerRow) -> Outcome:
    """The outcome as a call would have brought it; a row without an answer is a call that failed."""
    came = row.answer is not None or bool(row.tool_calls)
    return Outcome(
        model=row.model,
        status=Status.ok if came else Status.broken,
        text=row.answer or "",
        tool_calls=row.tool_calls or (),
        finish=row.finish or ("tool_calls" if row.tool_calls else "stop" if came else None),
        usage=Usage(input_tokens(row), output_tokens(row), estimated=row.output_tokens is None),
        signals=Signals(row.first_logprob, row.mean_logprob),
        ttft_us=None if row.ttft_ms is None else round(row.ttft_ms * 1000),
        latency_us=0 if row.latency_ms is None else round(row.latency_ms * 1000),
        cost=0 if row.cost_usd is None else round(row.cost_usd * NANO),
    )


def input_tokens(row: AnswerRow) -> int:
    """As counted, else characters / 4 of all turns."""
    if row.input_tokens is not None:
        return row.input_tokens
    turns = row.messages or ({"content": row.prompt},)
    return characters_to_tokens(sum(len(str(turn.get("content") or "")) for turn in turns))


def output_tokens(row: AnswerRow) -> int:
    """As counted, else characters / 4."""
    if row.output_tokens is not None:
        return row.output_tokens
    calls = sum(len(call.name) + len(call.arguments) for call in row.tool_calls or ())
    return characters_to_tokens(len(row.answer or "") + calls)


def row_of(
    query: Query,
    outcome: Outcome,
    *,
    tier: str = "",
    category: str = "",
    slice: str = "",
    rate: float = 1.0,
    at_us: int = 0,
) -> AnswerRow:
    """One live answer as a row. Of the request only what validity depends on is kept beside the messages."""
    messages = msgspec.json.decode(query.fields["messages"])
    alone = len(messages) == 1 and messages[0].get("content") == query.text
    kept = {name: msgspec.json.decode(query.fields[name]) for name in KEPT_FIELDS if name in query.fields}
    signals = outcome.signals
    return AnswerRow(
        query_id=query.id,
        model=outcome.model,
        prompt=query.text,
        answer=outcome.text if outcome.ok else None,
        messages=None if alone else tuple(messages),
        tool_calls=outcome.tool_calls or None,
        request=kept or None,
        category=category,
        slice=slice,
        tier=tier,
        finish=outcome.finish,
        input_tokens=outcome.usage.input_tokens,
        output_tokens=outcome.usage.output_tokens,
        cost_usd=outcome.cost / NANO,
        latency_ms=outcome.latency_us / 1000,
        ttft_ms=None if outcome.ttft_us is None else outcome.ttft_us / 1000,
        first_logprob=signals.first_logprob,
        mean_logprob=signals.mean_logprob,
        sample_prob=rate,
        at_us=at_us,
    )


def table_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of a JSONL or parquet file. Raises DataError, and SetupError without pyarrow (parquet only)."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    decoder = msgspec.json.Decoder(dict[str, Any])
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise DataError(f"{path.name}, line {number}: {error}") from None


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra; the gateway never needs it
    except ImportError as error:
        raise SetupError("reading parquet needs pyarrow: pip install 'smallfirst[evals]'") from error
    number = 0
    for batch in pq.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            number += 1
            yield number, row


def write_rows(path: Path, rows: Iterable[msgspec.Struct]) -> int:
    """Write JSONL, or parquet by the file's ending; returns how many rows. In parquet, what is nested is JSON text."""
    listed = list(rows)
    if path.suffix != ".parquet":
        path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in listed))
        return len(listed)
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra; the gateway never needs it
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above
    except ImportError as error:
        raise SetupError("writing parquet needs pyarrow: pip install 'smallfirst[evals]'") from error
    flat = [{name: _flat(getattr(row, name)) for name in row.__struct_fields__} for row in listed]
    pq.write_table(pa.Table.from_pylist(flat), path, compression="zstd")
    return len(listed)


def _flat(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list | tuple) else value
