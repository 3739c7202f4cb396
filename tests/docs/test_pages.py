"""The pages say what is there: links, verbs and their options, rooms, programs, tables of figures."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from smallfirst.cli.main import VERBS, cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = sorted((ROOT / "bench").rglob("*.py"))
README = (ROOT / "README.md").read_text()


def pages(values: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", values, ids=lambda page: page.name)


@pages(PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pages(PAGES)
def test_programs_and_tests_that_are_named_exist(page: Path) -> None:
    for path in re.findall(r"\b((?:bench|tests|smallfirst|examples)/[\w./]+\.(?:py|yaml|json|c))\b", page.read_text()):
        if path.startswith("bench/out/"):  # made by a program, which must be there
            assert any(Path(path).stem in program.read_text() for program in PROGRAMS), path
        else:
            assert (ROOT / path).exists(), path


def commands(page: Path) -> list[list[str]]:
    """The `smallfirst ...` lines of a page, as words: from its blocks of commands and from its running text."""
    text = page.read_text().replace("\\\n", " ")
    blocks = re.findall(r"```(?:console|bash|sh)\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(smallfirst [^`\n]+)`", text)
    found = []
    for line in lines:
        if "smallfirst" not in line:
            continue
        words = shlex.split(line.split(" #")[0])
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words[:1] == ["smallfirst"]:
            found.append(words[1:])
    return found


@pages(PAGES)
def test_commands_that_are_shown_exist_with_their_options(page: Path) -> None:
    for words in commands(page):
        command: click.Command | None = cli
        context = click.Context(cli)
        for word in words:
            if word.startswith("-"):
                break  # options: what follows may be their values
            if isinstance(command, click.Group):
                command = command.get_command(context, word)
                assert command is not None, f"smallfirst {' '.join(words)}"
        if isinstance(command, click.Group) and (default := getattr(command, "default", None)):
            command = command.commands[default]  # the verb that is meant where none is named
        options = {name for parameter in command.params for name in parameter.opts} | {"--help", "--version"}
        asked = {word.split("=")[0] for word in words if word.startswith("--")}
        assert asked <= options, f"smallfirst {' '.join(words)}"


def test_every_verb_is_on_some_page() -> None:
    shown = {words[0] for page in PAGES for words in commands(page) if words}
    assert set(VERBS) <= shown


def test_the_readme_lists_every_room_in_a_line() -> None:
    package = ROOT / "smallfirst"
    rooms = {path.parent.name + "/" for path in package.glob("*/__init__.py")} | {"errors.py", "core.py"}
    house = README[README.index("```\nsmallfirst/") :].split("```")[1]
    assert rooms == set(re.findall(r"^  (\w+(?:/|\.py)) ", house, re.MULTILINE))


def test_the_readme_is_a_page() -> None:
    assert len(README.splitlines()) <= 130


def test_the_tables_of_figures_are_those_of_the_results() -> None:
    command = [sys.executable, "bench/tables.py", "--check"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_every_program_under_bench_has_a_table_or_is_part_of_one() -> None:
    """A figure without a program, or a program without a figure, is one that nobody looks at."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "bench" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    shown = re.findall(r"<!-- table (\w+) -->", page)
    assert set(shown) == set(tables.TABLES)
    for name in shown:
        assert (tables.RESULTS / f"{name}.json").exists()
