"""What a smaller model wrote goes up with the query, where that may be."""

import msgspec
import pytest

from smallfirst.core import Needs, OutReason, ToolCall
from smallfirst.engine.virtual import simulate
from smallfirst.policy.hand_over import LONGEST, WORDS, HandingOver
from smallfirst.policy.panel import Panel

from .stage import CASCADE, Play, asked, facts, play, script

DRAFTING = HandingOver(CASCADE, "draft")
UNSURE = {"s1": Play(0.3, "perhaps A"), "m1": Play(0.4, "surely B")}


def edits(policy, plays, **more):
    """model -> the edit of its call, and the trace."""
    found = {}
    told = script(plays)

    def answer(start):
        found[start.model] = start.edit
        return told(start)

    query = more.pop("query", {})
    world = facts(plays, **more)
    world = msgspec.structs.replace(world, query=msgspec.structs.replace(world.query, **query))
    return found, simulate(policy, world, answer)


def test_the_answer_goes_up_behind_the_question_with_what_to_do() -> None:
    found, trace = edits(DRAFTING, UNSURE)
    assert found["s1"] is None
    assert msgspec.json.decode(found["m1"].put["messages"]) == [
        {"role": "user", "content": "Which of the two?"},
        {"role": "assistant", "content": "perhaps A"},
        {"role": "user", "content": WORDS["draft"]},
    ]
    assert "surely B" in bytes(found["f1"].put["messages"]).decode()  # the latest, of the highest tier that spoke
    assert "perhaps A" not in bytes(found["f1"].put["messages"]).decode()
    assert {a.n: a.role for a in trace.attempts} == {1: "draft", 2: "draft", 3: "answer"}
    assert trace.decision.out_reason is OutReason.draft


def test_critique_asks_for_something_else() -> None:
    found, _ = edits(HandingOver(CASCADE, "critique"), UNSURE)
    assert WORDS["critique"] in bytes(found["m1"].put["messages"]).decode()


def test_what_is_accepted_below_is_served_as_ever() -> None:
    assert play(DRAFTING) == play(CASCADE)


def test_of_a_panel_the_answer_that_the_judge_thinks_most_of_goes_up() -> None:
    panel = HandingOver(Panel("p", ("s1", "s2"), CASCADE), "draft")
    found, trace = edits(panel, {"s1": Play(0.3, "A"), "s2": Play(0.6, "C")})
    assert msgspec.json.decode(found["m1"].put["messages"])[1]["content"] == "C"
    assert {a.outcome.model: a.role for a in trace.attempts} == {"s1": "answer", "s2": "draft", "m1": "answer"}


@pytest.mark.parametrize("why", [
    {"further": lambda model, tokens: None},
    {"query": {"native": {}}},
    {"query": {"needs": Needs(tools=True)}},
    {"query": {"needs": Needs(n=2)}},
    {"query": {"fields": {"messages": msgspec.Raw(b'[{"role":"tool","content":"4"}]')}}},
    {"query": {"fields": {}}},
], ids=["not allowed", "another API", "tools", "choices", "tool loop", "no chat"])  # fmt: skip
def test_no_draft_where_it_may_not_go(why) -> None:
    found, trace = edits(DRAFTING, UNSURE, **why)
    assert set(found.values()) == {None}
    assert trace.decision.out_reason is None


def test_neither_nothing_nor_too_much_nor_a_tool_call_is_a_draft() -> None:
    for text in ("  ", "x" * (LONGEST + 1)):
        found, _ = edits(DRAFTING, {"s1": Play(0.3, text)})
        assert found["m1"] is None
    told = script(UNSURE)

    def calling(start):
        outcome, after = told(start)
        return msgspec.structs.replace(outcome, tool_calls=(ToolCall("f", "{}"),)), after

    trace = simulate(DRAFTING, facts(UNSURE), calling)
    assert trace.decision.out_reason is None


def test_reading_the_draft_counts_against_the_limit_of_a_request() -> None:
    """Without a draft m1 costs 20 and fits into 25; reading the draft takes 10 more."""
    plays = {"s1": Play(0.3, "perhaps A")}
    assert asked(play(DRAFTING, plays, max_cost=25)) == ["s1", "m1"]
    assert asked(play(DRAFTING, plays, max_cost=25, further=lambda model, tokens: 10)) == ["s1"]
    told = []
    play(DRAFTING, plays, max_cost=100, further=lambda model, tokens: told.append((model, tokens)) or 10)
    assert set(told) == {("m1", -(-(len("perhaps A") + len(WORDS["draft"])) // 4)), *((m, told[0][1]) for m, _ in told)}
