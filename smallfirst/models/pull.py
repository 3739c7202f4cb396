"""Fetches a .gguf file from a Hugging Face hub, and goes on where an earlier attempt stopped.

Built on huggingface_hub's own pieces (HF_ENDPOINT, HF_TOKEN, proxies and retries are its business), not on
`hf_hub_download`: from version 2 on that throws away what an interrupted run had fetched, and a small model is
gigabytes. Here the partial file carries the ETag in its name, so parts of two versions never meet.

Knows references, partial files and hashes. Does not know where the cache is, nor what the file is for.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Protocol

import msgspec

from smallfirst.errors import SetupError


class Progress(Protocol):
    """Told how far a step is. `done` and `total` are bytes; total 0: not known."""

    def __call__(self, step: str, done: int, total: int) -> None: ...


def quiet(step: str, done: int, total: int) -> None:
    """The progress that shows nothing."""


class Reference(msgspec.Struct, frozen=True):
    """One file on a hub: `hf:ORG/REPO:FILE.gguf`; FILE may lie in folders of the repository."""

    repo: str
    file: str

    @classmethod
    def parse(cls, name: str) -> Reference:
        """From the user's way of writing it. SetupError: it does not look like that."""
        match = re.fullmatch(r"hf:([\w.-]+/[\w.-]+):([\w./ -]+\.gguf)", name)
        if match is None or ".." in PurePosixPath(match[2]).parts or match[2].startswith("/"):
            raise SetupError(f"{name!r} should look like hf:ORG/REPO:FILE.gguf")
        return cls(match[1], match[2])

    def place(self, folder: Path) -> Path:
        """Where the file lies below `folder`."""
        return folder / "hf" / self.repo / self.file


def fetch(reference: Reference, target: Path, progress: Progress = quiet, endpoint: str | None = None) -> None:
    """Bring the file to `target`, which appears only when it is complete and, where the hub gives a hash, right.

    `endpoint`: the hub's address; default: HF_ENDPOINT, else the public hub. SetupError: not there, not allowed, no
    network, no space. What came so far stays beside `target` for the next attempt.
    """
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url  # noqa: PLC0415 - 0.3 s, and only when fetching
    except ImportError as fault:
        words = "fetching from a hub needs an extra: pip install 'smallfirst[hub]'; or put the file at"
        raise SetupError(f"{words} {target} yourself") from fault
    from huggingface_hub.file_download import http_get  # noqa: PLC0415 - as above
    from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415 - as above

    try:
        headers = build_hf_headers(library_name="smallfirst")
        url = hf_hub_url(reference.repo, reference.file, endpoint=endpoint)
        found = get_hf_file_metadata(url, headers=headers, endpoint=endpoint)
        version = found.commit_hash or "main"
        url = hf_hub_url(reference.repo, reference.file, revision=version, endpoint=endpoint)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{_mark(found.etag, version)}.partial")
        _drop_others(target, partial)
        with partial.open("r+b" if partial.exists() else "w+b") as file:
            have = file.seek(0, 2)
            if found.size is not None and have > found.size:
                have = file.seek(0)
                file.truncate()
            bar = _bar(f"fetch {reference.file}", progress)
            http_get(url, file, resume_size=have, headers=headers, expected_size=found.size, tqdm_class=bar)
    except (
        Exception
    ) as fault:  # the hub's client lets through what the HTTP library below it raises, which changed twice
        raise SetupError(_explain(reference, target, fault)) from fault
    _check(partial, found.etag, reference)
    partial.replace(target)


def _mark(etag: str | None, version: str) -> str:
    """A few characters that stand for one version of the file."""
    return hashlib.sha256((etag or version).encode()).hexdigest()[:12]


def _drop_others(target: Path, partial: Path) -> None:
    """Parts of versions that the hub no longer serves would lie there for ever."""
    for old in target.parent.glob(f"{target.name}.*.partial"):
        if old != partial:
            old.unlink()


def _check(partial: Path, etag: str | None, reference: Reference) -> None:
    """Large files have their sha256 as ETag; others only their size was checked."""
    if etag is None or re.fullmatch(r"[0-9a-f]{64}", etag) is None:
        return
    with partial.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != etag:
        partial.unlink()
        raise SetupError(
            f"{reference.repo} {reference.file}: the file that came has sha256 {got}, not {etag}; try again"
        )


def _explain(reference: Reference, target: Path, fault: Exception) -> str:
    """One sentence on what went wrong and what can be done."""
    status = getattr(getattr(fault, "response", None), "status_code", None)
    what = f"can't fetch {reference.file} of {reference.repo}"
    if status in (401, 403):
        return f"{what}: the hub says no ({status}); if the model is gated, accept its licence there and set HF_TOKEN"
    if status == 404:
        return f"{what}: the hub has no such repository or file (404)"
    first = next(iter(str(fault).splitlines()), "") or type(fault).__name__
    return f"{what}: {first}; try again (it goes on where it stopped), or put the file at {target} yourself"


def _bar(step: str, progress: Progress) -> Any:
    """Something with the face of tqdm that tells `progress`."""

    class Bar(contextlib.AbstractContextManager["Bar"]):
        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object) -> None:
            self.done, self.total = initial, total or 0
            progress(step, self.done, self.total)

        def update(self, n: float | None = 1) -> None:
            self.done += int(n or 0)
            progress(step, self.done, self.total)

        def __exit__(
            self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
        ) -> None:
            return None

    return Bar
