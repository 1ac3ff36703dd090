"""Who lives in the demo: a doctor, a seeded cohort with its history, and one person whose third high day is today.

History goes through the server's own door (`Intake`), quietly: it is judged and nobody is told. Nothing is written to a table
of readings behind the door's back.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from firmware_sims import cohort
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.settings import Meter
from server.intake import Intake
from server.people.accounts import add_user
from server.people.links import issue_patient_link
from server.people.rule_approvals import approve_waiting
from server.rules.load import load_catalog
from server.store import enrolment
from server.store.postgres import Connection, Pool, in_transaction
from server.store.rule_book import enter
from vitals import envelope, identity
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.reading import Reading, TimeQuality, kind_of

GATEWAY_ID: Final = "gw-demo"
DECODER: Final = "demo/1"
LINK_VALID_FOR: Final = timedelta(days=7)

ZONES: Final = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/Los_Angeles")
"""Somewhere among them it is always between 06:00 and 21:00."""
AWAKE: Final = (time(6), time(21))

ENVELOPES_AT_ONCE: Final = 8
"""Envelopes in one transaction of the seeding: about two hundred readings."""

TURNING_METER_INDEX: Final = 0x1000
"""Past every cohort's meters."""
USUAL, HIGH = (133, 83), (152, 94)
"""mmHg. The turn is 19 mmHg: above 140/90, and less than the 40 mmHg from the median at which a reading is suspect."""
USUAL_DAYS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """What is stated about a person at enrolment, and their meters. `person` is None for the one who is not of the cohort."""

    name: str
    language: Literal["zh", "en"]
    sex: str | None
    birth_date: date | None
    phone: str | None
    conditions: Sequence[str]
    zone: str
    enrolled_on: date
    person: cohort.Person | None
    meters: tuple[Meter, ...]
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """A simulated person as the clinic knows them; `link` is the token of their own page."""

    patient_id: int
    name: str
    link: str
    person: cohort.Person | None
    meters: tuple[Meter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    user_id: int
    login: str
    password: str


def awake_zone(now: datetime) -> str:
    """The first of `ZONES` where nobody is asleep: a day there neither begins nor ends while the demo runs."""
    for zone in ZONES:
        if AWAKE[0] <= now.astimezone(ZoneInfo(zone)).time() <= AWAKE[1]:
            return zone
    raise AssertionError("the zones cover the day")


def newcomers(*, seed: int, patients: int, days: int, zone: str, now: datetime) -> tuple[Newcomer, ...]:
    """The person whose third high day is today, then the cohort of this seed: `patients` in all."""
    people = cohort.cohort(seed=seed, patients=patients - 1, days=days, until=now, zones=(zone,))
    return (_turning(zone=zone, days=days, now=now), *(_of_cohort(person, days=days, now=now) for person in people))


def history(newcomer: Newcomer, *, now: datetime) -> tuple[Reading, ...]:
    """What this person measured before the demo began, oldest first."""
    if newcomer.person is not None:
        return tuple(cohort.history(newcomer.person, gateway_id=GATEWAY_ID))
    cuff, days = newcomer.meters[0], min(newcomer.days, USUAL_DAYS)
    sittings = _turning_sittings(zone=newcomer.zone, now=now, days=days)
    return tuple(_reading(cuff, at, pressure) for at, pressure in sittings)


def add_doctor(conn: Connection, *, now: datetime) -> Doctor:
    """The one account of the demo, with a password that is drawn here and shown once."""
    password = secrets.token_urlsafe(9)
    user_id = add_user(
        conn, login="doctor", display_name="陈医生 Dr Chen", role="doctor", password=password, language="en", now=now
    )
    return Doctor(user_id=user_id, login="doctor", password=password)


def approve_rules(conn: Connection, doctor_id: int, *, now: datetime) -> None:
    """The demo's doctor lets the rules judge, through the door that a clinic's doctor uses."""
    enter(conn, load_catalog())
    approve_waiting(conn, user_id=doctor_id, role="doctor", now=now, note="demo")


def enrol(
    conn: Connection, newcomer: Newcomer, readings: Sequence[Reading], *, doctor_id: int, now: datetime
) -> Resident:
    """State who this is, that these meters were theirs for all these readings, and make the link to their own page."""
    patient_id = enrolment.add_patient(
        conn,
        name=newcomer.name,
        language=newcomer.language,
        enrolled_on=newcomer.enrolled_on,
        zone=newcomer.zone,
        sex=newcomer.sex,
        birth_date=newcomer.birth_date,
        phone=newcomer.phone,
        conditions=newcomer.conditions,
        doctor_id=doctor_id,
        now=now,
    )
    since = min((reading.measured_at for reading in readings), default=now) - timedelta(days=1)
    for meter in newcomer.meters:
        slots = {reading.user_slot for reading in readings if reading.meter_id == meter.meter_id} or {None}
        for slot in slots:
            enrolment.bind_meter(
                conn,
                meter_id=meter.meter_id,
                user_slot=slot,
                gateway_id=GATEWAY_ID,
                patient_id=patient_id,
                bound_by="demo",
                now=since,
            )
    link = issue_patient_link(conn, patient_id, now=now, valid_for=LINK_VALID_FOR)
    return Resident(
        patient_id=patient_id, name=newcomer.name, link=link, person=newcomer.person, meters=newcomer.meters
    )


def move_in(
    pool: Pool, people: Sequence[Newcomer], *, doctor_id: int, now: datetime, progress: Callable[[int], None]
) -> tuple[tuple[Resident, ...], int]:
    """Enrol everybody and take their history in, quietly; also says how many readings that were.

    `progress` is told how many people have moved in.
    """
    intake, epoch, taken = Intake(pool), secrets.token_hex(8), 0
    residents: list[Resident] = []
    for newcomer in people:
        readings = history(newcomer, now=now)
        residents.append(_enrolled(pool, newcomer, readings, doctor_id=doctor_id, now=now))
        for payloads in envelopes(readings, epoch=epoch, first_seq=taken + 1):
            receipts = intake.take_all([(GATEWAY_ID, payload) for payload in payloads], quiet=True)
            assert all(receipt is not None and not receipt.rejected for receipt in receipts), receipts
        taken += len(readings)
        progress(len(residents))
    return tuple(residents), taken


def _enrolled(
    pool: Pool, newcomer: Newcomer, readings: Sequence[Reading], *, doctor_id: int, now: datetime
) -> Resident:
    return in_transaction(pool, lambda conn: enrol(conn, newcomer, readings, doctor_id=doctor_id, now=now))


def envelopes(readings: Iterable[Reading], *, epoch: str, first_seq: int) -> Iterator[list[bytes]]:
    """The readings as a gateway would send them, some envelopes at a time."""
    payloads: list[bytes] = []
    for rows in _rows_of_one_envelope(readings, first_seq):
        payloads.append(envelope.encode_envelope(GATEWAY_ID, epoch, rows))
        if len(payloads) == ENVELOPES_AT_ONCE:
            yield payloads
            payloads = []
    if payloads:
        yield payloads


def _rows_of_one_envelope(readings: Iterable[Reading], first_seq: int) -> Iterator[list[tuple[int, bytes]]]:
    rows: list[tuple[int, bytes]] = []
    size, overhead = 0, 256
    for seq, reading in enumerate(readings, start=first_seq):
        body = envelope.encode_reading(reading)
        cost = len(body) + 40
        if rows and (size + cost > envelope.MAX_BYTES_SENT - overhead or len(rows) == envelope.MAX_READINGS):
            yield rows
            rows, size = [], 0
        rows.append((seq, body))
        size += cost
    if rows:
        yield rows


def _of_cohort(person: cohort.Person, *, days: int, now: datetime) -> Newcomer:
    return Newcomer(
        name=person.name_zh if person.language == "zh" else person.name_en,
        language=person.language,
        sex=person.sex,
        birth_date=person.birth_date,
        phone=person.phone,
        conditions=person.conditions,
        zone=person.zone,
        enrolled_on=_days_ago(days, person.zone, now),
        person=person,
        meters=(person.cuff,) if person.glucometer is None else (person.cuff, person.glucometer),
        days=days,
    )


def _turning(*, zone: str, days: int, now: datetime) -> Newcomer:
    """In treatment; the cuff was high on the last two days and this morning: one more sitting makes the alert."""
    return Newcomer(
        name="赵启明",
        language="zh",
        sex="male",
        birth_date=date(1957, 4, 12),
        phone=None,
        conditions=("I10",),
        zone=zone,
        enrolled_on=_days_ago(days, zone, now),
        person=None,
        meters=(_cuff(TURNING_METER_INDEX, zone),),
        days=days,
    )


def _cuff(index: int, zone: str) -> Meter:
    return Meter(name=f"bp-{index}", kind="blood_pressure", index=index, zone=zone)


def _days_ago(days: int, zone: str, now: datetime) -> date:
    return now.astimezone(ZoneInfo(zone)).date() - timedelta(days=days)


def _turning_sittings(*, zone: str, now: datetime, days: int) -> Iterator[tuple[datetime, tuple[int, int]]]:
    """(when, pressure): mornings and evenings, usual until three days ago, high on the last two days and two hours ago."""
    today = now.astimezone(ZoneInfo(zone)).date()
    for ago in range(days - 1, 0, -1):
        pressure = HIGH if ago <= 2 else USUAL
        for clock in (time(7, 10), time(20, 5)):
            at = datetime.combine(today - timedelta(days=ago), clock, tzinfo=ZoneInfo(zone))
            yield at, (pressure[0] + ago % 3, pressure[1] + ago % 2)
    yield now - timedelta(hours=2), HIGH


def _reading(cuff: Meter, at: datetime, pressure: tuple[int, int]) -> Reading:
    """What the gateway would have made of the frame that this cuff's own firmware makes."""
    wall = at.astimezone(ZoneInfo(cuff.zone)).replace(tzinfo=None, microsecond=0)
    raw = BloodPressureMeter(cuff).measure(
        wall=wall, systolic_mmhg=pressure[0], diastolic_mmhg=pressure[1], pulse_bpm=72
    )
    frame = BloodPressureMeasurement.from_bytes(raw)
    measurement = frame.to_measurement()
    measured_at = wall.replace(tzinfo=ZoneInfo(cuff.zone)).astimezone(ZoneInfo("UTC"))
    return Reading(
        reading_id=identity.reading_id(
            meter_id=cuff.meter_id,
            kind=kind_of(measurement),
            raw=raw,
            user_slot=frame.user_slot,
            meter_time=frame.meter_time,
        ),
        gateway_id=GATEWAY_ID,
        meter_id=cuff.meter_id,
        user_slot=frame.user_slot,
        measurement=measurement,
        measured_at=measured_at,
        meter_time=frame.meter_time,
        received_at=measured_at + timedelta(seconds=5),
        time_quality=TimeQuality.SYNCED,
        clock_offset_s=0.0,
        zone=cuff.zone,
        characteristic="2a35",
        raw=raw,
        decoder=DECODER,
    )
