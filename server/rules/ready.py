"""Every kernel of a live server, made ready: compiled, or read from the cache."""

from typing import Any

import numpy as np

from server.rules.kernels import measured_days, runs, sit, sittings
from server.rules.pressure_marks import mark


def warm_up() -> None:
    """Make every kernel ready (compiled, or read from the cache): call it off the event loop, before the first request."""
    none: Any = np.zeros(0, np.int64)
    first = np.zeros(2, np.int64)
    no_marks = np.zeros(0, np.int8)
    mark(first, none, none, none, no_marks, no_marks)
    sit(first, none, no_marks)
    table = sittings(first, none, none, no_marks, none, none)
    one = np.zeros(1, np.int64)
    code = np.zeros(1, np.int8)
    runs(measured_days(table), one, one, code, code, np.zeros((1, 1), np.int64), 3, 5, 1, 0, 3, 7)
