"""The detector: quiet while the promise holds, loud soon after it stops to, exact about both, and storable."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.calibrate.detector import Evidence, Watch, audit, begin, step
from smallfirst.calibrate.streams import first_alarms
from smallfirst.calibrate.synthetic import right_or_wrong
from smallfirst.errors import DataError

WATCH = Watch({"all": 0.02}, alpha=0.05, horizon=1000)


def excess(rng, shape, **shares):
    s, f = right_or_wrong(rng, shape, right=0.7, **shares)
    return 0.98 * f - s


def test_false_alarms_at_the_bound_are_as_rare_as_promised():
    rng = np.random.default_rng(1)
    alarms = first_alarms(excess(rng, (1000, 2000), harm=0.064, gain=0.05), WATCH.threshold)
    assert (alarms > 0).mean() <= 0.05
    drifting = np.concatenate(
        [excess(rng, (500, 2000), harm=0.0, gain=0.0), excess(rng, (500, 2000), harm=0.014, gain=0)]
    )
    assert (first_alarms(drifting, WATCH.threshold) > 0).mean() <= 0.05


def test_a_late_drift_is_found_as_fast_as_an_early_one():
    rng = np.random.default_rng(2)
    broken = excess(rng, (600, 200), harm=0.2, gain=0.05)
    before = excess(rng, (3000, 200), harm=0.02, gain=0.03)
    early = first_alarms(broken, WATCH.threshold)
    late = first_alarms(np.concatenate([before, broken]), WATCH.threshold)
    assert (early > 0).all()
    assert (late > 3000).all()
    assert np.median(late - 3000) <= np.median(early) + 5


def test_one_audit_at_a_time_is_the_vectorised_form():
    rng = np.random.default_rng(3)
    s, f = right_or_wrong(rng, 800, right=0.7, harm=0.25, gain=0.05)
    states, at = begin(WATCH), 0
    for n, (served, baseline) in enumerate(zip(s.tolist(), f.tolist(), strict=True), start=1):
        states, sounded = audit(WATCH, states, "any", served, baseline)
        if sounded:
            at = n
    assert at == first_alarms((0.98 * f - s)[:, None], WATCH.threshold)[0] > 0
    assert states["all"].alarmed_at == at
    assert states["all"].audits == 800


def test_only_the_slice_that_drifts_sounds_and_all_alarms_share_alpha():
    watch = Watch({"all": 0.02, "faq": 0.02, "code": 0.02}, alpha=0.05, horizon=1000)
    assert watch.threshold == 2 * WATCH.threshold
    states, first = begin(watch), {}
    rng = np.random.default_rng(4)
    for n in range(2000):
        name = "faq" if n % 4 else "code"
        served = 0.0 if name == "code" and rng.random() < 0.4 else 1.0
        states, sounded = audit(watch, states, name, served, 1.0)
        first |= {one: n for one in sounded}
    assert states["faq"].alarmed_at is None
    assert first["code"] < first["all"]


def test_a_slice_that_is_not_watched_counts_for_all():
    states, _ = audit(WATCH, begin(WATCH), "new", 0.0, 1.0)
    assert states["all"].audits == 1
    only = Watch({"faq": 0.02})
    states, _ = audit(only, begin(only), "new", 0.0, 1.0)
    assert states == begin(only)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0])), max_size=50), st.integers(0, 50)
)
def test_a_state_that_was_stored_goes_on_as_if_it_had_not_been(scores, at):
    whole = stored = begin(WATCH)
    for n, (s, f) in enumerate(scores):
        if n == at:
            stored = msgspec.json.decode(msgspec.json.encode(stored), type=dict[str, Evidence])
        whole, stored = audit(WATCH, whole, "x", s, f)[0], audit(WATCH, stored, "x", s, f)[0]
    assert whole == stored


def test_rows_that_agree_may_be_graded_rarely_with_weights():
    rng = np.random.default_rng(5)
    s, f = right_or_wrong(rng, (2000, 1000), right=0.7, harm=0.064, gain=0.05)
    graded = (s != f) | (rng.random(s.shape) < 0.1)
    weighted = np.where(s == f, 10.0, 1.0) * (0.98 * f - s)
    alarms = []
    for stream in range(1000):
        rows = weighted[graded[:, stream], stream][:250]
        alarms.append(np.pad(rows, (0, 250 - len(rows))))
    assert (first_alarms(np.array(alarms).T, 250 / 0.05) > 0).mean() <= 0.05


@pytest.mark.parametrize(
    ("watch", "words"),
    [
        (Watch({}), "nothing to watch"),
        (Watch({"all": 2.0}), "bounds: 'all': 2.0"),
        (Watch({"all": 0.02}, alpha=0), "alpha 0"),
        (Watch({"all": 0.02}, horizon=0), "horizon 0"),
    ],
)
def test_what_can_not_be_watched_is_refused(watch, words):
    with pytest.raises(DataError, match=words):
        begin(watch)


def test_bad_audits_are_refused():
    with pytest.raises(DataError, match="not both in"):
        audit(WATCH, begin(WATCH), "x", 1.2, 1.0)
    with pytest.raises(DataError, match="too large"):
        step(Evidence(), -1.25, 1000)
