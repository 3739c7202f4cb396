"""Content, sessions and token numbers on the wire: what is kept is sealed, what is sensitive stays so afterwards."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import openai
import pytest
from click.testing import CliRunner

from smallfirst.accounts.settings import KeySettings, KeysSettings
from smallfirst.cli.audit_cmd import audit
from smallfirst.core import DataClass
from smallfirst.ledger.content import Reader
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.sealing import read_master
from smallfirst.ledger.settings import LedgerSettings

KEY = "ab" * 32
SECTIONS = {
    "ledger": LedgerSettings(content="encrypted", master_key=KEY, content_days={"health": 30, "internal": 30}),
    "keys": KeysSettings(accept=(KeySettings(name="ann", key="sf-ann"),)),
}


def ask(up: Any, text: str, stream: bool = False, **dials: Any) -> Any:
    client = openai.OpenAI(base_url=up.url, api_key="sf-ann", max_retries=0)
    made = client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": text}], stream=stream, extra_body={"smallfirst": dials}
    )
    return [*made] if stream else made


def test_what_was_asked_and_answered_can_be_opened_and_erased(stage: Any, tmp_path: Any) -> None:
    up = stage(small=lambda _: "Rest well.", sections=SECTIONS)
    ask(up, "my wife has leukemia", subject="p-1")
    ask(up, "my son has asthma", stream=True, subject="p-2")
    ask(up, "Mail a@example.com", subject="p-1")
    up.app.ledger.flush()
    reader = Reader(open_ledger(tmp_path / "ledger.db"), read_master(KEY))
    first, second, third = [reader.read(entry.id) for entry in up.entries]
    assert json.loads(first["request"])["messages"][0]["content"] == "my wife has leukemia"
    for said in (first, second):
        assert json.loads(said["answer"]) == {"model": "small", "text": "Rest well.", "tool_calls": []}
    assert third == {}, "personal data are of a class that the config does not keep"
    env = {"SMALLFIRST_HOME": str(tmp_path), "SF_KEY": KEY}
    done = CliRunner().invoke(audit, ["erase", "--subject", "p-1", "--ledger", str(tmp_path / "ledger.db")], env=env)
    assert "2 requests erased, content of 1" in done.output
    assert [bool(reader.read(entry.id)) for entry in up.entries] == [False, True, False]
    receipt = done.output.partition("receipt ")[2].partition(":")[0]
    look = ["receipt", "--subject", "p-1", receipt, "--ledger", str(tmp_path / "ledger.db")]
    assert "2 requests, content of 1 erased" in CliRunner().invoke(audit, look, env=env).output
    look[2] = "p-2"
    assert CliRunner().invoke(audit, look, env=env).exit_code == 1
    assert CliRunner().invoke(audit, ["verify", "--ledger", str(tmp_path / "ledger.db")], env=env).exit_code == 0
    for file in tmp_path.glob("ledger.db*"):
        data = file.read_bytes()
        assert not any(word in data for word in (b"leukemia", b"asthma", b"Rest well", b"a@example.com", b"p-1"))


def test_a_session_stays_sensitive_after_a_restart(stage: Any) -> None:
    answers = {"small": lambda _: "small", "large": lambda _: "large"}
    made: dict[str, Any] = {"probes": {"small": None, "large": None},
                            "locations": {"small": "premises", "large": "cloud/us"}}  # fmt: skip
    session = {"extra_body": {"smallfirst": {"session": "s1"}}}
    first = stage(**answers, **made)
    assert first.ask("my wife has leukemia", **session).headers["x-smallfirst-model"] == "small"
    second = stage(**answers, **made)  # beside the first, on the same ledger
    assert second.ask("Thank you.", **session).headers["x-smallfirst-model"] == "small"
    assert second.entries[0].class_why == ("session",)
    assert second.ask("Thank you.").headers["x-smallfirst-model"] == "large"


def test_a_session_whose_class_cannot_be_known_is_not_sent(stage: Any, tmp_path: Any) -> None:
    up = stage(small=lambda _: "small")
    conn = sqlite3.connect(tmp_path / "ledger.db")
    conn.execute("DROP TABLE session")
    with pytest.raises(openai.InternalServerError) as caught:
        up.ask("Hello.", extra_body={"smallfirst": {"session": "s1"}})
    assert caught.value.body["code"] == "ledger_unavailable"
    assert up.seen("small") == 0
    assert up.ask("Hello.").headers["x-smallfirst-model"] == "small"


@pytest.mark.parametrize(("given", "why", "of"), [
    ([15339, 1917], ("token_ids",), DataClass.secret),
    ([[15339], [1917]], ("token_ids",), DataClass.secret),
    (["hello", "world"], (), DataClass.internal),
])  # fmt: skip
def test_token_numbers_hide_what_they_say(stage: Any, given: Any, why: tuple[str, ...], of: DataClass) -> None:
    import asyncio

    import msgspec

    up = stage(small=lambda _: "x")
    fields = {"model": msgspec.Raw(b'"v"'), "input": msgspec.Raw(json.dumps(given).encode())}
    assessed = asyncio.run(up.app.guard.assess(fields))
    assert (assessed.data_class, assessed.why[1:] if not why else assessed.why) == (of, why)
