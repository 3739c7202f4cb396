"""One exchange, without a server: what is written down before anything leaves."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from smallfirst.cli.build import App
from smallfirst.cli.settings import Settings
from smallfirst.gateway.parse import parse_chat
from smallfirst.models.scripted import ScriptedSender

SETTINGS = msgspec.convert(
    {
        "providers": {
            "here": {"url": "http://here.internal/v1", "location": "premises"},
            "far": {"url": "http://far.internal/v1", "location": "cloud/us"},
        },
        "models": {"both": {"replicas": [{"provider": "far"}, {"provider": "here"}]}},
        "tiers": [{"frontier": ["both"]}],
    },
    Settings,
)
BODY = b'{"model": "auto", "messages": [{"role": "user", "content": "x"}], "smallfirst": {"data_class": "health"}}'


def test_an_intent_names_the_places_that_the_permit_covers_and_no_other(tmp_path: Path) -> None:
    """The model is also served from a cloud, where health data may not go: it did not go there, and nothing says so."""
    sender = ScriptedSender({"both": "fine"})
    app = App(SETTINGS, {"HOME": str(tmp_path)}, ledger_path=tmp_path / "ledger.db", probes={}, sender=sender)

    async def main() -> None:
        answer = await app.engine.exchange(parse_chat(BODY, {}, "q", max_messages=9)).run()
        assert answer.error is None
        await app.stop()

    asyncio.run(main())
    assert [sent.provider for sent in sender.seen] == ["here"]
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as conn:
        ((models, locations),) = conn.execute("SELECT models, locations FROM intent").fetchall()
    assert (json.loads(models), json.loads(locations)) == (["both"], ["premises"])
