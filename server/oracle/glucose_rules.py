"""The two kinds of rule about glucose alone, as the oracle reads them: what days come to, and what a sensor says for long."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from server.oracle.figures import whole
from server.oracle.written import COMPARISONS, Condition, common, need, number

RANGE_WORDS: Final = {
    "kind", "signal", "statistic", "range", "over", "sufficient_percent", "min_readings", "min_days", "unit", *COMPARISONS,
}  # fmt: skip
LASTING_WORDS: Final = {"kind", "signal", "unit", "minutes", "gap_minutes", *COMPARISONS}

UNITS: Final = {
    "share": ("%",),
    "cv": ("%",),
    "gmi": ("%",),
    "gri": ("index",),
    "lbgi": ("index",),
    "hbgi": ("index",),
    "mean": ("mmol/L", "mg/dL"),
}
"""The statistics of closed days, and what each may be written in."""

SENSOR_ONLY: Final = ("gmi", "gri")
"""Never of finger-sticks (clinical 2.3): they are taken when somebody expects something."""

_GLUCOSES: Final = ("mmol/L", "mg/dL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """What a share counts: from `low` to `high`, both included; or below `low` alone, or above `high` alone."""

    low: Fraction | None
    high: Fraction | None
    is_between: bool
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRule:
    """The `statistic` of the last `days` closed days meets `condition`; over when it is `below_by` on the good side.

    Enough is measured with `sufficient_percent` of the quarter hours (a worn sensor), else `min_readings` on `min_days`.
    """

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    signal: str
    statistic: str
    band: Band | None
    days: int
    sufficient_percent: int | None
    min_readings: int
    min_days: int
    condition: Condition
    below_by: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class LastingRule:
    """A worn sensor meets `condition` for `minutes`; over when it has not for as long. Readings more than `gap_minutes`
    apart do not join.
    """

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    condition: Condition
    minutes: int
    gap_minutes: int

    @property
    def span_days(self) -> int:
        """The calendar days that the time which decides can touch."""
        return self.minutes // (24 * 60) + 2


def range_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> RangeRule:
    signal, statistic = when["signal"], when["statistic"]
    is_worn = signal == "sensor_glucose"
    need(signal in ("sensor_glucose", "glucose") and statistic in UNITS, written)
    need(when["unit"] in UNITS[statistic] and (is_worn or statistic not in SENSOR_ONLY), written)
    need((when.get("sufficient_percent") is not None) == is_worn, written)
    need((when.get("min_readings") is None) == (when.get("min_days") is None) == is_worn, written)
    need((when.get("range") is not None) == (statistic == "share"), written)
    need(set(when["over"]) == {"days"} and set(written["resolve"]) == {"below_by"}, written)
    return RangeRule(
        **common(written),
        signal=signal,
        statistic=statistic,
        band=None if when.get("range") is None else _band(written, when["range"]),
        days=when["over"]["days"],
        sufficient_percent=when.get("sufficient_percent"),
        min_readings=when.get("min_readings") or 0,
        min_days=when.get("min_days") or 0,
        condition=_condition(written, when),
        below_by=number(written["resolve"]["below_by"]),
    )


def lasting_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> LastingRule:
    need(when["signal"] == "sensor_glucose" and when["unit"] in _GLUCOSES, written)
    need(written["resolve"] == {"by": "time"}, written)
    return LastingRule(
        **common(written),
        condition=_condition(written, when),
        minutes=when["minutes"],
        gap_minutes=when["gap_minutes"],
    )


def _condition(written: Mapping[str, Any], when: Mapping[str, Any]) -> Condition:
    said = [word for word in COMPARISONS if when.get(word) is not None]
    need(len(said) == 1, written)
    return Condition(signal=when["signal"], comparison=said[0], value=number(when[said[0]]), unit=when["unit"])


def _band(written: Mapping[str, Any], said: Mapping[str, Any]) -> Band:
    words = {word for word, value in said.items() if value is not None} - {"unit"}
    need(words in ({"from", "to"}, {"below"}, {"above"}) and said["unit"] in _GLUCOSES, written)
    low, high = said.get("from", said.get("below")), said.get("to", said.get("above"))
    return Band(
        low=None if low is None else whole("share", number(low)),
        high=None if high is None else whole("share", number(high)),
        is_between=words == {"from", "to"},
        unit=said["unit"],
    )
