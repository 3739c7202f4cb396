"""The gateway obeys its own OpenAPI document, whatever schemathesis throws at it."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

EXAMPLES = {"/v1/chat/completions": 100}
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


def test_every_path_answers_as_documented(stage: Any) -> None:
    up = stage(small=lambda _: "fine", large=lambda _: "fine too")
    document = schemathesis.openapi.from_url(f"{up.root}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    paths = {operation.path for operation in operations}
    assert paths >= {"/v1/chat/completions", "/v1/models", "/v1/certificate", "/v1/feedback", "/ready"}
    for operation in operations:
        check(operation, EXAMPLES.get(operation.path, 20) if operation.method == "post" else 3)


def check(operation: Any, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, timeout=20)

    run()
