"""What a request's fields are found to hold: every field is read, each message once, and a fault is never silence."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import DataClass
from smallfirst.errors import ConfigError, Forbidden
from smallfirst.privacy.categories import Finding
from smallfirst.privacy.custom import build_recognisers
from smallfirst.privacy.detector import Detector
from smallfirst.privacy.floors import MemoryFloors
from smallfirst.privacy.guard import Guard
from smallfirst.privacy.inspector import Inspector
from smallfirst.privacy.matters import shipped
from smallfirst.privacy.presidio import Presidio
from smallfirst.privacy.settings import RecogniserSettings

CARD = "4111 1111 1111 1111"


def fields(**named):
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in named.items()}


def user(content):
    return [{"role": "user", "content": content}]


class Counting:
    """A recogniser that counts what it was shown."""

    def __init__(self, fault: Exception | None = None):
        self.texts, self.threads, self.fault = [], set(), fault

    def find(self, text):
        self.texts.append(text)
        self.threads.add(threading.current_thread().name)
        if self.fault:
            raise self.fault
        return []


@pytest.mark.parametrize("given_fields", [
    fields(messages=user(f"my card {CARD}")),
    fields(messages=[{"role": "system", "content": f"The customer's card is {CARD}."}, *user("hi")]),
    fields(messages=user([{"type": "text", "text": "see"}, {"type": "text", "text": CARD}])),
    fields(messages=user([{"type": "file", "file": {"filename": "a.txt", "file_data": f"card {CARD}"}}])),
    fields(messages=[*user("hi"), {"role": "tool", "tool_call_id": "1", "content": f'{{"pan": "{CARD}"}}'}]),
    fields(messages=[{"role": "assistant", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "pay", "arguments": f'{{"card": "{CARD}"}}'}}]}]),
    fields(messages=[{"role": "assistant", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "pay", "arguments": {"card": 4111111111111111}}}]}]),
    fields(messages=user("hi"), tools=[{"type": "function", "function": {"name": "x", "description": f"as {CARD}"}}]),
    fields(messages=user("hi"), user="ann@example.com"),
    fields(messages=user("hi"), metadata={"card": CARD}),
    fields(messages=user("hi"), metadata={"ann@example.com": "1"}),
    fields(messages=user("hi"), prediction={"type": "content", "content": CARD}),
    fields(messages=user("hi"), a_field_nobody_knows_yet=[[{"deep": CARD}]]),
    fields(messages=[{"role": "user", "name": "ann@example.com", "content": "hi"}]),
])  # fmt: skip
def test_every_field_that_would_be_sent_is_read(given_fields):
    assert Inspector(Detector()).look(given_fields).data_class >= DataClass.personal


def test_a_long_conversation_is_not_read_anew():
    counting = Counting()
    inspector = Inspector(Detector(recognisers=[counting]))
    turns = [{"role": "user", "content": f"turn {n}"} for n in range(50)]
    inspector.look(fields(messages=turns))
    seen = len(counting.texts)
    found = inspector.look(fields(messages=[*turns, {"role": "user", "content": f"card {CARD}"}]))
    assert [text for text in counting.texts[seen:] if "turn" in text] == []
    assert found.categories == ("payment_card",)
    assert inspector.look(fields(messages=[{"role": "user", "content": f"card {CARD}"}])) == found


def test_what_is_remembered_is_bounded_and_holds_no_words():
    inspector = Inspector(Detector(), remembered=10)
    for n in range(100):
        inspector.look(fields(messages=user(f"secret word {n} ann@example.com")))
    assert len(inspector._known) == 10
    assert "ann" not in repr(inspector._known)


def test_long_texts_are_read_beside_the_event_loop():
    counting = Counting()
    guard = Guard(DataClass.internal, Inspector(Detector(recognisers=[counting])))
    assessed = asyncio.run(guard.assess(fields(messages=user("word " * 1000 + CARD))))
    assert assessed.data_class is DataClass.financial
    assert threading.current_thread().name not in counting.threads
    guard.close()


@pytest.mark.parametrize("long", [False, True])
def test_a_detector_that_raises_denies(long):
    text = "word " * (2000 if long else 2)
    inspector = Inspector(Detector(recognisers=[Counting(ValueError("broken"))]))
    with pytest.raises(Forbidden, match="on_detector_error"):
        asyncio.run(Guard(DataClass.internal, inspector).assess(fields(messages=user(text))))
    asyncio.run(Guard(DataClass.internal, inspector, on_error="ignore").assess(fields(messages=user(text))))
    assert inspector.failures >= 2, "a fault is not remembered as an answer"


def assess(guard, text="hi", **said):
    return asyncio.run(guard.assess(fields(messages=user(text)), **said))


def test_the_class_is_the_highest_that_anybody_names_and_says_why():
    guard = Guard(DataClass.internal, Inspector(Detector()))
    assert assess(guard).why == ("default",)
    assert assess(guard, declared=DataClass.health).why == ("declared",)
    assert assess(guard, "ann@example.com").why == ("email",)
    assert assess(guard, CARD, declared=DataClass.personal, key_class=DataClass.secret).data_class is DataClass.secret
    both = assess(guard, f"ann@example.com pays with {CARD}", declared=DataClass.financial)
    assert both.why == ("declared", "email", "payment_card")


def test_once_sensitive_a_session_stays_so():
    guard = Guard(DataClass.internal, Inspector(Detector()))
    assert assess(guard, session="s").data_class is DataClass.internal
    assert assess(guard, CARD, session="s").data_class is DataClass.financial
    later = assess(guard, "thanks", session="s")
    assert (later.data_class, later.why) == (DataClass.financial, ("session",))
    assert assess(guard, "thanks", session="other").data_class is DataClass.internal
    assert assess(guard, "thanks", session="s", key="another").data_class is DataClass.internal


@given(st.lists(st.sampled_from(DataClass), min_size=1))
def test_a_sessions_class_never_falls(classes):
    floors = MemoryFloors()
    seen = [asyncio.run(floors.raised(None, "s", one)) for one in classes]
    assert seen == sorted(seen)


def test_sessions_are_bounded():
    floors = MemoryFloors(most=3)
    for n in range(10):
        asyncio.run(floors.raised(None, str(n), DataClass.health))
    assert len(floors._floors) == 3


def build(*settings):
    return build_recognisers(settings)


def test_recognisers_of_your_own(tmp_path):
    (tmp_path / "names.txt").write_text("Project Bluebird\n\nZebra\n")
    made = build(
        RecogniserSettings(category="staff_number", pattern=r"\bE-(\d{5})\b"),
        RecogniserSettings(category="code_name", file=str(tmp_path / "names.txt")),
        RecogniserSettings(category="client", words=("Acme Corp",)),
    )
    text = "E-12345 works on project bluebird for ACME Corp, not zebras"
    found = Detector(recognisers=made).scan(text)
    assert {one.category: text[one.start : one.end] for one in found} == {
        "staff_number": "12345", "code_name": "project bluebird", "client": "ACME Corp",
    }  # fmt: skip


@pytest.mark.parametrize(("setting", "says"), [
    (RecogniserSettings(category="x", pattern="("), "not a regular expression"),
    (RecogniserSettings(category="x", pattern="a*"), "everywhere"),
    (RecogniserSettings(category="x", pattern=r"(a+)+\Z"), "too long"),
    (RecogniserSettings(category="x"), "give one of"),
    (RecogniserSettings(category="x", words=("a",), pattern="b"), "give one of"),
    (RecogniserSettings(category="x", file="/nowhere.txt"), "no file"),
    (RecogniserSettings(category="x", entry_point="nobody"), "entry point"),
    (RecogniserSettings(category="two words", words=("a",)), "one word"),
])  # fmt: skip
def test_mistakes_in_recognisers(setting, says):
    with pytest.raises(ConfigError, match=says):
        build(setting)


class Result(msgspec.Struct):
    entity_type: str
    start: int
    end: int
    score: float


class Analyser:
    """Stands for Presidio's: finds `Ann`."""

    def analyze(self, text, language, entities):
        at = text.find("Ann")
        return [Result("PERSON", at, at + 3, 0.85), Result("PERSON", 0, 1, 0.1)] if at >= 0 else []


def test_presidio_is_a_recogniser_like_others():
    detector = Detector(recognisers=[Presidio(Analyser())])
    assert detector.scan("ask Ann about it") == [Finding("person", 4, 7)]
    assert detector.scan("x " * 50_005 + "Ann") == [Finding("person", 100_010, 100_013)]


def test_private_matters_without_an_identifier():
    detector = Detector(matters=shipped())
    private = "My wife was diagnosed with schizophrenia and I am afraid to leave her alone with our kids."
    benign = "Explain how a binary search tree works and give an example in Python."
    assert "private_matter" in detector.found([private]).categories
    assert detector.found([benign]).categories == ()
    buried = " ".join([benign] * 60) + " " + private + " " + " ".join([benign] * 60)
    assert "private_matter" in detector.found([buried]).categories
