"""The `server` section of the config, as a user writes it."""

from __future__ import annotations

from typing import Literal

import msgspec


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: str = "127.0.0.1:4000"
    max_body_mb: float = 20.0
    max_messages: int = 2000
    body_timeout_s: float = 30.0  # a client slower than this with its head or body gets 408
    max_inflight: int = 2000  # requests in the house at once, for each endpoint; the next gets 503 with retry-after
    keep_alive_s: float = 10.0  # a held stream sends a comment this often
    drain_s: float = 20.0  # on SIGTERM: how long running requests may finish
    log: Literal["text", "json"] = "text"  # json: a line for each request and each warning, without prompts
    otlp: str | None = None  # base of an OpenTelemetry collector, http://127.0.0.1:4318; needs the extra `otel`
    admin_key: str | None = None  # with it the admin API is there; callers send it as `Authorization: Bearer`
    admin_listen: str = "127.0.0.1:4001"  # HOST:PORT of the admin API, which the other port does not serve
