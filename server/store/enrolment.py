"""Who is watched, with what, through which gateway: the facts that a person states and nothing here guesses."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from server.store.postgres import Connection, load_sql
from vitals.errors import MalformedError

BEFORE_ENROLMENT: Final = timedelta(days=400)
"""A meter's memory may hold readings of up to this long before enrolment; anything older is not believed (intake)."""

SQL = load_sql("enrolment")


def add_gateway(conn: Connection, gateway_id: str, zone: str) -> None:
    """Enrol a gateway; a second time changes its zone and nothing else."""
    conn.execute(SQL["add_gateway"], {"gateway_id": gateway_id, "zone": _checked_zone(zone)})


def add_patient(
    conn: Connection,
    *,
    name: str,
    language: str,
    enrolled_on: date,
    zone: str,
    sex: str | None = None,
    birth_date: date | None = None,
    phone: str | None = None,
    conditions: Sequence[str] = (),
    doctor_id: int | None = None,
    now: datetime,
) -> int:
    """Enrol a patient; returns `patient_id`. The zone is in force from as far back as a reading may lie."""
    row = conn.execute(
        SQL["add_patient"],
        {
            "name": name,
            "language": language,
            "enrolled_on": enrolled_on,
            "sex": sex,
            "birth_date": birth_date,
            "phone": phone,
            "conditions": list(conditions),
            "doctor_id": doctor_id,
            "now": now,
            "zone": _checked_zone(zone),
            "zone_from": datetime.combine(enrolled_on, time(), tzinfo=UTC) - BEFORE_ENROLMENT - timedelta(days=1),
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def bind_meter(
    conn: Connection,
    *,
    meter_id: str,
    user_slot: int | None,
    gateway_id: str,
    patient_id: int,
    bound_by: str,
    now: datetime,
) -> None:
    """From `now` on, what this slot of this meter measures is this patient's; who had it before has it until then.

    `now` counts from the start of its minute: many meters keep no seconds. History is bound by an earlier `now`.
    Raises `MalformedError` (`binding_overlap`) when a binding that began later is in force.
    """
    valid_from = now.replace(second=0, microsecond=0)
    binding = {
        "meter_id": meter_id,
        "user_slot": user_slot,
        "gateway_id": gateway_id,
        "patient_id": patient_id,
        "bound_by": bound_by,
        "valid_from": valid_from,
    }
    if conn.execute(SQL["later_binding"], binding).fetchone():
        raise MalformedError(
            "binding_overlap", f"{meter_id} is bound from a later time; end that binding first", meter_id
        )
    if conn.execute(SQL["same_binding"], binding).fetchone():
        return
    conn.execute(SQL["end_binding"], binding)
    conn.execute(SQL["bind_meter"], binding)


def _checked_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as e:
        raise MalformedError("zone", f"{zone!r} is not an IANA time zone", zone) from e
    return zone
