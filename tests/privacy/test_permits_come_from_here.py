"""A permit is proof only as long as nobody else makes one: read every source file and see."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import smallfirst

ROOT = Path(smallfirst.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] != "privacy")
CONVERTERS = {"convert", "decode", "Decoder"}


def makes_permits(source: str) -> list[int]:
    """Lines on which a Permit is made, changed or decoded."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and _makes(node)]


def _makes(call: ast.Call) -> bool:
    name = _last(call.func)
    if name in {"Permit", "Permits"}:
        return True
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    mentioned = {_last(part) for one in given for part in ast.walk(one)}
    if name == "replace" and call.args:
        return "permit" in (_last(call.args[0]) or "").lower()
    return name in CONVERTERS | {"__new__"} and "Permit" in mentioned


def _last(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_else_makes_a_permit(path):
    assert makes_permits(path.read_text("utf-8")) == []


@pytest.mark.parametrize("source", [
    "Permit(c, r, 'x')",
    "core.Permit(data_class=c, replicas=r, rule='x')",
    "msgspec.structs.replace(permit, replicas=frozenset())",
    "replace(self._permit, rule='')",
    "msgspec.convert(raw, Permit)",
    "msgspec.json.decode(raw, type=core.Permit)",
    "object.__new__(Permit)",
])  # fmt: skip
def test_the_reader_sees_each_way(source):
    assert makes_permits(source) == [1]


def test_a_permit_is_frozen():
    source = (ROOT / "core.py").read_text("utf-8")
    permit = next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ClassDef) and n.name == "Permit")
    assert any(k.arg == "frozen" and getattr(k.value, "value", None) is True for k in permit.keywords)
