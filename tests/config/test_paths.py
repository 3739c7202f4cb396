"""Where files lie, without touching the real home folder."""

from __future__ import annotations

import stat
import sys

import pytest

from smallfirst.config.paths import cache_dir, data_dir
from smallfirst.errors import SetupError


def test_own_variable_overrides_everything(tmp_path):
    environ = {"SMALLFIRST_HOME": str(tmp_path / "sf"), "XDG_DATA_HOME": "/nowhere", "HOME": "/nowhere"}
    assert data_dir(environ) == tmp_path / "sf" / "data"
    assert cache_dir(environ) == tmp_path / "sf" / "cache"
    assert data_dir(environ).is_dir()


def test_folders_are_private(tmp_path):
    path = data_dir({"SMALLFIRST_HOME": str(tmp_path)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_folder_that_is_there_keeps_its_mode(tmp_path):
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data").chmod(0o755)
    assert stat.S_IMODE(data_dir({"SMALLFIRST_HOME": str(tmp_path)}).stat().st_mode) == 0o755


def test_xdg_variables(tmp_path):
    environ = {"XDG_DATA_HOME": str(tmp_path / "d"), "XDG_CACHE_HOME": str(tmp_path / "c"), "HOME": "/nowhere"}
    assert data_dir(environ) == tmp_path / "d" / "smallfirst"
    assert cache_dir(environ) == tmp_path / "c" / "smallfirst"


@pytest.mark.parametrize(("platform", "data", "cache"), [
    ("linux", ".local/share", ".cache"),
    ("darwin", "Library/Application Support", "Library/Caches"),
])  # fmt: skip
def test_the_platform_s_own_place(tmp_path, monkeypatch, platform, data, cache):
    monkeypatch.setattr(sys, "platform", platform)
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": "relative/is/ignored"}
    assert data_dir(environ) == tmp_path / data / "smallfirst"
    assert cache_dir(environ) == tmp_path / cache / "smallfirst"


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="SMALLFIRST_HOME"):
        data_dir({"SMALLFIRST_HOME": str(tmp_path / "file")})
