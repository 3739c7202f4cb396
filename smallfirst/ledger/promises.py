"""What the ledger says about promises: requests inside a certificate and outside, audits, alarms, feedback.

Knows the tables request, rollup_hour, rollup_day, audit, monitor, certificate and feedback. Does not know how a
certificate is made or judged: it counts what was written down. Feedback is counted beside and enters no test, because
who gives it chose to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from smallfirst.ledger.migrations import GRAINS
from smallfirst.ledger.rollups import Stretch
from smallfirst.store.connection import Connection

_ASKED = "certificate_id, in_certificate, out_reason"
_STANDING_OF_SPANS = {
    grain: f"""
        SELECT {_ASKED}, sum(n) FROM rollup_{grain}
        WHERE span >= ? AND span < ? AND (certificate_id != '' OR out_reason != '') GROUP BY {_ASKED}
    """  # noqa: S608 - constants
    for grain in GRAINS
}
_STANDING_OF_ROWS = f"""
    SELECT {_ASKED}, count(*) FROM request
    WHERE at >= ? AND at < ? AND (certificate_id IS NOT NULL OR out_reason IS NOT NULL) GROUP BY {_ASKED}
"""  # noqa: S608 - a constant of this file
_CERTIFICATES = "SELECT policy, id, max_quality_loss, confidence FROM certificate"
_AUDITS = """
    SELECT count(*), coalesce(sum(calls), 0), coalesce(sum(cost + judge_cost), 0),
        coalesce(sum(CASE WHEN agreement IN ('same', 'alike') THEN 1 ELSE 0 END), 0),
        count(agreement), count(served_score)
    FROM audit WHERE at >= :since AND at < :until
"""
_ALARMS = """
    SELECT certificate.policy, monitor.certificate_id, monitor.slice, monitor.n, monitor.alarmed_at
    FROM monitor JOIN certificate ON certificate.id = monitor.certificate_id
    WHERE monitor.alarmed_at IS NOT NULL AND monitor.alarmed_at < :until
    ORDER BY monitor.alarmed_at, monitor.slice
"""
_FEEDBACK = """
    SELECT coalesce(request.served_tier, '?'), count(*), avg(feedback.value)
    FROM feedback JOIN request ON request.id = feedback.request_id
    WHERE feedback.at >= :since AND feedback.at < :until
    GROUP BY request.served_tier ORDER BY count(*) DESC
"""


class Audits(msgspec.Struct, frozen=True):
    """Requests that the coin chose; `cost` of shadow calls and judges, nano-dollars."""

    requests: int = 0
    calls: int = 0
    cost: int = 0
    agreed: int = 0  # of `compared`: the served answer says what the baseline says
    compared: int = 0
    graded: int = 0


class Kept(msgspec.Struct, frozen=True):
    """A certificate that was asked for, and how many of its requests stood inside."""

    policy: str
    certificate_id: str
    max_quality_loss: float
    confidence: float
    inside: int
    requests: int


class Alarm(msgspec.Struct, frozen=True):
    """A detector that has spoken. It stands until the policy is certified again."""

    policy: str
    certificate_id: str
    slice: str
    audits: int
    at_us: int


class Opinion(msgspec.Struct, frozen=True):
    """What callers said of one tier's answers: how many, and their mean, 0 (bad) to 1 (good)."""

    count: int
    mean: float


class Promises(msgspec.Struct, frozen=True):
    """`inside` + the sum of `outside` is how many requests asked for a promise; the others asked for none."""

    inside: int = 0
    outside: Mapping[str, int] = msgspec.field(default_factory=dict)
    certificates: tuple[Kept, ...] = ()
    audits: Audits = Audits()
    alarms: tuple[Alarm, ...] = ()
    feedback: Mapping[str, Opinion] = msgspec.field(default_factory=dict)


def read_promises(conn: Connection, part: Stretch, since_us: int, until_us: int) -> Promises:
    """Of the requests from `since_us` to before `until_us`, which `part` divides. Raises sqlite3.Error."""
    inside, outside = 0, Counter[str]()
    asked: Counter[str] = Counter()  # by certificate
    kept: Counter[str] = Counter()
    for certificate, within, reason, count in _standing(conn, part):
        asked[certificate or ""] += count
        if within:
            inside += count
            kept[certificate or ""] += count
        else:
            outside[reason or "?"] += count
    window = {"since": since_us, "until": until_us}
    found = [
        Kept(policy, name, loss, confidence, kept[name], asked[name])
        for policy, name, loss, confidence in conn.execute(_CERTIFICATES)
        if asked[name]
    ]
    return Promises(
        inside=inside,
        outside=dict(sorted(outside.items(), key=lambda pair: (-pair[1], pair[0]))),
        certificates=tuple(sorted(found, key=lambda one: (-one.requests, one.certificate_id))),
        audits=Audits(*conn.execute(_AUDITS, window).fetchone()),
        alarms=tuple(Alarm(*row) for row in conn.execute(_ALARMS, {"until": until_us})),
        feedback={tier: Opinion(count, mean) for tier, count, mean in conn.execute(_FEEDBACK, window)},
    )


def _standing(conn: Connection, part: Stretch) -> list[tuple[str | None, int, str | None, int]]:
    rows: list[tuple[str | None, int, str | None, int]] = []
    for grain, first, end in part.spans:
        rows += conn.execute(_STANDING_OF_SPANS[grain], (first, end)).fetchall()
    for edge in part.edges:
        rows += conn.execute(_STANDING_OF_ROWS, edge).fetchall()
    return rows
