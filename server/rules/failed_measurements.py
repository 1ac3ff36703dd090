"""Findings of a failed-measurements rule: several failures of one kind in a clinical day mean the meter, not the patient."""

from collections.abc import Iterator
from datetime import date
from typing import Final

import numpy as np

from server.rules import sentences
from server.rules.episodes import Finding, Verdict
from server.rules.features import Features
from server.rules.rule import FailedMeasurementsRule
from server.rules.windows import BLOOD_PRESSURE, GLUCOSE, INVALID, KIND_CODES, TIME_UNUSABLE, from_us

_NAMES: Final = {code: name for name, code in KIND_CODES.items()}
_GLUCOSE_RANGE_MMOL_L: Final = (0.6, 50.0)


def findings(rule: FailedMeasurementsRule, features: Features) -> list[Finding]:
    """One finding for each clinical day and kind with at least `rule.when.count` failures, oldest first."""
    window = features.history.window
    found = []
    for kind in (BLOOD_PRESSURE, GLUCOSE):
        rows = _failures(features, kind)
        days = features.calendar.days_of(window.measured_at_us[rows])
        for day in np.unique(days):
            here = rows[days == day]
            if day > features.unjudged and len(here) >= rule.when.count:
                found.append(_finding(rule, features, kind, int(day), [int(row) for row in here]))
    return sorted(found, key=lambda finding: (finding.first_day, finding.started_at))


def failure_days(features: Features) -> Iterator[int]:
    """The clinical days on which a measurement failed."""
    for kind in (BLOOD_PRESSURE, GLUCOSE):
        rows = _failures(features, kind)
        yield from (
            int(day) for day in np.unique(features.calendar.days_of(features.history.window.measured_at_us[rows]))
        )


def _failures(features: Features, kind: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    window = features.history.window
    failed = (window.kind == kind) & (window.quality == INVALID) & (window.time_quality != TIME_UNUSABLE)
    if kind == GLUCOSE:
        # A test with control solution is invalid as a patient's value, but it gave a number: the meter worked.
        low, high = _GLUCOSE_RANGE_MMOL_L
        failed &= ~((window.glucose_mmol_l >= low) & (window.glucose_mmol_l <= high))
    return np.flatnonzero(failed)


def _finding(rule: FailedMeasurementsRule, features: Features, kind: int, day: int, rows: list[int]) -> Finding:
    window = features.history.window
    close = features.calendar.close_of(day)
    opened_at = from_us(int(window.measured_at_us[rows[rule.when.count - 1]]))
    is_over = close <= features.now
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=0,
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
