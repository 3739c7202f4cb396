"""JSON logs: one object a line, with the request's id, and no word of what was asked."""

from __future__ import annotations

import io
import json
import logging

from smallfirst.core import Usage
from smallfirst.gateway.logs import JsonFormatter, RequestLog
from smallfirst.models.scripted import Reply


def test_a_line_for_each_request_without_its_words(stage):
    lines = io.StringIO()
    up = stage(small=lambda _: Reply(text="a secret answer", usage=Usage(10, 5)))
    up.app.engine.observers = (*up.app.engine.observers, RequestLog(lines))
    raw = up.ask("a secret question")
    (line,) = lines.getvalue().splitlines()
    found = json.loads(line)
    assert found["request_id"] == raw.headers["x-smallfirst-request-id"]
    assert (found["status"], found["model"], found["tier"]) == (200, "small", "slm")
    assert found["attempts"][0]["output_tokens"] == 5
    assert "secret" not in line


def test_warnings_are_objects_too_and_an_exception_is_named_not_quoted():
    record = logging.LogRecord("smallfirst", logging.ERROR, "x.py", 1, "it %s", ("failed",), None)
    try:
        raise ValueError("what the caller sent")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    line = JsonFormatter().format(record)
    found = json.loads(line)
    assert (found["level"], found["message"], found["exception"]) == ("error", "it failed", "ValueError")
    assert "caller sent" not in line
