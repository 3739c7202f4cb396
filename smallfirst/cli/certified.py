"""Certificates from files to policies: read, compared with what runs, and put in front of their ladder.

Knows where a certificate's ladder lies (beside it, under the same name with the ending `.ladder`). Does not know how
either was made (cli/calibrate_cmd.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.calibrate.certificate import Certificate, Differences, InForce, decode, differences
from smallfirst.cli.finding import Finding, fault
from smallfirst.errors import ConfigError, DataError
from smallfirst.models.catalogue import Catalogue
from smallfirst.models.settings import ModelSettings
from smallfirst.monitor.digests import PROMPTS, canonicaliser_digest, model_digests, price_digest, verifier_digest
from smallfirst.monitor.guard import Guarded
from smallfirst.policy.certified import Certified
from smallfirst.policy.hedged import Hedged
from smallfirst.policy.ladder import Ladder
from smallfirst.policy.ladder import decode as decode_ladder
from smallfirst.policy.protocol import Policy
from smallfirst.policy.settings import HedgeSettings

LADDER = ".ladder"


def ladder_path(certificate: Path) -> Path:
    """Where the ladder of a certificate lies: `certs/support.json` -> `certs/support.ladder`."""
    return certificate.with_suffix(LADDER)


def read_certified(path: Path) -> tuple[Certificate, Ladder]:
    """A certificate and its ladder. Raises DataError where either is missing, edited or of another version."""
    try:
        certificate = decode(path.read_bytes(), str(path))
        ladder = decode_ladder(ladder_path(path).read_bytes())
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}; `smallfirst calibrate --out {path}` makes both") from None
    return certificate, ladder


def running(catalogue: Catalogue, models: Mapping[str, ModelSettings], ladder: Ladder) -> InForce:
    """What runs here, in a certificate's terms. Prices are those of the ladder's models."""
    named = [catalogue.models[name] for name in ladder.models if name in catalogue.models]
    return InForce(
        ladder=ladder.digest,
        models=model_digests(named, {name: model.weights for name, model in models.items()}),
        prompts=PROMPTS,
        verifier=verifier_digest(),
        canonicaliser=canonicaliser_digest(),
        prices=price_digest(named),
    )


def compare(certificate: Certificate, ladder: Ladder, catalogue: Catalogue, now: InForce) -> Differences:
    """What has changed since it was issued, the baseline included: the promise is relative to it."""
    found = differences(certificate, now)
    baseline = catalogue.baseline.model
    if baseline == ladder.top:
        return found
    words = f"the baseline is {baseline}, certified was a loss against {ladder.top}"
    return msgspec.structs.replace(found, voiding=(*found.voiding, words))


def describe(
    name: str, path: Path, catalogue: Catalogue, models: Mapping[str, ModelSettings]
) -> tuple[list[str], list[Finding]]:
    """What a certificate says and whether it would be in force, in words; what is wrong with it, as findings."""
    at = ("policies", name, "certificate")
    try:
        certificate, ladder = read_certified(path)
    except DataError as error:
        return [], [fault(at, str(error))]
    promise, expected = certificate.promise, certificate.expected
    slices = "" if certificate.slicing is None else f", {len(certificate.bounds)} slices {certificate.slicing}"
    words = f"{name}: loses at most {promise.max_quality_loss:.1%} against {ladder.top}, {promise.confidence:.0%} sure"
    lines = [
        f"{words}{slices} (certificate {certificate.id}, {certificate.groups:,} prompts, {certificate.grader})",
        f"{name}: expected to cost {expected.cost_ratio:.2f} of always {ladder.top}",
    ]
    found = compare(certificate, ladder, catalogue, running(catalogue, models, ladder))
    lines.append(f"{name}: {'NOT in force' if found.voiding else 'in force'}")
    warnings = [Finding("warning", at, f"not in force: {why}") for why in found.voiding]
    return lines, [*warnings, *(Finding("warning", at, why) for why in found.warning)]


def guard(
    name: str,
    path: Path,
    catalogue: Catalogue,
    models: Mapping[str, ModelSettings],
    hedge: HedgeSettings | None = None,
) -> Guarded:
    """The policy `name` with the certificate at `path`. Raises ConfigError where the file can't be used.

    `hedge`: the highest tier, whose answer is the baseline's, stands in for a model that takes longer than usual; what
    is served so stands outside the certificate.
    """
    try:
        certificate, ladder = read_certified(path)
    except DataError as error:
        raise ConfigError([f"policies.{name}.certificate: {error}"]) from error
    found = compare(certificate, ladder, catalogue, running(catalogue, models, ladder))

    def rung(number: int) -> Policy:
        policy = Certified(name, ladder, number)
        return policy if hedge is None else Hedged(policy, hedge.after)

    return Guarded(name, certificate, ladder.models, rung, found)
