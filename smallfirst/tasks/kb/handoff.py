"""A person behind a webhook: gets the questions that neither the knowledge base nor a model could answer.

Knows one address, retries and a deadline. Does not know whether a question may go there: it is a model of the task like
its others, so that the engine asks it under the query's permit only, and hides what the rules want hidden (fields,
never the query's raw text, are sent). Nothing of a question is logged.

Posted: {"task", "request_id", "question", "conversation": [{"role", "content"}], "why", "passages": [{"document",
"title"}], "at"}. Any 2xx counts as taken; the answer's body is not read. The same request is tried again with the same
`idempotency-key`, after a fault of the network, a 408, a 429 or a 5xx.
"""

from __future__ import annotations

import http.client
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from smallfirst.models.local import Ask, Said
from smallfirst.tasks.kb.conversation import read_conversation
from smallfirst.tasks.kb.settings import HandoffSettings

log = logging.getLogger(__name__)

STEP = "handoff_step"
BACK_OFF_S = 0.2
"""Before the second try; twice as long before each further one."""

_AGAIN = frozenset((408, 425, 429))
TAKEN = "taken"


class Case(msgspec.Struct, frozen=True):
    """Why the question comes, and the (document, title) of what was found for it."""

    why: str
    passages: tuple[tuple[str, str], ...] = ()


class Handoff:
    """models/local.py's Local. Says TAKEN, or what went wrong (a status or the kind of fault, never the question)."""

    def __init__(
        self, task: str, settings: HandoffSettings, *, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._task, self._settings = task, settings
        self._clock, self._sleep = clock, sleep
        parts = urlsplit(settings.url)
        self._host, self._port, self._tls = parts.hostname or "", parts.port, parts.scheme == "https"
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def answer(self, ask: Ask) -> Said:
        body, headers = self._body(ask), self._headers(ask)
        until, wait, said = self._clock() + self._settings.timeout_s, BACK_OFF_S, ""
        for number in range(1, self._settings.tries + 1):
            said, again = self._post(body, headers, until)
            if said == TAKEN:
                return Said(TAKEN, 1.0)
            if not again or number == self._settings.tries or self._clock() + wait >= until:
                break
            self._sleep(wait)
            wait *= 2
        log.warning("%s: the hand-off webhook did not take a question (%s)", self._task, said)
        return Said(said, 0.0)

    def _body(self, ask: Ask) -> bytes:
        talk, case = read_conversation(ask.fields), ask.read(STEP, Case) or Case("")
        told: dict[str, Any] = {
            "task": self._task,
            "request_id": ask.query.id,
            "question": talk.question,
            "conversation": [{"role": role, "content": text} for role, text in talk.earlier],
            "why": case.why,
            "passages": [{"document": document, "title": title} for document, title in case.passages],
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        return msgspec.json.encode(told)

    def _headers(self, ask: Ask) -> dict[str, str]:
        headers = {"content-type": "application/json", "idempotency-key": ask.query.id, "user-agent": "smallfirst"}
        if self._settings.key:
            headers["authorization"] = f"Bearer {self._settings.key}"
        return headers

    def _post(self, body: bytes, headers: dict[str, str], until: float) -> tuple[str, bool]:
        """(TAKEN or what went wrong, whether it may go better another time)."""
        kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=max(0.1, until - self._clock()))
        try:
            connection.request("POST", self._path, body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as fault:
            return type(fault).__name__, True
        finally:
            connection.close()
        if 200 <= status < 300:
            return TAKEN, False
        return f"status {status}", status in _AGAIN or status >= 500
