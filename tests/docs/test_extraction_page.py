"""The Python example of docs/extraction.md, run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_example_runs(monkeypatch, capsys) -> None:
    pytest.importorskip("scipy", reason="the extra `learn` is not installed")
    monkeypatch.chdir(ROOT)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extraction.md").read_text(), re.DOTALL)
    exec(compile(block, "docs/extraction.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert float(said[0]) > 0.9
    assert said[1].startswith("total 188.26 EUR EUR 188.26")
    assert said[-1] == "doubtful: ()"
