"""Synthetic policies whose true loss is known: what the tests of the promise are tried on."""

import numpy as np


def bernoulli(rng, shape, *, harm, gain, right):
    """Served and baseline scores of 0 or 1: the baseline is right with chance `right`.

    `harm` is the chance that it is and the policy is not, `gain` of the reverse. The loss is (harm - gain) / right.
    """
    u = rng.random(shape)
    f = (u < right).astype(float)
    s = np.where(u < harm, 0.0, np.where((u >= right) & (u < right + gain), 1.0, f))
    return s, f
