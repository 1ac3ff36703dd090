"""What the tests of glucose over time have in common: a patient in Berlin with a worn sensor, and one rule in a line of YAML."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import yaml

from server.rules.engine import judge
from server.rules.episodes import Finding
from server.rules.rule import Rule, RuleFile, RuleSet
from server.rules.windows import PatientHistory, PersonalThreshold, Row, ZoneSpan, row_of, window_of
from vitals.quality import grade
from vitals.reading import Glucose, SensorGlucose

RULE = "glucose-over-time"
MG_DL_PER_MMOL_L = 18.0182
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 6, 1, 1, tzinfo=UTC)
"""When the clinical day of 1 June begins in Berlin: at 03:00 local, in summer time."""

BERLIN = (ZoneSpan(valid_from=datetime(2020, 1, 1, tzinfo=UTC), zone="Europe/Berlin"),)


def sensor(when: datetime, value: float | Literal["HI", "LO"], number: int = 0, **marks: Any) -> Row:
    """A reading in mg/dL."""
    return _row(when, value, number, SensorGlucose, **marks)


def stick(when: datetime, value: float | Literal["HI", "LO"], number: int = 0, **marks: Any) -> Row:
    """A finger-stick in mg/dL."""
    return _row(when, value, number, Glucose, **marks)


def _row(when: datetime, value: float | str, number: int, kind: type[SensorGlucose | Glucose], **marks: Any) -> Row:
    is_number = not isinstance(value, str)
    made = kind(
        sequence=number,
        glucose_mg_dl=float(value) if is_number else None,
        glucose_mmol_l=float(value) / MG_DL_PER_MMOL_L if is_number else None,
        censored=None if is_number else value,  # type: ignore[arg-type]
    )
    at_us = round(when.timestamp() * 1_000_000)
    return row_of(
        made,
        reading_id=UUID(int=at_us * 1000 + number),
        measured_at=when,
        received_at=when,
        quality=marks.get("quality", grade(made)[0].value),
        time_quality=marks.get("time_quality", "trusted"),
    )


def worn(start: datetime, values: Iterable[float | Literal["HI", "LO"]], every: timedelta = 5 * MINUTE) -> list[Row]:
    """One reading after the other."""
    return [sensor(start + index * every, value) for index, value in enumerate(values)]


def rule(when: str, *, resolve: str = "below_by: 0", rule_id: str = RULE) -> Rule:
    """The rule of `when`, a line of YAML."""
    written = {
        "id": rule_id,
        "version": 1,
        "title": {"en": "t", "zh": "t"},
        "source": "made up",
        "when": yaml.safe_load(f"{{{when}}}"),
        "resolve": yaml.safe_load(f"{{{resolve}}}"),
        "priority": "low",
        "tell": ["doctor"],
    }
    (read,) = RuleFile.model_validate({"rules": [written]}).rules
    return read


def found(
    asked: Rule,
    rows: Sequence[Row],
    now: datetime,
    *,
    zones: tuple[ZoneSpan, ...] = BERLIN,
    own: Mapping[str, float] | None = None,
    judged_from: datetime | None = None,
) -> tuple[Finding, ...]:
    """What `asked` finds in `rows`, whatever order they come in."""
    history = PatientHistory(
        patient_id=1,
        enrolled_on=date(2026, 1, 1),
        zones=zones,
        window=window_of(rows),
        thresholds={} if own is None else {asked.id: PersonalThreshold(version=2, parameters=own)},
        judged_from=judged_from,
    )
    return judge(history, RuleSet((asked,)), now=now).findings
