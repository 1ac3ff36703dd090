"""An alert of several signs on a real PostgreSQL: who is told, what it names, what late data does, and what the oracle says."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from wards import Ward, ask, make_ward

from server.clock import now
from server.people.evidence import reading_ids
from server.store.postgres import Pool, transaction
from server.watch.recompute import recompute_one
from vitals.reading import OxygenSaturation, Reading, Temperature

RULE = "fever-and-low-oxygen"
HOUR = timedelta(hours=1)


@pytest.fixture
def ward(pool: Pool) -> Ward:
    with transaction(pool) as conn:
        made = make_ward(conn, pool)
        conn.execute(
            """insert into patient_threshold (patient_id, rule_id, version, parameters, set_by, set_at, is_watched)
               values (%s, %s, 1, '{}', %s, now(), true)""",
            (made.home.patient_id, RULE, made.doctor_id),
        )
    return made


def fever(ward: Ward, *, ago: timedelta, celsius: float = 38.6) -> Reading:
    measured = Temperature(temperature_celsius=celsius, unit_sent="°C")
    return ward.home.other(now().replace(microsecond=0) - ago, measured, "2a1c")


def oxygen(ward: Ward, *, ago: timedelta, percent: float) -> Reading:
    return ward.home.other(now().replace(microsecond=0) - ago, OxygenSaturation(spo2_percent=percent), "2a5e")


def alerts(ward: Ward) -> list[Any]:
    query = "select state, priority, opened_at, resolved_at, verdict from episode where rule_id = %(rule)s"
    return ask(ward.pool, query, rule=RULE)


def differences(ward: Ward) -> list[Any]:
    """What the nightly comparison says of this patient."""
    found = recompute_one(ward.pool, ward.home.patient_id, patience_s=0.0, stop=threading.Event())
    return [each.kind for each in found.differences]


def test_two_meters_make_one_alert_that_names_both_readings_and_is_urgent(ward: Ward) -> None:
    hot, low = fever(ward, ago=2 * HOUR), oxygen(ward, ago=HOUR, percent=93)
    ward.take(hot, seq=1)
    assert alerts(ward) == []
    ward.take(low, seq=2)
    ((state, priority, opened_at, _, verdict),) = alerts(ward)
    assert (state, priority, opened_at) == ("active", "high", low.measured_at)
    assert reading_ids(verdict) == (hot.reading_id, low.reading_id)
    assert [part["said"] for part in verdict["parts"]] == ["yes", "yes"]
    ward.send()
    assert {("doctor's", 0), ("patient", 0)} <= set(ward.told())
    assert differences(ward) == []


def test_a_better_oxygen_ends_it(ward: Ward) -> None:
    ward.take(fever(ward, ago=3 * HOUR), oxygen(ward, ago=2 * HOUR, percent=93), seq=1)
    better = oxygen(ward, ago=HOUR, percent=96)
    ward.take(better, seq=3)
    ((state, _, _, resolved_at, _),) = alerts(ward)
    assert (state, resolved_at) == ("resolved", better.measured_at)
    assert differences(ward) == []


def test_a_good_oxygen_that_comes_late_takes_it_back(ward: Ward) -> None:
    ward.take(oxygen(ward, ago=5 * HOUR, percent=93), fever(ward, ago=2 * HOUR), seq=1)
    assert [row[0] for row in alerts(ward)] == ["active"]
    assert differences(ward) == []
    ward.take(oxygen(ward, ago=4 * HOUR, percent=97), seq=3)
    assert [row[0] for row in alerts(ward)] == ["retracted"]
    assert differences(ward) == []


def test_silence_ends_nothing_though_the_view_does_not_reach_back_to_the_answers(ward: Ward) -> None:
    """Both signs are of a month ago; what is measured today judges the patient anew."""
    month = timedelta(days=30)
    ward.take(fever(ward, ago=month + HOUR), oxygen(ward, ago=month, percent=93), seq=1)
    ward.measure(124, 78, seq=3)
    assert [row[0] for row in alerts(ward)] == ["active"]
    assert differences(ward) == []


def test_what_is_not_chosen_for_a_patient_says_nothing(ward: Ward) -> None:
    ask(ward.pool, "update patient_threshold set is_watched = false")
    ward.take(fever(ward, ago=2 * HOUR), oxygen(ward, ago=HOUR, percent=93), seq=1)
    assert alerts(ward) == []
