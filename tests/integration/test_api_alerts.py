"""The alerts of one's own panel over HTTP, and the two decisions of which only one can win."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fix_clinic import Clinic

from server.api.shapes import ReadingOut
from server.people.decisions import UNTRUE, Resolution
from server.store import worklist
from server.store.notes import unseal
from server.store.postgres import transaction

RESOLUTIONS = list(Resolution)


@pytest.fixture
def doctor(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.client("doctor")


def test_an_alert_explains_itself_in_both_languages_and_names_its_readings(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)

    (alert,) = doctor.get("/api/v1/alerts").json()["alerts"]

    assert alert["episode_id"] == str(episode_id)
    assert alert["patient"] == {"patient_id": patient_id, "name": "王秀英"}
    assert alert["rule"]["rule_id"] == "bp-above-140-90-3-days"
    assert alert["rule"]["version"] == 1
    assert alert["title"]["zh"] == "连续 3 个测量日血压高于 140/90"
    assert alert["sentence"]["en"].endswith("on 3 measured days in a row: 152/94, 149/92, 155/96")
    assert alert["sentence"]["zh"].endswith("：152/94、149/92、155/96")
    assert (alert["priority"], alert["state"], alert["etag"]) == ("low", "active", '"1"')
    stored = clinic.rows(
        "select reading_id from reading where patient_id = %s and systolic_mmhg > 140 order by measured_at", patient_id
    )
    assert alert["evidence"] == [str(row["reading_id"]) for row in stored]


def test_acknowledging_needs_the_version_that_was_read(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    address = f"/api/v1/alerts/{episode_id}"
    etag = doctor.get(address).headers["ETag"]

    without = doctor.post(f"{address}/acknowledge")
    anything = doctor.post(f"{address}/acknowledge", headers={"If-Match": "*"})
    stale = doctor.post(f"{address}/acknowledge", headers={"If-Match": '"99"'})
    weak = doctor.post(f"{address}/acknowledge", headers={"If-Match": f"W/{etag}"})
    right = doctor.post(f"{address}/acknowledge", headers={"If-Match": etag})

    assert [each.status_code for each in (without, anything, stale, weak, right)] == [428, 428, 412, 412, 200]
    assert stale.headers["ETag"] == etag
    assert right.json()["state"] == "acknowledged"
    assert right.json()["acknowledged_by"] == "Dr. Lin"
    assert right.headers["ETag"] == '"2"'


def test_who_comes_second_is_told_who_was_first(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    clinic.put_on_panel(clinic.add_user("nurse", "nurse", name="Wang Min"), patient_id)
    nurse = clinic.client("nurse")
    address = f"/api/v1/alerts/{episode_id}/acknowledge"

    first = nurse.post(address, headers={"If-Match": '"1"'})
    second = doctor.post(address, headers={"If-Match": '"1"'})

    assert first.status_code == 200
    assert second.status_code == 412
    assert second.json()["changed_by"] == "Wang Min"
    assert second.json()["state"] == "acknowledged"
    assert second.headers["content-type"] == "application/problem+json"


def test_of_many_at_once_exactly_one_acknowledges(clinic: Clinic, doctor_id: int) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    clients = [clinic.client("doctor") for _ in range(6)]

    def acknowledge(client: httpx2.Client) -> int:
        return client.post(f"/api/v1/alerts/{episode_id}/acknowledge", headers={"If-Match": '"1"'}).status_code

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = sorted(pool.map(acknowledge, clients))

    assert answers == [200, 412, 412, 412, 412, 412]
    steps = clinic.rows("select to_state from episode_transition where episode_id = %s", episode_id)
    assert [step["to_state"] for step in steps] == ["active", "acknowledged"]


def test_acknowledging_is_written_into_the_biography_with_who_and_when(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)

    doctor.post(f"/api/v1/alerts/{episode_id}/acknowledge", headers={"If-Match": '"1"'}).raise_for_status()

    (step,) = clinic.rows(
        "select from_state, to_state, by_user from episode_transition where episode_id = %s and by_user is not null",
        episode_id,
    )
    assert step == {"from_state": "active", "to_state": "acknowledged", "by_user": doctor_id}
    (episode,) = clinic.rows("select acknowledged_by, acknowledged_at from episode where episode_id = %s", episode_id)
    assert episode["acknowledged_by"] == doctor_id
    assert episode["acknowledged_at"] is not None


def test_acknowledging_cancels_the_reminders_and_keeps_the_opening_messages(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    _add_reminder(clinic, episode_id, doctor_id)

    doctor.post(f"/api/v1/alerts/{episode_id}/acknowledge", headers={"If-Match": '"1"'}).raise_for_status()

    states = {(row["recipient"], row["step"]): row["state"] for row in _pushes(clinic, episode_id)}
    assert states == {
        ("patient", 0): "pending",
        (f"user:{doctor_id}", 0): "pending",
        (f"user:{doctor_id}", 1): "cancelled",
    }


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_resolving_says_how_it_ended_and_who_is_no_longer_told(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client, resolution: Resolution
) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    _add_reminder(clinic, episode_id, doctor_id)

    answer = doctor.post(
        f"/api/v1/alerts/{episode_id}/resolve",
        headers={"If-Match": '"1"'},
        json={"resolution": resolution, "note": "called at noon"},
    )

    assert answer.status_code == 200
    alert = answer.json()
    assert (alert["state"], alert["resolution"], alert["resolved_by"]) == ("resolved", resolution, "Dr. Lin")
    assert alert["acknowledged_by"] == "Dr. Lin"  # who closes it has seen it
    (step,) = clinic.rows(
        "select reason, note from episode_transition where episode_id = %s and to_state = 'resolved'", episode_id
    )
    assert step["reason"] == resolution
    assert step["note"] != b"called at noon"  # it may name somebody: it lies sealed
    with transaction(clinic.pool) as conn:
        assert unseal(conn, patient_id, step["note"], "episode_transition.note") == "called at noon"
    waiting = {(row["recipient"], row["step"]) for row in _pushes(clinic, episode_id) if row["state"] == "pending"}
    assert waiting == (set() if resolution in UNTRUE else {("patient", 0), (f"user:{doctor_id}", 0)})


def test_what_is_over_cannot_be_decided_about_again(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    address = f"/api/v1/alerts/{episode_id}"
    body = {"resolution": "reached"}
    doctor.post(f"{address}/resolve", headers={"If-Match": '"1"'}, json=body).raise_for_status()

    again = doctor.post(f"{address}/resolve", headers={"If-Match": '"2"'}, json=body)
    acknowledged = doctor.post(f"{address}/acknowledge", headers={"If-Match": '"2"'})

    assert (again.status_code, acknowledged.status_code) == (409, 409)
    assert again.json()["state"] == "resolved"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"resolution": "better"},
        {"resolution": 1},
        {"resolution": "reached", "note": 5},
        {"resolution": "reached", "note": "x" * 501},
        {"resolution": "reached", "note": "a\x00b"},
        {"resolution": "reached", "by": "me"},
    ],
)
def test_a_resolution_that_is_none_of_ours_changes_nothing(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client, body: dict[str, object]
) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)

    answer = doctor.post(f"/api/v1/alerts/{episode_id}/resolve", headers={"If-Match": '"1"'}, json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert clinic.rows("select state, version from episode") == [{"state": "active", "version": 1}]


def test_alerts_are_filtered_by_state_and_priority(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    _, low = clinic.high_patient("王秀英", doctor_id)
    _, medium = clinic.critical_patient("李强", doctor_id)
    doctor.post(f"/api/v1/alerts/{low}/acknowledge", headers={"If-Match": '"1"'}).raise_for_status()

    def found(query: str) -> set[str]:
        return {alert["episode_id"] for alert in doctor.get(f"/api/v1/alerts?{query}").json()["alerts"]}

    assert found("") == {str(low), str(medium)}
    assert found("state=active") == {str(medium)}
    assert found("state=active&state=acknowledged") == {str(low), str(medium)}
    assert found("priority=low") == {str(low)}
    assert found("state=active&priority=low") == set()


def test_paging_by_cursor_shows_every_alert_once_in_order(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    made = {str(clinic.critical_patient(f"Patient {number}", doctor_id)[1]) for number in range(7)}

    pages = list(_pages(doctor, limit=3))

    assert [len(page) for page in pages] == [3, 3, 1]
    alerts = [alert for page in pages for alert in page]
    assert {alert["episode_id"] for alert in alerts} == made
    opened = [(alert["opened_at"], alert["episode_id"]) for alert in alerts]
    assert opened == sorted(opened, reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=500",
        "limit=x",
        "cursor=nonsense",
        "cursor=%00",
        "state=odd",
        "priority=",
        "page=2",
        "cursor=MjAyNnx4",
    ],
)
def test_a_page_that_cannot_be_is_a_problem_and_not_a_fault(doctor: httpx2.Client, query: str) -> None:
    answer = doctor.get(f"/api/v1/alerts?{query}")

    assert answer.status_code == 422
    assert answer.json()["title"] == "Not understood"


def test_a_reading_of_any_kind_says_what_was_measured_and_nothing_else(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    measured = {
        "weight": {"weight_kg": 81.4},
        "oxygen_saturation": {"spo2_percent": 93.0, "pulse_bpm": 88.0},
        "temperature": {"temperature_celsius": 38.4},
        "sensor_glucose": {"glucose_mmol_l": 6.2, "glucose_mg_dl": 111.7},
    }
    for minutes, (kind, values) in enumerate(measured.items()):
        clinic.add_value(patient_id, kind, clinic.clock() - timedelta(minutes=minutes), **values)

    readings = doctor.get(f"/api/v1/patients/{patient_id}/readings").json()["readings"]

    numbers = [
        name for name in ReadingOut.model_fields if re.search(r"_(mmhg|bpm|mmol_l|mg_dl|kg|percent|celsius)$", name)
    ]
    assert len(numbers) == 9
    said = {each["kind"]: {name: each[name] for name in numbers if each[name] is not None} for each in readings}
    assert said == measured


def test_readings_come_newest_first_with_their_provenance(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.critical_patient("李强", doctor_id)
    clinic.add_pressure(
        patient_id, clinic.clock() - timedelta(minutes=1), None, None, quality="invalid", reasons=["value_special"]
    )

    page = doctor.get(f"/api/v1/patients/{patient_id}/readings?limit=1").json()
    rest = doctor.get(f"/api/v1/patients/{patient_id}/readings?limit=5&cursor={page['next']}").json()

    (newest,) = page["readings"]
    assert newest["systolic_mmhg"] is None
    assert (newest["quality"], newest["quality_reasons"]) == ("invalid", ["value_special"])
    assert newest["measured_at"].endswith("Z")
    assert [reading["systolic_mmhg"] for reading in rest["readings"]] == [188.0]
    assert rest["next"] is None


def test_the_inbox_holds_what_was_sent_and_marks_what_was_taken_back(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    assert doctor.get("/api/v1/inbox").json()["messages"] == []  # not sent yet
    clinic.deliver()

    (message,) = doctor.get("/api/v1/inbox").json()["messages"]

    assert message["episode_id"] == str(episode_id)
    assert message["patient"]["patient_id"] == patient_id
    assert message["text"]["en"]["body"].endswith("152/94, 149/92, 155/96")
    assert (message["state"], message["read_at"]) == ("sent", None)
    clinic.rows("update push set state = 'withdrawn' where recipient = %s returning 1", f"user:{doctor_id}")
    assert doctor.get("/api/v1/inbox").json()["messages"][0]["state"] == "withdrawn"


def test_what_is_sent_to_the_clinic_reaches_everybody_who_sees_the_patient_and_nobody_else(clinic: Clinic) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", None)
    clinic.put_on_panel(clinic.add_user("wang", "nurse"), patient_id)
    clinic.put_on_panel(clinic.add_user("zhao", "doctor"), patient_id)
    clinic.add_user("stranger")
    clinic.deliver()

    wang, zhao, stranger = (_inbox(clinic.client(login)) for login in ("wang", "zhao", "stranger"))

    (message,) = wang
    assert (message["episode_id"], message["is_for_clinic"], message["state"]) == (str(episode_id), True, "sent")
    assert zhao == wang
    assert stranger == []


def test_a_doctor_whose_account_is_closed_leaves_the_messages_to_the_clinic(clinic: Clinic, doctor_id: int) -> None:
    clinic.rows("update app_user set active = false where user_id = %s returning 1", doctor_id)
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    clinic.put_on_panel(clinic.add_user("wang", "nurse"), patient_id)
    clinic.deliver()

    assert {(row["recipient"], row["state"]) for row in _pushes(clinic, episode_id)} == {
        ("patient", "sent"),
        ("clinic", "sent"),
        (f"user:{doctor_id}", "undeliverable"),
    }
    (message,) = _inbox(clinic.client("wang"))
    assert (message["patient"]["patient_id"], message["is_for_clinic"]) == (patient_id, True)


def test_a_doctors_own_messages_are_not_the_clinics(clinic: Clinic, doctor_id: int) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.put_on_panel(clinic.add_user("wang", "nurse"), patient_id)
    clinic.deliver()

    (message,) = _inbox(clinic.client("doctor"))
    assert message["is_for_clinic"] is False
    assert _inbox(clinic.client("wang")) == []


def test_one_reads_the_clinics_messages_for_all_and_a_stranger_for_nobody(clinic: Clinic) -> None:
    patient_id, _ = clinic.high_patient("王秀英", None)
    users = {login: clinic.add_user(login) for login in ("wang", "zhao", "stranger")}
    for login in ("wang", "zhao"):
        clinic.put_on_panel(users[login], patient_id)
    clinic.deliver()
    (message,) = _inbox(clinic.client("wang"))

    def unread() -> dict[str, int]:
        with transaction(clinic.pool) as conn:
            return {login: worklist.count_unread(conn, user_id=user_id) for login, user_id in users.items()}

    def read(login: str) -> None:
        browser, csrf_token = clinic.browser_client(login)
        form = {"csrf_token": csrf_token, "push_id": message["push_id"]}
        assert browser.post("/inbox/read", data=form).status_code == 303

    assert unread() == {"wang": 1, "zhao": 1, "stranger": 0}
    read("stranger")
    assert unread() == {"wang": 1, "zhao": 1, "stranger": 0}
    read("zhao")
    assert unread() == {"wang": 0, "zhao": 0, "stranger": 0}
    assert _inbox(clinic.client("wang"))[0]["read_at"] is not None


def test_a_patient_taken_off_the_panel_takes_the_clinics_messages_along(clinic: Clinic) -> None:
    patient_id, _ = clinic.high_patient("王秀英", None)
    clinic.put_on_panel(clinic.add_user("wang", "nurse"), patient_id)
    clinic.deliver()
    wang = clinic.client("wang")
    assert len(_inbox(wang)) == 1
    clinic.rows("delete from panel returning 1")
    assert _inbox(wang) == []


def test_the_inbox_page_says_that_a_message_is_for_the_clinic(clinic: Clinic) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", None)
    clinic.put_on_panel(clinic.add_user("wang", "nurse"), patient_id)
    clinic.deliver()
    browser, _ = clinic.browser_client("wang")

    page = browser.get("/inbox").text

    assert f'href="/a/{episode_id}"' in page
    assert "to the clinic's desk: whoever sees the patient" in page
    assert "1 unread" in page


def _inbox(client: httpx2.Client) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = client.get("/api/v1/inbox").json()["messages"]
    return messages


def _pages(client: httpx2.Client, *, limit: int) -> Iterator[list[dict[str, str]]]:
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/api/v1/alerts", params={"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
        yield page["alerts"]
        cursor = page["next"]


def _pushes(clinic: Clinic, episode_id: UUID) -> list[dict[str, object]]:
    return clinic.rows("select recipient, step, state from push where episode_id = %s", episode_id)


def _add_reminder(clinic: Clinic, episode_id: UUID, doctor_id: int) -> None:
    """What the judge queues a week after an opening that nobody acknowledged."""
    clinic.rows(
        "insert into push (push_id, episode_id, patient_id, recipient, channel, kind, step, text, due_at)"
        " select gen_random_uuid(), episode_id, patient_id, recipient, channel, 'reminder', 1, text, now() + interval '7 days'"
        " from push where episode_id = %s and recipient = %s returning 1",
        episode_id,
        f"user:{doctor_id}",
    )
