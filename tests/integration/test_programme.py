"""The programme's figures, counted by hand beside what the house counts, and that nobody can be made out in the house's."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import httpx2
import numpy as np
import pytest
from fix_clinic import Clinic, local_at, local_today
from hypothesis import given
from hypothesis import strategies as st

from server.programme.figures import is_rounded
from server.programme.report import figures_of
from server.store.postgres import transaction


@pytest.fixture
def ward(clinic: Clinic, doctor_id: int) -> dict[str, int]:
    """Four people: controlled, controlled by the document's line alone, controlled by too few readings, and missing."""
    people = {name: clinic.add_patient(name, doctor_id) for name in ("well", "between", "few", "missing")}
    clinic.rows("update patient set enrolled_on = %s returning 1", local_today() - timedelta(days=100))
    for back in range(8, 0, -1):
        for hour in (7, 20):
            clinic.add_pressure(people["well"], local_at(back, hour), 121 + back, 77 + hour % 3)
            clinic.add_pressure(people["between"], local_at(back, hour), 137, 84)
    for back in (6, 4, 2):
        clinic.add_pressure(people["few"], local_at(back, 7), 160 if back == 6 else 118, 76)
    return people


def figures(program: httpx2.Client, **asked: object) -> dict[str, Any]:
    answer = program.get("/api/v1/programme", params={"days": 30, **asked})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_control_is_of_those_of_whom_there_is_a_mean_and_the_missing_are_said(
    clinic: Clinic, ward: dict[str, int]
) -> None:
    found = figures(clinic.client("doctor"))
    cells = found["cells"]
    assert (cells["control"]["part"], cells["control"]["whole"]) == (2, 3)
    assert cells["control_document"]["part"] == 3
    assert (cells["control_missing"]["part"], cells["control_missing"]["whole"]) == (1, 4)
    assert set(found["definitions"]["control"]) == {"en", "zh"}


@pytest.mark.parametrize("hour", [0, 3, 8, 16, 23])
def test_a_day_is_the_patients_own_at_any_hour(clinic: Clinic, ward: dict[str, int], hour: int) -> None:
    clinic.rows("update patient set enrolled_on = %s returning 1", local_today() - timedelta(days=90))
    with transaction(clinic.pool) as conn:
        found = figures_of(conn, user_id=None, days=90, now=local_at(0, hour, 30))
    assert (found.control.enrolled, found.alerts.patient_days) == (4, 4 * 90)


def test_who_is_new_is_not_asked_for_control(clinic: Clinic, ward: dict[str, int]) -> None:
    clinic.rows("update patient set enrolled_on = %s returning 1", local_today() - timedelta(days=60))
    assert figures(clinic.client("doctor"))["cells"]["control"]["whole"] == 0


def test_alerts_are_counted_with_what_people_made_of_them(clinic: Clinic, doctor_id: int) -> None:
    patient_id, trend = clinic.high_patient("王秀英", doctor_id)
    _, critical = clinic.critical_patient("李强", doctor_id)
    clinic.rows("update push set state = 'sent', sent_at = now() - interval '30 minutes' returning 1")
    program = clinic.client("doctor")
    for episode_id in (trend, critical):
        etag = program.get(f"/api/v1/alerts/{episode_id}").headers["ETag"]
        program.post(f"/api/v1/alerts/{episode_id}/acknowledge", headers={"If-Match": etag}).raise_for_status()
    clinic.rows(
        "update episode set is_useful = (episode_id = %s), opened_at = now() - interval '1 day' returning 1", trend
    )
    found = figures(program)
    assert (found["staff_alerts"], found["unacknowledged"], found["unrated"]) == (2, 0, 0)
    assert found["staff_alerts_a_patient_day"] == pytest.approx(2 / found["patient_days"])
    assert found["acknowledge_median_s"] == pytest.approx(1800, abs=120)
    assert found["cells"]["useful"] == {"part": 1, "whole": 2, "share": 0.5, "is_small": False}
    assert patient_id


def test_adherence_is_of_planned_times_that_are_over(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    program = clinic.client("doctor")
    plan = {"items": [{"kind": "measure", "of": "blood_pressure", "at": ["07:30", "19:30"]}]}
    body = {"plan": plan, "reason": "agreed"}
    program.put(f"/api/v1/patients/{patient_id}/plan", json=body, headers={"If-Match": '"0"'}).raise_for_status()
    clinic.rows("alter table patient_plan disable trigger user")
    clinic.rows("update patient_plan set set_at = %s returning 1", local_at(5, 0))
    for back in (5, 4, 3):
        clinic.add_pressure(patient_id, local_at(back, 7, 45), 128, 80)
    cell = figures(program)["cells"]["adherence"]
    kept = program.get(f"/api/v1/patients/{patient_id}/adherence?days=30").json()
    assert cell["part"] == 3
    assert cell["whole"] in (10, 11, 12)
    assert kept["measured"] == 3


def test_the_figures_of_the_house_are_an_admins_and_show_nobody(
    clinic: Clinic, ward: dict[str, int], doctor_id: int
) -> None:
    clinic.add_user("admin", "admin")
    admin, doctor = clinic.client("admin"), clinic.client("doctor")
    assert doctor.get("/api/v1/programme?of=house").status_code == 403
    assert figures(admin)["patients"] == 0, "an admin has no panel"
    few = figures(admin, of="house")
    assert few["patients"] is None
    assert few["cells"]["control"]["is_small"]
    for number in range(8):
        clinic.add_patient(f"new {number}", doctor_id)
    more = figures(admin, of="house")
    assert more["patients"] == 12
    assert more["cells"]["control_missing"] == {"part": None, "whole": 12, "share": None, "is_small": True}
    assert more["patients_flagged_by_digits"] == []


def test_the_command_prints_the_same_as_json(clinic: Clinic, ward: dict[str, int], database_url: str) -> None:
    environment = os.environ | {"HOMEVIGIL_SERVER_DATABASE_URL": database_url}
    done = subprocess.run(
        [sys.executable, "-m", "server", "programme", "--days", "30", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["patients"] is None
    assert found["definitions"]["control"]


def test_who_is_silent_and_what_is_silent_are_told_apart(clinic: Clinic, doctor_id: int) -> None:
    silent_id, _ = (clinic.add_patient(name, doctor_id) for name in ("silent", "no meter"))
    clinic.rows(
        "insert into gateway (gateway_id, zone, last_heard_at, first_heard_at)"
        " values ('gw-1', 'Asia/Shanghai', now(), now() - interval '90 days') returning 1"
    )
    clinic.rows(
        "insert into meter_binding (meter_id, gateway_id, patient_id, bound_by, valid_from)"
        " values ('F0:00:00:10:00:01', 'gw-1', %s, 'test', now() - interval '60 days') returning 1",
        silent_id,
    )
    clinic.rows("update patient set created_at = now() - interval '60 days' returning 1")
    clinic.add_pressure(silent_id, clinic.clock() - timedelta(days=12), 128, 80)
    found = clinic.client("doctor").get("/api/v1/silent-patients").json()["patients"]
    assert [(each["patient"]["name"], each["cause"], each["is_lost"]) for each in found] == [
        ("no meter", "meter", False),
        ("silent", "patient", True),
    ]
    assert (found[1]["days"], found[1]["lost_after"]) == (11, 7)


@given(values=st.lists(st.integers(90, 180), min_size=30, max_size=300))
def test_rounded_values_are_flagged_and_a_meters_own_are_not(values: list[int]) -> None:
    rounded = np.bincount([round(each / 5) * 5 % 10 for each in values], minlength=10)
    even = np.full(10, 30)
    assert is_rounded(rounded)
    assert not is_rounded(even)
