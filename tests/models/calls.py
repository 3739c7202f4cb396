"""Calls and permits for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from smallfirst.core import DataClass, Edit, Model, Needs, Permit, Price, Query, Replica
from smallfirst.models.sender import Call

PRICE = Price(input=1_000_000, output=2_000_000, cached=500_000, source="test")
PERMIT = Permit(DataClass.public, frozenset({("small", "here")}), "test")


def raw(fields: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in fields.items()}


def make_call(
    url: str = "http://127.0.0.1:1/v1",
    *,
    fields: Mapping[str, Any] | None = None,
    upstream_model: str = "org/small-1b",
    key: str | None = "sk-test",
    edit: Edit | None = None,
    logprobs: bool = False,
    timeout_s: float = 30.0,
    text: bool = False,
) -> Call:
    replica = Replica("here", url, upstream_model, key=key)
    asked = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]} if fields is None else fields
    query = Query("q1", "auto", "hi", raw(asked), Needs(input_tokens=7))
    model = Model("small", "slm", (replica,), price=PRICE)
    return Call(model, replica, query, edit, logprobs, timeout_s, text)
