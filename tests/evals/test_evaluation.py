"""The report as a whole: what is beside what, its schema, its page."""

import json
import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from smallfirst.classify.shipped import shipped_weights
from smallfirst.evals import example
from smallfirst.evals.curves import Curve, anchors, measure_curve, sweep
from smallfirst.evals.dataset import Request, load
from smallfirst.evals.estimates import Estimate
from smallfirst.evals.evaluation import STEPS, Wanted, evaluate
from smallfirst.evals.evaluation_report import SCHEMA, encode
from smallfirst.evals.latency import shipped_laws
from smallfirst.evals.page import page
from smallfirst.evals.query_routers import by_neighbours, read_words
from smallfirst.evals.recorded_policies import lay_out, run
from smallfirst.evals.resamples import Resamples
from smallfirst.evals.svg import nice_ticks
from smallfirst.policy.build import build_policy
from smallfirst.policy.settings import PolicySettings

HOSTILE = '<script src="http://evil.example/x.js">alert(1)</script>'


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    example.write(folder, n=300)
    return load(Request(folder / "outcomes.jsonl", laws=shipped_laws()))


@pytest.fixture(scope="module")
def report(data):
    settings = PolicySettings(kind="cascade", accept={"slm": 0.85, "mid": 0.7})
    runs = [run(build_policy("cascade", settings, data.players.tiers), lay_out(data, shipped_weights()))]
    steps = []
    found = evaluate(data, Wanted(runs=runs, draws=100), steps.append)
    assert tuple(steps) == STEPS
    return found


def way(report, name):
    return next(one for one in report.ways if one.name == name)


def test_every_baseline_stands_beside(report):
    kinds = {one.name: one.kind for one in report.ways}
    assert kinds["cascade"] == "policy"
    assert kinds["agreement rule"] == "rule"
    assert [name for name, kind in kinds.items() if kind == "router"] == [
        "kNN", "k-means table", "query-only", "random at equal cost"
    ]  # fmt: skip
    assert len([kind for kind in kinds.values() if kind == "single"]) == 5
    notes = ", ".join(one.note for one in report.ways if one.kind == "single" and one.note)
    assert sorted(notes.split(", ")) == ["baseline", "best single", "cheapest"]
    assert kinds["oracle"] == "oracle"
    assert [one.name for one in way(report, "cascade").beside] == [
        "random at equal cost", "kNN", "k-means table", "query-only"
    ]  # fmt: skip


def test_the_baseline_is_the_measure_of_all(report):
    top = way(report, report.baseline)
    for figure in (top.cost, top.relative):
        assert (figure.estimate, figure.low, figure.high) == (1, 1, 1)
    assert (top.latency_ratio, top.recovered) == (1, 1)
    assert way(report, report.weak).recovered == 0
    assert sum(way(report, "cascade").tiers.values()) == pytest.approx(1)
    assert way(report, "random at equal cost").cost.estimate == pytest.approx(way(report, "cascade").cost.estimate)


def test_the_oracle_bounds_every_router(report):
    assert way(report, "oracle").quality >= max(one.quality for one in report.ways)
    curves = {one.name: one for one in report.deferrals}
    assert curves["random"].apgr.estimate == pytest.approx(0.5)
    assert curves["oracle"].apgr.estimate == max(one.apgr.estimate for one in curves.values())


def test_slices_add_up_to_the_whole(report):
    levels = [one for one in report.slices if one.by == "slice" and one.way == "cascade"]
    assert {one.name for one in levels} == {"level 1", "level 2", "level 3"}
    mean = sum(one.quality * one.prompts for one in levels) / sum(one.prompts for one in levels)
    assert mean == pytest.approx(way(report, "cascade").quality)
    assert all(one.beyond == (one.relative.high < 0.98) for one in report.slices)


def test_curves_of_others_are_drawn_and_measured_like_ours(data):
    found = by_neighbours(read_words(data.fit, data.report), data.fit.scores)
    top = data.report.table.column(data.players.baseline)
    given = msgspec.structs.replace(sweep(found, data.fit, data.report, top), name="ladder")
    estimate = Estimate("ladder", np.full(len(data.report.scores), 0.5), data.report.scores[:, 0])
    report = evaluate(data, Wanted(curves=[given], estimates=[estimate], draws=50))
    ours, theirs = ({one.name: one for one in report.curves}[name] for name in ("kNN", "ladder"))
    assert theirs.points == ours.points
    assert theirs.aiq == ours.aiq
    assert "ladder" in {one.name for one in report.deferrals} & {one.name for one in report.estimates}
    assert "ladder, hull" in page(report)


def test_aiq_of_a_curve_by_hand(data):
    """One setting that is the baseline: from the cheapest model's point straight up to it."""
    report = data.report
    at = anchors(data.fit, report, data.players.baseline)
    ones = np.ones((1, len(report.scores)))
    curve = Curve("top", report.scores[:, [at.baseline]].T, report.costs[:, [at.baseline]].T, ones)
    line = measure_curve(curve, report, at, Resamples(report.table.groups, draws=20))
    low, high = report.scores[:, at.cheapest].mean(), report.scores[:, at.baseline].mean()
    assert line.aiq.estimate == pytest.approx((low + high) / 2)
    assert [point.cost for point in line.points] == [1]


def test_the_schema_is_stable(report):
    """What programs read: a change of meaning is a new SCHEMA, and fields are only ever added."""
    found = json.loads(encode(report))
    assert found["schema"] == SCHEMA == "smallfirst.evaluation/1"
    assert set(found) >= {
        "smallfirst", "data", "digest", "seed", "draws", "fit", "report", "baseline", "weak", "best", "cheapest",
        "target_loss", "models", "ways", "curves", "deferrals", "estimates", "slices", "notes",
    }  # fmt: skip
    assert set(found["ways"][0]) >= {
        "name", "kind", "cost", "quality", "relative", "recovered", "cost_save", "tiers", "calls", "sequential",
        "latency", "latency_ratio", "beside", "reasons", "note",
    }  # fmt: skip
    assert set(found["ways"][0]["cost"]) == {"estimate", "low", "high", "method", "groups"}
    assert set(found["ways"][0]["latency"]) == {"mean_us", "p50_us", "p95_us"}
    assert set(found["slices"][0]) >= {"by", "name", "way", "prompts", "groups", "cost", "quality", "relative"}
    assert "beyond" in found["slices"][0]
    assert set(found["curves"][0]["points"][0]) >= {"cost", "quality", "on_hull"}
    assert set(found["deferrals"][0]) >= {"name", "shares", "qualities", "apgr", "cpt50", "cpt80"}
    assert set(found["estimates"][0]) >= {"name", "rows", "ece", "brier", "auroc", "auroc_within", "bins"}
    assert set(found["models"][0]) >= {"name", "tier", "quality", "cost_usd", "first_ms", "token_ms", "law"}


def test_the_same_seed_gives_the_same_report(data):
    one, other = (encode(evaluate(data, Wanted(seed=4, draws=50))) for _ in range(2))
    assert one == other
    assert encode(evaluate(data, Wanted(seed=5, draws=50))) != one


class Seen(HTMLParser):
    """Tags, and every attribute that could fetch something."""

    def __init__(self):
        super().__init__()
        self.tags, self.fetched, self.open = set(), [], []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href", "data", "action")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(report):
    text = page(report)
    seen = Seen()
    seen.feed(text)
    assert seen.open == []
    assert seen.fetched == []
    assert not seen.tags & {"script", "link", "img", "iframe", "object", "embed", "image"}
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("<figure") == 5
    assert "prefers-color-scheme: dark" in text
    for words in (report.digest, f"seed {report.seed}", "Measured, not certified", "assumed", "RouteLLM"):
        assert words in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S).lower().split()


def test_names_from_the_data_can_not_break_out_of_the_page(report):
    first, *others = report.ways
    hostile = msgspec.structs.replace(
        report,
        data=HOSTILE,
        notes=(HOSTILE,),
        ways=(msgspec.structs.replace(first, name=HOSTILE, note=HOSTILE), *others),
        slices=tuple(msgspec.structs.replace(one, name=HOSTILE) for one in report.slices[:1]),
    )
    seen = Seen()
    seen.feed(page(hostile))
    assert "script" not in seen.tags
    assert seen.open == []


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.62, 0.71, [0.62, 0.64, 0.66, 0.68, 0.7]),
        (0, 25, [0, 5, 10, 15, 20, 25]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_numbers(low, high, ticks):
    assert nice_ticks(low, high) == pytest.approx(ticks)
