"""Readings, corrections and judges in any order on a real PostgreSQL: in the end each has the alerts of the own readings."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from households import enrol
from moving_clock import install
from population import START, Population
from unit.rules.clinic import fresh_view

from server.intake import Intake
from server.judge import Judge
from server.people import corrections
from server.people.corrections import Correction, Reason
from server.people.errors import DecisionConflictError
from server.rules.load import load_catalog
from server.store import corrections as store
from server.store.judging import history_of
from server.store.postgres import Pool, open_pool
from server.watch.recompute import recompute
from vitals.reading import Measurement, Reading

PEOPLE = 12
TICKS = 24


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    install(database_url)
    with open_pool(database_url) as pool:
        yield pool


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(query.encode(), args)
        return cursor.fetchall() if cursor.description else []


class Clinicians:
    """They say something of readings at random, and keep by themselves whose each is."""

    def __init__(self, pool: Pool, random: Random, user_id: int) -> None:
        self.pool = pool
        self.random = random
        self.user_id = user_id
        self.stored_as: dict[UUID, int] = {}
        self.owner: dict[UUID, int | None] = {}

    def notice(self) -> None:
        """What has come since."""
        for reading_id, patient_id in ask(self.pool, "select reading_id, patient_id from reading"):
            self.stored_as.setdefault(reading_id, patient_id)
            self.owner.setdefault(reading_id, patient_id)

    def correct(self, patients: list[int], now: datetime) -> None:
        reading_id = self.random.choice(sorted(self.owner))
        patient_id = self.random.choice(
            [self.stored_as[reading_id], self.owner[reading_id] or self.stored_as[reading_id]]
        )
        said = self.of(reading_id, patient_id, now)
        to = self.random.choice([None, self.stored_as[reading_id], *patients])
        try:
            if to is None:
                corrections.void(self.pool, said)
            elif to == self.stored_as[reading_id] and self.random.random() < 0.5:
                corrections.restore(self.pool, said)
            else:
                corrections.reassign(self.pool, said, to_patient_id=to)
        except DecisionConflictError:
            assert to == self.owner[reading_id]
        self.owner[reading_id] = to

    def of(self, reading_id: UUID, patient_id: int, now: datetime) -> Correction:
        """What is to be said of a reading as it stands."""
        with self.pool.connection() as conn:
            standing = store.standing_of(conn, reading_id, patient_id=patient_id)
        assert standing is not None
        return Correction(
            patient_id=patient_id,
            reading_id=reading_id,
            version=standing.version,
            reason=Reason.OTHER,
            note="drawn",
            user_id=self.user_id,
            role="doctor",
            now=now,
        )


@pytest.mark.parametrize("seed", range(3))
def test_in_the_end_everybody_has_the_alerts_of_their_own_readings(pool: Pool, seed: int) -> None:
    random = Random(f"corrections {seed}")
    ((user_id,),) = ask(
        pool,
        "insert into app_user (login, display_name, role, password_hash) values ('d', 'D', 'doctor', '') returning user_id",
    )
    population = Population(pool=pool, random=random, doctor_id=user_id)
    population.move_in(PEOPLE)
    clinicians = Clinicians(pool, random, user_id)
    patients = [home.patient_id for home in population.homes]
    for tick in range(TICKS):
        population.at = START + (tick + 1) * timedelta(days=1)
        ask(pool, "update clock.shown set at = %s", population.at)
        population.deliver(2 * tick)
        population.deliver(2 * tick + 1)
        clinicians.notice()
        for _ in range(random.choice((0, 2, 12))):
            if clinicians.owner:
                clinicians.correct(patients, population.at)
        if random.random() < 0.7:
            population.judge()
    population.judge()

    for patient_id in patients:
        assert stored(pool, patient_id) == final(pool, clinicians, patient_id, population.at)
    ((corrected, retracted),) = ask(
        pool,
        "select (select count(*) from reading_correction), (select count(*) from episode where state = 'retracted')",
    )
    assert corrected > 50
    assert retracted > 0
    found = recompute(pool, threading.Event(), patience_s=0.0)
    assert found is not None
    assert found.differences == ()
    assert found.patients == PEOPLE


def stored(pool: Pool, patient_id: int) -> list[tuple[Any, ...]]:
    rows = ask(
        pool,
        """select rule_id, first_day, last_day, started_at, opened_at, state, resolved_at, priority from episode
           where patient_id = %s and state <> 'retracted'""",
        patient_id,
    )
    return sorted((*row[:6], row[6].isoformat() if row[6] else "", row[7]) for row in rows)


def final(pool: Pool, clinicians: Clinicians, patient_id: int, now: datetime) -> list[tuple[Any, ...]]:
    """What a judge says who knows no history, of exactly the readings that the clinicians have left this patient."""
    with pool.connection() as conn:
        history = history_of(conn, patient_id, since=START - timedelta(days=60))
        theirs = {each for each, owner in clinicians.owner.items() if owner == patient_id}
        assert set(history.window.reading_ids) == theirs
        return fresh_view(history, load_catalog(), now)


@pytest.mark.parametrize(("after", "is_told"), [(timedelta(hours=1), True), (timedelta(days=3), False)])
def test_whom_only_somebody_elses_better_value_had_reassured_hears_of_the_own_while_it_is_news(
    pool: Pool, after: timedelta, is_told: bool
) -> None:
    at = START + timedelta(hours=8)
    ((user_id,),) = ask(
        pool,
        "insert into app_user (login, display_name, role, password_hash) values ('d', 'D', 'doctor', '') returning user_id",
    )
    with pool.connection() as conn:
        home, spouse = (enrol(conn, enrolled_on=(START - timedelta(days=30)).date(), doctor_id=user_id) for _ in "12")
    low = home.pressure(at, 128, 80, measurement=_pulse(home.pressure(at), 38))
    better = home.pressure(at + timedelta(minutes=30), 126, 81)
    ask(pool, "update clock.shown set at = %s", at + timedelta(hours=1))
    Intake(pool).take(home.envelope(low, better), topic_gateway=home.gateway_id)
    judge(pool)
    assert ask(pool, TO_THE_PATIENT, home.patient_id) == []

    now = at + timedelta(hours=1) + after
    ask(pool, "update clock.shown set at = %s", now)
    clinicians = Clinicians(pool, Random(), user_id)
    corrections.reassign(
        pool,
        clinicians.of(better.reading_id, home.patient_id, now),
        to_patient_id=spouse.patient_id,
    )
    judge(pool)
    judge(pool)

    told = [("pulse-low-40",)] if is_told else []
    assert ask(pool, TO_THE_PATIENT, home.patient_id) == told
    found = recompute(pool, threading.Event(), patience_s=0.0)
    assert found is not None
    assert found.differences == ()


TO_THE_PATIENT = """select e.rule_id from push s join episode e using (episode_id)
                    where s.patient_id = %s and s.recipient = 'patient' and s.state <> 'cancelled'"""


def judge(pool: Pool) -> None:
    while Judge(pool, load_catalog()).judge_due():
        pass


def _pulse(reading: Reading, bpm: int) -> Measurement:
    return msgspec.structs.replace(reading.measurement, pulse_bpm=bpm)
