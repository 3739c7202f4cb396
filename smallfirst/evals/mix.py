"""The boards of the study: recorded models in five roles on five benchmarks, alone and as one mix.

Knows which recorded model plays which role where, the study's prices, which rows it took, and how it split them, so
that figures can be set beside its own. Reads answers as models/recorded_files.py serves them, scores from the tables.
BFCL is for evaluation only: what is fitted on a board that holds it must not be shipped; `shippable` leaves it out.

These are models of 2024; tokens are characters / 4; MMLU-Pro is read and scored leniently, as in the study.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.core import NANO, Needs, Outcome, Price, Query, Status, ToolCall, Usage
from smallfirst.errors import DataError, SetupError
from smallfirst.evals.outcomes import Scored, read_outcomes
from smallfirst.learn.board import Board, join_boards, make_board
from smallfirst.models.recorded import NO_ANSWER, Recording, characters_to_tokens
from smallfirst.models.recorded_files import recordings_by_query
from smallfirst.verify.evidence import Seen, seen

ROLES = ("slm-a", "slm-b", "slm-c", "mid", "frontier")
USD_PER_M = {"slm": (0.10, 0.10), "mid": (0.15, 0.60), "frontier": (2.50, 10.0)}
"""Dollars per million input and output tokens: the study's."""

MMLU_PRO_ROWS = 2500
"""How many MMLU-Pro prompts the mix takes, by whole groups."""

_GEMMA, _LLAMA31, _LLAMA3 = "gemma-2-9b-it", "Meta-Llama-3.1-8B-Instruct", "Meta-Llama-3-8B-Instruct"
_QWEN2, _QWEN25, _PHI35 = "Qwen2-7B-Instruct", "Qwen2.5-7B-Instruct", "Phi-3.5-mini-instruct"
_MINI, _GPT4O, _SONNET = "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "claude-3-5-sonnet-20240620"
_NOISE = re.compile(r"[\W_]+")


class Part(msgspec.Struct, frozen=True):
    """One benchmark of the mix. `roles` is in the order of ROLES; a row counts where `needed` were scored too."""

    source: str
    benchmark: str
    roles: tuple[str, str, str, str, str]
    needed: tuple[str, ...] = ()


_SMALL = ("gemma-2-2b-it", _GEMMA, _LLAMA31, _LLAMA3, _QWEN2, _PHI35)
_MORE = (*_SMALL, _QWEN25, "Qwen2.5-3B-Instruct", "Phi-3-mini-4k-instruct")
PARTS = {
    "gsm": Part("zeroeval", "gsm", (_LLAMA31, _GEMMA, _QWEN2, _MINI, _GPT4O), _SMALL),
    "math-l5": Part("zeroeval", "math-l5", (_LLAMA31, _GEMMA, _QWEN25, _MINI, _GPT4O), _MORE),
    "crux": Part("zeroeval", "crux", (_LLAMA31, _GEMMA, _QWEN25, _MINI, _GPT4O), _MORE),
    "mmlu_pro": Part(
        "mmlu_pro",
        "mmlu_pro",
        ("Llama-3.1-8B-Instruct", "Phi-3-mini-4k-instruct", "mathstral-7B-v0.1", "gemini-1.5-flash-002",
         "gpt-4o-2024-05-13"),
        (_LLAMA3,),
    ),
    "bfcl": Part(
        "bfcl",
        "bfcl_v1",
        ("Hermes-2-Pro-Llama-3-8B", "mistral-nemo-2407", _LLAMA3, _MINI, _SONNET),
        ("xLAM-7b-fc-r", "xLAM-1b-fc-r", "functionary-small-v3.2", "Hermes-2-Pro-Mistral-7B"),
    ),
}  # fmt: skip
"""The study's 'mix|gpt-4o'. On GSM8K no Qwen2.5-7B was recorded; on BFCL gpt-4o failed on format, so Sonnet plays."""

BOARDS: dict[str, tuple[str, ...]] = {
    "mix": ("gsm", "math-l5", "crux", "mmlu_pro", "bfcl"),
    "zeroeval": ("gsm", "math-l5", "crux"),
    "gsm": ("gsm",),
    "mmlu_pro": ("mmlu_pro",),
    "crux": ("crux",),
    "math-l5": ("math-l5",),
    "bfcl": ("bfcl",),
    "shippable": ("gsm", "math-l5", "crux", "mmlu_pro"),
}
"""Boards by name. Only the mix draws MMLU_PRO_ROWS of MMLU-Pro's prompts; the others take all of them."""


def load_board(folder: Path, name: str = "mix") -> Board:
    """One of BOARDS from the tables in `folder`. Raises DataError and SetupError as the readers do."""
    if name not in BOARDS:
        raise DataError(f"no board {name!r}; there are: {', '.join(BOARDS)}")
    return join_boards([load_part(folder, part, draw=name == "mix") for part in BOARDS[name]])


def load_part(folder: Path, name: str, *, draw: bool = False, roles: Mapping[str, str] | None = None) -> Board:
    """One benchmark as a board. `roles`: further recorded models by role name, put between the SLMs and the mid."""
    part = PARTS[name]
    players = dict(zip(ROLES, part.roles, strict=True))
    if roles:
        players = {**dict(list(players.items())[:3]), **roles, "mid": players["mid"], "frontier": players["frontier"]}
    models = sorted({*players.values(), *part.needed})
    score = "score_lenient" if part.source == "mmlu_pro" else "score"
    rows: dict[str, dict[str, Scored]] = {}
    for row in read_outcomes(folder / f"{part.source}.parquet", models=models, score=score):
        if row.benchmark == part.benchmark:
            rows.setdefault(row.query_id, {})[row.model] = row
    ids = sorted(query for query, by_model in rows.items() if all(model in by_model for model in models))
    said = _answers(folder, part, list(players.values()))
    groups = [_group(name, rows[query][models[0]].prompt) for query in ids]
    if draw and name == "mmlu_pro":
        kept = study_split(groups, MMLU_PRO_ROWS / len(ids), np.random.default_rng(0))[0]
        ids, groups = [ids[i] for i in kept], [groups[i] for i in kept]
    return _board(name, players, [rows[query] for query in ids], groups, [said.get(query, {}) for query in ids])


def study_split(
    groups: Sequence[str], fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows of the first part, rows of the rest): whole groups at random until `fraction` of the rows is reached.

    The study's own rule, so that both draw the same rows from the same seed.
    """
    number: dict[str, int] = {}
    at = np.array([number.setdefault(group, len(number)) for group in groups])
    order = rng.permutation(len(number))
    count = np.cumsum(np.bincount(at)[order])
    first = np.isin(at, order[: np.searchsorted(count, fraction * len(at)) + 1])
    return np.flatnonzero(first), np.flatnonzero(~first)


def prices() -> dict[str, Price]:
    """The study's prices by role."""
    found = {}
    for role in ROLES:
        sent, got = USD_PER_M["slm" if role.startswith("slm") else role]
        found[role] = Price(round(sent * NANO), round(got * NANO), round(sent * NANO), "study")
    return found


def _board(
    name: str,
    players: Mapping[str, str],
    rows: Sequence[Mapping[str, Scored]],
    groups: Sequence[str],
    said: Sequence[Mapping[str, Outcome]],
) -> Board:
    price = {role: prices()["slm-a" if role.startswith("slm") else role] for role in players}
    looked: list[tuple[Seen, ...]] = []
    tokens = np.zeros((len(rows), len(players), 2))
    for i, (row, answers) in enumerate(zip(rows, said, strict=True)):
        query = query_of(next(iter(row.values())).prompt, tools=name == "bfcl")
        sent = characters_to_tokens(next(iter(row.values())).input_chars)
        line = []
        for m, model in enumerate(players.values()):
            got = characters_to_tokens(row[model].output_chars)
            outcome = answers.get(model) or Outcome(model, Status.ok, NO_ANSWER)
            line.append(seen(query, msgspec.structs.replace(outcome, usage=Usage(sent, got))))
            tokens[i, m] = sent, got
        looked.append(tuple(line))
    usages = [[Usage(int(sent), int(got)) for sent, got in line] for line in tokens]
    return make_board(
        models=tuple(players),
        prompts=[next(iter(row.values())).prompt for row in rows],
        tools=[name == "bfcl"] * len(rows),
        groups=groups,
        slices=[name] * len(rows),
        seen=looked,
        scores=[[row[model].score for model in players.values()] for row in rows],
        costs=[[price[role].cost(u) for role, u in zip(players, line, strict=True)] for line in usages],
        input_tokens=tokens[:, :, 0],
        output_tokens=tokens[:, :, 1],
    )


def query_of(prompt: str, *, tools: bool = False) -> Query:
    """The query that a client sends who asks this prompt."""
    return Query(id="recorded", asked="auto", text=prompt, fields={}, needs=Needs(tools=tools))


def _answers(folder: Path, part: Part, models: Sequence[str]) -> dict[str, dict[str, Outcome]]:
    """What each model answered, by query, as a recorded upstream gives it."""
    found: dict[str, dict[str, Outcome]] = {}
    if part.source == "bfcl":
        for query, model, outcome in _tool_calls(folder, models):
            found.setdefault(query, {})[model] = outcome
        return found
    for query, recording in recordings_by_query(folder, part.source, models, lenient=True):
        found.setdefault(query, {})[recording.model] = outcome_of(recording)
    return found


def outcome_of(recording: Recording) -> Outcome:
    """A recording as the outcome of one call."""
    usage = Usage(recording.input_tokens, recording.output_tokens)
    return Outcome(recording.model, Status.ok, recording.text, finish=recording.finish, usage=usage)


def _tool_calls(folder: Path, models: Sequence[str]) -> Iterator[tuple[str, str, Outcome]]:
    """BFCL's answers, which were kept as `name(key=value,...) | ...` without types: each as a tool call.

    Without types they can't be checked against the tools' schemas, so validity is not evidence here.
    """
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra; the gateway never needs it
    except ImportError as error:
        raise SetupError("reading recorded tables needs pyarrow: pip install 'smallfirst[evals]'") from error
    path = folder / "answers_bfcl.parquet"
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    table = pq.read_table(
        path, columns=["query_id", "model", "call"], filters=[("model", "in", sorted(models))]
    ).to_pydict()
    for query, model, call in zip(table["query_id"], table["model"], table["call"], strict=True):
        calls = tuple(ToolCall(*_named(one)) for one in call.split(" | ")) if call else ()
        yield query, model, Outcome(model, Status.ok, "" if calls else NO_ANSWER, calls, finish="stop")


def _named(call: str) -> tuple[str, str]:
    name, _, rest = call.partition("(")
    return name, rest.removesuffix(")")


def _group(name: str, prompt: str) -> str:
    """What copies of a prompt share: letters and digits of its stem, within one benchmark, as in the study."""
    stem = prompt.split("\nA. ", 1)[0] if name == "mmlu_pro" else prompt
    return f"{name}:{_NOISE.sub(' ', stem.lower()).strip()}"
