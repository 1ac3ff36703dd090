"""Plans: what is agreed, who is reminded of what and how often, and what follows for silence, on a real PostgreSQL."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from fix_clinic import ZONE, Clinic

from server.people import links
from server.programme.planner import Planner, look_in
from server.push.dispatch import Dispatcher
from server.push.inbox import Inbox
from server.store import consents
from server.store.consents import Purpose, Word
from server.store.postgres import transaction

MORNING_AND_EVENING = {"kind": "measure", "of": "blood_pressure", "at": ["07:30", "19:30"], "readings": 2}
MEDICINE = {"kind": "medicine", "name": "氨氯地平", "dose": "5 mg", "at": ["08:00"]}


@pytest.fixture
def doctor(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.client("doctor")


@pytest.fixture
def patient_id(clinic: Clinic, doctor_id: int) -> int:
    return clinic.add_patient("王秀英", doctor_id)


def agree(
    program: httpx2.Client, patient_id: int, *items: Mapping[str, Any], version: int = 0, **more: Any
) -> httpx2.Response:
    return program.put(
        f"/api/v1/patients/{patient_id}/plan",
        json={"plan": {"items": list(items), **more}, "reason": "agreed at the visit"},
        headers={"If-Match": f'"{version}"'},
    )


def at_wall(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo(ZONE)).astimezone(UTC)


def look(clinic: Clinic, patient_id: int, now: datetime) -> None:
    """The house looks at the plan at that instant."""
    clinic.rows("update plan_due set due_at = '-infinity' returning 1")
    with transaction(clinic.pool) as conn:
        assert look_in(conn, patient_id, now=now)


def fates(clinic: Clinic) -> list[tuple[object, object]]:
    return [
        (row["step"], row["fate"]) for row in clinic.rows("select step, fate from reminder order by decided_at, step")
    ]


@pytest.fixture
def today(clinic: Clinic) -> date:
    """A day ahead, so that the plan is agreed before it begins."""
    return clinic.clock().astimezone(ZoneInfo(ZONE)).date() + timedelta(days=2)


def test_a_plan_is_kept_in_versions_with_who_and_why_and_two_people_cannot_both_win(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int
) -> None:
    first = agree(doctor, patient_id, MORNING_AND_EVENING, MEDICINE)
    assert (first.status_code, first.headers["ETag"]) == (200, '"1"'), first.text
    assert agree(doctor, patient_id, MORNING_AND_EVENING).status_code == 412
    assert agree(doctor, patient_id, MORNING_AND_EVENING, MEDICINE, version=1).status_code == 409
    assert agree(doctor, patient_id, {"kind": "measure", "of": "mood", "at": ["07:30"]}, version=1).status_code == 422
    whole = doctor.get(f"/api/v1/patients/{patient_id}/plan").json()
    assert (whole["version"], whole["versions"][0]["set_by"], whole["versions"][0]["reason"]) == (
        1,
        "Dr. Lin",
        "agreed at the visit",
    )
    assert whole["plan"]["items"][1]["name"] == "氨氯地平"
    assert [each["clock"] for each in whole["next"]][:1] in (["07:30"], ["08:00"], ["19:30"])
    (kept,) = clinic.rows("select plan::text as plan from patient_plan")
    assert "氨氯地平" not in str(kept["plan"]), "what was written of medicines is kept apart"
    (noted,) = clinic.rows("select act, detail from audit_entry where act = 'plan.set'")
    assert noted["detail"] == {"items": 2}


def test_a_stranger_finds_no_plan_and_who_runs_the_house_agrees_none(clinic: Clinic, patient_id: int) -> None:
    for login, role in (("stranger", "doctor"), ("admin", "admin")):
        user_id = clinic.add_user(login, role)
        if role == "admin":
            clinic.put_on_panel(user_id, patient_id)
    stranger, admin = clinic.client("stranger"), clinic.client("admin")
    for path in ("plan", "adherence"):
        assert stranger.get(f"/api/v1/patients/{patient_id}/{path}").status_code == 404
    assert agree(stranger, patient_id, MORNING_AND_EVENING).status_code == 404
    assert agree(admin, patient_id, MORNING_AND_EVENING).status_code == 404


def test_the_rules_about_silence_follow_the_plan_and_a_hand_goes_before_it(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int
) -> None:
    agree(doctor, patient_id, MORNING_AND_EVENING | {"weekdays": [1, 4]}).raise_for_status()
    numbers = "select parameters, is_watched from patient_threshold where rule_id = %s order by version"
    assert clinic.rows(numbers, "no-reading-7-days") == [{"parameters": {"days": 8}, "is_watched": True}]
    shown = doctor.get(f"/api/v1/patients/{patient_id}/thresholds").raise_for_status().json()["thresholds"]
    assert {each["reason"] for each in shown if each["rule_id"] == "no-reading-7-days"} == {"plan: version 1"}
    assert clinic.rows(numbers, "no-reading-3-days")[0]["parameters"] == {"days": 5}
    by_hand = {"parameters": {"days": 20}, "is_watched": True, "reason": "travels"}
    address = f"/api/v1/patients/{patient_id}/thresholds/no-reading-7-days"
    doctor.put(address, json=by_hand, headers={"If-Match": '"1"'}).raise_for_status()
    agree(doctor, patient_id, MORNING_AND_EVENING, version=1).raise_for_status()
    assert [row["parameters"] for row in clinic.rows(numbers, "no-reading-7-days")] == [{"days": 8}, {"days": 20}]
    assert [row["parameters"] for row in clinic.rows(numbers, "no-reading-3-days")] == [{"days": 5}, {}]


def test_a_patient_is_reminded_once_at_the_time_and_not_after_measuring(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int, today: date
) -> None:
    agree(doctor, patient_id, MORNING_AND_EVENING, MEDICINE).raise_for_status()
    look(clinic, patient_id, at_wall(today, "07:30"))
    look(clinic, patient_id, at_wall(today, "07:31"))
    assert fates(clinic) == [(0, "told")]
    (push,) = clinic.rows("select kind, recipient, channel, text, episode_id from push")
    assert (push["kind"], push["recipient"], push["episode_id"]) == ("plan", "patient", None)
    assert "两次" in push["text"]["zh"]["body"]  # type: ignore[index]

    clinic.add_pressure(patient_id, at_wall(today, "07:40"), 150, 95)
    look(clinic, patient_id, at_wall(today, "08:00"))  # the medicine
    look(clinic, patient_id, at_wall(today, "08:15"))  # one reading came of two
    assert fates(clinic)[1:] == [(0, "told"), (1, "told")]
    assert [
        row["title"] for row in clinic.rows("select text->'en'->>'title' as title from push order by created_at")
    ] == [
        "Time for your blood pressure",
        "Time for your medicine",
        "Once more, please",
    ]
    assert "氨氯地平" not in str(clinic.rows("select text from push"))

    clinic.add_pressure(patient_id, at_wall(today, "19:10"), 120, 70)
    look(clinic, patient_id, at_wall(today, "19:30"))
    assert fates(clinic)[3:] == [(0, "measured")]


def test_what_was_missed_while_nobody_looked_is_not_made_good_at_another_hour(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int, today: date
) -> None:
    agree(doctor, patient_id, MORNING_AND_EVENING).raise_for_status()
    look(clinic, patient_id, at_wall(today, "09:00"))
    assert fates(clinic) == []


def test_nobody_is_woken_and_nobody_is_told_more_often_than_was_agreed(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int, today: date
) -> None:
    often = MORNING_AND_EVENING | {"at": ["07:30", "12:00", "19:30", "23:30"], "readings": 1}
    agree(doctor, patient_id, often, reminders_a_day=2).raise_for_status()
    for clock in ("07:30", "12:00", "19:30", "23:30"):
        look(clinic, patient_id, at_wall(today, clock))
    look(clinic, patient_id, at_wall(today + timedelta(days=1), "07:30"))
    assert [fate for _, fate in fates(clinic)] == ["told", "told", "enough", "quiet", "told"]


def test_who_has_withdrawn_consent_is_not_reminded_and_who_pauses_care_is_not_called(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int, today: date
) -> None:
    agree(doctor, patient_id, MORNING_AND_EVENING, call_every_days=14).raise_for_status()
    later = at_wall(today, "07:30") + timedelta(days=21)
    for purpose, found in ((Purpose.REMINDERS, [(0, "unwanted")]), (Purpose.CARE, [(0, "unwanted")])):
        with transaction(clinic.pool) as conn:
            word = Word(
                purpose=purpose,
                is_given=False,
                text_version=None,
                how="paper",
                said_at=clinic.clock(),
                recorded_by="doctor",
            )
            consents.add(conn, patient_id, word)
        look(clinic, patient_id, at_wall(today, "07:30") if purpose is Purpose.REMINDERS else later)
        assert fates(clinic) == found
    assert clinic.rows("select push_id from push") == []
    assert clinic.rows("select follow_up_id from follow_up") == []


def test_a_look_that_is_killed_leaves_no_trace_and_the_next_one_tells_once(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int, today: date
) -> None:
    agree(doctor, patient_id, MORNING_AND_EVENING).raise_for_status()
    now = at_wall(today, "07:30")
    clinic.rows("update plan_due set due_at = '-infinity' returning 1")
    with transaction(clinic.pool) as conn:
        assert look_in(conn, patient_id, now=now)
        with transaction(clinic.pool) as other:
            assert not look_in(other, patient_id, now=now), "one at a time looks at a plan"
        conn.rollback()  # as PostgreSQL does for a process that was killed
    assert clinic.rows("select push_id from push") == []
    for _ in range(2):
        look(clinic, patient_id, now)
    assert len(clinic.rows("select push_id from push")) == 1


def test_the_house_looks_by_itself_and_the_message_reaches_the_patients_page(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int
) -> None:
    soon = clinic.clock().astimezone(ZoneInfo(ZONE)) + timedelta(minutes=1)
    agree(doctor, patient_id, {"kind": "medicine", "name": "x", "at": [f"{soon:%H:%M}"]}).raise_for_status()
    planner = Planner(clinic.pool)
    assert planner.look_at_due() == 1
    assert planner.look_at_due() == 0
    (due,) = clinic.rows("select due_at from plan_due")
    assert due["due_at"] <= soon  # type: ignore[operator]
    clinic.rows("insert into patient_zone values (%s, now(), 'Asia/Tokyo', 'test') returning 1", patient_id)
    assert planner.look_at_due() == 1, "who moves lives by another clock"


def test_a_reminder_is_sent_like_any_push_and_not_when_its_time_is_over(
    clinic: Clinic, doctor: httpx2.Client, patient_id: int, today: date
) -> None:
    agree(doctor, patient_id, MORNING_AND_EVENING).raise_for_status()
    look(clinic, patient_id, at_wall(today, "07:30"))
    look(clinic, patient_id, at_wall(today, "19:30"))
    clinic.rows(
        "update push set due_at = now() - interval '1 hour', expires_at = now() + case when step = 0 and push_id ="
        " (select min(push_id::text)::uuid from push) then interval '1 hour' else interval '-1 minute' end returning 1"
    )
    sender = Dispatcher(clinic.pool, Inbox())
    assert sender.send_due() == 1
    assert sorted(str(row["state"]) for row in clinic.rows("select state from push")) == ["cancelled", "sent"]
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))
    assert "该量血压了" in clinic.client().get(f"/me/{token}?lang=zh").text


def test_a_plan_asks_for_a_call_every_so_many_days(
    clinic: Clinic, doctor: httpx2.Client, doctor_id: int, patient_id: int
) -> None:
    agree(doctor, patient_id, call_every_days=14).raise_for_status()
    look(clinic, patient_id, clinic.clock() + timedelta(days=13))
    assert clinic.rows("select follow_up_id from follow_up") == []
    for _ in range(2):
        look(clinic, patient_id, clinic.clock() + timedelta(days=17))
    assert clinic.rows("select origin, state from follow_up") == [{"origin": "plan", "state": "open"}]


def test_points_are_the_same_whatever_was_measured_and_whatever_was_answered(
    clinic: Clinic, doctor: httpx2.Client, doctor_id: int, today: date
) -> None:
    earned = []
    for systolic, answer in ((118, "done"), (196, "not_done")):
        patient_id = clinic.add_patient("王秀英", doctor_id)
        agree(doctor, patient_id, MORNING_AND_EVENING, MEDICINE).raise_for_status()
        clinic.add_pressure(patient_id, at_wall(today, "07:35"), systolic, systolic - 50)
        clinic.add_pressure(patient_id, at_wall(today, "19:35"), systolic, systolic - 50)
        with transaction(clinic.pool) as conn:
            token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=9))
        earned.append((patient_id, token, answer))
    clinic.clock.ahead = at_wall(today, "23:00") - clinic.clock()
    program = clinic.client("doctor")
    found = []
    for patient_id, token, answer in earned:
        key = f"medicine:::{today.isoformat()}:08:00"
        said = clinic.client().post(f"/api/v1/own/{token}/answers", json={"occasion": key, "answer": answer})
        assert said.status_code == 204, said.text
        found.append(program.get(f"/api/v1/patients/{patient_id}/adherence?days=1").json())
    assert found[0] == found[1]
    assert (found[0]["planned"], found[0]["measured"], found[0]["points"]) == (2, 2, 25)
    never = clinic.client().post(
        f"/api/v1/own/{earned[0][1]}/answers", json={"occasion": "medicine:::2026-01-01:08:00", "answer": "done"}
    )
    assert never.status_code == 409
