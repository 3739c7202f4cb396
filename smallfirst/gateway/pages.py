"""The small pages around the API: models, health, readiness, metrics, the OpenAPI document.

Knows what they look like. Does not know how a request is served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from prometheus_client import CollectorRegistry, generate_latest

from smallfirst import __version__
from smallfirst.accounts.keys import Keys
from smallfirst.gateway.app import Handler
from smallfirst.gateway.attendant import Receive
from smallfirst.gateway.chat import Scope, Send, send_whole
from smallfirst.gateway.openapi import document
from smallfirst.gateway.respond import JSON
from smallfirst.models.catalogue import Catalogue
from smallfirst.monitor.guard import Guarded


class Readiness(msgspec.Struct, frozen=True):
    """What /ready says: `ready` decides the status, `parts` says why."""

    ready: bool
    parts: dict[str, str]


def _json_page(make: Callable[[], tuple[int, object]]) -> Handler:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        status, payload = make()
        await send_whole(send, status, [JSON], msgspec.json.encode(payload))

    return page


def models_page(catalogue: Catalogue, policies: tuple[str, ...], keys: Keys) -> Handler:
    """GET /v1/models: `auto`, the policies, and every model by name; to a key, those that it may name."""

    names = dict.fromkeys(("auto", *policies))
    routed: list[dict[str, object]] = [
        {"id": name, "object": "model", "created": 0, "owned_by": "smallfirst"} for name in names
    ]
    owned: list[dict[str, object]] = [
        {"id": m.name, "object": "model", "created": 0, "owned_by": m.replicas[0].provider, "tier": m.tier}
        for m in catalogue.models.values()
    ]

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        given = (headers.get(name, b"").decode("latin-1") or None for name in (b"authorization", b"x-api-key"))
        key = keys.check(*given)
        listed = routed + owned if key is None else [*_named(routed, key.policies), *_named(owned, key.models)]
        await send_whole(send, 200, [JSON], msgspec.json.encode({"object": "list", "data": listed}))

    return page


def _named(listed: list[dict[str, object]], allowed: frozenset[str] | None) -> list[dict[str, object]]:
    return listed if allowed is None else [one for one in listed if one["id"] in allowed]


def certificate_page(promises: Sequence[Guarded], keys: Keys) -> Handler:
    """GET /v1/certificate: every certified policy, whether its certificate is in force, why not, and the document."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        given = (headers.get(name, b"").decode("latin-1") or None for name in (b"authorization", b"x-api-key"))
        keys.check(*given)
        data = [
            {
                "policy": guarded.name,
                "in_force": guarded.in_force,
                "voided_by": guarded.found.voiding,
                "warnings": guarded.found.warning,
                "alarms": [{"slice": name, "since_us": since} for name, since in guarded.alarms.items()],
                "certificate": guarded.certificate,
            }
            for guarded in promises
        ]
        await send_whole(send, 200, [JSON], msgspec.json.encode({"object": "list", "data": data}))

    return page


def health_page() -> Handler:
    """GET /health: the process lives."""
    return _json_page(lambda: (200, {"status": "ok", "version": __version__}))


def ready_page(probe: Callable[[], Readiness]) -> Handler:
    """GET /ready: 200 once a model can be reached and the ledger takes entries, else 503 and why."""

    def make() -> tuple[int, object]:
        readiness = probe()
        return (200 if readiness.ready else 503), readiness

    return _json_page(make)


def openapi_page() -> Handler:
    """GET /openapi.json"""
    return _json_page(lambda: (200, document()))


def metrics_page(registry: CollectorRegistry) -> Handler:
    """GET /metrics, in Prometheus' text format."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        await send_whole(send, 200, [kind], generate_latest(registry))

    return page
