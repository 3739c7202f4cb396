"""The most that a call can cost: never less than what an upstream may bill for it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.accounts.purses import Bank
from smallfirst.accounts.tab import Purses, Tab
from smallfirst.core import Abilities, Edit, Model, Needs, Price, Query, Replica
from smallfirst.models.sender import Call

REPLICA = Replica("here", "http://x/v1", "m")
MODEL = Model("m", "slm", (REPLICA,), Abilities(context=5000), Price(1_000_000, 1_000_000, 100_000, "t"))


def tab_and_call(query, edit=None, model=MODEL):
    tab = Tab(Bank(None), Purses(0, (), (), ()), query, 4096)  # type: ignore[arg-type]
    return tab, Call(model, model.replicas[0], query, edit)


def query_of(text, native=None, **needs):
    raw = msgspec.json.encode([{"role": "user", "content": text}])
    api = "chat" if native is None else "messages"
    return Query("q", "m", text, {"messages": msgspec.Raw(raw)}, Needs(**needs), api=api, native=native)


@given(st.text(max_size=300))
def test_no_text_has_more_tokens_than_it_has_bytes(text):
    tab, call = tab_and_call(query_of(text, input_tokens=len(text) // 4 + 1))
    assert tab._most_input(call) >= min(len(text.encode("utf-8", "ignore")), 5000)


def test_a_limit_is_put_in_and_leaves_room_for_the_prompt():
    tab, call = tab_and_call(query_of("x", input_tokens=1000))
    bounded, output = tab._bounded(call)
    assert output == 4000
    assert bytes(bounded.edit.put["max_tokens"]) == b"4000"
    tab, call = tab_and_call(query_of("x", input_tokens=1000), Edit({"a": msgspec.Raw(b"1")}, ("b",)))
    bounded, _ = tab._bounded(call)
    assert set(bounded.edit.put) == {"a", "max_tokens"}
    assert bounded.edit.drop == ("b",)


def test_a_limit_that_is_there_stays():
    tab, call = tab_and_call(query_of("x", output_tokens=7))
    assert tab._bounded(call) == (call, 7)


@pytest.mark.parametrize(("query", "least"), [
    (query_of("x", vision=True, input_tokens=300), 3600),
    (query_of("x", anthropic=True), 5000),
    (query_of("x", native={"messages": msgspec.Raw(b'"' + b"t" * 3000 + b'"')}), 3002),
])  # fmt: skip
def test_what_bytes_do_not_say(query, least):
    tab, call = tab_and_call(query)
    assert tab._most_input(call) >= least


def test_what_an_edit_adds_counts():
    tab, call = tab_and_call(query_of("x"))
    plain = tab._most_input(call)
    tab, call = tab_and_call(query_of("x"), Edit({"draft": msgspec.Raw(b'"' + b"d" * 100 + b'"')}))
    assert tab._most_input(call) == plain + 102
