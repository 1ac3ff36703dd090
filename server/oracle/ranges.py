"""Alerts of rules about what closed days of glucose come to: at the close of every day it is asked anew."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Final, Literal

from server.oracle.chart import Chart
from server.oracle.figures import MILLION, Figure, figure, whole
from server.oracle.glucose_rules import RangeRule
from server.oracle.shapes import OracleAlert
from server.oracle.sugars import Sugar, sugars
from server.oracle.written import Condition, in_force

QUIET: Final = timedelta(days=7)
FRESH_DAYS: Final = 7
GROUNDS_KEPT: Final = 100
QUARTER_HOUR_S: Final = 900
QUARTER_HOURS_A_DAY: Final = 96

GRI_WEIGHTS: Final = (Fraction(3), Fraction("2.4"), Fraction("1.6"), Fraction("0.8"))
"""Of the very low, the low, the very high and the high (Klonoff 2023, Glycemia Risk Index)."""

Answer = Literal["yes", "between", "good"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """The rule for one patient, and the usable readings by their clinical day."""

    rule: RangeRule
    condition: Condition
    below_by: Fraction
    by_day: dict[date, list[Sugar]]


@dataclass(slots=True, kw_only=True)
class _Stretch:
    """While it holds: the days that say yes, and the day that ended it."""

    yeses: list[date]
    ended_on: date | None = None


def alerts(rule: RangeRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first."""
    judged = _judged(rule, chart)
    episodes: list[list[_Stretch]] = []
    for stretch in _stretches(judged, chart):
        ended_on = episodes[-1][-1].ended_on if episodes else None
        if ended_on is not None and chart.days.close(stretch.yeses[0]) - chart.days.close(ended_on) <= QUIET:
            episodes[-1].append(stretch)
        else:
            episodes.append([stretch])
    return [_said(judged, chart, episode) for episode in episodes]


def _judged(rule: RangeRule, chart: Chart) -> _Judged:
    (condition,) = in_force((rule.condition,), chart.patient.thresholds.get(rule.id), parameter="value")
    by_day: dict[date, list[Sugar]] = {}
    for sugar in sugars(chart, rule.signal, _unit(rule)):
        by_day.setdefault(sugar.day, []).append(sugar)
    threshold = whole(rule.statistic, condition.value)
    return _Judged(
        rule=rule,
        condition=Condition(
            signal=condition.signal, comparison=condition.comparison, value=threshold, unit=condition.unit
        ),
        below_by=whole(rule.statistic, rule.below_by),
        by_day=by_day,
    )


def _unit(rule: RangeRule) -> str:
    """In which a reading is looked at: a share and a mean are written in one, all else is of mg/dL."""
    if rule.band is not None:
        return rule.band.unit
    return rule.condition.unit if rule.statistic == "mean" else "mg/dL"


def _stretches(judged: _Judged, chart: Chart) -> list[_Stretch]:
    """Oldest first; only the last may have no end."""
    found: list[_Stretch] = []
    for day in sorted(judged.by_day):
        if day <= chart.unjudged or not chart.days.is_closed(day):
            continue
        answer = _answer(judged, day)
        is_open = bool(found) and found[-1].ended_on is None
        if answer == "yes":
            if not is_open:
                found.append(_Stretch(yeses=[]))
            found[-1].yeses.append(day)
        elif answer == "good" and is_open:
            found[-1].ended_on = day
    return found


def _answer(judged: _Judged, day: date) -> Answer | None:
    """None: too little was measured to say, which is neither yes nor good."""
    rule = judged.rule
    first = day - timedelta(days=rule.days - 1)
    window = [sugar for each in sorted(judged.by_day) if first <= each <= day for sugar in judged.by_day[each]]
    if not _is_enough(rule, window):
        return None
    value = _figure(rule, window)
    if value is None:
        return None
    if judged.condition.is_met(value):
        return "yes"
    return "good" if judged.condition.is_good(value, judged.below_by) else "between"


def _is_enough(rule: RangeRule, window: Sequence[Sugar]) -> bool:
    if rule.sufficient_percent is not None:
        quarter_hours = {math.floor(sugar.at.timestamp()) // QUARTER_HOUR_S for sugar in window}
        return 100 * len(quarter_hours) >= rule.sufficient_percent * rule.days * QUARTER_HOURS_A_DAY
    counted = [sugar for sugar in window if sugar.millionths is not None or rule.statistic == "share"]
    return len(counted) >= rule.min_readings and len({sugar.day for sugar in counted}) >= rule.min_days


def _figure(rule: RangeRule, window: Sequence[Sugar]) -> Figure | None:
    """None: there is no such figure of so few numbers."""
    numbers = [sugar.millionths for sugar in window if sugar.millionths is not None]
    if rule.statistic == "share":
        return Fraction(100 * sum(_is_in_band(rule, sugar) for sugar in window), len(window))
    if rule.statistic == "gri":
        return _gri(window)
    if len(numbers) < (2 if rule.statistic == "cv" else 1):
        return None
    match rule.statistic:
        case "mean" | "cv":
            return figure(rule.statistic, numbers, ())
        case "gmi":
            return Fraction("3.31") + Fraction("0.02392") * Fraction(sum(numbers), len(numbers) * MILLION)
    return Fraction(sum(_risk(rule.statistic, each) for each in numbers), len(numbers) * MILLION)


def _is_in_band(rule: RangeRule, sugar: Sugar) -> bool:
    band = rule.band
    assert band is not None, "a share is of a range"
    if band.is_between:
        assert band.low is not None
        assert band.high is not None
        return not sugar.is_below(band.low) and not sugar.is_above(band.high)
    if band.low is not None:
        return sugar.is_below(band.low)
    assert band.high is not None
    return sugar.is_above(band.high)


def _gri(window: Sequence[Sugar]) -> Fraction:
    """The Glycemia Risk Index of a window in mg/dL, 0 to 100."""
    very_low = sum(sugar.is_below(Fraction(54)) for sugar in window)
    low = sum(sugar.is_below(Fraction(70)) for sugar in window) - very_low
    very_high = sum(sugar.is_above(Fraction(250)) for sugar in window)
    high = sum(sugar.is_above(Fraction(180)) for sugar in window) - very_high
    counts = (very_low, low, very_high, high)
    weighted = sum((weight * count for weight, count in zip(GRI_WEIGHTS, counts, strict=True)), Fraction(0))
    return min(Fraction(100), 100 * weighted / len(window))


def _risk(statistic: str, millionths: int) -> int:
    """Kovatchev's risk of one value, in whole millionths: of the low side (lbgi) or of the high (hbgi)."""
    mg_dl = max(millionths / MILLION, 1.0)
    f = 1.509 * (math.log(mg_dl) ** 1.084 - 5.381)
    is_counted = f < 0 if statistic == "lbgi" else f > 0
    return round(10 * f * f * MILLION) if is_counted else 0


def _said(judged: _Judged, chart: Chart, episode: list[_Stretch]) -> OracleAlert:
    rule, personal = judged.rule, chart.patient.thresholds.get(judged.rule.id)
    first, newest, ended_on = episode[0].yeses[0], episode[-1].yeses[-1], episode[-1].ended_on
    opened_at: datetime = chart.days.close(first)
    grounds = judged.by_day[newest][-GROUNDS_KEPT:]
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=0 if personal is None else personal.version,
        priority=rule.priority,
        state="active" if ended_on is None else "resolved",
        first_day=first,
        last_day=newest,
        started_at=opened_at,
        opened_at=opened_at,
        deliver_at=chart.days.eight_o_clock(chart.days.close(episode[-1].yeses[0])),
        resolved_at=None if ended_on is None else chart.days.close(ended_on),
        evidence_at=chart.days.close(newest),
        reading_ids=tuple(sugar.name for sugar in grounds),
        tells=rule.tell,
        fresh_until=chart.days.close(newest + timedelta(days=FRESH_DAYS)),
    )
