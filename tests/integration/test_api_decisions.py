"""What a clinician may decide about an alert over HTTP: once under each key, only on what was read, and undone within seconds."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fix_clinic import Clinic

from server import clock


@pytest.fixture
def doctor(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.client("doctor")


def in_hours(hours: float) -> str:
    return (clock.now() + timedelta(hours=hours)).isoformat()


def post(
    client: httpx2.Client, address: str, version: int, body: object = None, key: str | None = None
) -> httpx2.Response:
    headers = {"If-Match": f'"{version}"'} | ({"Idempotency-Key": key} if key else {})
    return client.post(address, headers=headers, json=body)


def test_an_alert_is_snoozed_noted_rated_closed_and_all_of_it_is_in_its_life(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    address = f"/api/v1/alerts/{episode_id}"

    snoozed = post(doctor, f"{address}/snooze", 1, {"until": in_hours(30)})
    noted = post(doctor, f"{address}/notes", 2, {"text": "calls back in the evening"})
    resolved = post(doctor, f"{address}/resolve", 3, {"resolution": "advised", "note": "less salt"})
    rated = post(doctor, f"{address}/rate", 4, {"is_useful": True})

    assert [each.status_code for each in (snoozed, noted, resolved, rated)] == [200] * 4
    assert (snoozed.json()["state"], snoozed.json()["snoozed_or_worse"]) == ("snoozed", True)
    assert snoozed.json()["undo_until"] is not None
    assert (rated.json()["is_useful"], rated.json()["version"]) == (True, 5)
    life = doctor.get(f"{address}/life").json()
    assert [(step["reason"], step["note"], step["by_name"]) for step in life["steps"][1:]] == [
        ("snoozed", "", "Dr. Lin"),
        ("noted", "calls back in the evening", "Dr. Lin"),
        ("advised", "less salt", "Dr. Lin"),
        ("useful", "", "Dr. Lin"),
    ]
    assert {message["recipient"] for message in life["messages"]} == {"patient", f"user:{doctor_id}"}
    acts = clinic.rows("select act from audit_entry where act like %s order by entry_id", "alert.%")
    assert [row["act"] for row in acts] == ["alert.snooze", "alert.note", "alert.resolve", "alert.rate"]
    figures = doctor.get("/api/v1/alerts/figures").json()
    assert (figures["alerts"], figures["rated"], figures["useful"], figures["acknowledged"]) == (1, 1, 1, 1)


def test_the_same_request_sent_again_is_done_once_and_answered_again(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    address = f"/api/v1/alerts/{episode_id}/resolve"

    first = post(doctor, address, 1, {"resolution": "reached"}, "a-1")
    again = post(doctor, address, 1, {"resolution": "reached"}, "a-1")
    other = post(doctor, address, 1, {"resolution": "advised"}, "a-1")
    without = post(doctor, address, 1, {"resolution": "reached"})

    assert [each.status_code for each in (first, again, other, without)] == [200, 200, 422, 412]
    assert again.json() == first.json()
    assert other.json()["title"] == "Key used before"
    assert len(clinic.rows("select 1 from decision")) == 1


def test_of_many_who_send_one_request_at_once_one_does_it_and_all_are_answered(clinic: Clinic, doctor_id: int) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    clients = [clinic.client("doctor") for _ in range(4)]

    def acknowledge(client: httpx2.Client) -> tuple[int, Any]:
        answer = post(client, f"/api/v1/alerts/{episode_id}/acknowledge", 1, key="once")
        return answer.status_code, answer.json()["version"]

    with ThreadPoolExecutor(len(clients)) as pool:
        assert list(pool.map(acknowledge, clients)) == [(200, 2)] * 4
    assert len(clinic.rows("select 1 from decision")) == 1


def test_undo_is_for_ten_seconds_and_for_whoever_decided(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    clinic.put_on_panel(clinic.add_user("nurse", "nurse"), patient_id)
    address = f"/api/v1/alerts/{episode_id}"
    post(doctor, f"{address}/acknowledge", 1).raise_for_status()

    another = post(clinic.client("nurse"), f"{address}/undo", 2)
    undone = post(doctor, f"{address}/undo", 2)
    post(doctor, f"{address}/acknowledge", 3).raise_for_status()
    clinic.clock.ahead = timedelta(seconds=11)
    late = post(doctor, f"{address}/undo", 4)

    assert (another.status_code, undone.status_code, late.status_code) == (409, 200, 409)
    assert (undone.json()["state"], undone.json()["acknowledged_by"]) == ("active", None)
    assert another.json()["title"] == "Nothing to undo"


def test_who_may_decide_what(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    patient_id, episode_id = clinic.critical_patient("王秀英", doctor_id)
    for login, role in (("nurse", "nurse"), ("chief", "admin")):
        clinic.put_on_panel(clinic.add_user(login, role), patient_id)  # type: ignore[arg-type]
    stranger = clinic.add_user("stranger")
    address = f"/api/v1/alerts/{episode_id}"

    assert stranger
    for path, body in (
        ("snooze", {"until": in_hours(1)}),
        ("notes", {"text": "x"}),
        ("rate", {"is_useful": True}),
        ("undo", None),
    ):
        assert post(clinic.client("stranger"), f"{address}/{path}", 1, body).status_code == 404
    assert clinic.client("stranger").get(f"{address}/life").status_code == 404
    nurse = clinic.client("nurse")
    assert post(nurse, f"{address}/resolve", 1, {"resolution": "medication_changed"}).status_code == 403
    assert post(doctor, f"{address}/snooze", 1, {"until": in_hours(25)}).status_code == 422, "urgent: a day at most"
    assert post(doctor, f"{address}/snooze", 1, {"until": in_hours(-1)}).status_code == 422
    assert post(nurse, f"{address}/resolve", 1, {"resolution": "reached"}).status_code == 200


def test_a_silence_is_made_seen_and_ended(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.add_user("stranger")
    body = {"patient_id": patient_id, "rule_id": "bp-above-140-90-3-days", "until": in_hours(48), "reason": "new pills"}
    headers = {"Idempotency-Key": "s-1"}

    made = doctor.post("/api/v1/silences", json=body, headers=headers)
    again = doctor.post("/api/v1/silences", json=body, headers=headers)
    foreign = clinic.client("stranger").post("/api/v1/silences", json=body)
    listed = doctor.get("/api/v1/silences").json()["silences"]
    ended = post(doctor, f"/api/v1/silences/{made.json()['silence_id']}/end", 1)
    twice = post(doctor, f"/api/v1/silences/{made.json()['silence_id']}/end", 2)

    assert (made.status_code, again.status_code, foreign.status_code) == (201, 201, 404)
    assert again.json() == made.json()
    assert [(each["reason"], each["made_by"]) for each in listed] == [("new pills", "Dr. Lin")]
    assert (ended.status_code, ended.json()["ended_by"], twice.status_code) == (200, "Dr. Lin", 409)
    assert doctor.get("/api/v1/silences").json()["silences"] == []
    assert len(doctor.get("/api/v1/silences?is_open=false").json()["silences"]) == 1
    (row,) = clinic.rows("select detail::text as said from audit_entry where act = 'silence.add'")
    assert "new pills" not in str(row["said"])


def test_a_clinic_sets_its_own_ladder_and_none_that_is_too_slow(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    clinic.add_user("chief", "admin")
    chief = clinic.client("chief")
    own = {
        "high": [
            {"whom": "backup", "after_s": 60},
            {"whom": "supervisor", "after_s": 120},
            {"whom": "desk", "after_s": 180},
        ]
    }
    body = {"ladders": own, "supervisor": doctor_id}
    put = {"If-Match": '"0"'}

    refused = doctor.put("/api/v1/ladders", json=body, headers=put)
    slow = chief.put("/api/v1/ladders", json={"ladders": {"high": [{"whom": "desk", "after_s": 600}]}}, headers=put)
    unknown = chief.put("/api/v1/ladders", json=body | {"supervisor": 999}, headers=put)
    made = chief.put("/api/v1/ladders", json=body, headers=put)
    stale = chief.put("/api/v1/ladders", json=body, headers=put)

    assert [each.status_code for each in (refused, slow, unknown, made, stale)] == [403, 422, 422, 200, 412]
    found = doctor.get("/api/v1/ladders").json()
    assert (found["ladders"]["high"], found["supervisor"]) == (own["high"], doctor_id)
    assert found["ladders"]["medium"][0] == {"whom": "backup", "after_s": 1800}, "left out: the product's own"
    assert [row["act"] for row in clinic.rows("select act from audit_entry where act = 'ladder.set'")] == ["ladder.set"]


def test_quiet_hours_are_set_by_those_whom_they_concern(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    other_id = clinic.add_user("chief", "admin")
    chief, night = clinic.client("chief"), {"begins_at": "22:00", "ends_at": "07:00"}

    answers = [
        doctor.put(f"/api/v1/quiet-hours/user:{doctor_id}", json=night),
        doctor.put(f"/api/v1/quiet-hours/patient:{patient_id}", json=night),
        chief.put("/api/v1/quiet-hours/clinicians", json=night),
        doctor.put("/api/v1/quiet-hours/clinicians", json=night),
        doctor.put(f"/api/v1/quiet-hours/user:{other_id}", json=night),
        chief.put(f"/api/v1/quiet-hours/patient:{patient_id}", json=night),
        doctor.put(f"/api/v1/quiet-hours/user:{doctor_id}", json={"begins_at": "22:00", "ends_at": None}),
        doctor.put(f"/api/v1/quiet-hours/user:{doctor_id}", json={"begins_at": "22:00", "ends_at": "22:00"}),
        doctor.put("/api/v1/quiet-hours/everybody", json=night),
    ]

    assert [each.status_code for each in answers] == [204, 204, 204, 403, 403, 404, 422, 422, 422]
    shown = {each["subject"]: each["begins_at"] for each in doctor.get("/api/v1/quiet-hours").json()["quiet_hours"]}
    assert shown == {f"user:{doctor_id}": "22:00", "clinicians": "22:00"}
