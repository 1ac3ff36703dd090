"""Findings of the lasting rules: a worn sensor beyond a limit for a while, until it has been back for as long.

A gap is neither: it begins nothing, and it ends nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from server.rules import glucose_sentences
from server.rules.conditions import RISING
from server.rules.episodes import UNSAID, Finding, Verdict
from server.rules.features import Features
from server.rules.glucose_swings import Excursion, excursions
from server.rules.glucose_trace import Trace, trace_of
from server.rules.kernels import MICRO
from server.rules.own_numbers import value_in_force
from server.rules.rule import LastingRule
from server.rules.trend_grounds import GROUNDS_MAX
from server.rules.windows import HI, LO, from_us

FRESH: Final = timedelta(hours=24)
"""Of a sensor that was last beyond the limit a day ago nobody is told: it is a matter for the next visit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    rule: LastingRule
    features: Features
    threshold: float
    version: int
    trace: Trace


def findings(rule: LastingRule, features: Features, *, personal: Mapping[str, Any], version: int) -> list[Finding]:
    """The episodes that `rule` sees, oldest first. Each is one of its own, however soon it follows the last."""
    when, threshold = rule.when, value_in_force(rule, personal)
    trace = trace_of(features, when.signal, when.unit)
    judged = _Judged(rule=rule, features=features, threshold=threshold, version=version, trace=trace)
    found = excursions(
        trace.at_us,
        trace.beyond(when.comparison, round(threshold * MICRO)),
        minutes=when.minutes,
        gap_minutes=when.gap_minutes,
        may_decide=trace.day > features.unjudged,
    )
    return [_finding(judged, excursion) for excursion in found]


def _finding(judged: _Judged, excursion: Excursion) -> Finding:
    rule, trace = judged.rule, judged.trace
    first_day = int(trace.day[excursion.first])
    opened_at, newest_at = (from_us(int(trace.at_us[place])) for place in (excursion.opened, excursion.newest))
    ended = excursion.ended
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=judged.version,
        state="active" if ended is None else "resolved",
        priority=rule.priority,
        first_day=date.fromordinal(first_day),
        last_day=date.fromordinal(max(first_day, int(trace.day[excursion.newest]))),
        started_at=from_us(int(trace.at_us[excursion.first])),
        opened_at=opened_at,
        deliver_at=opened_at,
        resolved_at=None if ended is None else from_us(int(trace.at_us[ended])),
        verdict=_verdict(judged, excursion) if judged.features.is_explained else UNSAID,
        tell=rule.tell,
        fresh_until=newest_at + FRESH,
        newest_at=newest_at,
    )


def _verdict(judged: _Judged, excursion: Excursion) -> Verdict:
    when, trace, ids = judged.rule.when, judged.trace, judged.features.history.window.reading_ids
    places = excursion.beyond
    lasted_us = int(trace.at_us[excursion.newest] - trace.at_us[excursion.first])
    farthest = _farthest(judged, excursion)
    return Verdict(
        numbers={
            "signal": when.signal,
            "farthest": farthest,
            "minutes": round(lasted_us / 60_000_000),
            "needed_minutes": when.minutes,
            "readings": len(places),
            "at": from_us(int(trace.at_us[excursion.newest])).isoformat(),
            "thresholds": [
                {"signal": when.signal, "comparison": when.comparison, "value": judged.threshold, "unit": when.unit}
            ],
            "reading_ids": [str(ids[trace.rows[place]]) for place in places[-GROUNDS_MAX:]],
        },
        sentence=glucose_sentences.lasting(when, judged.threshold, farthest, minutes=round(lasted_us / 60_000_000)),
    )


def _farthest(judged: _Judged, excursion: Excursion) -> float | str:
    """The highest or the lowest of the episode, in the rule's unit; HI or LO where the sensor could not say."""
    is_high = judged.rule.when.comparison in RISING
    places = excursion.beyond
    if np.any(judged.trace.censored[places] == (HI if is_high else LO)):
        return "HI" if is_high else "LO"
    micro = judged.trace.micro[places]
    return round(float(micro.max() if is_high else micro.min()) / MICRO, 2)
