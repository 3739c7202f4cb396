"""The `tasks` section -> tasks, their models, and a sender that runs them: what build.py puts beside the catalogue.

Knows the registry and the composition. Does not know any kind of task.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.cli.settings import Settings
from smallfirst.core import DataClass, Model, Tier
from smallfirst.errors import ConfigError, DataError, SetupError
from smallfirst.models.catalogue import Catalogue
from smallfirst.models.local import LocalSender
from smallfirst.models.sender import Sender
from smallfirst.policy.fixed import Fixed
from smallfirst.policy.protocol import Policy
from smallfirst.tasks.registry import least_class, open_task, wire_name
from smallfirst.tasks.settings import TaskSettings
from smallfirst.tasks.task import Opening, Task


def placed_tasks(tasks: Mapping[str, TaskSettings], folder: Path) -> dict[str, TaskSettings]:
    """Their files where the config means them: relative to its own folder."""
    return {
        name: msgspec.structs.replace(
            task,
            **{field: str(folder / path) for field in ("model", "index", "spec") if (path := getattr(task, field))},
        )
        for name, task in tasks.items()
    }


def make_tasks(settings: Settings, policies: Mapping[str, Policy], default: str) -> tuple[Task, ...]:
    """Raises ConfigError that names the task whose file can't be used."""
    return tuple(_make(name, task, policies, default) for name, task in settings.tasks.items())


def _make(name: str, task: TaskSettings, policies: Mapping[str, Policy], default: str) -> Task:
    named = default if task.policy == "auto" else task.policy
    opening = Opening(
        name=wire_name(name, task),
        above=policies.get(named) or Fixed(named, named),
        threshold=task.threshold,
        model=task.model,
        index=task.index,
        spec=task.spec,
        workers=task.workers,
        words=task.words,
        quote=task.quote,
        handoff=task.handoff,
    )
    try:
        return open_task(opening, task.kind)
    except (DataError, SetupError) as error:
        raise ConfigError([f"tasks.{name}: {error}"]) from error


def task_lines(settings: Settings, folder: Path) -> list[str]:
    """What the section means, a line for each task. Raises ConfigError as make_tasks does."""
    placed = msgspec.structs.replace(settings, tasks=placed_tasks(settings.tasks, folder))
    lines = []
    for task, said in zip(make_tasks(placed, {}, settings.default_policy), settings.tasks.values(), strict=True):
        promise = task.promise.words if task.promise is not None else "nothing is certified of what it keeps"
        lines.append(f"{task.name}: {task.kind}, what it is not sure of goes to {said.policy}; {promise}")
    return lines


def task_floors(tasks: Mapping[str, TaskSettings]) -> dict[str, DataClass]:
    """The least data class of a query to each task, by the name that callers use."""
    found = ((wire_name(name, task), least_class(task)) for name, task in tasks.items())
    return {name: least for name, least in found if least is not None}


def lowest_tier(tiers: tuple[Tier, ...]) -> str:
    """The tier in which tasks' own models are counted: below the highest, `slm` where there is only one."""
    return tiers[0].name if len(tiers) > 1 else "slm"


def own_models(tasks: tuple[Task, ...], tiers: tuple[Tier, ...]) -> dict[str, Model]:
    """Every model of every task, by name."""
    return {own.name: own.model(lowest_tier(tiers)) for task in tasks for own in task.models}


def with_tasks(catalogue: Catalogue, tasks: tuple[Task, ...]) -> Catalogue:
    """The catalogue with the tasks' own models."""
    return msgspec.structs.replace(catalogue, own=own_models(tasks, catalogue.tiers))


def with_locals(sender: Sender, tasks: tuple[Task, ...]) -> Sender:
    """A sender that runs the tasks' own models, in as many threads as they may take together."""
    owns = [own for task in tasks for own in task.models]
    if not owns:
        return sender
    return LocalSender(sender, {own.name: own.local for own in owns}, sum(own.workers for own in owns))
