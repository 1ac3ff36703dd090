"""A clinic's past for the benchmark of back-tests: people who do not exist, with what each of them measures.

Everybody measures blood pressure, in sittings of two; three in ten glucose, some a weight, an oxygen saturation or a
temperature, two in a hundred wear a sensor. A tenth has numbers of its own. Speed depends on how much is measured and on how
often rules fire, and that is what is drawn; nothing is fitted to real patients.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from server.rules.windows import (
    ACCEPTED,
    BLOOD_PRESSURE,
    FASTING,
    GLUCOSE,
    INVALID,
    KIND_CODES,
    MEAL_CODES,
    OXYGEN_SATURATION,
    POSTPRANDIAL,
    PREPRANDIAL,
    QUALITY_CODES,
    REJECTED,
    SENSOR_GLUCOSE,
    TEMPERATURE,
    WEIGHT,
    PatientHistory,
    PersonalThreshold,
    Window,
    ZoneSpan,
    from_us,
    to_us,
)
from server.store.postgres import Connection, Pool, transaction
from vitals.quality import IRREGULAR_PULSE

ZONES: Final = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Sydney")
_MINUTE_US: Final = 60_000_000
_DAY_US: Final = 1440 * _MINUTE_US
_NUMBERS: Final = ("systolic_mmhg", "diastolic_mmhg", "pulse_bpm", "glucose_mmol_l", "glucose_mg_dl", "weight_kg", "spo2_percent",
                   "temperature_celsius", "irregular_pulse")  # fmt: skip

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]


def people(patients: int, *, since: datetime, until: datetime, seed: int = 1) -> Iterator[PatientHistory]:
    """The same people for the same arguments, by number from 1 on, with what they measured from `since` to before `until`."""
    for patient_id, sequence in enumerate(np.random.SeedSequence(seed).spawn(patients), start=1):
        yield _person(np.random.default_rng(sequence), patient_id, since, until)


def _person(random: np.random.Generator, patient_id: int, since: datetime, until: datetime) -> PatientHistory:
    days = (until - since).days
    begin_us = to_us(since)
    parts = [_pressures(random, begin_us, days)]
    if random.random() < 0.3:
        parts.append(_finger_sticks(random, begin_us, days))
    if random.random() < 0.15:
        parts.append(_daily(random, begin_us, days, WEIGHT, "weight_kg", random.normal(78, 12), 0.5, 1))
    if random.random() < 0.1:
        parts.append(
            _daily(random, begin_us, days, OXYGEN_SATURATION, "spo2_percent", random.normal(95.5, 1.5), 1.0, 0)
        )
    if random.random() < 0.05:
        parts.append(_daily(random, begin_us, days, TEMPERATURE, "temperature_celsius", 36.6, 0.4, 1))
    if random.random() < 0.02:
        parts.append(_sensor(random, begin_us, days))
    own = {}
    if random.random() < 0.1:
        own["bp-above-140-90-3-days"] = PersonalThreshold(version=1, parameters={"systolic": 150.0, "diastolic": 95.0})
    return PatientHistory(
        patient_id=patient_id,
        enrolled_on=date(2020, 1, 1) if random.random() < 0.8 else (since + timedelta(days=40)).date(),
        zones=(ZoneSpan(valid_from=datetime(2015, 1, 1, tzinfo=UTC), zone=ZONES[patient_id % len(ZONES)]),),
        window=_window(random, patient_id, parts, to_us(until)),
        thresholds=own,
    )


def _pressures(random: np.random.Generator, begin_us: int, days: int) -> Columns:
    """Two sittings of two on four days of five; three people in ten are high, some of them labile."""
    is_high, spread = random.random() < 0.3, 6.0 + 8.0 * (random.random() < 0.2)
    level = random.normal(146 if is_high else 124, 8)
    measured = np.flatnonzero(random.random(days) < 0.8)
    minutes = np.array([0, 2, 720, 722])
    at = (measured[:, None] * 1440 + minutes + random.integers(0, 60, (len(measured), 1))).ravel()
    n = len(at)
    drift = np.repeat(random.normal(0, spread, len(measured)), len(minutes))
    systolic = np.round(level + drift + random.normal(0, 0.6 * spread, n))
    diastolic = np.minimum(np.round(0.5 * systolic + 17 + random.normal(0, 4, n)), systolic - 20)
    quality = np.full(n, ACCEPTED, np.int8)
    quality[random.random(n) < 0.01] = REJECTED
    quality[random.random(n) < 0.003] = INVALID
    pulse = np.round(random.normal(72, 9) + random.normal(0, 6, n))
    irregular = (random.random(n) < 0.01).astype(np.float64)
    values = {"systolic_mmhg": systolic, "diastolic_mmhg": diastolic, "pulse_bpm": pulse, "irregular_pulse": irregular}
    return _part(begin_us, at, BLOOD_PRESSURE, quality=quality, **values)


def _finger_sticks(random: np.random.Generator, begin_us: int, days: int) -> Columns:
    """Fasting, before and two hours after a meal, on six days of ten."""
    measured = np.flatnonzero(random.random(days) < 0.6)
    at = (measured[:, None] * 1440 + np.array([15, 300, 420]) + random.integers(0, 30, (len(measured), 1))).ravel()
    level, spread = random.normal(7.2, 1.5), 0.8 + random.random()
    mmol = np.round(
        np.maximum(level + np.tile([-0.5, 0.0, 2.0], len(measured)) + random.normal(0, spread, len(at)), 1.5), 1
    )
    meal = np.tile(np.array([FASTING, PREPRANDIAL, POSTPRANDIAL], np.int8), len(measured))
    return _part(begin_us, at, GLUCOSE, meal=meal, glucose_mmol_l=mmol, glucose_mg_dl=np.round(mmol * 18.016))


def _sensor(random: np.random.Generator, begin_us: int, days: int) -> Columns:
    """A worn sensor, every fifteen minutes."""
    at = np.arange(days * 96) * 15
    mmol = 8 + 2.5 * np.sin(at / 229.0) + np.convolve(random.normal(0, 1, len(at)), np.ones(8) / 3, "same")
    mmol = np.round(np.maximum(mmol + random.normal(0, 1), 2.3), 1)
    return _part(begin_us, at, SENSOR_GLUCOSE, glucose_mmol_l=mmol, glucose_mg_dl=np.round(mmol * 18.016))


def _daily(
    random: np.random.Generator,
    begin_us: int,
    days: int,
    kind: int,
    column: str,
    level: float,
    spread: float,
    digits: int,
) -> Columns:
    """One value on seven mornings of ten."""
    measured = np.flatnonzero(random.random(days) < 0.7)
    at = measured * 1440 + random.integers(0, 90, len(measured))
    values = np.round(level + random.normal(0, spread, len(at)), digits)
    if column == "spo2_percent":
        values = np.minimum(values, 100.0)
    return _part(begin_us, at, kind, **{column: values})


def _part(begin_us: int, minute: NDArray[np.int64], kind: int, **columns: NDArray[Any]) -> Columns:
    n = len(minute)
    at_us = begin_us + 5 * 60 * _MINUTE_US + minute * _MINUTE_US
    empty: Columns = {name: np.full(n, np.nan) for name in _NUMBERS}
    coded = {"meal": np.zeros(n, np.int8), "quality": np.full(n, ACCEPTED, np.int8)}
    return {**empty, **coded, "kind": np.full(n, kind, np.int8), "measured_at_us": at_us, **columns}


def _window(random: np.random.Generator, patient_id: int, parts: list[Columns], until_us: int) -> Window:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["measured_at_us"], kind="stable")
    order = order[columns["measured_at_us"][order] < until_us]
    columns = {name: np.ascontiguousarray(column[order]) for name, column in columns.items()}
    n = len(order)
    late_us = np.where(random.random(n) < 0.03, random.integers(0, 3 * _DAY_US, n), _MINUTE_US)
    return Window(
        reading_ids=tuple(UUID(int=(patient_id << 64) + row) for row in range(n)),
        received_at_us=columns["measured_at_us"] + late_us,
        censored=np.zeros(n, np.int8),
        time_quality=np.zeros(n, np.int8),
        **columns,
    )


# -- into a database ---------------------------------------------------------------------------------------------------


def move_in(pool: Pool, histories: Iterable[PatientHistory], *, since: datetime, until: datetime) -> list[int]:
    """Enrol them and store what they have measured; their numbers there, in the same order."""
    with transaction(pool) as conn:
        for day in range(0, (until - since).days + 28, 14):
            conn.execute(b"select reading_make_room(%s)", (since + timedelta(days=day),))
        moved = [_enrol(conn, history) for history in histories]
    with transaction(pool) as conn:
        conn.execute(b"analyze")
    return moved


def _enrol(conn: Connection, history: PatientHistory) -> int:
    row = conn.execute(
        b"insert into patient (language, enrolled_on) values ('en', %s) returning patient_id",
        (history.enrolled_on,),
    ).fetchone()
    assert row is not None
    patient_id = int(row[0])
    for span in history.zones:
        conn.execute(b"insert into patient_zone (patient_id, valid_from, zone, recorded_by) values (%s, %s, %s, 'benchmark')",
                     (patient_id, span.valid_from, span.zone))  # fmt: skip
    for rule_id, own in history.thresholds.items():
        conn.execute(
            b"insert into patient_threshold (patient_id, rule_id, version, parameters, set_by, set_at)"
            b" values (%s, %s, %s, %s, 'benchmark', now())",
            (patient_id, rule_id, own.version, Jsonb(dict(own.parameters))),
        )
    columns = ("patient_id", "gateway_id", "meter_id", "zone", "decoder", "kind", "quality", "time_quality", "meal",
               "meter_status", "reading_id", "measured_at", "received_at", *_NUMBERS[:-1])  # fmt: skip
    with conn.cursor() as cursor, cursor.copy(f"copy reading ({', '.join(columns)}) from stdin".encode()) as sink:
        for row in _rows(history):
            sink.write_row((patient_id, "gw", "meter", "UTC", "benchmark", *row))
    return patient_id


def _rows(history: PatientHistory) -> Iterator[tuple[Any, ...]]:
    window = history.window
    kinds, qualities, meals = (
        {code: word for word, code in codes.items()} for codes in (KIND_CODES, QUALITY_CODES, MEAL_CODES)
    )
    numbers = [getattr(window, name) for name in _NUMBERS[:-1]]
    for row in range(len(window)):
        irregular = window.irregular_pulse[row]
        yield (
            kinds[int(window.kind[row])],
            qualities[int(window.quality[row])],
            "synced",
            meals[int(window.meal[row])],
            None if np.isnan(irregular) else IRREGULAR_PULSE * int(irregular),
            window.reading_ids[row],
            from_us(int(window.measured_at_us[row])),
            from_us(int(window.received_at_us[row])),
            *(None if np.isnan(column[row]) else float(column[row]) for column in numbers),
        )
