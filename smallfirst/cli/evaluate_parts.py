"""What `smallfirst evaluate` is given on its command line, turned into the parts of an evaluation.

Knows the config, prices as they are typed, where latency laws come from, and how policies are run. Computes no figure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
import msgspec

from smallfirst.classify.classifier import Classifier
from smallfirst.cli.build import read_settings
from smallfirst.cli.certified import guard
from smallfirst.core import NANO, Price
from smallfirst.errors import ConfigError, DataError
from smallfirst.evals import learned as learned_ladder
from smallfirst.evals.agreement_rule import make_rule
from smallfirst.evals.curves import Curve
from smallfirst.evals.dataset import Dataset
from smallfirst.evals.latency import Laws, read_laws, shipped_laws
from smallfirst.evals.latency_fit import fit_laws
from smallfirst.evals.players import Players
from smallfirst.evals.recorded_policies import Run, lay_out, run
from smallfirst.evals.ways import Shown
from smallfirst.learn.outcomes import file_digest
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.timings import timings
from smallfirst.models.catalogue import build_catalogue
from smallfirst.policy.build import build_policy
from smallfirst.policy.protocol import Policy
from smallfirst.policy.settings import PolicySettings

RECORDED = "recorded"
"""In place of a file of laws: the times that the outcomes hold."""


def outcomes_file(data: Path) -> Path:
    """DATA itself, or the outcomes inside a folder."""
    if data.is_file():
        return data
    for name in ("outcomes.jsonl", "outcomes.parquet"):
        if (data / name).is_file():
            return data / name
    raise click.UsageError(f"{data} is a folder without outcomes.jsonl or outcomes.parquet; name a file")


def configured(
    config: Path | None, only: Sequence[str], prices: Sequence[str], baseline: str, models: Sequence[str]
) -> tuple[Players, dict[str, Policy]]:
    """Players and policies of the config; without one, players by what the outcomes say of themselves."""
    stated = dict(map(parse_price, prices))
    if config is None:
        if only:
            raise click.UsageError("--policy names policies of a config: give --config too")
        return Players(prices=stated, baseline=baseline), {}
    settings = read_settings(config, os.environ)
    catalogue = build_catalogue(
        settings.providers, settings.models, settings.tiers, settings.baseline, environ=os.environ
    )
    if unknown := [name for name in models if name not in catalogue.models]:
        raise click.UsageError(f"--model {unknown[0]}: the config has {', '.join(catalogue.models)}")
    taking_part = {name: model for name, model in catalogue.models.items() if not models or name in models}
    roles = {name: _recorded(name, model.replicas[0].upstream_model) for name, model in taking_part.items()}
    listed = {name: model.price for name, model in taking_part.items() if model.price is not None}
    named = baseline or (catalogue.baseline.model if catalogue.baseline.model in roles else "")
    wanted = only or sorted(settings.policies, key=lambda name: name != settings.default_policy)
    if missing := [name for name in wanted if name not in settings.policies]:
        raise ConfigError([f"--policy {missing[0]}: there are {', '.join(settings.policies) or 'none'}"])

    def certified(name: str, policy: PolicySettings) -> Policy:
        return guard(name, Path(policy.certificate or ""), catalogue, settings.models, policy.hedge)

    policies = {name: build_policy(name, settings.policies[name], catalogue.tiers, certified) for name in wanted}
    return Players(roles, catalogue.tiers, {**listed, **stated}, named), policies


def _recorded(name: str, upstream: str) -> str:
    """What a model may be called in the file: as in the config, or as its endpoint knows it."""
    return name if upstream == name else f"{name}|{upstream}"


def parse_price(text: str) -> tuple[str, Price]:
    """`NAME=IN/OUT` or `NAME=BOTH`, dollars per million tokens, of a model or a tier."""
    name, _, rates = text.rpartition("=")
    parts = rates.split("/")
    try:
        rate_in, rate_out = (int(Decimal(part) * NANO) for part in (parts if len(parts) == 2 else parts * 2))
    except (InvalidOperation, ValueError, OverflowError):
        rate_in = rate_out = -1
    if not name or min(rate_in, rate_out) < 0:
        raise click.UsageError(f"--price {text}: should be NAME=IN/OUT, like gpt-4o=2.50/10")
    return name, Price(rate_in, rate_out, rate_in, "--price")


def latency_laws(latency: str | None, ledger: Path | None) -> Laws | None:
    """What is stated, over what the ledger shows, over the shipped laws; None: the times in the data."""
    if latency == RECORDED:
        if ledger is not None:
            raise click.UsageError("--latency recorded takes the times in DATA, --laws-from a ledger's: give one")
        return None
    laws = shipped_laws()
    if ledger is not None:
        conn = open_ledger(ledger)
        try:
            laws = Laws(models=fit_laws(timings(conn), where=ledger.name)).over(laws)
        finally:
            conn.close()
    return laws if latency is None else read_laws(Path(latency)).over(laws)


def run_policies(
    data: Dataset, policies: Mapping[str, Policy], weights: bytes, step: Callable[[str], None]
) -> list[Run]:
    """Every policy over every reported prompt, on recorded answers."""
    if not policies:
        return []
    step("answers")
    bench = lay_out(data, weights)
    runs = []
    for name, policy in policies.items():
        step(f"policy {name}")
        runs.append(run(policy, bench))
    return runs


def learned(data: Dataset, target_loss: float, seed: int) -> tuple[list[Shown], list[Curve]]:
    """A ladder fitted on the fit part: its cheapest rung within the target, and the curve of all its rungs."""
    rule = make_rule(data)
    if rule is None:
        raise DataError("--learned needs a panel: at least two models below the baseline, in tiers")
    ladder = learned_ladder.fit(data, rule, seed=seed)
    found = learned_ladder.climbed(data, ladder)
    rung = ladder.cheapest(target_loss)
    note = f"rung {rung} of {len(ladder.rungs) - 1}, the cheapest expected within {target_loss:.1%} loss; not certified"
    return [Shown(learned_ladder.served_of(found, ladder, rung), note)], [learned_ladder.curve_of(found)]


def noted(data: Dataset, file: Path, weights: bytes) -> Dataset:
    """Says where the classifier was fitted on this very file: what it predicts here is better than elsewhere."""
    if file_digest(file) not in Classifier.from_bytes(weights).provenance.files.values():
        return data
    note = "the classifier was fitted on four fifths of this file's prompts: policies that read it look too good"
    return msgspec.structs.replace(data, notes=(*data.notes, note))
