"""Which kinds of tasks there are, and what opens one.

Knows names only: a kind's code is imported when the config has a task of that kind, so that a gateway without tasks
does not pay for them. A kind is added by a line in KINDS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from smallfirst.config.nearest import hint
from smallfirst.core import DataClass
from smallfirst.errors import ConfigError
from smallfirst.privacy.classes import NAMES, parse_class
from smallfirst.tasks.kb.settings import WordsSettings, handoff_problems
from smallfirst.tasks.settings import TaskSettings
from smallfirst.tasks.task import NAME, PREFIXES, Opening, Task, TaskKind


def _triage(opening: Opening) -> Task:
    from smallfirst.tasks.triage.served import open_triage  # noqa: PLC0415 - numpy and an encoder, for those who use it

    return open_triage(opening)


def _extract(opening: Opening) -> Task:
    from smallfirst.tasks.extract.served import open_extract  # noqa: PLC0415 - as above

    return open_extract(opening)


def _kb(opening: Opening) -> Task:
    from smallfirst.tasks.kb.served import open_kb  # noqa: PLC0415 - numpy and an encoder, for those who use it

    return open_kb(opening)


KINDS: Mapping[TaskKind, Callable[[Opening], Task]] = {"extract": _extract, "kb": _kb, "triage": _triage}
"""Kind -> what opens a task of it. Raises DataError for a file that can't be used, SetupError for a missing extra."""

READS: Mapping[TaskKind, str] = {"triage": "model", "extract": "model", "kb": "index"}
"""Which field names a kind's main file."""


def wire_name(name: str, settings: TaskSettings) -> str:
    """What callers put into `model`."""
    return PREFIXES[settings.kind] + name


def open_task(opening: Opening, kind: TaskKind) -> Task:
    """Raises ConfigError for a kind that this version has not; what KINDS says."""
    opens = KINDS.get(kind)
    if opens is None:
        raise ConfigError([f"tasks: kind {kind} is known, but not in this version"])
    return opens(opening)


def task_problems(
    tasks: Mapping[str, TaskSettings], policies: Mapping[str, object], models: Mapping[str, object]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong in the section, as far as names and numbers can tell: (key path, words)."""
    above = dict.fromkeys(("auto", *policies, *models))
    for name, task in tasks.items():
        at = ("tasks", name)
        if NAME.fullmatch(name) is None:
            yield at, "a task's name has letters, digits and `_ . -`, at most 64, and begins with a letter or a digit"
        if task.policy not in above:
            yield (*at, "policy"), f"unknown policy or model `{task.policy[:60]}`{hint(task.policy, above)}"
        if task.threshold != "certified" and not 0 <= task.threshold <= 1:
            yield (*at, "threshold"), f"{task.threshold} is not between 0 and 1"
        if task.workers < 1:
            yield (*at, "workers"), f"{task.workers} is too small; the least is 1"
        yield from _kind_problems(at, task)
    for section, names in (("models", models), ("policies", policies)):
        for name in names:
            if name.startswith(tuple(PREFIXES.values())):
                yield (section, name), "names that begin with `task:` or `kb:` belong to tasks"


def _kind_problems(at: tuple[str, ...], task: TaskSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    if task.kind not in KINDS:
        yield (*at, "kind"), f"{task.kind} is known, but not in this version"
    needed = READS[task.kind]
    other = "index" if needed == "model" else "model"
    if getattr(task, needed) is None and task.spec is None:
        yield at, f"a task of kind {task.kind} needs `{needed}`, or a `spec` that names it"
    if getattr(task, other) is not None:
        yield (*at, other), f"a task of kind {task.kind} does not read this; it reads `{needed}`"
    if task.kind != "kb":
        yield from (((*at, field), "only a task of kind kb has this") for field in _kb_fields(task))
    if task.handoff is not None:
        yield from (((*at, "handoff", field), words) for field, words in handoff_problems(task.handoff))
    if task.data_class is not None and task.data_class not in NAMES:
        yield (*at, "class"), f"unknown data class `{task.data_class[:60]}`{hint(task.data_class, NAMES)}"


def _kb_fields(task: TaskSettings) -> Iterator[str]:
    """Those of a knowledge base's own fields that are set."""
    if task.quote != "last":
        yield "quote"
    if task.words != WordsSettings():
        yield "words"
    if task.handoff is not None:
        yield "handoff"


def least_class(settings: TaskSettings) -> DataClass | None:
    """The floor of the data class of every query to a task; None: there is none."""
    name = settings.data_class or ("internal" if settings.kind == "kb" else None)
    return None if name is None else parse_class(name)
