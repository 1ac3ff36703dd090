"""Who looked at whose record is written down before it is shown, by no page's own doing."""

from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from fix_clinic import Clinic

from server.people.looks import LIST_ONCE_IN, READ_ONCE_IN
from server.store.postgres import transaction


def looks(clinic: Clinic) -> list[tuple[str, str, int | None, str]]:
    found = clinic.rows(
        "select actor, act, patient_id, subject from audit_entry where act like 'record.%%' order by entry_id"
    )
    return [tuple(row.values()) for row in found]  # type: ignore[misc]


@pytest.fixture
def patient_id(clinic: Clinic, doctor_id: int) -> int:
    return clinic.add_patient("Wang Xiulan", doctor_id)


@pytest.fixture
def doctor(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.client("doctor")


def test_opening_a_record_is_written_down_whichever_door_it_is_opened_by(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, episode_id = clinic.high_patient("Wang Xiulan", doctor_id)
    browser, _ = clinic.browser_client("doctor")
    assert doctor.get(f"/api/v1/patients/{patient_id}/readings").status_code == 200
    assert browser.get(f"/p/{patient_id}").status_code == 200
    assert browser.get(f"/a/{episode_id}").status_code == 200
    assert doctor.get(f"/api/v1/alerts/{episode_id}").status_code == 200
    kinds = [
        "/api/v1/patients/{patient_id}/readings",
        "/p/{patient_id}",
        "/a/{episode_id}",
        "/api/v1/alerts/{episode_id}",
    ]
    assert looks(clinic) == [(f"user:{doctor_id}", "record.read", patient_id, kind) for kind in kinds]


def test_the_same_look_is_written_down_once_in_five_minutes_and_by_another_person_at_once(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int
) -> None:
    nurse_id = clinic.add_user("nurse", role="nurse")
    clinic.put_on_panel(nurse_id, patient_id)
    path = f"/api/v1/patients/{patient_id}/readings"
    for _ in range(3):
        doctor.get(path)
    assert len(looks(clinic)) == 1
    clinic.client("nurse").get(path)
    assert [actor for actor, *_ in looks(clinic)][1:] == [f"user:{nurse_id}"]
    clinic.clock.ahead += READ_ONCE_IN + timedelta(seconds=1)
    doctor.get(path)
    assert len(looks(clinic)) == 3


def test_a_list_of_patients_is_written_down_as_a_list(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    for _ in range(2):
        assert doctor.get("/api/v1/alerts").status_code == 200
    assert looks(clinic) == [(f"user:{doctor_id}", "record.list", None, "/api/v1/alerts")]
    clinic.clock.ahead += LIST_ONCE_IN + timedelta(seconds=1)
    doctor.headers["Authorization"] = clinic.client("doctor").headers["Authorization"]
    doctor.get("/api/v1/alerts")
    assert len(looks(clinic)) == 2


def test_what_was_not_shown_was_not_looked_at(clinic: Clinic, doctor: httpx2.Client, patient_id: int) -> None:
    clinic.add_user("stranger")
    assert clinic.client("stranger").get(f"/api/v1/patients/{patient_id}/readings").status_code == 404
    assert doctor.get(f"/api/v1/alerts/{UUID(int=1)}").status_code == 404
    assert clinic.client().get(f"/api/v1/patients/{patient_id}/readings").status_code == 401
    assert looks(clinic) == []


def test_a_patient_who_opens_the_own_page_is_written_down_as_the_patient(clinic: Clinic, patient_id: int) -> None:
    from server.people import links

    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))
    assert clinic.client().get(f"/me/{token}").status_code == 200
    assert clinic.client().get("/me/none").status_code == 404
    assert looks(clinic) == [(f"patient:{patient_id}", "record.read", patient_id, "/me/{token}")]


@pytest.mark.parametrize("path", ["/api/v1/patients/{}/readings", "/p/{}"])
def test_what_cannot_be_written_down_is_not_shown(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int, path: str
) -> None:
    browser, _ = clinic.browser_client("doctor")
    clinic.rows(
        "create function out_of_space() returns trigger language plpgsql as"
        " $$ begin raise exception 'no room' using errcode = 'disk_full'; end $$"
    )
    clinic.rows("create trigger full_disk before insert on audit_entry for each row execute function out_of_space()")
    answer = (doctor if path.startswith("/api") else browser).get(path.format(patient_id))
    assert answer.status_code == 503
    assert "Wang" not in answer.text
    assert "Content-Security-Policy" in answer.headers


def test_auditors_see_who_saw_a_record_and_nobody_else_does(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client, patient_id: int
) -> None:
    auditor_id = clinic.add_user("auditor", role="auditor")
    auditor = clinic.client("auditor")
    doctor.get(f"/api/v1/patients/{patient_id}/readings")
    found = auditor.get(f"/api/v1/patients/{patient_id}/audit").json()
    assert [(each["actor"], each["who"], each["times"]) for each in found["viewers"]] == [
        (f"user:{doctor_id}", "Dr. Lin", 1)
    ]
    assert [each["act"] for each in found["entries"]] == ["record.read"]
    assert auditor.get(f"/api/v1/patients/{patient_id}/audit").json()["viewers"][0]["actor"] == f"user:{auditor_id}"
    assert auditor.get("/api/v1/patients/999/audit").status_code == 404
    first = auditor.get("/api/v1/audit", params={"limit": 2}).json()
    second = auditor.get("/api/v1/audit", params={"limit": 2, "cursor": first["next"]}).json()
    numbers = [each["entry_id"] for each in first["entries"] + second["entries"]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 4
    signed_in = auditor.get("/api/v1/audit", params={"act": "session"}).json()["entries"]
    assert [each["act"] for each in signed_in] == ["session.open", "session.open"]
    for path in ("/api/v1/audit", f"/api/v1/patients/{patient_id}/audit", "/api/v1/patients/999/audit"):
        assert doctor.get(path).status_code == 403
    assert auditor.get("/api/v1/audit", params={"cursor": "none"}).status_code == 422


def test_every_path_about_one_patient_says_whose_record_it_is() -> None:
    """A path with another name for a patient's own must be known to `looks`, or its handler says `looked_at`."""
    from server.asgi import ROUTERS

    of_patients = {"patient_id", "episode_id", "follow_up_id", "silence_id", "hold_id", "request_id", "token"}
    of_nobody = {
        "channel_id",
        "contact_id",
        "what",
        "rule_id",
        "version",
        "alarm_id",
        "passkey_id",
        "subject",
        "user_id",
        "deed",
        "break_glass_id",
    }
    said_by_hand = {"device_id", "observation_id", "push_id", "export_id", "kind"}
    for router in ROUTERS:
        for route in router.routes:
            names = set(getattr(route, "param_convertors", ()))
            assert names & of_patients or names <= of_nobody | said_by_hand, getattr(route, "path", route)
