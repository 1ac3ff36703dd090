"""What is over goes in the night, once, by a clock with its source; what somebody holds stays."""

from datetime import timedelta

import pytest
from fix_clinic import Clinic

from server import clock
from server.people import erasure, links, retention
from server.people.retention import CLOCKS, HALF_A_YEAR
from server.store.postgres import transaction
from server.watch.retention import keep_once


@pytest.fixture
def patients(clinic: Clinic) -> list[int]:
    """Two, each with a link that has ended and one that has not, and a diagnosis of the box at home; the second one is held."""
    lin = clinic.add_user("lin")
    found = [clinic.add_patient(name, lin) for name in ("Ottilie", "Konrad")]
    now = clock.now()
    clinic.rows("insert into gateway (gateway_id, zone) values ('gw-0', 'Asia/Shanghai'), ('gw-9', 'Asia/Shanghai')")
    with transaction(clinic.pool) as conn:
        for n, each in enumerate(found):
            for days in (1, 400):
                links.issue_patient_link(conn, each, now=now, valid_for=timedelta(days=days))
            conn.execute(
                "insert into meter_binding (meter_id, gateway_id, patient_id, bound_by, valid_from)"
                " values (%s, %s, %s, 'x', now())",
                (f"F0:00:00:00:00:0{n}", f"gw-{9 * n}", each),
            )
            conn.execute(
                "insert into gateway_diagnosis (gateway_id, request, document) values (%s, 'r', '{}')", (f"gw-{9 * n}",)
            )
            conn.execute("insert into record_code values (%s, 'x', %s, now() + interval '15 minutes')", (each, lin))
        until = now + timedelta(days=365 * 3)
        erasure.hold(conn, found[1], reason="claim", until=until, actor="cli:test", now=now)
    return found


def test_each_clock_runs_out_at_its_time_and_a_hold_stops_it(clinic: Clinic, patients: list[int]) -> None:
    begin = clock.now()
    for after, expected in (
        (timedelta(0), {}),
        (timedelta(minutes=16), {"record_codes": 2}),
        (timedelta(days=91), {"diagnoses": 1}),
        (HALF_A_YEAR, {}),
        (HALF_A_YEAR + timedelta(days=1, minutes=1), {"patient_links": 1}),
        (timedelta(days=365 * 3, minutes=1), {"patient_links": 3, "diagnoses": 1}),
    ):
        now = begin + after
        with transaction(clinic.pool) as conn:
            rehearsed = retention.rehearse(conn, now=now)
        report = retention.carry_out(clinic.pool, actor="server:watch", now=now)
        assert report == rehearsed, "a dry run says what a run does"
        assert report is not None
        assert {name: rows for name, rows in report.removed.items() if rows} == expected, after
    assert clinic.rows("select count(*) as n from patient_link where expires_at < '2100-01-01'") == [{"n": 0}]
    noted = clinic.rows("select count(*) as n from audit_entry where act = 'retention.run' and actor = 'server:watch'")
    assert noted == [{"n": 6}]


def test_it_is_carried_out_once_a_night(clinic: Clinic, patients: list[int]) -> None:
    for _ in range(3):
        keep_once(clinic.pool, ())
    assert clinic.rows("select count(*) as n from retention_run") == [{"n": 1}]


def test_every_clock_says_its_source() -> None:
    assert all("article" in each.source and each.keeps >= timedelta(0) for each in CLOCKS)
