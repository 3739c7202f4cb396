"""Every error that smallfirst raises on purpose.

    SmallfirstError
    ├── ConfigError            the YAML file or the environment is wrong; holds every problem found
    ├── SetupError             weights, a runtime or an extra is missing; says what to do
    ├── DataError              a file of prompts, outcomes or probes can't be used; says which line
    ├── LedgerError            the ledger can't be opened or written
    ├── StoreError             the database of keys and budgets can't be opened, read or written
    ├── PolicyError            a policy broke the protocol (a bug in the policy)
    │   └── PolicyStalled      it waits with nothing pending
    └── RequestError           becomes {"error": {...}} for the caller
        ├── BadRequest         400
        ├── Unauthenticated    401
        ├── Forbidden          403
        ├── NotFound           404
        ├── TooLarge           413
        ├── Overloaded         429 or 503, with retry-after
        └── UpstreamFailed     502 or 504: no model answered

Knows how an error looks at the edge. Does not know HTTP beyond a status number.
"""

from __future__ import annotations


class SmallfirstError(Exception):
    """Anything smallfirst raises on purpose; `str()` of it is fit for a user's eyes."""


class ConfigError(SmallfirstError):
    """The configuration can't be used. `problems` holds one readable line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class SetupError(SmallfirstError):
    """Something that must be installed or fetched is not there; the message says how to get it."""


class DataError(SmallfirstError):
    """A data file can't be used; the message names file, line and field."""


class LedgerError(SmallfirstError):
    """The ledger can't be opened, read or written."""


class StoreError(SmallfirstError):
    """The database of keys and budgets can't be opened, read or written."""


class PolicyError(SmallfirstError):
    """A policy broke the protocol of policy/protocol.py."""


class PolicyStalled(PolicyError):
    """A policy waits although nothing is pending."""


class RequestError(SmallfirstError):
    """An error that the caller gets, in the shape that OpenAI clients read."""

    status = 500
    type = "server_error"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        param: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.param = message, code, param
        self.retry_after_s = retry_after_s
        if status is not None:
            self.status = status

    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON object that is sent."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class BadRequest(RequestError):
    status = 400
    type = "invalid_request_error"


class Unauthenticated(RequestError):
    status = 401
    type = "authentication_error"


class Forbidden(RequestError):
    status = 403
    type = "permission_error"


class NotFound(RequestError):
    status = 404
    type = "invalid_request_error"


class TooLarge(RequestError):
    status = 413
    type = "invalid_request_error"


class LimitReached(RequestError):
    status = 429
    type = "rate_limit_error"


class Overloaded(RequestError):
    status = 503
    type = "overloaded_error"


class UpstreamFailed(RequestError):
    status = 502
    type = "upstream_error"
