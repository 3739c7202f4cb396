"""The detector of calibrate/detector.py on many recorded or simulated streams at once.

Knows arrays of evidence. Does not know slices or scores. It is for measuring false alarms and delays, not for serving.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.detector import STAKES


def first_alarms(excess: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.intp]:
    """(R,): for R streams `excess` (n, R) the audit, counted from 1, that sounds the alarm; 0 where none does."""
    count, streams = excess.shape
    stakes, wealth = np.array(STAKES)[:, None], np.zeros((len(STAKES), streams))
    alarm = np.zeros(streams, dtype=np.intp)
    for t in range(count):
        wealth = (1.0 + wealth) * (1.0 + stakes * excess[t])
        sounded = (wealth.mean(0) >= threshold) & (alarm == 0)
        alarm[sounded] = t + 1
        wealth[:, alarm > 0] = 0.0
    return alarm
