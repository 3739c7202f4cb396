"""The admin API: keys are created, listed, changed, rotated and revoked while the gateway runs; what was spent.

Knows its paths and JSON. Does not know how keys are kept (accounts/register.py). It is served on `server.admin_listen`
only, loopback by default, and only to callers with `server.admin_key`.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from smallfirst.accounts.accounts import Accounts
from smallfirst.accounts.keys import Terms, term_problems
from smallfirst.accounts.register import Record
from smallfirst.accounts.spans import seconds
from smallfirst.config.nearest import hint
from smallfirst.core import NANO
from smallfirst.errors import BadRequest, NotFound, Overloaded, RequestError, StoreError, Unauthenticated
from smallfirst.gateway.attendant import Receive
from smallfirst.gateway.chat import Scope, Send, read_body, send_error, send_whole
from smallfirst.gateway.parse import invalid
from smallfirst.gateway.respond import JSON
from smallfirst.gateway.settings import ServerSettings

PREFIX = "/admin/"

T = TypeVar("T")


class NewKey(Terms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /admin/keys. `expires`: a span, such as 30d."""

    name: str
    expires: str | None = None


class Change(Terms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PATCH /admin/keys/NAME: the whole of the new terms; what is left out is not limited."""

    expires: str | None = None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /admin/keys/NAME/rotate. `grace`: how long the old secret stays good."""

    grace: str = "0s"


class AdminHandler:
    """Serves everything below /admin/."""

    def __init__(
        self, accounts: Accounts, settings: ServerSettings, models: Mapping[str, object], policies: tuple[str, ...]
    ) -> None:
        self._accounts, self._settings = accounts, settings
        self._names = {"models": list(models), "policies": list(dict.fromkeys(("auto", *policies)))}
        self._listed = frozenset(key.name for key in accounts.keys.listed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(dict(scope["headers"]))
            parts = [part for part in str(scope["path"]).removeprefix(PREFIX).split("/") if part]
            body = await read_body(receive, self._settings) if scope["method"] in ("POST", "PATCH") else b""
            status, payload = await asyncio.to_thread(self._answer, scope["method"], parts, body)
        except RequestError as error:
            await send_error(send, error, [])
        except StoreError as error:
            await send_error(send, Overloaded(str(error), code="store_unavailable", retry_after_s=1.0), [])
        else:
            await send_whole(send, status, [JSON, (b"cache-control", b"no-store")], msgspec.json.encode(payload))

    def _check(self, headers: dict[bytes, bytes]) -> None:
        wanted = (self._settings.admin_key or "").strip().encode()
        given = headers.get(b"authorization", b"")
        token = given[7:].strip() if given[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"").strip()
        if not wanted or not hmac.compare_digest(token, wanted):
            words = "the admin API needs the admin key (server.admin_key) as `Authorization: Bearer <key>`"
            raise Unauthenticated(words, code="invalid_admin_key")

    def _answer(self, method: str, parts: list[str], body: bytes) -> tuple[int, Any]:
        """In a worker thread: every answer is a transaction or two."""
        register = self._accounts.register
        answer: tuple[int, Any]
        match method, parts:
            case "GET", ["keys"]:
                answer = 200, {"data": [shown(record) for record in register.all()]}
            case "POST", ["keys"]:
                answer = self._create(_decode(body, NewKey))
            case "GET", ["keys", name]:
                answer = 200, shown(register.find(name))
            case "PATCH", ["keys", name]:
                answer = self._change(name, _decode(body, Change))
            case "POST", ["keys", name, "rotate"]:
                grace = _seconds(_decode(body or b"{}", Rotation).grace, "grace")
                secret, record = register.rotate(name, grace, int(time.time()))
                answer = 200, {"key": secret, **shown(record)}
            case "POST", ["keys", name, "revoke"]:
                answer = 200, shown(register.revoke(name, int(time.time())))
            case "GET", ["spending"]:
                answer = 200, {"data": [spent(line) for line in self._accounts.vault.spending()]}
            case _:
                raise NotFound(f"there is no {method} on this path of the admin API", code="not_found")
        if method != "GET":
            self._accounts.refresh()  # what was changed here holds from the next request on
        return answer

    def _create(self, wanted: NewKey) -> tuple[int, Any]:
        terms = self._terms(wanted)
        if wanted.name in self._listed:
            raise BadRequest("name: a key of the config has this name", code="name_taken", param="name")
        now = int(time.time())
        expires = None if wanted.expires is None else now + _seconds(wanted.expires, "expires")
        secret, record = self._accounts.register.create(wanted.name, terms, now, expires)
        return 201, {"key": secret, **shown(record)}

    def _change(self, name: str, wanted: Change) -> tuple[int, Any]:
        terms = self._terms(wanted)
        expires = None if wanted.expires is None else int(time.time()) + _seconds(wanted.expires, "expires")
        return 200, shown(self._accounts.register.change(name, terms, expires))

    def _terms(self, wanted: Terms) -> Terms:
        terms = Terms(**{field: getattr(wanted, field) for field in Terms.__struct_fields__})
        check_terms(terms, self._accounts, self._names)
        return terms


def check_terms(terms: Terms, accounts: Accounts, names: Mapping[str, list[str]]) -> None:
    """Raises BadRequest naming the field: an unknown team, model, policy or class, a limit that makes no sense."""
    for path, words in term_problems(terms, accounts.teams):
        raise BadRequest(f"{'.'.join(path)}: {words}", code="invalid_value", param=path[0])
    for field, known in names.items():
        for name in getattr(terms, field) or ():
            if name not in known:
                words = f"{field}: there is no {name[:60]!r}{hint(name, known)}"
                raise BadRequest(words, code="invalid_value", param=field)


def shown(record: Record) -> dict[str, Any]:
    """A key as the API shows it; fields that say nothing are left out."""
    terms = {name: value for name, value in msgspec.structs.asdict(record.terms).items() if value not in (None, ())}
    times = {"created_at": record.created_at, "expires_at": record.expires_at, "revoked_at": record.revoked_at}
    return {"name": record.name, "id": record.id, "begins": record.shown, **times, "terms": terms}


def spent(line: Any) -> dict[str, Any]:
    kind, _, name = line.scope.partition("/")
    return {
        "kind": kind,
        "name": name,
        "period": line.period.removeprefix("usd/"),
        "spent_usd": line.spent / NANO,
        "leased_usd": line.leased / NANO,
    }


def _seconds(text: str, field: str) -> int:
    try:
        return seconds(text)
    except ValueError as error:
        raise BadRequest(f"{field}: {error}", code="invalid_value", param=field) from None


def _decode(body: bytes, into: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=into)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
