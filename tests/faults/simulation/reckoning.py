"""What is true at rest: stored = sent, nothing altered or doubled, the accounts, the alerts, and who was told.

The model is `records`, the judge of the alerts is `server.oracle`; the database is only asked what it holds.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import vaults

import server.rules
from faults.simulation.clinic import ENROLLED_BEFORE
from faults.simulation.meters import Inflation
from faults.simulation.records import Kept
from faults.simulation.world import Home, World
from server.oracle.alerts import alerts_of
from server.oracle.rules import OracleRule, rules_of
from server.oracle.shapes import OracleAlert, OraclePatient, OracleReading
from server.store.intake import check_accounts
from server.store.vault import open_envelope
from vitals.envelope import decode_stored_reading
from vitals.reading import BloodPressure, Glucose, Reading, TimeQuality

TAKEN_AT_ITS_WORD: Final = timedelta(minutes=15)
"""So far from the time of receipt the gateway believes a clock that it cannot read."""
CLOSE_ENOUGH: Final = TAKEN_AT_ITS_WORD + timedelta(minutes=1)
"""How far a time that is called certain may be off."""
CERTAIN: Final = frozenset({TimeQuality.SYNCED, TimeQuality.CORRECTED, TimeQuality.TRUSTED, TimeQuality.RECEIVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Something that is not as it must be. `kind`: lost, doubled, altered, misplaced, alert, push, account, unsettled,
    unjudged."""

    kind: str
    words: str
    home: int | None = None
    inflation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A row of `reading` with what was sent."""

    patient_id: int
    reading_id: str
    raw: bytes
    sent: Reading
    columns: tuple[Any, ...]


def wrongs(world: World) -> list[Wrong]:
    """Everything that is wrong in a world at rest, the most basic first."""
    stored = _stored(world)
    quarantined = _quarantined(world)
    found = [Wrong(kind="account", words=words) for words in world.complaints if "judging_broken" in words]
    found += _at_rest(world)
    found += _rows(world, stored)
    for home in world.homes:
        for meter in home.meters:
            for inflation in meter.inflations:
                found += _fate(world, home, inflation, stored, quarantined)
    found += _accounts(world)
    found += _alerts(world, stored)
    found += _unjudged(world, stored)
    return found


def in_words(world: World, wrong: Wrong, *, lines: int | None = None) -> str:
    """A sentence, and the way that the reading or the home has gone: all of it, or its last lines."""
    trail = [] if wrong.home is None else world.diary.trail(wrong.home, wrong.inflation)
    return "\n    ".join([f"{wrong.kind}: {wrong.words}", *(trail if lines is None else trail[-lines:])])


# -- readings ----------------------------------------------------------------------------------------------------------


def _stored(world: World) -> dict[str, Stored]:
    rows = world.database.rows(
        "select r.patient_id, r.reading_id, w.raw, w.sent, r.gateway_id, r.meter_id, r.measured_at, r.received_at,"
        " r.time_quality, r.meter_time, r.systolic_mmhg, r.diastolic_mmhg, r.pulse_bpm, r.glucose_mmol_l, r.meter_status"
        " from reading r join reading_frames w using (reading_id) order by r.reading_id"
    )
    found: dict[str, Stored] = {}
    for patient_id, reading_id, raw, sent, *columns in rows:
        key = str(reading_id)
        assert key not in found, f"reading {key} is stored twice"
        found[key] = Stored(
            patient_id=patient_id,
            reading_id=key,
            raw=open_envelope(raw, "reading_raw.raw", reading_id),
            sent=decode_stored_reading(open_envelope(sent, "reading_raw.sent", reading_id)),
            columns=tuple(columns),
        )
    return found


def _columns(reading: Reading) -> tuple[Any, ...]:
    measured = reading.measurement
    pressure = measured if isinstance(measured, BloodPressure) else None
    return (
        reading.gateway_id,
        reading.meter_id,
        reading.measured_at,
        reading.received_at,
        reading.time_quality.value,
        reading.meter_time,
        pressure and pressure.systolic_mmhg,
        pressure and pressure.diastolic_mmhg,
        pressure and pressure.pulse_bpm,
        None if isinstance(measured, BloodPressure) else measured.glucose_mmol_l,
        measured.status,
    )


def _quarantined(world: World) -> dict[str, list[tuple[str, Reading]]]:
    """`(reason, reading)` by reading id."""
    found: dict[str, list[tuple[str, Reading]]] = defaultdict(list)
    with world.database.connection() as conn:
        rows = vaults.quarantined(conn)
    for reason, _, raw in rows:
        reading = decode_stored_reading(raw)
        found[str(reading.reading_id)].append((reason, reading))
    return found


def _at_rest(world: World) -> Iterator[Wrong]:
    for home in world.homes:
        assert home.box.outbox is not None
        counts = home.box.outbox.counts()
        if counts.unconfirmed:
            yield Wrong(
                kind="unsettled",
                words=f"{home.box.gateway_id} still waits for {counts.unconfirmed} receipts, {counts.held} held",
                home=home.person.number,
            )


def _rows(world: World, stored: dict[str, Stored]) -> Iterator[Wrong]:
    """Every row is a reading that an outbox kept, exactly as one was kept."""
    for row in stored.values():
        versions = world.records.kept.get(row.reading_id)
        if not versions:
            yield Wrong(kind="altered", words=f"nobody kept reading {row.reading_id}")
            continue
        origin = versions[0]
        if origin.home != row.patient_id - 1:
            yield Wrong(
                kind="altered", words=f"reading {row.reading_id} is patient {row.patient_id}'s", home=origin.home
            )
        inflation = world.records.inflations[origin.inflation]
        is_same = any(row.sent == kept.reading for kept in versions) and row.columns == _columns(row.sent)
        if not is_same or row.raw != inflation.raw:
            yield Wrong(
                kind="altered",
                words=f"reading {row.reading_id} is not as it was kept: {row.sent}",
                home=origin.home,
                inflation=origin.inflation,
            )


def _fate(
    world: World,
    home: Home,
    inflation: Inflation,
    stored: dict[str, Stored],
    quarantined: dict[str, list[tuple[str, Reading]]],
) -> Iterator[Wrong]:
    """What became of one measurement."""
    where = {"home": home.person.number, "inflation": inflation.number}
    rows = [stored[each] for each in sorted(inflation.reading_ids) if each in stored]
    aside = [each for each in sorted(inflation.reading_ids) if each in quarantined]
    if len({*aside, *(row.reading_id for row in rows)}) > 1 and inflation.is_told_apart:
        yield Wrong(kind="doubled", words=f"{inflation.meter_id}: {[row.reading_id for row in rows]}, {aside}", **where)
    is_accounted_for = rows or aside or inflation.lost_by is not None or _is_set_aside(home, inflation)
    if not is_accounted_for and inflation.reading_ids.isdisjoint(world.records.given_again):
        yield Wrong(
            kind="lost", words=f"{inflation.meter_id} measured it at {inflation.true_at}; it is nowhere", **where
        )
    for reading in (reading for each in aside if not rows for _, reading in quarantined[each]):
        kept = next(each for each in world.records.kept[str(reading.reading_id)] if each.reading == reading)
        if reading.time_quality in CERTAIN and not is_beyond_knowing(inflation, kept):
            off = reading.measured_at - inflation.true_at
            words = f"reading {reading.reading_id} lies in quarantine, {reading.time_quality.value} and {off} off"
            yield Wrong(kind="misplaced", words=words, **where)
    for row in rows:
        yield from _time(world, inflation, row, where)


def _is_set_aside(home: Home, inflation: Inflation) -> bool:
    return inflation.set_aside is not None and inflation.set_aside in home.box.file.set_aside


def _time(world: World, inflation: Inflation, row: Stored, where: dict[str, int]) -> Iterator[Wrong]:
    """A time that is called certain is right, unless nobody could have known better."""
    off = row.sent.measured_at - inflation.true_at
    if row.sent.time_quality not in CERTAIN or abs(off) <= CLOSE_ENOUGH:
        return
    kept = next(each for each in world.records.kept[row.reading_id] if each.reading == row.sent)
    if is_beyond_knowing(inflation, kept):
        return
    words = f"reading {row.reading_id} is {row.sent.time_quality.value} and {off} off"
    yield Wrong(kind="misplaced", words=words, **where)


def is_beyond_knowing(inflation: Inflation, kept: Kept) -> bool:
    """Whether nothing could have told that its time is wrong: the meter's clock was set between measuring and reading, or the
    meter says no time that can be used and the record was the first of its connection, which is taken for live, or a clock that
    is hours wrong and cannot be read said the very time at which its record was read, hours late: then what it said, and nothing
    else, is the reading's time."""
    reading = kept.reading
    was_set = kept.clock_life != inflation.clock_life
    seemed_live = kept.is_first and reading.time_quality is TimeQuality.RECEIVED
    by_chance = (
        reading.time_quality is TimeQuality.TRUSTED
        and reading.measured_at in inflation.meant_at
        and abs(reading.received_at - reading.measured_at) <= TAKEN_AT_ITS_WORD
    )
    return was_set or seemed_live or by_chance


def _accounts(world: World) -> Iterator[Wrong]:
    with world.database.connection() as conn:
        for account in check_accounts(conn):
            yield Wrong(kind="account", words=f"does not balance: {account}")


# -- alerts ------------------------------------------------------------------------------------------------------------


@cache
def catalog() -> tuple[OracleRule, ...]:
    """The product's rules, by the oracle's own reader."""
    folder = Path(server.rules.__file__).parent / "catalog"
    files = sorted(path for path in folder.glob("*.yaml") if not path.name.endswith(".test.yaml"))
    return tuple(rule for path in files for rule in rules_of(path.read_text(encoding="utf-8")))


def oracle_reading(reading: Reading) -> OracleReading:
    measured = reading.measurement
    pressure = measured if isinstance(measured, BloodPressure) else None
    glucose = measured if isinstance(measured, Glucose) else None

    def exact(value: float | None) -> Fraction | None:
        return None if value is None else Fraction(str(value))

    return OracleReading(
        name=str(reading.reading_id),
        kind="blood_pressure" if pressure else "glucose",
        measured_at=reading.measured_at,
        received_at=reading.received_at,
        time_quality=reading.time_quality.value,
        systolic_mmhg=exact(pressure.systolic_mmhg) if pressure else None,
        diastolic_mmhg=exact(pressure.diastolic_mmhg) if pressure else None,
        pulse_bpm=exact(pressure.pulse_bpm) if pressure else None,
        glucose_mmol_l=exact(glucose.glucose_mmol_l) if glucose else None,
        is_censored=glucose is not None and glucose.censored is not None,
        status=measured.status,
    )


def expected_alerts(world: World, home: Home, readings: list[Reading], now: datetime) -> tuple[OracleAlert, ...]:
    """What the oracle says of these readings, pending ones aside: nobody knows of them yet."""
    zone = home.person.zone
    patient = OraclePatient(
        readings=tuple(map(oracle_reading, readings)),
        zones=((world.agenda.start - timedelta(days=500), zone.key),),
        enrolled_on=(world.agenda.start - ENROLLED_BEFORE).astimezone(zone).date(),
    )
    return tuple(alert for alert in alerts_of(patient, catalog(), now=now) if alert.state != "pending")


def _alerts(world: World, stored: dict[str, Stored]) -> Iterator[Wrong]:
    readings: dict[int, list[Reading]] = defaultdict(list)
    for row in stored.values():
        readings[row.patient_id].append(row.sent)
    episodes = _episodes(world)
    told = _told(world)
    for home in world.homes:
        patient_id = home.person.number + 1
        expected = expected_alerts(world, home, readings[patient_id], world.agenda.now)
        wanted = {_fact(alert): alert for alert in expected}
        found = {fact: rest for fact, *rest in episodes[patient_id]}
        doubled = [fact for fact, times in Counter(fact for fact, *_ in episodes[patient_id]).items() if times > 1]
        for fact in doubled:
            yield Wrong(kind="alert", words=f"patient {patient_id} has it twice: {fact}", home=home.person.number)
        for fact in sorted(wanted.keys() - found.keys(), key=str):
            yield Wrong(kind="alert", words=f"patient {patient_id} lacks {fact}", home=home.person.number)
        for fact in sorted(found.keys() - wanted.keys(), key=str):
            yield Wrong(kind="alert", words=f"patient {patient_id} has {fact}, and should not", home=home.person.number)
        for fact in sorted(wanted.keys() & found.keys(), key=str):
            yield from _pushes(home, wanted[fact], *found[fact], told)


def _unjudged(world: World, stored: dict[str, Stored]) -> Iterator[Wrong]:
    """Every reading was judged for its own sake: another one, which would make up for it, may never come."""
    for row in stored.values():
        home, measured_at = row.patient_id - 1, row.sent.measured_at
        versions = world.records.kept.get(row.reading_id)
        if versions and not world.records.books.have_judged(home, row.reading_id, measured_at):
            words = f"reading {row.reading_id} is stored, and since then nobody has been judged from {measured_at} on"
            yield Wrong(kind="unjudged", words=words, home=home, inflation=versions[0].inflation)


def _fact(alert: OracleAlert) -> tuple[object, ...]:
    return (
        alert.rule_id,
        alert.state,
        alert.priority,
        alert.first_day,
        alert.last_day,
        alert.started_at,
        alert.opened_at,
        alert.resolved_at,
    )


def _episodes(world: World) -> dict[int, list[tuple[Any, ...]]]:
    """By patient: `(fact, episode_id, judged_at)` of what is not retracted."""
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for patient_id, episode_id, judged_at, *fact in world.database.rows(
        "select patient_id, episode_id, judged_at, rule_id, state, priority, first_day, last_day, started_at, opened_at,"
        " resolved_at from episode where state <> 'retracted' order by episode_id"
    ):
        found[patient_id].append((tuple(fact), episode_id, judged_at))
    return found


def _told(world: World) -> dict[tuple[UUID, str], str]:
    """The state of the last opening push, by episode and recipient: what was taken back and is true again is told again."""
    rows = world.database.rows("select episode_id, recipient, state from push where kind = 'opening' order by step")
    return {(episode_id, recipient): state for episode_id, recipient, state in rows}


def _pushes(
    home: Home, alert: OracleAlert, episode_id: UUID, judged_at: datetime, told: dict[tuple[UUID, str], str]
) -> Iterator[Wrong]:
    """An alert that holds and was found in time has told everybody whom it must tell, once each."""
    if alert.state != "active" or (alert.fresh_until is not None and judged_at > alert.fresh_until):
        return
    recipients = {"patient": "patient", "doctor": f"user:{home.person.number % 3 + 1}"}
    for who in alert.tells:
        state = told.get((episode_id, recipients[who]))
        if state != "sent":
            words = (
                f"{alert.rule_id} of {alert.first_day} to {alert.last_day}, found {judged_at}: {who} was told {state}"
            )
            yield Wrong(kind="push", words=words, home=home.person.number)
