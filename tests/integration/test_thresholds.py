"""A patient's own numbers over HTTP: versioned with who and why, checked against the rule, and judged by at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from fix_clinic import Clinic

from server.watch.recompute import recompute_one

RULE = "bp-above-140-90-3-days"
METER_RULE = "check-the-meter"


@pytest.fixture
def doctor(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.client("doctor")


def put(
    client: httpx2.Client, patient_id: int, *, rule_id: str = RULE, version: int = 0, **body: Any
) -> httpx2.Response:
    return client.put(
        f"/api/v1/patients/{patient_id}/thresholds/{rule_id}",
        headers={"If-Match": f'"{version}"'},
        json={"parameters": {"systolic": 160.0, "diastolic": 100.0}, "reason": "frail, falls", **body},
    )


def states(clinic: Clinic, patient_id: int) -> list[tuple[object, object, object]]:
    rows = clinic.rows(
        "select threshold_version, state, resolution from episode where patient_id = %s order by threshold_version",
        patient_id,
    )
    return [(row["threshold_version"], row["state"], row["resolution"]) for row in rows]


def test_new_numbers_end_what_was_judged_by_the_old_and_open_what_holds_by_the_new(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)

    answer = put(doctor, patient_id)
    clinic.judge(patient_id)
    assert states(clinic, patient_id) == [(0, "resolved", "threshold_changed")]
    back = put(doctor, patient_id, version=1, parameters={"systolic": 145.5}, reason="better again")
    clinic.judge(patient_id)

    assert (answer.status_code, answer.headers["ETag"], back.headers["ETag"]) == (200, '"1"', '"2"')
    assert states(clinic, patient_id) == [(0, "resolved", "threshold_changed"), (2, "active", None)]
    found = recompute_one(clinic.pool, patient_id, patience_s=0.0, stop=threading.Event())
    assert found.differences == ()


def test_every_version_is_kept_with_who_set_it_and_why(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    put(doctor, patient_id).raise_for_status()
    put(doctor, patient_id, version=1, parameters={}, reason="as everybody").raise_for_status()

    second, first = doctor.get(f"/api/v1/patients/{patient_id}/thresholds").json()["thresholds"]

    assert (first["version"], first["parameters"], first["reason"]) == (
        1,
        {"systolic": 160.0, "diastolic": 100.0},
        "frail, falls",
    )
    assert (second["version"], second["parameters"], second["set_by"]) == (2, {}, "doctor")
    assert first["set_at"] < second["set_at"]


def test_a_rule_that_is_switched_off_for_a_patient_speaks_of_them_no_more(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)

    put(doctor, patient_id, parameters={}, is_watched=False, reason="in palliative care").raise_for_status()

    assert clinic.judge(patient_id) == []
    assert states(clinic, patient_id) == [(0, "resolved", "threshold_changed")]


@pytest.mark.parametrize(
    ("rule_id", "body", "status", "says"),
    [
        (RULE, {"parameters": {"pulse": 50.0}}, 422, "has no parameter 'pulse'"),
        (RULE, {"parameters": {"systolic": 1000.0}}, 422, "must be a number from 20 to 300 mmHg"),
        (RULE, {"parameters": {"systolic": "150"}}, 422, "see errors"),
        (RULE, {"parameters": {"systolic": True}}, 422, "see errors"),
        (RULE, {"reason": "  "}, 422, "say why"),
        (RULE, {"reason": "x" * 501}, 422, "see errors"),
        (METER_RULE, {"parameters": {"systolic": 150.0}}, 422, "has no parameter 'systolic'"),
        ("no-such-rule", {}, 404, "no such rule"),
        (RULE, {"parameters": {}}, 409, "the patient's threshold is so already"),
    ],
)
def test_numbers_that_do_not_fit_the_rule_are_refused_and_nobody_is_judged_by_them(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client, rule_id: str, body: dict[str, Any], status: int, says: str
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)

    answer = put(doctor, patient_id, rule_id=rule_id, **body)

    assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text
    assert (
        clinic.rows("select * from patient_threshold") == clinic.rows("select * from due where reason <> 'timer'") == []
    )


def test_only_a_doctor_who_sees_the_patient_sets_numbers(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.put_on_panel(clinic.add_user("nurse", "nurse"), patient_id)
    clinic.put_on_panel(clinic.add_user("boss", "admin"), patient_id)
    clinic.add_user("stranger")

    answers = [put(clinic.client(login), patient_id).status_code for login in ("nurse", "boss", "stranger")]

    assert answers == [403, 404, 404], "who runs the house sees no record, on whatever panel"
    assert clinic.client("stranger").get(f"/api/v1/patients/{patient_id}/thresholds").status_code == 404
    assert clinic.rows("select * from patient_threshold") == []


def test_of_many_at_once_exactly_one_sets_the_next_version(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clients = [clinic.client("doctor") for _ in range(5)]

    def set_one(at: int) -> int:
        return put(clients[at], patient_id, parameters={"systolic": 150.0 + at}).status_code

    with ThreadPoolExecutor(len(clients)) as threads:
        answers = sorted(threads.map(set_one, range(len(clients))))

    assert answers == [200, 412, 412, 412, 412]
    late = put(doctor, patient_id)
    assert (late.headers["ETag"], late.json()["changed_by"]) == ('"1"', "doctor")
    without = doctor.put(f"/api/v1/patients/{patient_id}/thresholds/{RULE}", json={"parameters": {}, "reason": "none"})
    assert without.status_code == 428
