"""What the programme's figures are counted from, of many patients at once. It counts nothing (`programme.figures`).

Readings come packed, a run of bytes for each patient, straight into numpy: a row a reading in Python would take ten times the
counting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import class_row

from server.rules.occasions import Agreed
from server.rules.plans import MEASURED_KINDS, read_plan
from server.rules.windows import UnheardSpan, ZoneSpan, to_us
from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("programme")

_ROW: Final = np.dtype([("at", ">i8"), ("packed", ">i8")])
"""A reading as `readings` packs it."""
_EPOCH_US: Final = to_us(datetime(2000, 1, 1, tzinfo=UTC))
"""PostgreSQL counts from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Columns of equal length, by patient and time. `kind` is its place in `MEASURED_KINDS`; what is absent is NaN.

    Pressures are to the tenth of a mmHg.
    """

    patient_id: NDArray[np.int64]
    measured_at_us: NDArray[np.int64]
    kind: NDArray[np.int8]
    systolic_mmhg: NDArray[np.float64]
    diastolic_mmhg: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldAlert:
    """An alert that opened, and what people made of it. `told_at`: None where no clinician was to hear of it."""

    patient_id: int
    priority: str
    opened_at: datetime
    state: str
    told_at: datetime | None
    acknowledged_at: datetime | None
    answered_at: datetime | None
    answer_by: datetime | None
    known_at: datetime | None
    is_useful: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A follow-up task."""

    patient_id: int
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Everything that the figures of a time are counted from."""

    enrolled_on: Mapping[int, date]
    zones: Mapping[int, tuple[ZoneSpan, ...]]
    plans: Mapping[int, tuple[Agreed, ...]]
    unheard: Mapping[int, tuple[UnheardSpan, ...]]
    readings: Readings
    alerts: Sequence[ToldAlert]
    tasks: Sequence[Task]


def load_ground(conn: Connection, *, user_id: int | None, since: datetime, until: datetime) -> Ground:
    """Of the panel of a user, or of everybody (`None`)."""
    enrolled_on: dict[int, date] = dict(conn.execute(_SQL["people"], {"user_id": user_id}).fetchall())
    whom = {"patient_ids": list(enrolled_on), "since": since, "until": until}
    with conn.cursor(row_factory=class_row(ToldAlert)) as cursor:
        alerts = cursor.execute(_SQL["alerts"], whom).fetchall()
    with conn.cursor(row_factory=class_row(Task)) as cursor:
        tasks = cursor.execute(_SQL["follow_ups"], whom).fetchall()
    return Ground(
        enrolled_on=enrolled_on,
        zones=_grouped(
            (patient_id, ZoneSpan(valid_from=valid_from, zone=zone))
            for patient_id, valid_from, zone in conn.execute(_SQL["zones"], whom)
        ),
        plans=_grouped(
            (patient_id, Agreed(since=set_at, plan=read_plan(_without_words(plan))))
            for patient_id, set_at, plan in conn.execute(_SQL["plans"], whom)
        ),
        unheard=_grouped(
            (patient_id, UnheardSpan(began=began, ended=ended))
            for patient_id, began, ended in conn.execute(_SQL["unheard"], whom)
        ),
        readings=_readings(conn, whom),
        alerts=alerts,
        tasks=tasks,
    )


def _readings(conn: Connection, whom: Mapping[str, object]) -> Readings:
    with conn.cursor(binary=True) as cursor:
        found = cursor.execute(_SQL["readings"], {**whom, "kinds": list(MEASURED_KINDS)}).fetchall()
    rows = [np.frombuffer(packed, _ROW) for _, packed in found]
    whole = np.concatenate(rows) if rows else np.zeros(0, _ROW)
    patient_id = np.repeat(np.array([each for each, _ in found], np.int64), [len(each) for each in rows])
    at_us, packed = whole["at"].astype(np.int64) + _EPOCH_US, whole["packed"].astype(np.int64)
    order = np.lexsort((at_us, patient_id))
    packed = packed[order]
    return Readings(
        patient_id=patient_id[order],
        measured_at_us=at_us[order],
        kind=((packed & 0xFF) - 1).astype(np.int8),
        systolic_mmhg=_tenths(packed >> 24),
        diastolic_mmhg=_tenths((packed >> 8) & 0xFFFF),
    )


def _tenths(packed: NDArray[np.int64]) -> NDArray[np.float64]:
    """No pressure is 0: that stands for none."""
    return np.where(packed == 0, np.nan, packed / 10)


def _without_words(plan: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is measured: medicines are nobody's figure, and their names are not read."""
    return {**plan, "items": [item for item in plan["items"] if item["kind"] != "medicine"]}


def _grouped(rows: Any) -> dict[int, tuple[Any, ...]]:
    found: dict[int, list[Any]] = {}
    for patient_id, each in rows:
        found.setdefault(patient_id, []).append(each)
    return {patient_id: tuple(each) for patient_id, each in found.items()}
