"""Who comes on whose panel and leaves it, with a history; and a stranger's record opened in an emergency."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fix_clinic import Clinic, words_of


@pytest.fixture
def chief(clinic: Clinic) -> httpx2.Client:
    clinic.add_user("chief", "admin")
    return clinic.client("chief")


def change(chief: httpx2.Client, act: str, patient_id: int, **who: Any) -> httpx2.Response:
    return chief.post(
        "/api/v1/panels/changes", json={"act": act, "patient_id": patient_id, "reason": "Dr. Lin retires", **who}
    )


def sees(client: httpx2.Client, patient_id: int) -> bool:
    return client.get(f"/api/v1/patients/{patient_id}/readings").status_code == 200


def test_a_transferred_patient_leaves_the_old_panel_at_once_with_everything(
    clinic: Clinic, chief: httpx2.Client
) -> None:
    old, new = clinic.add_user("old"), clinic.add_user("new")
    patient_id, episode_id = clinic.high_patient("王秀英", old)
    clinic.deliver()
    before, after = clinic.client("old"), clinic.client("new")
    assert (sees(before, patient_id), sees(after, patient_id)) == (True, False)

    answer = change(chief, "transferred", patient_id, from_user=old, to_user=new)

    assert answer.status_code == 201, answer.text
    assert (sees(before, patient_id), sees(after, patient_id)) == (False, True)
    assert before.get(f"/api/v1/alerts/{episode_id}").status_code == 404
    assert before.get("/api/v1/alerts").json()["alerts"] == []
    assert before.get("/api/v1/inbox").json()["messages"] == []
    assert chief.get(f"/api/v1/panels/{new}").json()["patients"] == [{"patient_id": patient_id, "is_doctor": True}]
    (told,) = chief.get("/api/v1/panels/changes").json()["changes"]
    assert (told["from_user"], told["to_user"], told["reason"]) == (old, new, "Dr. Lin retires")
    assert clinic.rows("select act, patient_id from audit_entry where act like 'panel.%%'") == [
        {"act": "panel.transferred", "patient_id": patient_id}
    ]


def test_a_nurse_is_put_on_and_taken_off_and_twice_is_once(
    clinic: Clinic, chief: httpx2.Client, doctor_id: int
) -> None:
    nurse = clinic.add_user("nurse", "nurse")
    patient_id = clinic.add_patient("李强", doctor_id)

    statuses = [
        change(chief, act, patient_id, **who).status_code
        for act, who in (
            ("added", {"to_user": nurse}),
            ("added", {"to_user": nurse}),
            ("removed", {"from_user": nurse}),
            ("removed", {"from_user": nurse}),
            ("doctor_set", {"to_user": nurse}),
            ("transferred", {"from_user": doctor_id}),
        )
    ]

    assert statuses == [201, 409, 201, 409, 422, 422]
    assert change(chief, "added", 987654, to_user=nurse).status_code == 404
    assert not sees(clinic.client("nurse"), patient_id)


def test_whoever_runs_the_clinic_sees_numbers_and_no_record(
    clinic: Clinic, chief: httpx2.Client, doctor_id: int
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.put_on_panel(clinic.rows("select user_id from app_user where login = 'chief'")[0]["user_id"], patient_id)  # type: ignore[arg-type]

    assert not sees(chief, patient_id)
    assert "王秀英" not in chief.get(f"/api/v1/panels/{doctor_id}").text
    refused = clinic.client("doctor").get("/api/v1/panels/changes")
    assert refused.status_code == 403
    assert refused.json()["detail"] == "this is for admin; you are signed in as doctor"


def break_in(client: httpx2.Client, patient_id: int) -> httpx2.Response:
    said: Mapping[str, object] = {"patient_id": patient_id, "reason": "brought in unconscious by ambulance"}
    return client.post("/api/v1/break-glass", json=said)


def test_a_record_opened_in_an_emergency_is_open_for_an_hour_and_everybody_knows(
    clinic: Clinic, doctor_id: int
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.add_user("duty", "nurse", name="Nurse Duty")
    duty = clinic.client("duty")
    assert not sees(duty, patient_id)

    opened = break_in(duty, patient_id)

    assert opened.status_code == 201, opened.text
    assert sees(duty, patient_id)
    assert duty.get(f"/p/{patient_id}").status_code in (200, 303)
    (message,) = clinic.client("doctor").get("/api/v1/inbox").json()["messages"]
    assert (message["episode_id"], message["patient"]["patient_id"]) == (None, patient_id)
    doctor = clinic.browser_client("doctor")[0]
    assert "A colleague has opened the record in an emergency" in words_of(doctor.get("/inbox?lang=en").text)
    assert "Nurse Duty" in words_of(doctor.get(f"/p/{patient_id}?lang=en").text)
    assert [row["act"] for row in clinic.rows("select act from audit_entry where act like 'break_glass.%%'")] == [
        "break_glass.open"
    ]
    assert b"unconscious" not in clinic.rows("select reason from break_glass")[0]["reason"]  # type: ignore[operator]

    clinic.clock.ahead += timedelta(minutes=14)
    assert sees(duty, patient_id)
    for _ in range(4):
        clinic.clock.ahead += timedelta(minutes=14)
        duty.get("/api/v1/break-glass")
    assert not sees(duty, patient_id), "over by itself"


def test_who_has_opened_it_may_close_it_before_its_time_and_nobody_else_may(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    clinic.add_user("duty", "nurse")
    duty = clinic.client("duty")
    number = break_in(duty, patient_id).json()["break_glass_id"]

    assert clinic.client("doctor").post(f"/api/v1/break-glass/{number}/end").status_code == 404
    assert duty.post(f"/api/v1/break-glass/{number}/end").status_code == 204
    assert not sees(duty, patient_id)


def test_an_emergency_opens_a_record_to_be_read_and_not_to_be_given_away_or_erased(
    clinic: Clinic, doctor_id: int
) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    clinic.add_user("duty")
    duty, doctor = clinic.client("duty"), clinic.client("doctor")
    break_in(duty, patient_id)
    until = (clinic.clock() + timedelta(days=9)).isoformat()
    deeds: Mapping[str, Mapping[str, object]] = {
        "consents": {"purpose": "care", "is_given": False, "how": "clinic"},
        "record-code": {},
        "holds": {"reason": "a dispute", "until": until},
        "erasure-requests": {"reason": "asked"},
    }

    found = {deed: duty.post(f"/api/v1/patients/{patient_id}/{deed}", json=said) for deed, said in deeds.items()}

    assert {deed: each.status_code for deed, each in found.items()} == dict.fromkeys(deeds, 403)
    assert "in an emergency" in found["consents"].json()["detail"]
    asked = doctor.post(f"/api/v1/patients/{patient_id}/erasure-requests", json={"reason": "asked"})
    assert asked.status_code == 201, asked.text
    number = asked.json()["request_id"]
    assert duty.post(f"/api/v1/erasure-requests/{number}/confirm").status_code == 403
    assert clinic.client("doctor").get(f"/api/v1/patients/{patient_id}/consents").status_code == 200, "still watched"


def test_what_is_done_in_an_emergency_does_not_outlive_it(clinic: Clinic, doctor_id: int) -> None:
    patient_id, episode_id = clinic.high_patient("李强", doctor_id)
    own_id = clinic.add_patient("张伟", clinic.add_user("duty"))
    duty, doctor = clinic.client("duty"), clinic.client("doctor")
    break_in(duty, patient_id)
    reading = clinic.rows("select reading_id from reading order by measured_at limit 1")[0]["reading_id"]
    here = f"/api/v1/patients/{patient_id}"
    until = (clinic.clock() + timedelta(days=9)).isoformat()
    silence = {"patient_id": patient_id, "until": until, "reason": "on a journey"}
    standing = doctor.post("/api/v1/silences", json=silence).json()
    voided = {"reason": "trial"}
    deeds: Sequence[tuple[str, str, Mapping[str, object]]] = (
        ("PUT", f"{here}/thresholds/bp-high", {"parameters": {}, "is_watched": False, "reason": "as agreed"}),
        ("PUT", f"{here}/plan", {"plan": {"items": []}, "reason": "as agreed"}),
        ("POST", f"{here}/presets", {}),
        ("POST", "/api/v1/silences", silence),
        ("POST", f"/api/v1/silences/{standing['silence_id']}/end", {}),
        ("POST", f"{here}/readings/{reading}/void", voided),
        ("POST", f"{here}/readings/{reading}/reassign", {"reason": "wrong_person", "to_patient_id": own_id}),
        ("PUT", f"/api/v1/quiet-hours/patient:{patient_id}", {"begins_at": "22:00", "ends_at": "07:00"}),
        ("GET", f"{here}/record", {}),
    )

    def ask(client: httpx2.Client, method: str, path: str, said: Mapping[str, object]) -> httpx2.Response:
        versions = {"If-Match": '"1"' if path.endswith("/end") else '"0"'}
        return client.request(method, path, json=dict(said) if method != "GET" else None, headers=versions)

    found = {f"{method} {path}": ask(duty, method, path, said) for method, path, said in deeds}

    assert {what: each.status_code for what, each in found.items()} == dict.fromkeys(found, 403)
    assert all("in an emergency" in each.json()["detail"] for each in found.values())
    browser, csrf_token = clinic.browser_client("duty")
    page = browser.post("/silences", data={"patient": patient_id, "reason": "x", "csrf_token": csrf_token})
    assert page.status_code == 403
    assert "open to you in an emergency alone" in words_of(page.text)
    acknowledged = duty.post(f"/api/v1/alerts/{episode_id}/acknowledge", headers={"If-Match": '"1"'})
    assert acknowledged.status_code == 200, "who treats somebody decides about the alert"
    own = doctor.post(f"{here}/readings/{reading}/void", json=voided, headers={"If-Match": '"1"'})
    assert own.status_code == 200, own.text


def test_nobody_finds_patients_by_trying_numbers(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    clinic.add_user("duty", "nurse")
    duty = clinic.client("duty")

    tries = [break_in(duty, number) for number in range(987_000, 987_005)]

    assert [each.status_code for each in tries] == [404] * 5
    late = break_in(duty, patient_id)
    assert (late.status_code, int(late.headers["Retry-After"]) > 3000) == (429, True)
    assert clinic.rows("select count(*) as tries from audit_entry where act = 'break_glass.refuse'") == [{"tries": 5}]
    assert break_in(clinic.client("doctor"), patient_id).status_code == 409


def test_the_page_opens_a_record_with_a_reason_only(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    clinic.add_user("duty", "nurse")
    duty, csrf_token = clinic.browser_client("duty")

    def post(number: int, reason: str) -> httpx2.Response:
        return duty.post("/break-glass", data={"patient_id": str(number), "reason": reason, "csrf_token": csrf_token})

    assert post(patient_id, "urgent").status_code == 422
    assert post(987_654, "brought in unconscious").status_code == 404
    assert post(patient_id, "brought in unconscious").status_code == 303
    assert f"Patient {patient_id}" in words_of(duty.get("/break-glass?lang=en").text)
