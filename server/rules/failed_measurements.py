"""Findings of a failed-measurements rule: several failures of one kind in a clinical day mean the meter, not the patient.

Every kind of reading is counted, each by itself.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.rules import sentences
from server.rules.episodes import Finding, Verdict
from server.rules.features import Features
from server.rules.own_numbers import refuse_all
from server.rules.rule import FailedMeasurementsRule
from server.rules.windows import GLUCOSE, INVALID, KIND_CODES, OXYGEN_SATURATION, TIME_UNUSABLE, Window, from_us
from vitals.quality import GLUCOSE_RANGE_MMOL_L, SPO2_RANGE_PERCENT

Rows = NDArray[np.intp]

_NAMES: Final = {code: name for name, code in KIND_CODES.items()}


def findings(
    rule: FailedMeasurementsRule, features: Features, *, personal: Mapping[str, Any], version: int
) -> list[Finding]:
    """One finding for each clinical day and kind with at least `rule.when.count` failures, oldest first."""
    refuse_all(rule, personal)
    found = []
    for kind, rows in _failures(features.history.window).items():
        days = features.calendar.days_of(features.history.window.measured_at_us[rows])
        for day in np.unique(days):
            here = rows[days == day]
            if day > features.unjudged and len(here) >= rule.when.count:
                found.append(_finding(rule, features, kind, int(day), [int(row) for row in here], version))
    return sorted(found, key=lambda each: (each.first_day, each.started_at, each.verdict.numbers["reading_ids"]))


def _failures(window: Window) -> Mapping[int, Rows]:
    """The failed measurements by kind; a kind without any is left out. Mostly there are none: then one look is enough."""
    rows = np.flatnonzero((window.quality == INVALID) & (window.time_quality != TIME_UNUSABLE))
    rows = rows[~_gave_a_number(window, rows)]
    kinds = window.kind[rows]
    return {int(kind): rows[kinds == kind] for kind in np.unique(kinds)}


def _gave_a_number(window: Window, rows: Rows) -> NDArray[np.bool_]:
    """A test with control solution, or of an oximeter that shows what it can do, is invalid as a patient's value: but it gave a
    number, so the meter worked."""
    gave = np.zeros(len(rows), np.bool_)
    for kind, values, (low, high) in (
        (GLUCOSE, window.glucose_mmol_l, GLUCOSE_RANGE_MMOL_L),
        (OXYGEN_SATURATION, window.spo2_percent, SPO2_RANGE_PERCENT),
    ):
        gave |= (window.kind[rows] == kind) & (values[rows] >= low) & (values[rows] <= high)
    return gave


def _finding(
    rule: FailedMeasurementsRule, features: Features, kind: int, day: int, rows: list[int], version: int
) -> Finding:
    window = features.history.window
    close = features.calendar.close_of(day)
    opened_at = from_us(int(window.measured_at_us[rows[rule.when.count - 1]]))
    is_over = close <= features.now
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=version,
        state="resolved" if is_over else "active",
        priority=rule.priority,
        first_day=date.fromordinal(day),
        last_day=date.fromordinal(day),
        started_at=from_us(int(window.measured_at_us[rows[0]])),
        opened_at=opened_at,
        deliver_at=opened_at,
        resolved_at=close if is_over else None,
        verdict=Verdict(
            numbers={
                "kind": _NAMES[kind],
                "date": date.fromordinal(day).isoformat(),
                "failed": len(rows),
                "needed": rule.when.count,
                "reading_ids": [str(window.reading_ids[row]) for row in rows],
            },
            sentence=sentences.failed_measurements(_NAMES[kind], len(rows)),
        ),
        tell=rule.tell,
        fresh_until=close,
        newest_at=from_us(int(window.measured_at_us[rows[-1]])),
    )
