"""Where smallfirst keeps its files: what must last (the ledger, probes) and what can be fetched again (weights).

Knows the folder conventions of Linux and macOS. Does not know what lies in the folders, and never reads the
process's own environment: the caller hands it in.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from smallfirst.errors import SetupError


def data_dir(environ: Mapping[str, str]) -> Path:
    """The folder for what must last; made on demand, readable by its owner only.

    `$SMALLFIRST_HOME/data`, else `$XDG_DATA_HOME/smallfirst` (XDG Base Directory specification 0.8: a relative
    path there is ignored), else the platform's own place. Raises SetupError when it can't be made.
    """
    return _folder(environ, part="data", xdg="XDG_DATA_HOME", linux=".local/share", mac="Library/Application Support")


def cache_dir(environ: Mapping[str, str]) -> Path:
    """The folder for what can be fetched again; otherwise as `data_dir`."""
    return _folder(environ, part="cache", xdg="XDG_CACHE_HOME", linux=".cache", mac="Library/Caches")


def _folder(environ: Mapping[str, str], *, part: str, xdg: str, linux: str, mac: str) -> Path:
    own = environ.get("SMALLFIRST_HOME")
    if own:
        return _made(Path(own).expanduser().absolute() / part)
    base = environ.get(xdg, "")
    if base and Path(base).is_absolute():
        return _made(Path(base) / "smallfirst")
    home = environ.get("HOME")
    root = Path(home) if home else Path.home()
    return _made(root / (mac if sys.platform == "darwin" else linux) / "smallfirst")


def _made(path: Path) -> Path:
    """`path`, there and private. A folder that was there keeps the mode its owner gave it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"can't make the folder {path}: {error.strerror or error}. Set SMALLFIRST_HOME to a folder you may write to"
        ) from error
    return path
