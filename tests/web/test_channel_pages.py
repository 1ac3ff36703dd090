"""Channels and contacts through the doors: set up by an admin, chosen by each, tried with one press; no secret is shown."""

import json
from collections.abc import Iterator

import httpx2
import pytest
from fix_clinic import Clinic
from outside_world import MailServer, WebService, mail_server, web_service

import server.push.apprise_door  # noqa: F401 - seconds of imports, which no request of these is to wait for

SECRET = "Pa55word"


@pytest.fixture
def post() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def chat() -> Iterator[WebService]:
    with web_service() as service:
        yield service


@pytest.fixture
def chief(clinic: Clinic) -> httpx2.Client:
    clinic.add_user("chief", "admin")
    return clinic.client("chief")


def set_up(chief: httpx2.Client, url: str, name: str = "Post") -> int:
    answer = chief.post("/api/v1/channels", json={"name": name, "url": url})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["number"])


def mail_by(post: MailServer) -> str:
    return f"mailto://robot:{SECRET}@127.0.0.1:{post.port}?from=robot@clinic.example&to={{to}}"


def test_an_admin_sets_a_channel_up_and_tries_it_and_nobody_is_shown_its_secrets(
    clinic: Clinic, doctor_id: int, chief: httpx2.Client, post: MailServer
) -> None:
    number = set_up(chief, mail_by(post))
    doctor = clinic.client("doctor")
    for answer in (chief.get("/api/v1/channels"), doctor.get("/api/v1/channels")):
        assert answer.json()["channels"] == [
            {"channel_id": number, "kind": "email", "service": "mailto", "name": "Post", "wants_address": True}
        ]
        assert SECRET not in answer.text
    came = chief.post(f"/api/v1/channels/{number}/test", json={"to": "it@clinic.example"}).json()
    assert (came["status"], came["answer"]) == ("sent", "")
    post.refused["gone@clinic.example"] = 550
    came = chief.post(f"/api/v1/channels/{number}/test", json={"to": "gone@clinic.example"}).json()
    assert (came["status"], came["answer"]) == ("failed", "SMTP 550")
    assert doctor.post("/api/v1/channels", json={"name": "x", "url": mail_by(post)}).status_code == 403
    assert doctor.post(f"/api/v1/channels/{number}/test", json={"to": "a@b.example"}).status_code == 403
    wrong = chief.post("/api/v1/channels", json={"name": "x", "url": f"syslog://{SECRET}"})
    assert wrong.status_code == 422
    assert SECRET not in wrong.text
    assert chief.delete(f"/api/v1/channels/{number}").status_code == 204
    assert chief.delete(f"/api/v1/channels/{number}").status_code == 404


def test_everybody_says_where_they_are_told_and_nobody_elses_contacts_are_theirs(
    clinic: Clinic, doctor_id: int, chief: httpx2.Client, post: MailServer
) -> None:
    number = set_up(chief, mail_by(post))
    doctor = clinic.client("doctor")
    added = doctor.post(
        "/api/v1/contacts", json={"channel_id": number, "address": "lin@clinic.example", "lowest": "high"}
    )
    contact = added.json()["number"]
    (shown,) = doctor.get("/api/v1/contacts").json()["contacts"]
    assert (shown["contact_id"], shown["address"], shown["lowest"]) == (contact, "l…@clinic.example", "high")
    assert doctor.post(f"/api/v1/contacts/{contact}/test").json()["status"] == "sent"
    assert chief.get("/api/v1/contacts").json() == {"contacts": []}
    assert chief.post(f"/api/v1/contacts/{contact}/test").status_code == 404
    assert chief.delete(f"/api/v1/contacts/{contact}").status_code == 404
    assert doctor.delete(f"/api/v1/contacts/{contact}").status_code == 204
    assert doctor.get("/api/v1/contacts").json() == {"contacts": []}


def test_a_patients_contacts_are_those_of_who_cares_and_a_strangers_do_not_exist(
    clinic: Clinic, doctor_id: int, chief: httpx2.Client, post: MailServer, chat: WebService
) -> None:
    number, robot = set_up(chief, mail_by(post)), set_up(chief, f"json://{chat.host}/", "Robot")
    own = clinic.add_patient("王秀英", doctor_id)
    strange = clinic.add_patient("Stranger", clinic.add_user("other"))
    doctor = clinic.client("doctor")
    body = {"channel_id": number, "address": "xiuying@post.example"}
    contact = doctor.post(f"/api/v1/patients/{own}/contacts", json=body).json()["number"]
    refused = doctor.post(f"/api/v1/patients/{own}/contacts", json={"channel_id": robot})
    assert refused.status_code == 422, "a patient is not told where others read"
    assert doctor.post(f"/api/v1/patients/{strange}/contacts", json=body).status_code == 404
    assert doctor.get(f"/api/v1/patients/{strange}/contacts").status_code == 404
    other = clinic.client("other")
    assert other.delete(f"/api/v1/patients/{strange}/contacts/{contact}").status_code == 404
    assert doctor.post(f"/api/v1/patients/{own}/contacts/{contact}/test").json()["status"] == "sent"
    (deeds,) = clinic.rows("select count(*) as n from audit_entry where act like 'contact.%%' and patient_id = %s", own)
    assert deeds == {"n": 1}
    assert "xiuying" not in json.dumps(clinic.rows("select detail from audit_entry"))


def test_the_pages_do_the_same_by_hand(clinic: Clinic, doctor_id: int, chief: httpx2.Client, post: MailServer) -> None:
    page, token = clinic.browser_client("chief")
    said = page.post("/admin/channels", data={"name": "短信", "url": mail_by(post), "csrf_token": token})
    assert said.status_code == 200, said.text
    assert "短信" in said.text
    assert SECRET not in said.text
    wrong = page.post("/admin/channels", data={"name": "x", "url": f"nonsense://{SECRET}", "csrf_token": token})
    assert wrong.status_code == 409
    assert SECRET not in wrong.text
    (channel,) = clinic.rows("select channel_id from channel")
    number = channel["channel_id"]
    assert (
        page.post(f"/admin/channels/{number}/test", data={"to": "a@b.example", "csrf_token": token}).status_code == 200
    )
    assert (
        page.post(
            "/admin/channels/desk", data={"channel_id": number, "address": "desk@b.example", "csrf_token": token}
        ).status_code
        == 200
    )
    mine, token = clinic.browser_client("doctor")
    added = mine.post(
        "/account/contacts",
        data={"channel_id": number, "address": "lin@clinic.example", "only_next": "true", "csrf_token": token},
    )
    assert "l…@clinic.example" in added.text
    assert "lin@clinic" not in added.text
    (contact,) = clinic.rows("select contact_id, only_next from contact where user_id = %s", doctor_id)
    assert contact["only_next"] is True
    tried = mine.post(f"/account/contacts/{contact['contact_id']}/test", data={"csrf_token": token})
    assert 'class="told" role="status"' in tried.text
    assert [mail["To"] for _, mail in post.mails] == ["a@b.example", "lin@clinic.example"]
    assert mine.post(f"/account/contacts/{contact['contact_id']}/remove", data={"csrf_token": "x"}).status_code == 403
    assert mine.post(f"/account/contacts/{contact['contact_id']}/remove", data={"csrf_token": token}).status_code == 200
    patient = clinic.add_patient("王秀英", doctor_id)
    assert mine.get(f"/p/{patient}/contacts").status_code == 200
    assert mine.get("/admin/channels").status_code == 403
