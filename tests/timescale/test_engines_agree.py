"""TimescaleDB and plain PostgreSQL hold the same readings and lead to the same alerts; and `reading` is what it should be."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from homevigil.demo import population
from homevigil.embedded.postgres import EmbeddedPostgres
from server import clock
from server.judge import Judge
from server.people.corrections import Correction, Reason, reassign
from server.rules.load import load_catalog
from server.store import enrolment
from server.store.migrate import MIGRATIONS
from server.store.postgres import Pool, open_pool
from vitals.reading import KINDS, Reading

pytestmark = pytest.mark.timescale

UNTIL = clock.now().replace(microsecond=0)  # the door refuses what is not of now
ZONE = population.awake_zone(UNTIL)


@pytest.fixture(scope="module")
def people() -> tuple[population.Newcomer, ...]:
    """Six people with forty days, and the one whose third high day is today."""
    return population.newcomers(seed=7, patients=7, days=40, zone=ZONE, now=UNTIL)


@pytest.fixture
def timescale(database_url: str) -> Iterator[Pool]:
    with open_pool(database_url, max_size=1) as pool:
        yield pool


@pytest.fixture
def plain(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[Pool]:
    url = postgres.create_database("beside_timescale", template=migrated_template)
    with open_pool(url, max_size=1) as pool:
        yield pool
    postgres.drop_database("beside_timescale")


def ask(pool: Pool, query: str) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        return conn.execute(query.encode()).fetchall()


def move_in(pool: Pool, people: tuple[population.Newcomer, ...]) -> None:
    with pool.connection() as conn:
        enrolment.add_gateway(conn, population.GATEWAY_ID, ZONE)
        doctor = population.add_doctor(conn, now=UNTIL)
    population.move_in(pool, people, doctor_id=doctor.user_id, now=UNTIL, progress=lambda _: None)


def judge_all(pool: Pool) -> None:
    judge = Judge(pool, load_catalog())
    while judge.judge_due():
        pass


READINGS = """
    select patient_id, kind, measured_at, reading_id, systolic_mmhg, diastolic_mmhg, glucose_mmol_l, quality, time_quality
    from reading order by patient_id, kind, measured_at, reading_id"""

EPISODES = """
    select patient_id, rule_id, rule_version, state, priority, first_day, last_day, opened_at, sentence, verdict
    from episode where state <> 'retracted' order by patient_id, rule_id, first_day"""


def test_the_schema_chose_a_hypertable(timescale: Pool) -> None:
    assert ask(timescale, "select reading_engine()") == [("timescaledb",)]
    assert ask(timescale, "select hypertable_name from timescaledb_information.hypertables") == [("reading",)]


def test_the_hypertable_compresses_by_patient_and_keeps_everything(timescale: Pool) -> None:
    columns = ask(
        timescale,
        "select attname from timescaledb_information.compression_settings where segmentby_column_index is not null",
    )
    policies = ask(timescale, "select proc_name from timescaledb_information.jobs where hypertable_name = 'reading'")
    assert columns == [("patient_id",)]
    assert [name for (name,) in policies if "retention" in name] == []
    assert [name for (name,) in policies if "compression" in name or "columnstore" in name]


def test_the_kinds_after_the_first_release_come_into_chunks_that_are_compressed_already(timescale: Pool) -> None:
    """The columns and the check are taken away, as before 0012, and the migrations run over what lies there compressed."""
    run(timescale, BEFORE_0012)
    run(timescale, A_READING.format(kind="glucose"))
    ask(timescale, "select compress_chunk(chunk) from show_chunks('reading') chunk")
    with pytest.raises(psycopg.errors.CheckViolation):
        run(timescale, A_READING.format(kind="weight"))
    for migration in ("0012_more_signals.sql", "0021_heart_rate.sql"):
        run(timescale, (MIGRATIONS / migration).read_text(encoding="utf-8"))
    run(timescale, "select reading_views_make()")
    run(timescale, "select wall_readings()")
    for kind in KINDS:
        run(timescale, A_READING.format(kind=kind))
    with pytest.raises(psycopg.errors.CheckViolation):
        run(timescale, A_READING.format(kind="height"))
    ask(timescale, "select compress_chunk(chunk) from show_chunks('reading') chunk")
    run(timescale, "update reading set weight_kg = 81.4 where kind = 'weight'")
    assert ask(timescale, "select count(*), sum(weight_kg) from reading") == [(1 + len(KINDS), 81.4)]
    run(timescale, "truncate reading")


BEFORE_0012 = """
    drop view people.reading_in_use, people.reading_on_record, people.reading, reading_in_use, reading_on_record;
    alter table reading drop constraint reading_shape_kind_check;
    alter table reading_shape drop constraint reading_shape_kind_check;
    alter table reading add constraint reading_shape_kind_check check (kind in ('blood_pressure', 'glucose'));
    alter table reading_shape add constraint reading_shape_kind_check check (kind in ('blood_pressure', 'glucose'));
    alter table reading drop column weight_kg, drop column spo2_percent, drop column temperature_celsius;
    alter table reading_shape drop column weight_kg, drop column spo2_percent, drop column temperature_celsius"""

A_READING = """
    insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, quality, time_quality, zone,
                         received_at, decoder)
    select 1, '{kind}', '2026-05-04 07:30Z', gen_random_uuid(), 'gw', 'm', 'accepted', 'trusted', 'UTC', now(), 'test'"""


def run(pool: Pool, statements: str) -> None:
    with pool.connection() as conn:
        conn.execute(statements.encode())


def test_both_engines_hold_the_same_readings_and_find_the_same_alerts(
    timescale: Pool, plain: Pool, people: tuple[population.Newcomer, ...]
) -> None:
    for pool in (timescale, plain):
        move_in(pool, people)
        judge_all(pool)
    assert ask(plain, "select reading_engine()") == [("partitions",)]
    assert len(ask(plain, READINGS)) > 200
    assert ask(timescale, READINGS) == ask(plain, READINGS)
    assert ask(plain, EPISODES) != []
    assert ask(timescale, EPISODES) == ask(plain, EPISODES)


def test_repeats_and_late_readings_into_a_compressed_chunk_lose_nothing(
    timescale: Pool, people: tuple[population.Newcomer, ...]
) -> None:
    person = people[1]
    readings = population.history(person, now=UNTIL)
    early, late = readings[: len(readings) // 2], readings[len(readings) // 2 :]
    move_in(timescale, ())
    with timescale.connection() as conn:
        population.enrol(conn, person, readings, doctor_id=1, now=UNTIL)
    take(timescale, early, epoch="0" * 16)
    ask(timescale, "select compress_chunk(chunk) from show_chunks('reading') chunk")
    take(timescale, readings, epoch="1" * 16)
    assert late
    assert ask(timescale, "select count(*) from reading") == [(len(readings),)]
    (account,) = ask(timescale, "select received, stored, repeated, quarantined from gateway_account")
    assert account == (len(early) + len(readings), len(readings), len(early), 0)


def take(pool: Pool, readings: tuple[Reading, ...], *, epoch: str) -> None:
    from server.intake import Intake

    for payloads in population.envelopes(readings, epoch=epoch, first_seq=1):
        Intake(pool).take_all([(population.GATEWAY_ID, payload) for payload in payloads], quiet=True)


def test_correcting_a_reading_of_a_compressed_chunk_leaves_the_chunk_as_it_is(
    timescale: Pool, people: tuple[population.Newcomer, ...]
) -> None:
    move_in(timescale, people[:2])
    judge_all(timescale)
    ask(timescale, "select compress_chunk(chunk) from show_chunks('reading') chunk")
    ((one, two),) = ask(timescale, "select min(patient_id), max(patient_id) from patient")
    ((reading_id,),) = ask(timescale, f"select reading_id from reading where patient_id = {one} order by 1 limit 1")
    before = ask(timescale, READINGS)
    correction = Correction(
        patient_id=one,
        reading_id=reading_id,
        version=1,
        reason=Reason.WRONG_PERSON,
        note="",
        user_id=1,
        role="doctor",
        now=UNTIL,
    )
    reassign(timescale, correction, to_patient_id=two)
    judge_all(timescale)
    assert ask(timescale, READINGS) == before
    assert ask(timescale, f"select patient_id from reading_in_use where reading_id = '{reading_id}'") == [(two,)]
    assert ask(timescale, "select count(*) from reading_in_use") == [(len(before),)]
    packed = (
        "select count(*) from timescaledb_information.chunks where hypertable_name = 'reading' and not is_compressed"
    )
    assert ask(timescale, packed) == [(0,)]
