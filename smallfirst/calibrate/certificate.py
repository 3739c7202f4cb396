"""The certificate: one JSON document that says what was proved, of which policy, on which data, and what voids it.

Knows the document and how to compare it with what is running. Does not know where digests come from, files, or time:
who issues it passes those in. Its id is the digest of its content, so an edited certificate is not a certificate.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from smallfirst.calibrate.promise import Design, Promise, Slicing
from smallfirst.errors import DataError

FORMAT = 1
ALL = "all"
"""The slice of a certificate that speaks of all traffic at once."""

_ISSUED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Bound(msgspec.Struct, frozen=True):
    """What was proved of one slice. The bound is the promise; the estimate beside it is not certified."""

    slice: str
    rung: int  # that runs; 0 is always-frontier, which needs no proof
    setting: float  # the path's scalar at that rung
    bound: float  # relative quality loss, at most
    estimate: float  # of the same, on the certification rows
    p_value: float | None  # of the rung that runs; None for rung 0
    floor_rung: int  # where a z-test on the same rows would have stopped
    rows: int
    groups: int


class Expected(msgspec.Struct, frozen=True):
    """What the policy cost on the certification rows. Estimates, not promises."""

    mix: dict[str, float]  # tier -> share of requests that it served
    cost_ratio: float  # all attempts, over always-frontier
    cost: float  # nano-dollars a request
    calls: float | None = None  # sequential calls a request, a panel counting as one
    latency_ratio: float | None = None  # mean, over always-frontier
    floor_cost_ratio: float | None = None  # of the rung where a z-test would have stopped


class Certificate(msgspec.Struct, frozen=True):
    """The document. All digests are hex; `id` is made by `issue`."""

    id: str
    format: int
    policy: str  # the name it was calibrated under
    promise: Promise
    slicing: Slicing | None  # None: one statement about all traffic
    bounds: tuple[Bound, ...]  # one for each slice named beforehand, or one of the slice `all`
    design: Design
    rows: int
    groups: int
    grader: str  # who scored: a checker, a model's name, people
    expected: Expected
    ladder: str
    models: dict[str, str]  # role -> digest of the model's configuration
    prompts: str  # of the system prompts and edits that the policy sends
    verifier: str
    canonicaliser: str
    data: str  # of the certification rows
    prices: str
    issued_at: str  # UTC, like 2026-11-25T13:00:00Z
    seeds: dict[str, int] = {}  # of the split, and what else was drawn
    notes: tuple[str, ...] = ()  # what it is not valid for, in words

    def bound(self, slice_name: str) -> Bound | None:
        """What is proved for a request of this slice; None where its slice was never certified."""
        for one in self.bounds:
            if one.slice in (slice_name, ALL):
                return one
        return None


class InForce(msgspec.Struct, frozen=True):
    """What is running, in the certificate's own terms; empty strings are not compared."""

    ladder: str
    models: Mapping[str, str]
    prompts: str
    verifier: str
    canonicaliser: str
    prices: str
    data: str = ""


class Differences(msgspec.Struct, frozen=True):
    """Sentences. Anything voiding takes the certificate out of force; warnings leave its quality bound as it is."""

    voiding: tuple[str, ...] = ()
    warning: tuple[str, ...] = ()


def issue(certificate: Certificate) -> Certificate:
    """The same with its id. Raises DataError for a document that contradicts itself."""
    _check(certificate)
    return msgspec.structs.replace(certificate, id=digest(certificate)[:16])


def digest(certificate: Certificate) -> str:
    """sha256 (hex) over the document without its id, in one fixed form."""
    bare = msgspec.structs.replace(certificate, id="")
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()


def encode(certificate: Certificate) -> bytes:
    """Indented JSON, as it lies in a file."""
    return msgspec.json.format(msgspec.json.encode(certificate), indent=2) + b"\n"


def decode(data: bytes, name: str = "certificate") -> Certificate:
    """Read what `encode` wrote. Raises DataError naming the field, or when it was edited after it was issued."""
    try:
        found = msgspec.json.decode(data, type=Certificate)
    except msgspec.DecodeError as error:
        raise DataError(f"{name}: {error}; issue it again with `smallfirst calibrate`") from error
    if found.format != FORMAT:
        raise DataError(f"{name}: format {found.format}, and this version reads format {FORMAT}; issue it again")
    _check(found, name)
    if found.id != digest(found)[:16]:
        raise DataError(
            f"{name}: its content is not what id {found.id!r} was issued for; restore it, or issue it again"
        )
    return found


def differences(certificate: Certificate, now: InForce) -> Differences:
    """What has changed since. Models, prompts, verifier, canonicaliser, ladder and data void it; prices warn."""
    voiding = [
        f"{what} is {_short(running)}, certified was {_short(certified)}"
        for what, certified, running in (
            ("the ladder", certificate.ladder, now.ladder),
            ("the prompts' digest", certificate.prompts, now.prompts),
            ("the verifier", certificate.verifier, now.verifier),
            ("the canonicaliser", certificate.canonicaliser, now.canonicaliser),
            ("the certification data", certificate.data, now.data),
        )
        if running and running != certified
    ]
    for role, certified in certificate.models.items():
        running = now.models.get(role)
        if running is None:
            voiding.append(f"model {role!r} is missing")
        elif running != certified:
            voiding.append(f"model {role!r} is {_short(running)}, certified was {_short(certified)}")
    warning = []
    if now.prices and now.prices != certificate.prices:
        warning.append("prices have changed: the quality bound holds, the expected cost does not; calibrate again")
    return Differences(tuple(voiding), tuple(warning))


def _short(digest_of: str) -> str:
    return digest_of[:12]


def _check(certificate: Certificate, name: str = "certificate") -> None:
    certificate.promise.check()
    certificate.design.check()
    names = [one.slice for one in certificate.bounds]
    if not names or len(set(names)) != len(names):
        raise DataError(f"{name}: bounds: each slice needs exactly one entry, and these are {names}")
    if (ALL in names) != (certificate.slicing is None) or (ALL in names and len(names) > 1):
        raise DataError(f"{name}: slicing: {certificate.slicing!r} does not go with the slices {names}")
    for one in certificate.bounds:
        if one.bound > certificate.promise.max_quality_loss:
            raise DataError(f"{name}: bounds: {one.slice!r} allows {one.bound:g}, more than is promised")
        if one.rung > 0 and one.p_value is None:
            raise DataError(f"{name}: bounds: {one.slice!r} runs rung {one.rung} without a p-value; only rung 0 can")
    if not _ISSUED.fullmatch(certificate.issued_at):
        raise DataError(f"{name}: issued_at: {certificate.issued_at!r} is not like 2026-11-25T13:00:00Z")
