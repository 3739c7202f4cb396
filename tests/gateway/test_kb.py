"""A knowledge base behind a running gateway, with the openai client: who answers, citing what, and who is told."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

import openai
import pytest

from smallfirst.core import DataClass
from smallfirst.engine.settings import CacheSettings
from smallfirst.models.loopback import ScriptedUpstream, Wire
from smallfirst.models.scripted import Reply
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings
from smallfirst.tasks.kb.prompt import ABSENT
from smallfirst.tasks.kb.settings import HandoffSettings, WordsSettings
from smallfirst.tasks.settings import TaskSettings
from tests.tasks.handbook import built

WHO = "Who approves claims above 500 pounds?"
RIGHT = "Claims above 500 pounds need the approval of the finance lead, Morag Sinclair [1]."
WRONG = "Claims above 900 pounds are approved by Hamish Boyd [1]."
TRAM = "How much does a season ticket for the tram cost?"


@pytest.fixture
def serve(stage: Any) -> Any:
    """`serve(small=script, large=script)`: the handbook before two models."""

    def make(small: Any = RIGHT, large: Any = RIGHT, *, task: dict[str, Any] | None = None, **more: Any) -> Any:
        sections = more.pop("sections", {})
        settings = TaskSettings(kind="kb", index=str(built()), **(task or {}))
        sections = {**sections, "tasks": {"handbook": settings}}
        scripts = {name: _said(said) for name, said in (("small", small), ("large", large))}
        return stage(**scripts, probes={}, sections=sections, **more)

    return make


def _said(said: Any) -> Any:
    return said if callable(said) else lambda _: Reply(text=said)


def ask(up: Any, text: str = WHO, **more: Any) -> tuple[Any, dict[str, Any]]:
    """The raw answer, and the task's JSON in it."""
    raw = up.ask(text, **{"model": "kb:handbook", **more})
    return raw, raw.parse().model_extra["smallfirst"]["task"]


def fetch(up: Any, method: str, path: str, body: Any = None) -> Any:
    """JSON over plain HTTP."""
    connection = http.client.HTTPConnection(*up.root.removeprefix("http://").split(":"), timeout=20)
    with closing(connection):
        connection.request(method, path, None if body is None else json.dumps(body))
        return json.loads(connection.getresponse().read())


def test_the_smallest_model_answers_with_citations_that_can_be_looked_up(serve: Any) -> None:
    up = serve()
    raw, result = ask(up)
    assert raw.parse().choices[0].message.content == RIGHT
    assert result["answered"] is True
    (citation,) = result["citations"]
    assert (citation["n"], citation["document"], citation["title"]) == (
        1,
        "people/expenses.md",
        "Expenses > How to claim",
    )
    assert "Morag Sinclair" in citation["text"]
    assert citation["end"] - citation["start"] == len(citation["text"])
    shown = {name: raw.headers[f"x-smallfirst-{name}"] for name in ("tier", "model", "reason", "attempts")}
    assert shown == {"tier": "slm", "model": "small", "reason": "accepted", "attempts": "3"}
    assert up.seen("large") == 0
    (entry,) = up.entries
    assert [(a.outcome.model, a.role) for a in entry.attempts] == [
        ("kb:handbook", "answer"), ("small", "answer"), ("kb:handbook", "judge")
    ]  # fmt: skip
    assert entry.data_class is DataClass.internal
    sent = up.upstreams["small"].requests[0].fields
    assert "[1] Expenses > How to claim" in sent["messages"][-1]["content"]
    assert sent["messages"][-1]["content"].endswith(f"Question: {WHO}")


def test_an_answer_that_the_passages_do_not_support_is_handed_up(serve: Any) -> None:
    up = serve(small=WRONG)
    raw, result = ask(up)
    assert raw.parse().choices[0].message.content == RIGHT
    assert raw.headers["x-smallfirst-model"] == "large"
    assert result["answered"] is True
    assert up.entries[0].deferrals == ("ungrounded",)


@pytest.mark.parametrize(
    ("small", "word"),
    [(ABSENT, "not_found"), (lambda _: Wire(steps=(b"{}",), status=400), "failed")],
)
def test_a_model_that_finds_nothing_or_fails_sends_the_question_up(serve: Any, small: Any, word: str) -> None:
    up = serve(small=small)
    _, result = ask(up)
    assert result["answered"] is True
    assert up.entries[0].deferrals == (word,)


def test_what_is_not_there_is_said_in_the_fixed_sentence_and_no_model_is_asked(serve: Any) -> None:
    up = serve(task={"words": WordsSettings(not_found="Das steht nicht im Handbuch.")})
    raw, result = ask(up, TRAM)
    assert raw.parse().choices[0].message.content == "Das steht nicht im Handbuch."
    assert (result["answered"], result["why"], result["citations"]) == (False, "not_found", [])
    assert (up.seen("small"), up.seen("large")) == (0, 0)
    assert raw.headers["x-smallfirst-cost-usd"] == "0"


def test_where_no_answer_is_supported_the_documents_are_quoted(serve: Any) -> None:
    up = serve(small=WRONG, large=WRONG)
    raw, result = ask(up)
    said = "Claims above 500 pounds also need the approval of the finance lead, Morag Sinclair [1]."
    assert raw.parse().choices[0].message.content == said
    assert (result["quoted"], result["citations"][0]["document"]) == (True, "people/expenses.md")
    assert (raw.headers["x-smallfirst-reason"], raw.headers["x-smallfirst-model"]) == ("fallback", "kb:handbook")


def test_quoted_first_no_model_is_asked(serve: Any) -> None:
    up = serve(task={"quote": "first"})
    raw, result = ask(up)
    assert result["quoted"] is True
    assert raw.headers["x-smallfirst-reason"] == "accepted"
    assert (up.seen("small"), up.seen("large")) == (0, 0)


def test_nobody_grounded_is_no_answer(serve: Any) -> None:
    up = serve(small=WRONG, large=WRONG, task={"quote": "never"})
    raw, result = ask(up)
    assert raw.parse().choices[0].message.content == WordsSettings().unsupported
    assert (result["answered"], result["why"]) == (False, "ungrounded")
    assert raw.headers["x-smallfirst-reason"] == "unsure"


def test_a_stream_is_the_same_answer(serve: Any) -> None:
    up = serve()
    chunks = list(
        up.client.chat.completions.create(model="kb:handbook", messages=[{"role": "user", "content": WHO}], stream=True)
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == RIGHT
    ending = chunks[-1].model_extra["smallfirst"]
    assert ending["task"]["citations"][0]["document"] == "people/expenses.md"


def test_a_second_turn_is_searched_with_the_first(serve: Any) -> None:
    up = serve(small="There are eight parking spaces with charging points; reserve one the day before [1].")
    messages = [
        {"role": "system", "content": "Answer like a pirate."},
        {"role": "user", "content": "When is the Bremen office open?"},
        {"role": "assistant", "content": "From 8:00 to 18:00 [1]."},
        {"role": "user", "content": [{"type": "text", "text": "Can I park my car there?"}]},
    ]
    _, result = ask(up, messages=messages)
    assert result["citations"][0]["title"] == "Offices > Bremen"
    sent = up.upstreams["small"].requests[0].fields["messages"]
    assert [one["role"] for one in sent] == ["system", "user", "assistant", "user"]
    assert sent[0]["content"].startswith("Answer like a pirate.")


def test_v1_tasks_answers_with_the_same_json(serve: Any) -> None:
    up = serve()
    body = fetch(up, "POST", "/v1/tasks/handbook", {"input": WHO})
    assert (body["answer"], body["answered"], body["by"], body["handed_up"]) == (RIGHT, True, "small", False)
    (card,) = fetch(up, "GET", "/v1/tasks")["data"]
    assert (card["id"], card["kind"], card["documents"]) == ("kb:handbook", "kb", 12)


def test_a_question_without_text_is_refused(serve: Any) -> None:
    up = serve()
    with pytest.raises(openai.BadRequestError, match="no text in the last user turn"):
        up.ask(" ", model="kb:handbook")


def test_a_repeated_question_is_answered_from_the_cache_and_another_key_is_not(serve: Any) -> None:
    up = serve(sections={"cache": CacheSettings(ttl_s=60)})
    first, _ = ask(up)
    again, result = ask(up, f"  {WHO.upper()} ", temperature=0.7)
    assert again.headers["x-smallfirst-reason"] == "cached"
    assert result["citations"][0]["document"] == "people/expenses.md"
    assert up.seen("small") == 1
    other, _ = ask(up, messages=[{"role": "user", "content": "Hello."}, {"role": "user", "content": WHO}])
    assert (first.headers["x-smallfirst-reason"], other.headers["x-smallfirst-reason"]) == ("accepted", "accepted")


class TestPrivacy:
    """The passages have a class, and the query has at least that."""

    rules = PrivacySettings(
        rules=(
            RuleSettings(classes=("internal",), to="any", do="allow"),
            RuleSettings(classes=("personal",), to=TargetSettings(location="cloud/eu"), do="redact"),
            RuleSettings(
                classes=("personal", "health"), to=TargetSettings(location=("device", "premises")), do="allow"
            ),
        )
    )

    def test_the_class_of_the_knowledge_base_decides_who_may_be_asked(self, serve: Any) -> None:
        up = serve(
            task={"data_class": "health"}, sections={"privacy": self.rules},
            locations={"small": "cloud/eu", "large": "premises"},
        )  # fmt: skip
        raw, result = ask(up)
        assert result["answered"] is True
        assert raw.headers["x-smallfirst-model"] == "large"
        assert up.seen("small") == 0
        (entry,) = up.entries
        assert (entry.data_class, entry.class_why) == (DataClass.health, ("task",))

    def test_passages_of_a_personal_knowledge_base_are_never_sent_redacted(self, serve: Any) -> None:
        """What is personal in them can't all be located, even where what is personal in the question can."""
        up = serve(
            task={"data_class": "personal", "quote": "never"}, sections={"privacy": self.rules},
            locations={"small": "cloud/eu", "large": "cloud/us"},
        )  # fmt: skip
        _, result = ask(up, f"{WHO} Mail me: ann.lee@example.com")
        assert (result["answered"], result["why"]) == (False, "nobody_above")
        assert "not_handed_up" in result
        assert (up.seen("small"), up.seen("large")) == (0, 0)

    def test_redaction_keeps_the_citations(self, serve: Any) -> None:
        def small(request: Any) -> Reply:
            said = json.dumps(request.fields["messages"])
            assert "ann.lee@example.com" not in said
            assert "<EMAIL_1>" in said
            return Reply(text=RIGHT)

        up = serve(small=small, sections={"privacy": self.rules}, locations={"small": "cloud/eu", "large": "cloud/us"})
        raw, result = ask(up, f"{WHO} Mail me: ann.lee@example.com")
        assert raw.parse().choices[0].message.content == RIGHT
        assert result["citations"][0]["title"] == "Expenses > How to claim"
        assert up.entries[0].reached[1] == ("small", "at-small", "cloud/eu", True)


class TestHandoff:
    """A person behind a webhook."""

    @pytest.fixture
    def person(self) -> Any:
        with ScriptedUpstream(lambda _: Reply(text="thank you")) as upstream:
            yield upstream

    def hook(self, person: Any, location: str = "premises", **more: Any) -> dict[str, Any]:
        return {"handoff": HandoffSettings(url=f"{person.url}/cases", location=location, key="hook-key", **more)}

    def test_what_nobody_could_answer_goes_to_a_person(self, serve: Any, person: Any) -> None:
        up = serve(task=self.hook(person))
        raw, result = ask(up, TRAM)
        words = WordsSettings()
        assert raw.parse().choices[0].message.content == f"{words.not_found} {words.handed_off}"
        assert result["handed_off"] is True
        (request,) = person.requests
        assert request.fields["question"] == TRAM
        assert (request.fields["why"], request.fields["task"]) == ("not_found", "kb:handbook")
        assert request.headers["authorization"] == "Bearer hook-key"
        (entry,) = up.entries
        assert ("kb:handbook:person", "local", "premises", False) in entry.reached

    def test_a_question_that_was_answered_does_not(self, serve: Any, person: Any) -> None:
        ask(serve(task=self.hook(person)))
        assert person.requests == []

    def test_it_obeys_the_rules(self, serve: Any, person: Any) -> None:
        up = serve(task=self.hook(person, "cloud/us"), sections={"privacy": TestPrivacy.rules})
        raw, result = ask(up, f"{TRAM} My mail is ann.lee@example.com")
        assert raw.parse().choices[0].message.content == WordsSettings().not_found
        assert "handed_off" not in result
        assert person.requests == []

    def test_a_redacted_question_arrives_redacted(self, serve: Any, person: Any) -> None:
        up = serve(task=self.hook(person, "cloud/eu"), sections={"privacy": TestPrivacy.rules})
        _, result = ask(up, f"{TRAM} My mail is ann.lee@example.com")
        assert result["handed_off"] is True
        assert person.requests[0].fields["question"] == f"{TRAM} My mail is <EMAIL_1>"

    def test_one_that_does_not_take_it_is_tried_again_and_then_said(self, serve: Any, caplog: Any) -> None:
        with ScriptedUpstream(lambda _: Wire(steps=(b"{}",), status=503)) as broken:
            up = serve(task=self.hook(broken, tries=2))
            raw, result = ask(up, TRAM)
            assert len(broken.requests) == 2
        assert result["handed_off"] is False
        assert raw.parse().choices[0].message.content == WordsSettings().not_found
        assert "tram" not in caplog.text
        assert "503" in caplog.text
