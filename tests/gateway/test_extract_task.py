"""An extraction task behind a running gateway: as a model, and under its own address."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from smallfirst.core import Usage
from smallfirst.models.scripted import Reply
from smallfirst.tasks.settings import TaskSettings
from tests.tasks.receipts import EXAMPLE, SURE, model_file

SHOPLESS = SURE.replace("Moreau Garden Centre Ltd\n", "4711\nNo. 12\n")
PERSONAL = SHOPLESS + "write to ann.lee@example.com\n"


@pytest.fixture
def serve(stage: Any, tmp_path: Any) -> Any:
    """`serve(said)`: `receipts` before a small model that was never probed and a large one that says `said`."""
    path = model_file(tmp_path)

    def make(said: str = '{"shop": "No. 12"}', **task: Any) -> Any:
        settings = TaskSettings(**{"kind": "extract", "model": str(path), **task})
        return stage(
            small=lambda _: "not asked",
            large=lambda _: Reply(text=said, usage=Usage(100, 8)),
            locations={"small": "cloud/us", "large": "cloud/us"},
            probes={},
            sections={"tasks": {"receipts": settings}},
        )

    return make


def ask(up: Any, text: str) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """The content, the task's JSON, the headers."""
    raw = up.ask(text, model="task:receipts")
    parsed = raw.parse()
    return json.loads(parsed.choices[0].message.content), parsed.model_extra["smallfirst"]["task"], raw.headers


def post(up: Any, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*up.root.removeprefix("http://").split(":"), timeout=20)
    connection.request("POST", "/v1/tasks/receipts", json.dumps(body).encode())
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_what_it_is_sure_of_stays(serve: Any) -> None:
    up = serve()
    said, result, headers = ask(up, SURE)
    assert said == {"shop": "Moreau Garden Centre Ltd", "total": "9.73 EUR", "vat_id": "DE165083189"}
    assert result["doubtful"] == []
    (total,) = result["fields"]["total"]
    assert SURE[total["start"] : total["end"]] == total["value"] == "EUR 9.73"
    assert (headers["x-smallfirst-reason"], headers["x-smallfirst-model"]) == ("accepted", "task:receipts")
    assert up.seen("large") == 0
    (entry,) = up.entries
    assert (entry.served_tier, entry.cost, len(entry.attempts)) == ("slm", 0, 1)


def test_only_what_is_doubtful_goes_up_and_is_checked(serve: Any) -> None:
    up = serve()
    said, result, headers = ask(up, SHOPLESS)
    assert said == {"shop": "No. 12", "total": "9.73 EUR", "vat_id": "DE165083189"}
    assert (result["fields"]["shop"][0]["by"], result["fields"]["total"][0]["by"]) == ("large", "extract")
    assert result["doubtful"] == []
    assert headers["x-smallfirst-model"] == "large"
    sent = up.upstreams["large"].requests[0].fields
    assert list(sent["response_format"]["json_schema"]["schema"]["properties"]) == ["shop"]
    assert [a.outcome.model for a in up.entries[0].attempts] == ["task:receipts", "large", "task:receipts"]


def test_what_the_document_does_not_say_is_not_believed(serve: Any) -> None:
    up = serve('{"shop": "Invented Ltd"}')
    status, shown = post(up, {"input": SHOPLESS})
    assert (status, shown["by"], shown["handed_up"]) == (200, "large", True)
    assert (shown["refused"], shown["doubtful"]) == ({"shop": ["Invented Ltd"]}, ["shop"])
    assert shown["fields"]["total"][0]["normal"] == "9.73 EUR"


def test_no_usable_answer_and_nobody_who_may_see_it(serve: Any) -> None:
    up = serve("no idea")
    said, result, headers = ask(up, SHOPLESS)
    assert (headers["x-smallfirst-reason"], result["doubtful"]) == ("unsure", ["shop"])
    assert said["total"] == "9.73 EUR"
    seen = up.seen("large")
    _, result, headers = ask(up, PERSONAL)
    assert (headers["x-smallfirst-reason"], up.seen("large")) == ("unsure", seen)
    assert "may not be sent" in result["not_handed_up"]


def test_empty_documents_are_refused(serve: Any) -> None:
    status, shown = post(serve(), {"input": " "})
    assert (status, shown["error"]["type"]) == (400, "invalid_request_error")


def test_a_schema_alone_and_a_threshold_of_ones_own(serve: Any) -> None:
    up = serve(model=str(EXAMPLE / "receipt.yaml"), threshold=0.4)
    _, result, _ = ask(up, SURE)
    assert "vat_id" not in result["doubtful"]  # its check digits are right
    assert "shop" in result["doubtful"]
