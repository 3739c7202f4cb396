"""Progress bars on the terminal for work that tells (step, done, of how many)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from smallfirst.cli.console import err


@contextmanager
def bars(steps: Mapping[str, str]) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each step, named as `steps` says; gone when the work is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def told(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(steps.get(step, step), total=total)
            progress.update(tasks[step], completed=done)

        yield told
