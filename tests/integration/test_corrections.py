"""What clinicians say of readings, over HTTP and on a real PostgreSQL: who is judged by what since, and that nothing is lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest
from fix_clinic import Clinic, local_at
from households import enrol

from server import clock
from server.intake import Intake
from server.judge import judge_in
from server.people import links
from server.people.corrections import REASONS, Action, Reason
from server.rules.load import load_catalog
from server.store import worklist
from server.store.postgres import transaction
from server.store.reading_lists import list_panel_values
from server.watch.recompute import recompute_one

RULE = "bp-above-140-90-3-days"


@pytest.fixture
def doctor(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.client("doctor")


def correct(
    client: httpx2.Client, patient_id: int, reading_id: UUID, action: str, *, version: int = 1, **body: object
) -> httpx2.Response:
    defaults = {"void": "bad_measurement", "reassign": "wrong_person", "restore": "mistake"}
    return client.post(
        f"/api/v1/patients/{patient_id}/readings/{reading_id}/{action}",
        headers={"If-Match": f'"{version}"'},
        json={"reason": defaults[action], **body},
    )


def readings_of(clinic: Clinic, patient_id: int, where: str = "true") -> list[UUID]:
    rows = clinic.rows(
        f"select reading_id from reading where patient_id = %s and {where} order by measured_at", patient_id
    )
    return [UUID(str(row["reading_id"])) for row in rows]


def states(clinic: Clinic, patient_id: int) -> list[object]:
    rows = clinic.rows("select state from episode where patient_id = %s and rule_id = %s", patient_id, RULE)
    return [row["state"] for row in rows]


def void_a_day(clinic: Clinic, doctor: httpx2.Client, patient_id: int, day: int = 2) -> list[UUID]:
    """Both readings of one of the three high days; without them there are only two."""
    where = f"measured_at between '{local_at(day, 3)}' and '{local_at(day - 1, 3)}'"
    found = readings_of(clinic, patient_id, where)
    for reading_id in found:
        answer = correct(doctor, patient_id, reading_id, "void")
        assert answer.status_code == 200, answer.text
    assert len(found) == 2
    return found


def test_an_alert_that_rests_on_voided_readings_is_taken_back_and_who_was_told_hears_of_it(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    clinic.deliver()

    void_a_day(clinic, doctor, patient_id)
    clinic.judge(patient_id)

    assert states(clinic, patient_id) == ["retracted"]
    told = clinic.rows("select recipient, kind from push where episode_id = %s and state = 'pending'", episode_id)
    assert told == [{"recipient": f"user:{doctor_id}", "kind": "retraction"}]


def test_a_reading_that_counts_again_brings_its_alert_back(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    first, second = void_a_day(clinic, doctor, patient_id)
    clinic.judge(patient_id)

    for reading_id in (first, second):
        assert correct(doctor, patient_id, reading_id, "restore", version=2).json()["standing"] == "in_use"
    assert clinic.judge(patient_id) == [episode_id]


def test_a_voided_reading_stays_with_its_bytes_its_patient_and_its_place_in_the_record(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    reading_id = readings_of(clinic, patient_id)[-1]
    before = clinic.rows("select * from reading order by reading_id")

    answer = correct(doctor, patient_id, reading_id, "void", reason="other", note="measured over a coat")

    assert clinic.rows("select * from reading order by reading_id") == before
    assert (answer.json()["standing"], answer.headers["ETag"]) == ("void", '"2"')
    shown = doctor.get(f"/api/v1/patients/{patient_id}/readings").json()["readings"]
    assert [each["standing"] for each in shown] == ["void"] + ["in_use"] * (len(before) - 1)
    (said,) = doctor.get(f"/api/v1/patients/{patient_id}/readings/{reading_id}").json()["corrections"]
    assert (said["action"], said["reason"], said["note"]) == ("void", "other", "measured over a coat")
    assert (said["made_by"], said["from_patient"]["name"], said["to_patient"]) == ("Dr. Lin", "王秀英", None)


def test_a_reading_that_was_another_patients_is_judged_there_and_no_longer_here(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    wrong, _ = clinic.high_patient("王秀英", doctor_id)
    right = clinic.add_patient("王建国", doctor_id)

    for reading_id in readings_of(clinic, wrong, "systolic_mmhg > 140"):
        correct(doctor, wrong, reading_id, "reassign", to_patient_id=right).raise_for_status()
    clinic.judge(wrong)
    clinic.judge(right)

    assert (states(clinic, wrong), states(clinic, right)) == (["retracted"], ["active"])
    (alert,) = doctor.get("/api/v1/alerts?state=active").json()["alerts"]
    assert alert["patient"]["patient_id"] == right
    assert alert["sentence"]["en"].endswith("152/94, 149/92, 155/96")
    here, there = (doctor.get(f"/api/v1/patients/{each}/readings").json()["readings"] for each in (wrong, right))
    assert [each["standing"] for each in here] == ["moved"] * 6 + ["in_use"] * 2
    assert [(each["standing"], each["is_from_another"]) for each in there] == [("in_use", True)] * 6


def test_a_reading_moves_on_from_patient_to_patient_and_home_again(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    one, two, three = (clinic.add_patient(name, doctor_id) for name in ("One", "Two", "Three"))
    reading_id = clinic.add_pressure(one, local_at(1, 8), 150, 95)

    correct(doctor, one, reading_id, "reassign", to_patient_id=two).raise_for_status()
    correct(doctor, two, reading_id, "reassign", version=2, to_patient_id=three).raise_for_status()
    correct(doctor, three, reading_id, "void", version=3).raise_for_status()
    standing = [_standing(doctor, each, reading_id) for each in (one, two, three)]
    correct(doctor, two, reading_id, "reassign", version=4, to_patient_id=two).raise_for_status()
    again = [_standing(doctor, each, reading_id) for each in (one, two, three)]
    correct(doctor, one, reading_id, "restore", version=5).raise_for_status()

    assert standing == ["void", "void", "void"]
    assert again == ["moved", "in_use", "moved"]
    assert [_standing(doctor, each, reading_id) for each in (one, two, three)] == ["in_use", "moved", "moved"]
    assert clinic.rows("select * from reading_elsewhere") == []
    in_use = clinic.rows("select patient_id, reading_id from reading_in_use")
    assert in_use == [{"patient_id": one, "reading_id": reading_id}]


def _standing(client: httpx2.Client, patient_id: int, reading_id: UUID) -> str:
    return str(client.get(f"/api/v1/patients/{patient_id}/readings/{reading_id}").json()["standing"])


def test_correcting_needs_the_version_that_was_read_and_who_comes_second_is_told_who_was_first(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.critical_patient("李强", doctor_id)
    clinic.put_on_panel(clinic.add_user("nurse", "nurse", name="Wang Min"), patient_id)
    (reading_id,) = readings_of(clinic, patient_id)
    address = f"/api/v1/patients/{patient_id}/readings/{reading_id}/void"
    etag = doctor.get(address.removesuffix("/void")).headers["ETag"]

    without = doctor.post(address, json={"reason": "trial"})
    first = clinic.client("nurse").post(address, headers={"If-Match": etag}, json={"reason": "trial"})
    second = doctor.post(address, headers={"If-Match": etag}, json={"reason": "trial"})
    so_already = doctor.post(address, headers={"If-Match": first.headers["ETag"]}, json={"reason": "trial"})

    assert [each.status_code for each in (without, first, second, so_already)] == [428, 200, 412, 409]
    assert (second.json()["changed_by"], second.json()["state"]) == ("Wang Min", "void")
    assert second.headers["ETag"] == '"2"'
    assert second.json()["detail"] == "the reading has changed since it was read"
    assert so_already.json()["detail"] == "the reading is void"


def test_of_many_at_once_exactly_one_corrects(clinic: Clinic, doctor_id: int) -> None:
    patient_id, _ = clinic.critical_patient("李强", doctor_id)
    others = [clinic.add_patient(f"Other {number}", doctor_id) for number in range(5)]
    (reading_id,) = readings_of(clinic, patient_id)
    clients = {other: clinic.client("doctor") for other in others}

    def move(other: int) -> int:
        return correct(clients[other], patient_id, reading_id, "reassign", to_patient_id=other).status_code

    with ThreadPoolExecutor(len(others)) as threads:
        answers = dict(zip(others, threads.map(move, others), strict=True))

    assert sorted(answers.values()) == [200, 412, 412, 412, 412]
    (owner,) = clinic.rows("select patient_id from reading_in_use where reading_id = %s", reading_id)
    assert answers[int(str(owner["patient_id"]))] == 200


def test_only_clinicians_who_see_everybody_concerned_correct_a_reading(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.critical_patient("李强", doctor_id)
    stranger_id = clinic.add_user("stranger")
    foreign = clinic.add_patient("Foreign", stranger_id)
    clinic.put_on_panel(clinic.add_user("boss", "admin"), patient_id)
    (reading_id,) = readings_of(clinic, patient_id)

    answers = [
        correct(clinic.client("boss"), patient_id, reading_id, "void"),
        correct(clinic.client("stranger"), patient_id, reading_id, "void"),
        correct(doctor, patient_id, reading_id, "reassign", to_patient_id=foreign),
        correct(doctor, patient_id, reading_id, "reassign", to_patient_id=987654),
        correct(doctor, patient_id, UUID(int=5), "void"),
    ]

    assert [each.status_code for each in answers] == [404, 404, 404, 404, 404]
    stranger, browser = clinic.client("stranger"), clinic.browser_client("stranger")[0]
    assert stranger.get(f"/api/v1/patients/{patient_id}/readings/{reading_id}").status_code == 404
    assert browser.get(f"/p/{patient_id}/r/{reading_id}").status_code == 404
    assert answers[2].json()["detail"] == answers[3].json()["detail"]
    assert clinic.rows("select * from reading_correction") == []
    assert clinic.rows("select state from episode") == [{"state": "active"}]


def test_a_patient_of_others_has_no_name_in_the_life_of_a_reading(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.critical_patient("李强", doctor_id)
    other = clinic.add_patient("王秀英", doctor_id)
    clinic.put_on_panel(clinic.add_user("nurse", "nurse"), patient_id)
    (reading_id,) = readings_of(clinic, patient_id)
    correct(doctor, patient_id, reading_id, "reassign", to_patient_id=other).raise_for_status()
    nurse = clinic.client("nurse")

    seen = nurse.get(f"/api/v1/patients/{patient_id}/readings/{reading_id}")
    back = correct(nurse, patient_id, reading_id, "restore", version=2)

    assert seen.json()["corrections"][0]["to_patient"] is None
    assert "王秀英" not in seen.text
    assert back.status_code == 404  # it would take the reading from somebody whom she does not see
    assert _standing(nurse, patient_id, reading_id) == "moved"


def test_a_cookie_alone_corrects_nothing(clinic: Clinic, doctor_id: int) -> None:
    patient_id, _ = clinic.critical_patient("李强", doctor_id)
    (reading_id,) = readings_of(clinic, patient_id)
    browser, csrf_token = clinic.browser_client("doctor")

    without = correct(browser, patient_id, reading_id, "void")
    browser.headers["X-CSRF-Token"] = csrf_token

    assert without.status_code == 403
    assert correct(browser, patient_id, reading_id, "void").status_code == 200


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("void", {"reason": "wrong_binding"}),
        ("void", {"reason": "other"}),
        ("void", {"reason": "other", "note": "  "}),
        ("void", {"reason": "none of ours"}),
        ("void", {"reason": "trial", "note": "x" * 501}),
        ("void", {"reason": "trial", "to_patient_id": 1}),
        ("restore", {"reason": "bad_measurement"}),
        ("reassign", {"reason": "wrong_person"}),
        ("reassign", {"reason": "wrong_person", "to_patient_id": "2"}),
    ],
)
def test_what_is_not_understood_corrects_nothing(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client, action: str, body: dict[str, object]
) -> None:
    patient_id, _ = clinic.critical_patient("李强", doctor_id)
    (reading_id,) = readings_of(clinic, patient_id)

    answer = correct(doctor, patient_id, reading_id, action, **body)

    assert answer.status_code == 422
    assert clinic.rows("select * from reading_correction") == []


@pytest.mark.parametrize(("action", "reason"), [(action, reason) for action in Action for reason in REASONS[action]])
def test_every_reason_of_the_list_is_taken(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client, action: Action, reason: Reason
) -> None:
    patient_id = clinic.add_patient("One", doctor_id)
    other = clinic.add_patient("Other", doctor_id)
    reading_id = clinic.add_pressure(patient_id, local_at(1, 8), 150, 95)
    version = 1
    if action is Action.RESTORE:
        correct(doctor, patient_id, reading_id, "void").raise_for_status()
        version = 2
    extra = {"to_patient_id": other} if action is Action.REASSIGN else {}

    answer = correct(doctor, patient_id, reading_id, action, version=version, reason=reason, note="why", **extra)

    assert answer.status_code == 200, answer.text
    assert answer.json()["corrections"][-1]["reason"] == reason


def test_a_reading_from_long_before_somebodys_enrolment_is_not_made_theirs(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, newcomer = clinic.add_patient("One", doctor_id), clinic.add_patient("Newcomer", doctor_id)
    reading_id = clinic.add_pressure(patient_id, clock.now() - timedelta(days=60), 150, 95)
    clinic.rows("update patient set enrolled_on = current_date + 400 where patient_id = %s", newcomer)

    answer = correct(doctor, patient_id, reading_id, "reassign", to_patient_id=newcomer)

    assert answer.status_code == 422
    assert "long before that patient was enrolled" in answer.json()["detail"]


def test_what_was_said_can_be_neither_changed_nor_deleted(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.critical_patient("李强", doctor_id)
    (reading_id,) = readings_of(clinic, patient_id)
    correct(doctor, patient_id, reading_id, "void").raise_for_status()

    for statement in ("update reading_correction set note = 'nothing'", "delete from reading_correction"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            clinic.rows(statement)


def test_whoever_lists_or_counts_readings_leaves_out_what_is_nobodys(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    now = clinic.clock()
    reading_id = clinic.add_pressure(patient_id, now - timedelta(minutes=5), 186, 104)
    clinic.add_pressure(patient_id, now - timedelta(hours=4), 131, 82)
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=now, valid_for=timedelta(days=1))
    before = clinic.client().get(f"/me/{token}").text

    correct(doctor, patient_id, reading_id, "void", reason="trial").raise_for_status()

    assert ("186/104" in before, "186/104" in clinic.client().get(f"/me/{token}").text) == (True, False)
    with transaction(clinic.pool) as conn:
        since = now - timedelta(days=30)
        (patient,) = worklist.list_panel(conn, user_id=doctor_id, since=since, now=now)
        values = list_panel_values(conn, [patient_id], since=since)
    assert patient.readings == 1
    assert [value.systolic_mmhg for value in values] == [131]


def test_the_views_have_every_column_of_a_reading(clinic: Clinic) -> None:
    names = [
        {
            row["column_name"]
            for row in clinic.rows("select column_name from information_schema.columns where table_name = %s", table)
        }
        for table in ("reading", "reading_in_use", "reading_on_record")
    ]
    assert names[1] == names[0]
    assert names[2] == names[0] | {"stored_as", "owner_id", "is_elsewhere", "standing"}


def test_a_corrected_reading_that_is_sent_again_is_a_repeat_and_stays_corrected(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    with clinic.pool.connection() as conn:
        home = enrol(conn, enrolled_on=(clock.now() - timedelta(days=90)).date(), doctor_id=doctor_id)
    other = clinic.add_patient("Other", doctor_id)
    at = local_at(1, 8)
    voided, moved = home.pressure(at, 160, 100), home.pressure(at + timedelta(hours=1), 161, 101)
    Intake(clinic.pool).take(home.envelope(voided, moved), topic_gateway=home.gateway_id)
    correct(doctor, home.patient_id, voided.reading_id, "void").raise_for_status()
    correct(doctor, home.patient_id, moved.reading_id, "reassign", to_patient_id=other).raise_for_status()

    again = home.envelope(voided, moved, epoch="f" * 32)  # the outbox was lost, and the meter told its memory anew
    Intake(clinic.pool).take(again, topic_gateway=home.gateway_id)

    (account,) = clinic.rows("select received, stored, repeated, quarantined from gateway_account")
    assert account == {"received": 4, "stored": 2, "repeated": 2, "quarantined": 0}
    assert clinic.rows("select patient_id, reading_id from reading_in_use") == [
        {"patient_id": other, "reading_id": moved.reading_id}
    ]


def test_a_correction_waits_for_no_judge_and_is_judged_after_the_one_at_work(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.rows("insert into due (patient_id, due_at, since, reason) values (%s, now(), now(), 'again')", patient_id)
    with transaction(clinic.pool) as conn:
        judge_in(conn, patient_id, load_catalog())  # it has read, and has not committed
        void_a_day(clinic, doctor, patient_id)
    assert states(clinic, patient_id) == ["active"]

    clinic.judge(patient_id)

    assert states(clinic, patient_id) == ["retracted"]
    assert clinic.rows("select 1 from due where reason <> 'timer'") == []


def test_the_oracle_agrees_after_corrections_and_finds_what_was_not_done(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    other = clinic.add_patient("Other", doctor_id)
    voided = void_a_day(clinic, doctor, patient_id)
    moved = readings_of(clinic, patient_id)[0]
    correct(doctor, patient_id, moved, "reassign", to_patient_id=other).raise_for_status()
    for each in (patient_id, other):
        clinic.judge(each)
        assert differences(clinic, each) == []

    clinic.rows("delete from reading_elsewhere where reading_id = any(%s) returning 1", voided)
    clinic.rows(
        "insert into due (patient_id, due_at, since, reason) values (%s, now(), now() - interval '9 days', 'again')",
        patient_id,
    )
    clinic.judge(patient_id)

    assert differences(clinic, patient_id) == ["extra"]


def differences(clinic: Clinic, patient_id: int) -> list[Any]:
    found = recompute_one(clinic.pool, patient_id, patience_s=0.0, stop=threading.Event())
    return [each.kind for each in found.differences]
