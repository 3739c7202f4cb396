"""The OpenAPI document of the gateway, made from the same types that check requests.

Knows the paths. Does not serve them.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from smallfirst import __version__
from smallfirst.gateway.feedback import FeedbackRequest
from smallfirst.gateway.parse import ChatRequest

ERRORS = {
    "400": "The body or a header is wrong; `param` names the field",
    "401": "The key is missing or wrong",
    "403": "The key, or the class of the data, allows no model that was asked for",
    "404": "No such model or policy",
    "408": "The body did not arrive in time",
    "413": "The body is too large",
    "429": "Every model that may answer is rate-limited",
    "499": "The client left",
    "500": "An unforeseen error in the gateway",
    "502": "No model answered",
    "503": "The gateway can't take the request now",
    "504": "No model answered in time",
}

ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


@functools.cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1, as a JSON-ready dict."""
    (schema, said), components = msgspec.json.schema_components(
        [ChatRequest, FeedbackRequest], ref_template="#/components/schemas/{name}"
    )
    components["Error"] = ERROR_SCHEMA
    failures = {code: _response(words, {"$ref": "#/components/schemas/Error"}) for code, words in ERRORS.items()}
    anything = {"type": "object"}
    chat = {
        "operationId": "createChatCompletion",
        "summary": "Answer with the smallest model that will do",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "A chat completion, or its stream",
                "content": {
                    "application/json": {"schema": anything},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            },
            **failures,
        },
        "security": [{}, {"bearer": []}],
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "smallfirst", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": {
            "/v1/chat/completions": {"post": chat},
            "/v1/models": {"get": _get("listModels", "Every name that `model` may hold", anything, ("401",))},
            "/v1/certificate": {
                "get": _get("getCertificate", "Certified policies and whether they are in force", anything, ("401",))
            },
            "/v1/feedback": {
                "post": {
                    "operationId": "giveFeedback",
                    "summary": "What a caller says of an answer: shown in the report, never tested",
                    "requestBody": {"required": True, "content": {"application/json": {"schema": said}}},
                    "responses": {
                        "202": _response("Noted", anything),
                        **{code: failures[code] for code in ("400", "401", "413")},
                    },
                    "security": [{}, {"bearer": []}],
                }
            },
            "/health": {"get": _get("health", "The process lives", anything)},
            "/ready": {"get": _get("ready", "Models and ledger can serve", anything, ("503",), anything)},
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Prometheus metrics",
                    "responses": {
                        "200": {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}
                    },
                }
            },
        },
        "components": {"schemas": components, "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _response(words: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _get(
    operation: str,
    summary: str,
    schema: dict[str, Any],
    failures: tuple[str, ...] = (),
    failure_schema: dict[str, Any] | None = None,
) -> dict[str, Any]:
    failed = failure_schema or {"$ref": "#/components/schemas/Error"}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": _response("OK", schema), **{c: _response(ERRORS[c], failed) for c in failures}},
    }
