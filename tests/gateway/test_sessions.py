"""Conversations keep their tier while there is reason to; a tool loop never falls down."""

from __future__ import annotations

import msgspec

from smallfirst.accounts.settings import KeySettings, KeysSettings
from smallfirst.core import (
    Attempt,
    DataClass,
    Entry,
    Model,
    Needs,
    Outcome,
    Price,
    Query,
    Reason,
    Replica,
    Status,
    Tier,
    ToolCall,
    Usage,
)
from smallfirst.engine.sessions import Sessions
from smallfirst.engine.settings import SessionSettings
from smallfirst.models.scripted import Reply
from smallfirst.models.settings import AbilitySettings

GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5))
ON = {"sessions": SessionSettings(ttl_s=600)}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FIRST = [{"role": "user", "content": "What is the weather?"}]
CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
]}  # fmt: skip
LOOP = [*FIRST, CALL, {"role": "tool", "tool_call_id": "c1", "content": "sunny"}]


def served(up):
    return [entry.served_model for entry in up.entries]


def test_a_tool_loop_stays_with_the_model_that_began_it(stage):
    """The small model can't call the tool properly, the large one can; its result goes to the large one."""

    def small(request):
        return Reply(text="It is sunny.", usage=Usage(10, 5)) if len(request.fields["messages"]) > 1 else Reply(text="")

    def large(_):
        return Reply(tool_calls=(ToolCall("f", "{}"),))

    for sections, wanted in ((ON, ["large", "large"]), ({}, ["large", "small"])):
        up = stage(small=small, large=large, sections=sections)
        up.ask(messages=FIRST, tools=[TOOL])
        up.ask(messages=LOOP, tools=[TOOL])
        assert served(up) == wanted


def turn(text, *before):
    return [*before, {"role": "user", "content": text}]


def test_after_a_hand_up_it_stays_up_for_three_turns(stage):
    hard = {"now": True}
    up = stage(small=lambda _: "" if hard["now"] else GOOD, large=lambda _: GOOD, sections=ON)
    history = turn("Prove it.")
    up.ask(messages=history)
    hard["now"] = False
    for n in range(5):
        history = turn(f"And {n}?", *history, {"role": "assistant", "content": "ok"})
        up.ask(messages=history)
    assert served(up) == ["large"] * 4 + ["small"] * 2


def test_other_conversations_and_other_keys_are_not_touched(stage):
    accept = (KeySettings(name="a", key="key-a"), KeySettings(name="b", key="key-b"))
    hard = {"now": True}
    up = stage(
        small=lambda _: "" if hard["now"] else GOOD, large=lambda _: GOOD,
        sections={**ON, "keys": KeysSettings(accept=accept)},
    )  # fmt: skip
    dial = {"smallfirst": {"session": "one"}}

    def ask(key, dials, text="Prove it."):
        client = up.client.with_options(api_key=key)
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": text}], extra_body=dials)

    ask("key-a", dial)
    hard["now"] = False
    ask("key-b", dial)
    ask("key-a", {"smallfirst": {"session": "two"}})
    ask("key-a", dial, "Something else.")
    assert served(up) == ["large", "small", "small", "large"]


def reading(entry, tokens):
    """The entry of a turn in which `warm` has read so many tokens."""
    outcome = Outcome("warm", Status.ok, usage=Usage(tokens, 100, tokens))
    return msgspec.structs.replace(entry, attempts=(Attempt(1, "answer", outcome),))


def test_a_warm_prompt_cache_that_is_cheaper_keeps_the_conversation(stage):
    clock = [0.0]
    sessions = Sessions(SessionSettings(ttl_s=60, max_sessions=10), clock=lambda: clock[0])
    replica = (Replica("p", "http://x", "m"),)
    models = {
        "below": Model("below", "slm", replica, price=Price(1000, 1000, 1000, "t")),
        "warm": Model("warm", "mid", replica, price=Price(2000, 2000, 100, "t")),
    }
    tiers = (Tier("slm", ("below",)), Tier("mid", ("other", "warm")))
    raw = msgspec.Raw(b'[{"role":"user","content":"x"}]')
    query = Query("q", "auto", "x", {"messages": raw}, Needs(input_tokens=10_000, output_tokens=100))
    found = sessions.find(query, "a")
    assert sessions.narrow(found, tiers, models, query, {}) == tiers
    entry = Entry(
        id="e", at_us=0, asked="auto", policy="auto", key_id="a", tags=(), session=None, data_class=DataClass.internal,
        kind="faq", complexity=0.1, reason=Reason.accepted, status=200, served_model="warm", served_tier="mid",
        attempts=(), cost=0, baseline_cost=None, baseline_method="", latency_us=1, overhead_us=1, stream=False,
        would_escalate=False, deferrals=(),
    )  # fmt: skip
    sessions.note(found, reading(entry, 9_000), 100)
    assert sessions.narrow(found, tiers, models, query, {}) == (Tier("mid", ("warm", "other")),)
    sessions.note(found, reading(entry, 100), 10)  # nothing to lose: the lower tier is open again
    assert sessions.narrow(found, tiers, models, query, {}) == (tiers[0], Tier("mid", ("warm", "other")))
    clock[0] = 61
    assert sessions.narrow(found, tiers, models, query, {}) == tiers
    for n in range(20):
        sessions.note((b"%d" % n, False), entry, 1)
    assert len(sessions._talks) == 10


def test_its_model_may_not_answer_any_more(stage):
    """A conversation that was up goes on where it may when its model can't take the next turn."""
    up = stage(
        small=lambda _: GOOD, large=lambda _: GOOD, sections=ON,
        abilities={"large": AbilitySettings(tools=False)},
    )  # fmt: skip
    up.ask(model="auto", extra_body={"smallfirst": {"max_quality_loss": 0.01, "session": "s"}})
    assert served(up) == ["large"]
    up.ask(tools=[TOOL], extra_body={"smallfirst": {"session": "s"}})
    assert served(up)[-1] == "small"
