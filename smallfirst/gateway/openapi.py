"""The OpenAPI document of the gateway, made from the same types that check requests.

Knows the paths. Does not serve them.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from smallfirst import __version__
from smallfirst.gateway.embeddings import EmbeddingsRequest
from smallfirst.gateway.feedback import FeedbackRequest
from smallfirst.gateway.parse import ChatRequest
from smallfirst.gateway.tasks import TaskRequest

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


_REF = "#/components/schemas/"

MESSAGES_ERROR_SCHEMA = {
    "type": "object",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}

_TURN = {"type": "object", "required": ["role", "content"], "properties": {"role": {"enum": ["user", "assistant"]}}}
MESSAGES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["model", "max_tokens", "messages"],
    "properties": {
        "model": {"type": "string"},
        "max_tokens": {"type": "integer", "minimum": 1},
        "messages": {"type": "array", "minItems": 1, "items": _TURN},
        "system": {"anyOf": [{"type": "string"}, {"type": "array"}]},
        "stream": {"type": "boolean"},
        "temperature": {"type": "number", "minimum": 0, "maximum": 1},
        "stop_sequences": {"type": "array", "items": {"type": "string"}},
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": {"type": "object"},
        "thinking": {"type": "object"},
        "output_config": {"type": "object"},
    },
}
"""What is checked of Anthropic's Messages; messages_in.py has the whole of it."""

RESPONSES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": {"type": "string"},
        "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
        "instructions": {"type": "string"},
        "max_output_tokens": {"type": "integer", "minimum": 1},
        "stream": {"type": "boolean"},
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": {"anyOf": [{"type": "string"}, {"type": "object"}]},
        "text": {"type": "object"},
        "reasoning": {"type": "object"},
        "include": {"type": "array", "items": {"type": "string"}},
        "metadata": {"type": "object"},
    },
}
"""What is checked of the Responses API; responses_in.py has the whole of it."""


@functools.cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1, as a JSON-ready dict."""
    (schema, said, vectors, task), components = msgspec.json.schema_components(
        [ChatRequest, FeedbackRequest, EmbeddingsRequest, TaskRequest], ref_template="#/components/schemas/{name}"
    )
    components["Error"] = ERROR_SCHEMA
    components["MessagesError"] = MESSAGES_ERROR_SCHEMA
    components["ResponsesRequest"], components["MessagesRequest"] = RESPONSES_SCHEMA, MESSAGES_SCHEMA
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
    others = {
        "/v1/responses": _post(
            "createResponse", "OpenAI's Responses API", {"$ref": _REF + "ResponsesRequest"}, "Error"
        ),
        "/v1/messages": _post("createMessage", "Anthropic's API", {"$ref": _REF + "MessagesRequest"}, "MessagesError"),
        "/v1/embeddings": _post("createEmbedding", "Vectors of a named model", vectors, "Error"),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "smallfirst", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": {
            "/v1/chat/completions": {"post": chat},
            **others,
            "/v1/tasks": {"get": _get("listTasks", "Tasks, and what is certified of each", anything, ("401",))},
            "/v1/tasks/{name}": _task(task, failures),
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


_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$"}}


def _task(schema: dict[str, Any], failures: dict[str, Any]) -> dict[str, Any]:
    """Texts or documents in, labels, fields or answers out; and what the task promises."""
    shown = {"get": _get("getTask", "What a task does and promises", {"type": "object"}, ("401", "404"))}
    asked = {
        "operationId": "runTask",
        "summary": "Have a small model do it, and larger ones where it is not sure",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": _response("Its answer, or a list of them", {"type": "object"}), **failures},
        "security": [{}, {"bearer": []}],
    }
    return {"parameters": [_NAME], **shown, "post": asked}


def _post(operation: str, summary: str, schema: dict[str, Any], failure: str) -> dict[str, Any]:
    answers = {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {"schema": {"type": "string"}}}
    failures = {code: _response(words, {"$ref": _REF + failure}) for code, words in ERRORS.items()}
    return {
        "post": {
            "operationId": operation,
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
            "responses": {"200": {"description": "An answer, or its stream", "content": answers}, **failures},
            "security": [{}, {"bearer": []}],
        }
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
