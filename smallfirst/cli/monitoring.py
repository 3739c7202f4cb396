"""The monitor of one gateway: built from the config, the certified policies and what the ledger remembers.

Knows where everything lies. Does not know how an audit is made (monitor/audit.py) or what a detector does with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import msgspec

from smallfirst.calibrate.certificate import digest
from smallfirst.cli.settings import Settings
from smallfirst.config.paths import data_dir
from smallfirst.core import Grade
from smallfirst.errors import ConfigError, LedgerError
from smallfirst.ledger.chain import Shadowed
from smallfirst.ledger.notes import (
    CertificateInUse,
    Note,
    read_audits,
    read_detectors,
    read_grades,
    spent_on_audits,
)
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.report import since
from smallfirst.models.catalogue import Catalogue
from smallfirst.models.sender import Sender
from smallfirst.monitor.audit import DAY_US, Audits
from smallfirst.monitor.guard import Guarded
from smallfirst.monitor.pairs import PAIRS
from smallfirst.monitor.settings import MonitorSettings
from smallfirst.monitor.watch import Watching, make_watch, restore_alarms
from smallfirst.privacy.classes import parse_class
from smallfirst.store.connection import Connection, Place

log = logging.getLogger(__name__)

LOOK_S = 30.0
"""How often the ledger is looked into for what people have graded meanwhile."""


class Monitor:
    """What watches over a gateway's promises: the auditor, and the look into the ledger for people's grades."""

    def __init__(self, audits: Audits, ledger: Place) -> None:
        self.audits, self._ledger = audits, ledger
        self._follow: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for grades, where audits wait for people's."""
        if self.audits.watching is not None:
            self._follow = asyncio.get_running_loop().create_task(self._look())

    async def stop(self) -> None:
        if self._follow is not None:
            self._follow.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._follow
        await self.audits.close()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            watching = self.audits.watching
            if watching is not None and watching.waiting:
                with contextlib.suppress(LedgerError):  # a ledger that is busy now is looked into again
                    self.audits.take_grades(await asyncio.to_thread(grades_of, self._ledger))


def grades_of(path: Place) -> list[Grade]:
    """Every grade in the ledger at `path`. Raises LedgerError."""
    with closing(open_ledger(path)) as conn:
        return read_grades(conn)


def make_monitor(
    settings: Settings,
    guards: Mapping[str, Guarded],
    *,
    catalogue: Catalogue,
    sender: Sender,
    note: Callable[[Note | Shadowed], None],
    ledger: Place,
    environ: Mapping[str, str],
) -> Monitor | None:
    """The monitor that the config asks for; None where it asks for none. Raises ConfigError.

    Alarms that the ledger remembers are sounded again in any case: they outlive the `monitor` section.
    """
    with closing(open_ledger(ledger)) as conn:
        for guarded in guards.values():
            note(_in_use(guarded))
            restore_alarms(guarded, read_detectors(conn, guarded.certificate.id))
        for words in standings(tuple(guards.values())):
            log.warning("%s", words)
        wanted = settings.monitor
        if wanted is None:
            return None
        policy = wanted.policy or next(iter(guards), None) or settings.default_policy
        _require(wanted, catalogue)
        watching = _watching(wanted, guards.get(policy), note, conn)
        audits = Audits(
            wanted,
            policy,
            sender=sender,
            models=catalogue.models,
            baseline=catalogue.baseline.model,
            note=note,
            keep_up_to=parse_class(wanted.keep_up_to),
            intent_from=parse_class(settings.ledger.intent_from),
            guarded=guards.get(policy),
            watching=watching,
            pairs_path=data_dir(environ) / PAIRS if wanted.keep == "audited" else None,
            spent_today=spent_on_audits(conn, time.time_ns() // 1000 // DAY_US * DAY_US),
        )
    return Monitor(audits, ledger)


def _watching(
    settings: MonitorSettings,
    guarded: Guarded | None,
    note: Callable[[Note | Shadowed], None],
    conn: Connection,
) -> Watching | None:
    """The detectors of the audited policy, gone on from where they were; None: it has no certificate."""
    if guarded is None:
        return None
    certificate = guarded.certificate
    watch = make_watch(certificate, settings.slices, settings.alpha, settings.horizon)
    watching = Watching(guarded, watch, note, lambda: time.time_ns() // 1000)
    watching.restore(read_detectors(conn, certificate.id), read_audits(conn), read_grades(conn))
    return watching


def _require(settings: MonitorSettings, catalogue: Catalogue) -> None:
    name = catalogue.baseline.model
    if name not in catalogue.models:
        words = f"the baseline {name} is not configured, so there is nobody to compare with; set `baseline.model`"
        raise ConfigError([f"monitor: {words}"])
    if settings.usd_per_day is not None and catalogue.models[name].price is None:
        raise ConfigError([f"monitor.usd_per_day: the price of {name} is not known; give it a `cost`"])


def _in_use(guarded: Guarded) -> CertificateInUse:
    certificate = guarded.certificate
    return CertificateInUse(
        id=certificate.id,
        policy=guarded.name,
        digest=digest(certificate),
        doc=msgspec.json.encode(certificate).decode(),
        max_quality_loss=certificate.promise.max_quality_loss,
        confidence=certificate.promise.confidence,
        issued_us=_issued(certificate.issued_at),
        first_used_us=time.time_ns() // 1000,
    )


def _issued(text: str) -> int:
    import datetime as dt  # noqa: PLC0415 - for this line alone

    return since(text, dt.datetime.now(dt.UTC))


def standings(guards: Sequence[Guarded]) -> list[str]:
    """What whoever starts the gateway must know of its certificates, loudest first."""
    found = []
    for guarded in guards:
        name, id = guarded.name, guarded.certificate.id
        if guarded.found.voiding:
            found.append(f"{name}: certificate {id} is NOT IN FORCE, the highest permitted tier answers: "
                         + "; ".join(guarded.found.voiding))  # fmt: skip
        elif guarded.alarms:
            slices = ", ".join(guarded.alarms)
            found.append(f"{name}: an ALARM stands against certificate {id} (slice {slices}); the highest permitted "
                         "tier answers until it is certified again")  # fmt: skip
        found += [f"{name}: {words}" for words in guarded.found.warning]
    return found
