"""The rules about trends, as the oracle reads them: which elements, how far back, and what of them is compared with what."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from server.oracle.signals import PRESSURE, Signal, signal_called
from server.oracle.written import COMPARISONS, Condition, common, conditions_of, need, not_understood, number

STATISTICS: Final = ("mean", "highest", "lowest", "sd", "cv", "arv", "count")
OWN_UNITS: Final = {"cv": "%", "count": "readings"}
"""Of the statistics that are not in the unit of the signal."""

OF: Final = {
    "readings": None,
    "first_of_day": None,
    "first_of_morning": None,
    "sittings": PRESSURE,
    "days": PRESSURE,
    "day_spreads": "glucose",
    "meal_rises": "glucose",
}
"""What a trend counts, and the one group of signals that it is made of, if it is not made of any."""

TREND_WORDS: Final = {
    "rolling": {"kind", "statistic", "of", "over", "min_readings", "any_of"},
    "count_of_last": {"kind", "of", "needed", "of_last", "within", "on_days", "min_readings", "any_of"},
    "change": {"kind", "of", "within", "signal", "unit", "rises_by", "falls_by"},
}
"""The kinds of trend, and the words of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a window goes back from an element, which is in it: some clinical days, its own counted, or some hours."""

    days: int | None
    hours: int | None

    @property
    def span_days(self) -> int:
        """The most calendar days that it can touch; one of them may have 23 hours."""
        if self.days is not None:
            return self.days
        assert self.hours is not None
        return self.hours // 24 + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingRule:
    """The `statistic` of the elements within `over` meets a condition; over when it is `below_by` on the good side."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    conditions: tuple[Condition, ...]
    below_by: Fraction
    of: str
    statistic: str
    over: Reach
    min_readings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRule:
    """`needed` of the last `of_last` elements meet a condition, those not `within` not counted.

    They must be of `on_days` days; with less than `fewest` it is never a no."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    conditions: tuple[Condition, ...]
    below_by: Fraction
    of: str
    needed: int
    of_last: int
    within: Reach
    on_days: int
    fewest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRule:
    """An element is so far above the lowest `within`, or below the highest: `direction` (rises_by or falls_by) says which.

    How far is its one condition.
    """

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    conditions: tuple[Condition, ...]
    below_by: Fraction
    of: str
    direction: str
    within: Reach


TrendRule = RollingRule | CountRule | ChangeRule


def reach_of(rule: TrendRule) -> Reach:
    """How far its window goes back."""
    return rule.over if isinstance(rule, RollingRule) else rule.within


def trend_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> TrendRule:
    """One of the kinds of `TREND_WORDS`."""
    match when["kind"]:
        case "rolling":
            return _rolling_rule(written, when)
        case "count_of_last":
            return _count_rule(written, when)
    return _change_rule(written, when)


def _rolling_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> RollingRule:
    statistic = when["statistic"]
    need(statistic in STATISTICS, written)
    return RollingRule(
        **_of_trend(written),
        conditions=_trend_conditions(written, unit=OWN_UNITS.get(statistic)),
        statistic=statistic,
        over=_reach(written, when["over"]),
        min_readings=when["min_readings"],
    )


def _count_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> CountRule:
    return CountRule(
        **_of_trend(written),
        conditions=_trend_conditions(written, unit=None),
        needed=when["needed"],
        of_last=when["of_last"],
        within=_reach(written, when.get("within", {})),
        on_days=when.get("on_days") or 1,
        fewest=when.get("min_readings") or when["of_last"],
    )


def _change_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> ChangeRule:
    said = [word for word in ("rises_by", "falls_by") if when.get(word) is not None]
    need(len(said) == 1, written)
    signal = signal_of(written, when["signal"], when["unit"])
    condition = Condition(signal=signal.name, comparison="at_least", value=number(when[said[0]]), unit=signal.unit)
    return ChangeRule(
        **_of_trend(written), conditions=(condition,), direction=said[0], within=_reach(written, when["within"])
    )


def _of_trend(written: Mapping[str, Any]) -> dict[str, Any]:
    of = written["when"].get("of", "readings")
    need(of in OF and set(written["resolve"]) == {"below_by"}, written)
    return common(written) | {"of": of, "below_by": number(written["resolve"]["below_by"])}


def _reach(written: Mapping[str, Any], said: Mapping[str, int | None]) -> Reach:
    days, hours = said.get("days"), said.get("hours")
    need(not set(said) - {"days", "hours"} and (days is None) is not (hours is None), written)
    return Reach(days=days, hours=hours)


def _trend_conditions(written: Mapping[str, Any], *, unit: str | None) -> tuple[Condition, ...]:
    """`unit` is that of the statistic, if it has one of its own. A signal comes in one unit, so that it is one column."""
    for said in written["when"]["any_of"]:
        comparisons = set(said) - {"signal", "unit"}
        need(len(comparisons) == 1 and comparisons < set(COMPARISONS), written)
    found = conditions_of(written["when"])
    for c in found:
        need(unit in (None, c.unit), written)
        signal_of(written, c.signal, c.unit if unit is None else None)
    need(len({(c.signal, c.unit) for c in found}) == len({c.signal for c in found}), written)
    return found


def signal_of(written: Mapping[str, Any], name: str, unit: str | None) -> Signal:
    signal = signal_called(name, unit)
    group = OF[written["when"].get("of", "readings")]
    if signal is None or group not in (None, signal.group):
        raise not_understood(written)
    return signal
