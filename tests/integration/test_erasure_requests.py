"""Consent, the record, holds and erasure over HTTP: two people, nobody's by a stranger, and what refuses says why."""

import io
import re
import signal
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import httpx2
import pytest
from fix_clinic import Clinic

from server.people import links
from server.people.erasure_proof import Where, look_for_next
from server.people.record_codes import TRIES
from server.store.alarms import open_alarms
from server.store.postgres import transaction

PHONE = "+86 21 7777 1234"


@pytest.fixture
def patient_id(clinic: Clinic) -> int:
    lin, wang = clinic.add_user("lin"), clinic.add_user("wang", "nurse")
    clinic.add_user("boss", "admin")
    clinic.add_user("eyes", "auditor")
    clinic.add_user("stranger")
    found = clinic.add_patient("Ottilie Unverwechselbar", lin, phone=PHONE)
    clinic.put_on_panel(wang, found)
    return found


def post(clinic: Clinic, login: str, path: str, **body: object) -> httpx2.Response:
    return clinic.client(login).post(f"/api/v1{path}", json=body or None)


def test_what_is_said_at_the_clinic_is_written_down_and_holds_at_once(clinic: Clinic, patient_id: int) -> None:
    clinic.add_pressure(patient_id, clinic.clock() - timedelta(minutes=2), 192, 124)
    clinic.judge(patient_id)
    path = f"/patients/{patient_id}/consents"
    said = {"purpose": "care", "is_given": False, "how": "clinic"}
    assert post(clinic, "stranger", path, **said).status_code == 404
    answer = post(clinic, "wang", path, **said)
    assert answer.status_code == 200, answer.text
    assert answer.json()["in_force"] == ["channels", "reminders"]
    assert answer.json()["history"][-1]["how"] == "clinic"
    assert clinic.rows("select distinct state, why from push") == [{"state": "cancelled", "why": "no_consent"}]
    later = (clinic.clock() + timedelta(days=1)).isoformat()
    assert post(clinic, "wang", path, **said | {"said_at": later, "is_given": True}).status_code == 422
    assert clinic.client("stranger").get(f"/api/v1{path}").status_code == 404
    clinic.rows("select 1")

    browser, csrf = clinic.browser_client("lin")
    page = browser.post(
        f"/p/{patient_id}/privacy/consent",
        data={"purpose": "care", "word": "yes", "how": "paper", "on": "2020-01-05", "csrf_token": csrf},
    )
    assert page.status_code == 303
    assert "Jan 5, 2020, on paper" in browser.get(f"/p/{patient_id}/privacy").text
    assert clinic.rows("select standing from patient where patient_id = %s", patient_id) == [{"standing": "active"}]


def test_one_asks_another_confirms_and_the_record_is_gone_with_proof_or_under_seal(
    clinic: Clinic, patient_id: int
) -> None:
    measured = clinic.add_patient("Konrad Bleibtreu", None)
    clinic.rows("update patient set doctor_id = (select doctor_id from patient where patient_id = %s)", patient_id)
    clinic.add_pressure(measured, clinic.clock() - timedelta(days=1), 120, 80)
    assert post(clinic, "stranger", f"/patients/{patient_id}/erasure-requests", reason="asked").status_code == 404
    numbers = [
        post(clinic, "lin", f"/patients/{each}/erasure-requests", reason="asked").json()["request_id"]
        for each in (patient_id, measured)
    ]
    assert post(clinic, "lin", f"/patients/{patient_id}/erasure-requests", reason="asked").status_code == 409
    for login, status in (("lin", 409), ("stranger", 404), ("eyes", 404)):
        assert post(clinic, login, f"/erasure-requests/{numbers[0]}/confirm").status_code == status, login
    assert clinic.client("stranger").get("/api/v1/erasure-requests").json() == {"requests": []}
    waiting = clinic.client("eyes").get("/api/v1/erasure-requests").json()["requests"]
    assert [(each["patient_id"], each["decision"]) for each in waiting] == [(measured, None), (patient_id, None)]

    gone = post(clinic, "boss", f"/erasure-requests/{numbers[0]}/confirm")
    assert (gone.status_code, gone.json()["is_destroyed"]) == (200, True), "nothing clinical was ever written down"
    kept = post(clinic, "boss", f"/erasure-requests/{numbers[1]}/confirm").json()
    assert (kept["is_destroyed"], kept["keep_until"][:4]) == (False, str(clinic.clock().year + 15))
    assert post(clinic, "boss", f"/erasure-requests/{numbers[1]}/confirm").status_code == 409

    for each in (patient_id, measured):
        for path in (f"/p/{each}", f"/p/{each}/privacy", f"/fhir/Patient/{each}", f"/api/v1/patients/{each}/record"):
            answer = clinic.client("lin").get(path)
            assert answer.status_code == 404 or path.startswith("/p/"), path
            assert "Ottilie" not in answer.text
    browser, _ = clinic.browser_client("eyes")
    assert "What is left is being looked for" in browser.get("/erasures?lang=en").text
    assert look_for_next(clinic.pool, Where(), clinic.clock) is not None
    page = browser.get("/erasures?lang=en").text
    assert "being looked for" not in page
    assert "nothing is left." in page
    assert re.search(r"Looked for 7 traces in \d\d+ tables", page)
    assert "because the law has it kept" in page
    assert "Ottilie" not in page
    (proof,) = clinic.rows("select patient_id, places, unreached from erasure_proof")
    assert proof == {
        "patient_id": patient_id,
        "places": [],
        "unreached": ["backups", "given_out", "folders", "broker"],
    }
    acts = [
        row["act"] for row in clinic.rows("select act from audit_entry where act like 'erasure.%%' order by entry_id")
    ]
    assert acts == [
        *("erasure.ask", "erasure.ask", "erasure.restrict", "erasure.destroy", "erasure.restrict", "erasure.prove")
    ]


CUT_OFF = """
import os, signal, sys
from server import clock
from server.people import erasure_proof
from server.store.postgres import open_pool
erasure_proof.prove = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
with open_pool(sys.argv[1]) as pool:
    erasure_proof.look_for_next(pool, erasure_proof.Where(), clock.now)
"""


def test_a_search_that_is_cut_off_is_begun_anew_and_what_it_finds_is_an_alarm(
    clinic: Clinic, patient_id: int, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "server.log").write_text("Ottilie Unverwechselbar was here\n")
    number = post(clinic, "lin", f"/patients/{patient_id}/erasure-requests", reason="asked").json()["request_id"]
    assert post(clinic, "boss", f"/erasure-requests/{number}/confirm").status_code == 200
    (waiting,) = clinic.rows("select traces from erasure_search")
    assert b"Ottilie" not in bytes(waiting["traces"])  # type: ignore[call-overload]

    killed = subprocess.run([sys.executable, "-c", CUT_OFF, database_url], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert clinic.rows("select count(*) as n from erasure_proof") == [{"n": 0}]

    until = monotonic() + 30
    while (proof := look_for_next(clinic.pool, Where(folders=[tmp_path]), clinic.clock)) is None:
        assert monotonic() < until, "PostgreSQL notices that the searcher is gone, and lets go of what it held"
        sleep(0.05)
    assert proof.places == [str(tmp_path / "server.log")]
    assert look_for_next(clinic.pool, Where(folders=[tmp_path]), clinic.clock) is None
    assert clinic.rows("select holder from data_key where holder like 'search:%%' and wrapped is not null") == []
    with transaction(clinic.pool) as conn:
        (alarm,) = (each for each in open_alarms(conn) if each.kind == "trace_left")
    assert alarm.detail == f"patient {patient_id}: {tmp_path / 'server.log'}"
    shown = clinic.browser_client("boss")[0].get("/fleet?lang=en").text
    assert "Something of an erased patient is left" in shown
    assert "Ottilie" not in shown


def test_a_hold_refuses_and_says_why_and_a_request_can_be_refused(clinic: Clinic, patient_id: int) -> None:
    until = (clinic.clock() + timedelta(days=30)).isoformat()
    path = f"/patients/{patient_id}"
    number = post(clinic, "lin", f"{path}/erasure-requests", reason="asked").json()["request_id"]
    held = post(clinic, "wang", f"{path}/holds", reason="claim before court", until=until)
    assert held.status_code == 201
    (hold,) = held.json()["holds"]
    refused = post(clinic, "boss", f"/erasure-requests/{number}/confirm")
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    assert "claim before court" in refused.json()["detail"]
    assert clinic.rows("select standing from patient where patient_id = %s", patient_id) == [{"standing": "active"}]
    assert post(clinic, "stranger", f"{path}/holds/{hold['hold_id']}/end").status_code == 404
    assert post(clinic, "lin", f"{path}/holds/{hold['hold_id']}/end").status_code == 204

    assert post(clinic, "wang", f"/erasure-requests/{number}/refuse").status_code == 204
    assert post(clinic, "boss", f"/erasure-requests/{number}/confirm").status_code == 409
    browser, _ = clinic.browser_client("lin")
    assert "Wang refused." in browser.get(f"/p/{patient_id}/privacy?lang=en").text


def test_the_link_and_the_code_together_open_the_record_once_and_neither_does_alone(
    clinic: Clinic, patient_id: int
) -> None:
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))
    own = clinic.client()

    def take(code: str) -> httpx2.Response:
        return own.post(f"/me/{token}/record", data={"code": code})

    assert take("12345678").status_code == 403, "no code was given"
    assert post(clinic, "stranger", f"/patients/{patient_id}/record-code").status_code == 404
    code = post(clinic, "wang", f"/patients/{patient_id}/record-code").json()["code"]
    assert own.post("/me/other/record", data={"code": code}).status_code == 404
    assert take(str((int(code) + 1) % 10**8).zfill(8)).status_code == 403
    packed = take(f"{code[:4]} {code[4:]}")
    assert packed.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(packed.content)) as folder:
        assert "Ottilie Unverwechselbar" in folder.read("record.json").decode()
    assert take(code).status_code == 403, "once"

    code = post(clinic, "wang", f"/patients/{patient_id}/record-code").json()["code"]
    for _ in range(TRIES):
        take("0" * 7)
    assert take(code).status_code == 403, "tried too often"
    code = post(clinic, "wang", f"/patients/{patient_id}/record-code").json()["code"]
    clinic.clock.ahead += timedelta(minutes=16)
    assert take(code).status_code == 403, "too late"
    acts = clinic.rows(
        "select act, count(*) as n from audit_entry where act like 'record.%%' group by act order by act"
    )
    assert {"act": "record.export", "n": 1} in acts
    assert {"act": "record.refuse", "n": 10} in acts


def test_clinicians_and_the_patients_own_account_take_the_record_and_strangers_do_not(
    clinic: Clinic, patient_id: int
) -> None:
    for login, status in (("lin", 200), ("wang", 200), ("stranger", 404), ("boss", 404)):
        assert clinic.client(login).get(f"/api/v1/patients/{patient_id}/record").status_code == status, login
    noted = clinic.rows("select count(*) as n from audit_entry where act = 'record.export'")
    assert noted == [{"n": 2}]
