"""Reads recordings: JSONL of our own, and the public tables of ../shared/data/outcomes.

Knows which columns hold prompts, answers and lengths. Reads no score column, so none can leak into what routes. BFCL is
left out: its prompts name an answer only together with their tools, and a look-up by prompt would mix them up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.errors import DataError, SetupError
from smallfirst.models.recorded import Recording, Recordings, Style, prompt_key, render_final

Columns = dict[str, list[Any]]

SOURCES: dict[str, tuple[str, str, Style]] = {
    "zeroeval": ("answers_zeroeval", "answer", "json"),
    "mmlu_pro": ("answers_mmlu_pro", "pred", "choice"),
}
"""Table of prompts -> (table of final answers, its answer column, how they are rendered)."""

FULL_TEXTS = {"zeroeval": "zeroeval_outputs"}
"""Table of prompts -> table of answer texts; seven models have them."""


LENIENT = {"pred": "pred_lenient"}
"""Answer column -> the column of the data's authors' second-chance parse."""


def load_recordings(
    path: Path,
    *,
    sources: Collection[str] = tuple(SOURCES),
    models: Collection[str] | None = None,
    lenient: bool = False,
) -> Recordings:
    """Recordings from a .jsonl file, or from the `sources` that stand in a folder of tables (of these models).

    `lenient`: final answers of MMLU-Pro as a second-chance parse read them, which goes with `score_lenient`. Raises
    DataError that names file and line, and where the folder holds none of the sources; SetupError without pyarrow,
    which only tables need.
    """
    if path.is_file():
        return Recordings(row for row in _jsonl(path) if models is None or row.model in models)
    if unknown := [name for name in sources if name not in SOURCES]:
        raise DataError(f"no source {unknown[0]!r}; there are: {', '.join(SOURCES)}")
    present = [name for name in sources if (path / f"{name}.parquet").is_file()]
    if not present:
        raise DataError(f"{path}: neither a .jsonl file nor a folder with any of: {', '.join(sources)} (.parquet)")
    rows = (row for name in present for row in recordings_by_query(path, name, models, lenient=lenient))
    first: dict[str, str] = {}
    return Recordings(  # a copy of a prompt that stands under an earlier id speaks for it
        row for query_id, row in rows if first.setdefault(prompt_key(row.prompt), query_id) == query_id
    )


def _jsonl(path: Path) -> Iterator[Recording]:
    decoder = msgspec.json.Decoder(Recording)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise DataError(f"{path.name}, line {number}: {error}") from None


def recordings_by_query(
    folder: Path, source: str, models: Collection[str] | None = None, *, lenient: bool = False
) -> Iterator[tuple[str, Recording]]:
    """(query_id, recording) of every query and model, copies of a prompt under other ids too.

    With the model's own text where it was kept, else its final answer rendered. Raises as `load_recordings`.
    """
    answers_file, answer_column, style = SOURCES[source]
    answer_column = LENIENT.get(answer_column, answer_column) if lenient else answer_column
    prompts, lengths = _prompts(folder, source, models)
    texts = _texts(folder, source, models)
    table = _read(folder / f"{answers_file}.parquet", ["query_id", "model", answer_column], models, ("unterminated",))
    cut = table.get("unterminated") or [None] * len(table["model"])
    for query_id, model, answer, unterminated in zip(
        table["query_id"], table["model"], table[answer_column], cut, strict=True
    ):
        prompt, sent = prompts.get(query_id), lengths.get((query_id, model))
        if prompt is None or sent is None:
            continue
        text = texts.get((query_id, model))
        yield (
            query_id,
            Recording(
                prompt=prompt,
                model=model,
                text=render_final(answer, style) if text is None else text,
                input_chars=sent[0],
                output_chars=sent[1],
                finish="length" if unterminated else "stop",
                rendered=text is None,
            ),
        )


def _prompts(
    folder: Path, source: str, models: Collection[str] | None
) -> tuple[dict[str, str], dict[tuple[str, str], tuple[int, int | None]]]:
    """(id -> prompt, (id, model) -> characters sent and received)."""
    table = _read(folder / f"{source}.parquet", ["query_id", "prompt", "model", "input_chars", "output_chars"], models)
    prompts: dict[str, str] = {}
    lengths: dict[tuple[str, str], tuple[int, int | None]] = {}
    columns = (table[name] for name in ("query_id", "prompt", "model", "input_chars", "output_chars"))
    for query_id, prompt, model, sent, received in zip(*columns, strict=True):
        prompts.setdefault(query_id, prompt)
        lengths[query_id, model] = (sent, received)
    return prompts, lengths


def _texts(folder: Path, source: str, models: Collection[str] | None) -> dict[tuple[str, str], str]:
    if source not in FULL_TEXTS or not (folder / f"{FULL_TEXTS[source]}.parquet").is_file():
        return {}
    table = _read(folder / f"{FULL_TEXTS[source]}.parquet", ["query_id", "model", "output"], models)
    return {
        (query_id, model): text
        for query_id, model, text in zip(table["query_id"], table["model"], table["output"], strict=True)
        if text is not None
    }


def _read(path: Path, columns: list[str], models: Collection[str] | None, optional: tuple[str, ...] = ()) -> Columns:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra; the gateway never needs it
    except ImportError as error:
        raise SetupError("reading recorded tables needs pyarrow: pip install 'smallfirst[evals]'") from error
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    present = set(pq.read_schema(path).names)
    if missing := [name for name in columns if name not in present]:
        raise DataError(f"{path.name}: column {missing[0]!r} is missing")
    wanted = columns + [name for name in optional if name in present]
    filters = None if models is None else [("model", "in", sorted(models))]
    table: Columns = pq.read_table(path, columns=wanted, filters=filters).to_pydict()
    return table
