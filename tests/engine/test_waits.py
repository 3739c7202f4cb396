"""How long calls usually take, from a small sketch."""

import random

from smallfirst.engine.waits import ENOUGH, GROWTH, Sketch


def test_too_few_say_nothing() -> None:
    sketch = Sketch()
    for _ in range(ENOUGH - 1):
        sketch.note(0.1)
    assert sketch.usual_s is None
    sketch.note(0.1)
    assert 0.1 <= sketch.usual_s <= 0.1 * GROWTH


def test_it_is_the_95th_percentile_within_a_tenth() -> None:
    rng, sketch = random.Random(1), Sketch()
    waits = [rng.lognormvariate(-2, 0.7) for _ in range(400)]
    for wait in waits:
        sketch.note(wait)
    true = sorted(waits)[379]
    assert true <= sketch.usual_s <= true * GROWTH


def test_what_was_long_ago_fades_and_odd_waits_are_counted() -> None:
    sketch = Sketch()
    for _ in range(400):
        sketch.note(1.0)
    for _ in range(8000):
        sketch.note(0.01)
    assert sketch.usual_s < 0.02
    for odd in (0.0, -1.0, 1e9):
        sketch.note(odd)
