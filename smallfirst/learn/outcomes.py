"""Prompts and how hard they were for small models, read from the recorded outcome tables.

Knows the tables' columns, which of them may be fitted on, their traps, and how copies of a prompt are recognised.
Does not know features or models; it reads files named by the caller and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

import msgspec

from smallfirst.core import Kind
from smallfirst.errors import DataError, SetupError

FIT_FILES = ("zeroeval", "mmlu_pro", "routellm", "llmrouter", "livecodebench")
"""Tables whose licence lets us fit what we ship. bfcl is for evaluation only and is never opened here."""

KINDS: dict[str, Kind] = {
    "crux": "code",
    "gsm": "mathematics",
    "math-l5": "mathematics",
    "mmlu_pro": "choice",
    "gsm8k": "mathematics",
    "mmlu": "choice",
    "agentverse-mgsm": "mathematics",
    "human_eval": "code",
    "math": "mathematics",
    "mbpp": "code",
    "livecodebench_codegen": "code",
}
"""Kind of query by benchmark; a benchmark that is not here is `other`."""

_SPELLINGS = (
    ("meta-llama", "llama"),
    ("claude-3.5", "claude-3-5"),
    ("mixtral-8x7b-instruct-v0.1", "mixtral-8x7b-instruct"),
    ("gemini-flash-1.5", "gemini-1.5-flash"),
    ("gemini-pro-1.5", "gemini-1.5-pro"),
    ("claude-3-haiku-20240307", "claude-3-haiku"),
    ("claude-3-opus-20240229", "claude-3-opus"),
    ("gpt-4-1106-preview", "gpt-4-turbo-1106"),
)

_OPTION = re.compile(r"^A[.)] ", re.MULTILINE)
_TRAILER = re.compile(r"after careful thought, put you final answer in.*$", re.IGNORECASE | re.DOTALL)
_NOISE = re.compile(r"[\W_]+")


class Prompt(msgspec.Struct, frozen=True):
    """One prompt of one benchmark.

    `hard` is the mean over models of the lowest tier of (1 - score), in 0..1; None where no such model answered it.
    """

    text: str
    group: str  # the same for all copies of a prompt, in every file
    source: str
    benchmark: str
    category: str
    kind: Kind
    hard: float | None
    models: int  # how many models `hard` is a mean over
    scores: dict[str, float] = {}  # of every model that answered it, by the name of model_name


def model_name(recorded: str) -> str:
    """One name for a model that the tables spell in several ways: lower case, without maker, date of a file and host.

    Releases stay apart: gpt-4o-2024-05-13 and gpt-4o-2024-08-06 are two models.
    """
    name = recorded.lower().split("@")[0]
    for long, short in _SPELLINGS:
        name = name.replace(long, short)
    return name


def has_options(text: str) -> bool:
    """Whether the text carries lettered options, each on its own line."""
    return _OPTION.search(text) is not None


def group_of(text: str) -> str:
    """16 hex digits that copies of a prompt share.

    Letters and digits only, lower case; the options of a multiple-choice question and llmrouter's closing instruction
    are left out, because the same question stands in several files with other options or none.
    """
    option = _OPTION.search(text)
    stem = text[: option.start()] if option and option.start() > 0 else text
    plain = _NOISE.sub(" ", _TRAILER.sub("", stem).lower()).strip()
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()[:16]


def is_held_out(group: str) -> bool:
    """Whether a group belongs to the fifth that nothing shipped is fitted on."""
    return int(group[:8], 16) % 5 == 0


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_prompts(folder: Path, files: tuple[str, ...] = FIT_FILES, *, without: Collection[str] = ()) -> list[Prompt]:
    """Every prompt of `files` in `folder`, once per table, in a fixed order; as if the models `without` did not exist.

    Raises DataError when a file is missing or is not one that may be fitted on, SetupError without pyarrow.
    """
    prompts: list[Prompt] = []
    for name in files:
        if name not in FIT_FILES:
            raise DataError(f"{name}: not among the files that may be fitted on ({', '.join(FIT_FILES)})")
        path = folder / f"{name}.parquet"
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        prompts.extend(_read_table(name, path, without))
    return prompts


def _read_table(name: str, path: Path, without: Collection[str]) -> list[Prompt]:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra; the gateway never needs it
    except ImportError as error:
        raise SetupError("reading outcome tables needs pyarrow: pip install 'smallfirst[learn]'") from error
    wanted = ["benchmark", "query_id", "prompt", "category", "model", "tier", "score"]
    columns = pq.read_table(path, columns=wanted).to_pydict()
    first: dict[tuple[str, str], int] = {}
    wrong: dict[tuple[str, str], list[float]] = {}
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for row, (benchmark, query_id) in enumerate(zip(columns["benchmark"], columns["query_id"], strict=True)):
        key = (benchmark, query_id)
        first.setdefault(key, row)
        model, score = columns["model"][row], columns["score"][row]
        if score is None or model_name(model) in without or _format_failure(name, benchmark, model):
            continue
        score = min(1.0, max(0.0, float(score)))
        scores.setdefault(key, {})[model_name(model)] = score
        if columns["tier"][row] == "slm":
            wrong.setdefault(key, []).append(1.0 - score)
    prompts = []
    for key in sorted(first):
        row = first[key]
        text = columns["prompt"][row]
        misses = wrong.get(key, [])
        prompts.append(
            Prompt(
                text=text,
                group=group_of(text),
                source=name,
                benchmark=key[0],
                category=str(columns["category"][row]),
                kind=_kind(key[0], text),
                hard=sum(misses) / len(misses) if misses else None,
                models=len(misses),
                scores=scores.get(key, {}),
            )
        )
    return prompts


def _kind(benchmark: str, text: str) -> Kind:
    kind = KINDS.get(benchmark, "other")
    if kind == "choice" and not has_options(text):  # llmrouter's MMLU rows hold the bare question
        return "other"
    return kind


def _format_failure(source: str, benchmark: str, model: str) -> bool:
    """Rows that say more about an answer's format than about the query (see the data's README)."""
    if source != "llmrouter":
        return False
    return "chatqa" in model or (model.startswith("qwen2.5-7b") and benchmark == "mmlu")
