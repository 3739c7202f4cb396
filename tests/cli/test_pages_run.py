"""The examples of README.md and docs/quickstart.md, run as they stand against a gateway that runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from smallfirst.core import Usage
from smallfirst.models.scripted import Reply

ROOT = Path(__file__).parents[2]
SAID = Reply(text="one two three", usage=Usage(9, 3))


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_python_blocks_run_one_after_the_other(serve, configured, page, capsys):
    up = serve("--config", configured(small=lambda _: "unused", large=lambda _: SAID))
    found = blocks(page, "python")
    assert found
    names: dict[str, object] = {}
    for block in found:
        assert "127.0.0.1" not in block or "http://127.0.0.1:4000" in block
        code = compile(block.replace("http://127.0.0.1:4000", up.root), page, "exec")
        exec(code, names)
    said = capsys.readouterr().out
    assert "one two three" in said
    assert "large" in said
    assert "top_tier" in said


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_curl_lines_run(serve, configured, page):
    up = serve("--config", configured(small=lambda _: "unused", large=lambda _: SAID))
    text = "\n".join(blocks(page, "console")).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.startswith("curl ")]
    assert lines
    for line in lines:
        command = line.replace("http://127.0.0.1:4000", up.root)
        ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=True)
        assert "one two three" in ran.stdout or "smallfirst_" in ran.stdout
