"""Readings as clinicians and patients see them, of one patient or for a whole worklist. It decides nothing and shows nobody.

As in `worklist`, the caller has asked `people.panels` or holds the patient's own link. Statements: `sql/reading_lists.sql`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql
from server.store.worklist import PAGE_MAX, Place
from vitals.reading import KINDS

_SQL: Final = load_sql("reading_lists")

WORN: Final = "sensor_glucose"
"""A worn sensor gives a value every few minutes: lists of what a person has measured are without it."""

MEASURED_BY_HAND: Final = tuple(kind for kind in KINDS if kind != WORN)

_BEFORE_ALL: Final = UUID(int=0)

_VALUES: Final[Mapping[str, str]] = {
    "glucose": "glucose_mmol_l",
    "sensor_glucose": "glucose_mmol_l",
    "weight": "weight_kg",
    "oxygen_saturation": "spo2_percent",
    "temperature": "temperature_celsius",
    "heart_rate": "pulse_bpm",
}
"""Where the one number of a kind is; a blood pressure has two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownReading:
    """A stored reading, in canonical units, with where it came from and how far value and time can be trusted.

    `standing` in the record of the patient asked for: `in_use`; `void`, it is nobody's; `moved`, it is another's by now.
    `is_from_another`: it was measured as another's. `version` rises with every correction.
    """

    reading_id: UUID
    kind: str
    measured_at: datetime
    received_at: datetime
    meter_id: str
    user_slot: int | None
    systolic_mmhg: float | None
    diastolic_mmhg: float | None
    mean_mmhg: float | None
    pulse_bpm: float | None
    glucose_mmol_l: float | None
    glucose_mg_dl: float | None
    glucose_censored: str | None
    meal: str | None
    weight_kg: float | None
    spo2_percent: float | None
    temperature_celsius: float | None
    unit_sent: str | None
    quality: str
    quality_reasons: Sequence[str]
    time_quality: str
    meter_time: str | None
    clock_offset_s: float | None
    zone: str
    standing: str = "in_use"
    is_from_another: bool = False
    version: int = 1

    @property
    def is_failed(self) -> bool:
        """The meter gave no value or half of one: that is no measurement, and no number of it is shown."""
        if self.kind == "blood_pressure":
            return self.systolic_mmhg is None or self.diastolic_mmhg is None
        return self.value is None and self.glucose_censored is None

    @property
    def value(self) -> float | None:
        """The one number of any kind but blood pressure, in the unit in which it is kept."""
        return _value_of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelValue:
    """One accepted value behind a sparkline."""

    patient_id: int
    kind: str
    measured_at: datetime
    systolic_mmhg: float | None
    diastolic_mmhg: float | None
    pulse_bpm: float | None
    glucose_mmol_l: float | None
    weight_kg: float | None
    spo2_percent: float | None
    temperature_celsius: float | None
    quality: str

    @property
    def value(self) -> float | None:
        """The one number of any kind but blood pressure, in the unit in which it is kept."""
        return _value_of(self)


def _value_of(measured: ShownReading | PanelValue) -> float | None:
    field = _VALUES.get(measured.kind)
    return None if field is None else getattr(measured, field)


def list_readings(
    conn: Connection,
    patient_id: int,
    *,
    since: datetime,
    limit: int,
    before: Place | None = None,
    kinds: Iterable[str] = KINDS,
    only_in_use: bool = False,
) -> Sequence[ShownReading]:
    """Newest first, from `since` on; the caller has asked `people.panels` or holds the patient's link.

    `only_in_use`: without what clinicians have said is void, or another's by now.
    """
    values = {
        "patient_id": patient_id,
        "since": since,
        "before_at": before.at if before else None,
        "before_id": before.row_id if before else None,
        "limit": min(limit, PAGE_MAX),
        "kinds": list(kinds),
        "only_in_use": only_in_use,
    }
    with conn.cursor(row_factory=class_row(ShownReading)) as cursor:
        return cursor.execute(_SQL["list_readings"], values).fetchall()


def list_struck(
    conn: Connection, patient_id: int, *, since: datetime, kinds: Iterable[str] = MEASURED_BY_HAND
) -> Sequence[ShownReading]:
    """What does not count in this record by a clinician's word, newest first; the caller may see the patient."""
    values = {"patient_id": patient_id, "since": since, "kinds": list(kinds), "limit": PAGE_MAX}
    with conn.cursor(row_factory=class_row(ShownReading)) as cursor:
        return cursor.execute(_SQL["list_struck"], values).fetchall()


def list_all_readings(
    conn: Connection,
    patient_id: int,
    *,
    since: datetime,
    until: datetime,
    kinds: Iterable[str],
    only_in_use: bool = True,
) -> list[ShownReading]:
    """As `list_readings`, all of them up to `until`, oldest first: for kinds of which a person measures a few a day."""
    wanted, found = tuple(kinds), list[ShownReading]()
    before = Place(at=until, row_id=_BEFORE_ALL)
    while True:
        page = list_readings(
            conn, patient_id, since=since, limit=PAGE_MAX, before=before, kinds=wanted, only_in_use=only_in_use
        )
        found += page
        if len(page) < PAGE_MAX:
            return found[::-1]
        before = Place(at=page[-1].measured_at, row_id=page[-1].reading_id)


def list_these_readings(conn: Connection, patient_id: int, reading_ids: Sequence[UUID]) -> Sequence[ShownReading]:
    """Exactly these readings of a patient whom the caller may see, oldest first."""
    values = {"patient_id": patient_id, "reading_ids": list(reading_ids)}
    with conn.cursor(row_factory=class_row(ShownReading)) as cursor:
        return cursor.execute(_SQL["list_these_readings"], values).fetchall()


def list_worn_days(conn: Connection, patient_id: int, *, since: datetime, zone: str) -> frozenset[date]:
    """The days in `zone` on which a worn sensor gave a value that counts."""
    values = {"patient_id": patient_id, "kind": WORN, "since": since, "zone": zone}
    return frozenset(day for (day,) in conn.execute(_SQL["list_worn_days"], values))


def list_panel_values(conn: Connection, patient_ids: Sequence[int], *, since: datetime) -> Sequence[PanelValue]:
    """Accepted values of patients found in the panel, by patient, oldest first; of a worn sensor only the newest."""
    values = {"patient_ids": list(patient_ids), "since": since, "kinds": list(MEASURED_BY_HAND), "worn": WORN}
    with conn.cursor(row_factory=class_row(PanelValue)) as cursor:
        return cursor.execute(_SQL["list_panel_values"], values).fetchall()
