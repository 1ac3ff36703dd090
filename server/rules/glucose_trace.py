"""A patient's usable glucose readings of one kind, as arrays: what the rules about shares and lasting lows, and reports, look at.

HI and LO are kept apart from the numbers: each figure says for itself whether they count. It computes no figure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from server.rules import kernels
from server.rules.conditions import COMPARE, Comparison
from server.rules.features import Features
from server.rules.kernels import Int8s, Int64s
from server.rules.signals import SOURCES
from server.rules.windows import ACCEPTED, HI, KIND_CODES, LO, TIME_CERTAIN

Flags = NDArray[np.bool_]

_BEYOND_ALL: Final[Mapping[Comparison, int]] = {"above": HI, "at_least": HI, "below": LO, "at_most": LO}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """n readings in order of time: `day` is the clinical one (an ordinal), `micro` the value in millionths of the unit asked for.

    `censored` is HI, LO or 0; of HI and LO `micro` is 0 and says nothing. `rows` are their places in the window.
    """

    rows: NDArray[np.intp]
    at_us: Int64s
    day: Int64s
    micro: Int64s
    censored: Int8s

    def __len__(self) -> int:
        return len(self.at_us)

    @property
    def is_number(self) -> Flags:
        return np.asarray(self.censored == 0)

    def beyond(self, comparison: Comparison, limit_micro: int) -> Flags:
        """Which readings are above, …, at most the limit: HI is above all that is, LO below."""
        met = COMPARE[comparison](self.micro, limit_micro) & self.is_number
        return np.asarray(met | (self.censored == _BEYOND_ALL[comparison]))


def trace_of(features: Features, signal: Literal["sensor_glucose", "glucose"], unit: str) -> Trace:
    """The readings of `signal` that count, with their values in `unit` (mmol/L or mg/dL): accepted, of certain time, and with a
    value in that unit or HI or LO."""
    window, source = features.history.window, SOURCES[signal]
    values = getattr(window, source.columns[unit])
    usable = np.isin(window.kind, [KIND_CODES[kind] for kind in source.kinds]) & (features.quality == ACCEPTED)
    usable &= (window.time_quality == TIME_CERTAIN) & (~np.isnan(values) | (window.censored != 0))
    rows = np.flatnonzero(usable)
    censored = window.censored[rows]
    return Trace(
        rows=rows,
        at_us=window.measured_at_us[rows],
        day=features.day[rows],
        micro=np.where(censored == 0, kernels.micro(values[rows]), 0),
        censored=censored,
    )
