"""Who is watched, with what, through which gateway: the facts that a person states and nothing here guesses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg.rows import class_row

from server.store import consents, vault
from server.store.consents import AT_ENROLMENT, Purpose, Word
from server.store.postgres import Connection, load_sql
from server.store.vault import identified
from vitals.errors import MalformedError

BEFORE_ENROLMENT: Final = timedelta(days=400)
"""A meter's memory may hold readings of up to this long before enrolment; anything older is not believed (intake)."""

SQL = load_sql("enrolment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A box that is enrolled. `state`: active, suspended (it spoke in another's name) or revoked."""

    gateway_id: str
    zone: str
    state: str
    enrolled_at: datetime
    last_heard_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Somebody who is watched. `doctor` is the own doctor's login; `conditions` are ICD-10 codes."""

    patient_id: int
    name: str
    language: str
    enrolled_on: date
    conditions: Sequence[str]
    doctor: str | None
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundMeter:
    """A binding in force: this slot of this meter has been this patient's since `valid_from`."""

    meter_id: str
    user_slot: int | None
    gateway_id: str
    patient_id: int
    bound_by: str
    valid_from: datetime


def list_gateways(conn: Connection, gateway_id: str | None = None) -> Sequence[Gateway]:
    """Every gateway that was ever enrolled, or the one of this name."""
    with conn.cursor(row_factory=class_row(Gateway)) as cursor:
        return cursor.execute(SQL["list_gateways"], {"gateway_id": gateway_id}).fetchall()


def set_gateway_state(conn: Connection, gateway_id: str, state: Literal["active", "revoked"]) -> bool:
    """Listen to a gateway (again), or no longer; False if it was never enrolled."""
    return conn.execute(SQL["set_gateway_state"], {"gateway_id": gateway_id, "state": state}).fetchone() is not None


def list_patients(conn: Connection) -> Sequence[Patient]:
    """Everybody who is enrolled."""
    with conn.cursor(row_factory=identified(Patient, name="name")) as cursor:
        return cursor.execute(SQL["list_patients"]).fetchall()


def has_patient(conn: Connection, patient_id: int) -> bool:
    return conn.execute(SQL["has_patient"], {"patient_id": patient_id}).fetchone() is not None


def list_bindings(conn: Connection) -> Sequence[BoundMeter]:
    """Every binding in force, by meter and slot."""
    return _bindings(conn, None)


def lock_bindings(conn: Connection, meter_id: str) -> Sequence[BoundMeter]:
    """The meter's bindings in force, which nobody else changes until the transaction ends."""
    conn.execute(SQL["lock_meter"], {"meter_id": meter_id})
    return _bindings(conn, meter_id)


def _bindings(conn: Connection, meter_id: str | None) -> Sequence[BoundMeter]:
    with conn.cursor(row_factory=class_row(BoundMeter)) as cursor:
        return cursor.execute(SQL["bindings_in_force"], {"meter_id": meter_id}).fetchall()


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
    purposes: Sequence[Purpose] = AT_ENROLMENT,
    enrolled_by: str = "server:enrolment",
    now: datetime,
) -> int:
    """Enrol a patient, who agrees to `purposes`; returns `patient_id`. The zone is in force from as far back as readings lie."""
    patient_id = vault.next_patient(conn)
    conn.execute(
        SQL["add_patient"],
        {
            "patient_id": patient_id,
            "language": language,
            "enrolled_on": enrolled_on,
            "sex": sex,
            "conditions": list(conditions),
            "doctor_id": doctor_id,
            "now": now,
            "zone": _checked_zone(zone),
            "zone_from": datetime.combine(enrolled_on, time(), tzinfo=UTC) - BEFORE_ENROLMENT - timedelta(days=1),
        },
    )
    vault.identify(conn, patient_id, vault.Identity(name=name, phone=phone, birth_date=birth_date))
    for purpose in purposes:
        word = Word(
            purpose=purpose, is_given=True, text_version=None, how="enrolment", said_at=now, recorded_by=enrolled_by
        )
        consents.add(conn, patient_id, word)
    return patient_id


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

    `now` counts from the start of its minute: many meters keep no seconds. History is bound by an earlier `now`; the same
    binding said again from an earlier `now` reaches back to it. Raises `MalformedError` (`binding_overlap`) when that would
    rewrite whose the meter was.
    """
    binding = {
        "meter_id": meter_id,
        "user_slot": user_slot,
        "gateway_id": gateway_id,
        "patient_id": patient_id,
        "bound_by": bound_by,
        "valid_from": _start_of_minute(now),
    }
    in_force = next((each for each in lock_bindings(conn, meter_id) if each.user_slot == user_slot), None)
    is_said = in_force is not None and (in_force.gateway_id, in_force.patient_id) == (gateway_id, patient_id)
    is_later = in_force is not None and in_force.valid_from > _start_of_minute(now)
    if is_said and not is_later:
        return
    if is_later and not is_said:
        raise MalformedError(
            "binding_overlap", f"{meter_id} is bound from a later time; end that binding first", meter_id
        )
    other = conn.execute(SQL["others_then"], binding).fetchone()
    if other is not None:
        raise MalformedError(
            "binding_overlap",
            f"{meter_id} was patient {other[0]}'s until {other[1].astimezone(UTC):%Y-%m-%dT%H:%MZ}; bind it from then on",
            meter_id,
        )
    if is_said:
        conn.execute(SQL["extend_binding"], binding)
        return
    conn.execute(SQL["end_binding"], binding)
    conn.execute(SQL["bind_meter"], binding)


def unbind_meter(conn: Connection, *, meter_id: str, user_slot: int | None, now: datetime) -> BoundMeter | None:
    """From the start of this minute on, what this slot measures is nobody's; returns whose it was, None if nobody's."""
    in_force = next((each for each in lock_bindings(conn, meter_id) if each.user_slot == user_slot), None)
    if in_force is not None:
        ended = {"meter_id": meter_id, "user_slot": user_slot, "valid_from": _start_of_minute(now)}
        conn.execute(SQL["end_binding"], ended)
    return in_force


def _start_of_minute(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


def _checked_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:  # OSError: a folder of zones, such as Asia
        raise MalformedError("zone", f"{zone!r} is not an IANA time zone such as Asia/Shanghai", zone) from e
    return zone
