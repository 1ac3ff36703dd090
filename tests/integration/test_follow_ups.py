"""Follow-up: who is to be called, what came of it, and that it comes back until it is settled, on a real PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fix_clinic import Clinic, local_at
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.people import follow_ups
from server.people.errors import DecisionConflictError, StaleVersionError
from server.people.follow_ups import ATTEMPTS_MAX, Call, Outcome, Result, Touch
from server.people.working_days import next_working_morning
from server.store import follow_ups as store
from server.store.follow_ups import FollowUp, Wanted
from server.store.postgres import transaction

FRIDAY = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
"""15:00 in Shanghai."""


def tasks(clinic: Clinic, doctor_id: int, **wanted: Any) -> Sequence[FollowUp]:
    with transaction(clinic.pool) as conn:
        return store.list_follow_ups(conn, Wanted(**wanted), user_id=doctor_id, now=clinic.clock())


def touch(clinic: Clinic, task: FollowUp, user_id: int, role: str = "nurse") -> Touch:
    return Touch(follow_up_id=task.follow_up_id, version=task.version, user_id=user_id, role=role, now=clinic.clock())


def life(clinic: Clinic, task: FollowUp) -> list[str]:
    with transaction(clinic.pool) as conn:
        return [each.act for each in store.events_of(conn, task.follow_up_id)]


def test_the_next_working_day_is_the_patients_own() -> None:
    shanghai = next_working_morning(FRIDAY, "Asia/Shanghai")
    assert shanghai.isoformat() == "2026-11-23T01:00:00+00:00"
    assert next_working_morning(FRIDAY + timedelta(hours=10), "Asia/Shanghai") == shanghai
    assert (
        next_working_morning(FRIDAY - timedelta(days=1), "America/New_York").isoformat() == "2026-11-20T14:00:00+00:00"
    )


def test_an_alert_that_a_doctor_hears_of_opens_one_task_and_its_last_resolution_ends_it(
    clinic: Clinic, doctor_id: int
) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    clinic.add_pressure(patient_id, clinic.clock() - timedelta(minutes=2), 188, 112)
    clinic.judge(patient_id)
    (task,) = tasks(clinic, doctor_id)
    assert [each["rule_id"] for each in task.reasons] == ["bp-critical", "bp-above-140-90-3-days"]
    assert (task.origin, task.state, task.patient_name, task.urgency) == ("alert", "open", "王秀英", 2)
    program = clinic.client("doctor")
    first, second = (UUID(each["episode_id"]) for each in task.reasons)

    resolve(program, first, "no_answer")
    (task,) = tasks(clinic, doctor_id)
    assert (task.attempts, task.last_result) == (1, "no_answer")
    resolve(program, second, "medication_changed")
    (task,) = tasks(clinic, doctor_id, state="closed")
    assert (task.outcome, task.last_result) == ("advised", "reached")
    assert life(clinic, task) == ["opened", "attached", "called", "called", "closed"]
    assert second == episode_id


def test_what_was_not_so_needs_no_call(clinic: Clinic, doctor_id: int) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    resolve(clinic.client("doctor"), episode_id, "false_reading")
    (task,) = tasks(clinic, doctor_id, state="closed")
    assert (task.outcome, task.attempts, task.last_result) == ("not_needed", 0, None)


def test_an_alert_that_is_taken_back_takes_its_untouched_task_along(clinic: Clinic, doctor_id: int) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.deliver()
    for hour in (9, 21):  # a normal day in the middle arrives late
        clinic.add_pressure(patient_id, local_at(2, hour), 100, 60)
        clinic.add_pressure(patient_id, local_at(2, hour, 30), 100, 60)
    assert clinic.judge(patient_id) == []
    (task,) = tasks(clinic, doctor_id, state="closed")
    assert (task.outcome, task.closed_by) == ("withdrawn", None)


def test_three_calls_in_vain_hand_the_task_to_the_doctor_and_one_that_reaches_begins_anew(
    clinic: Clinic, doctor_id: int
) -> None:
    nurse_id = clinic.add_user("nurse", "nurse")
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.put_on_panel(nurse_id, patient_id)
    task = opened(clinic, patient_id, nurse_id)
    for tried in range(1, ATTEMPTS_MAX + 1):
        task = follow_ups.call(clinic.pool, touch(clinic, task, nurse_id), Call(result=Result.NO_ANSWER))
        assert task.attempts == tried
        assert task.due_at == next_working_morning(clinic.clock(), "Asia/Shanghai")
    assert (task.is_for_doctor, task.assigned_to) == (True, doctor_id)
    again = clinic.clock() + timedelta(days=14)
    task = follow_ups.call(
        clinic.pool, touch(clinic, task, nurse_id), Call(result=Result.REACHED, next_at=again, note="feels well")
    )
    assert (task.is_for_doctor, task.attempts, task.due_at, task.state) == (False, 0, again, "open")
    assert life(clinic, task) == ["opened", "called", "called", "called", "handed_over", "called"]


def test_news_brings_a_call_forward_that_was_put_off(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    task = opened(clinic, patient_id, doctor_id)
    in_a_week = clinic.clock() + timedelta(days=7)
    follow_ups.move(clinic.pool, touch(clinic, task, doctor_id), due_at=in_a_week)
    clinic.add_pressure(patient_id, clinic.clock() - timedelta(minutes=2), 188, 112)
    clinic.judge(patient_id)
    (task,) = tasks(clinic, doctor_id, due="today")
    assert task.due_at <= clinic.clock()
    resolve(clinic.client("doctor"), UUID(task.reasons[0]["episode_id"]), "reached")
    (task,) = tasks(clinic, doctor_id)
    assert task.state == "open", "somebody had wanted it for another reason"


def test_two_people_cannot_both_win_and_each_change_names_its_version(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    program = clinic.client("doctor")
    made = program.post("/api/v1/follow-ups", json={"patient_id": patient_id, "note": "asks about her pills"})
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    address = f"/api/v1/follow-ups/{made.json()['follow_up_id']}"
    assert program.post("/api/v1/follow-ups", json={"patient_id": patient_id}).status_code == 409

    said = {"result": "call_back", "next_at": (clinic.clock() + timedelta(hours=3)).isoformat()}
    assert program.post(f"{address}/calls", json=said).status_code == 428
    first = program.post(f"{address}/calls", json=said, headers={"If-Match": '"1"'})
    second = program.post(f"{address}/calls", json=said, headers={"If-Match": '"1"'})
    assert (first.status_code, second.status_code, second.headers["ETag"]) == (200, 412, '"2"')
    whole = program.get(address).json()
    assert [each["act"] for each in whole["events"]] == ["opened", "called"]
    assert whole["events"][0]["note"] == "asks about her pills"
    assert [each["name"] for each in whole["colleagues"]] == ["Dr. Lin"]

    for body in (
        {"result": "reached"},
        {"result": "call_back"},
        {"result": "no_answer", "next_at": "2020-01-01T00:00:00Z"},
    ):
        assert program.post(f"{address}/calls", json=body, headers={"If-Match": '"2"'}).status_code == 422
    done = program.post(
        f"{address}/calls", json={"result": "reached", "outcome": "advised"}, headers={"If-Match": '"2"'}
    )
    assert (done.json()["state"], done.json()["outcome"]) == ("closed", "advised")
    assert (
        program.post(
            f"{address}/close", json={"outcome": "settled"}, headers={"If-Match": done.headers["ETag"]}
        ).status_code
        == 409
    )
    back = program.post(f"{address}/reopen", json={}, headers={"If-Match": done.headers["ETag"]})
    assert back.json()["state"] == "open"
    acts = [
        row["act"] for row in clinic.rows("select act from audit_entry where act like 'follow_up%%' order by entry_id")
    ]
    assert acts == [
        "follow_up.opened",
        "follow_up.called",
        "follow_up.called",
        "follow_up.closed",
        "follow_up.reopened",
    ]


def test_a_task_is_given_to_a_colleague_of_the_same_panel_alone(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    nurse_id, stranger_id, admin_id = (
        clinic.add_user(login, role) for login, role in (("nurse", "nurse"), ("stranger", "doctor"), ("admin", "admin"))
    )
    for user_id in (nurse_id, admin_id):
        clinic.put_on_panel(user_id, patient_id)
    task = opened(clinic, patient_id, doctor_id)
    address, program = f"/api/v1/follow-ups/{task.follow_up_id}", clinic.client("doctor")
    for user_id in (stranger_id, admin_id, 10**6):
        refused = program.post(f"{address}/assign", json={"assigned_to": user_id}, headers={"If-Match": '"1"'})
        assert refused.status_code == 422
    given = program.post(f"{address}/assign", json={"assigned_to": nurse_id}, headers={"If-Match": '"1"'})
    assert given.json()["assigned_name"] == "Nurse"
    nurse, stranger, admin = (clinic.client(login) for login in ("nurse", "stranger", "admin"))
    assert [each["follow_up_id"] for each in nurse.get("/api/v1/follow-ups?mine=true").json()["follow_ups"]] == [
        task.follow_up_id
    ]
    assert stranger.get("/api/v1/follow-ups").json()["follow_ups"] == []
    assert stranger.get(address).status_code == 404
    assert (
        stranger.post(f"{address}/close", json={"outcome": "settled"}, headers={"If-Match": '"2"'}).status_code == 404
    )
    assert stranger.post("/api/v1/follow-ups", json={"patient_id": patient_id}).status_code == 404
    assert admin.post(f"{address}/close", json={"outcome": "settled"}, headers={"If-Match": '"2"'}).status_code == 404


def test_the_list_comes_in_pages_and_knows_today_by_each_patients_clock(clinic: Clinic, doctor_id: int) -> None:
    now = clinic.clock()
    for name, due_in in (("a", timedelta()), ("b", timedelta(days=3)), ("c", timedelta(hours=0.01))):
        task = opened(clinic, clinic.add_patient(name, doctor_id), doctor_id)
        follow_ups.move(clinic.pool, touch(clinic, task, doctor_id), due_at=now + due_in)
    program = clinic.client("doctor")
    first = program.get("/api/v1/follow-ups?limit=2").json()
    rest = program.get(f"/api/v1/follow-ups?limit=2&cursor={first['next']}").json()
    assert [each["patient"]["name"] for each in (*first["follow_ups"], *rest["follow_ups"])] == ["a", "c", "b"]
    assert rest["next"] is None
    clinic.clock.ahead = timedelta(days=1)
    program = clinic.client("doctor")
    assert len(program.get("/api/v1/follow-ups?due=overdue").json()["follow_ups"]) == 2
    assert len(program.get("/api/v1/follow-ups?due=today").json()["follow_ups"]) == 2


STEP = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(Result), st.sampled_from([None, *Outcome]), st.booleans()),
    st.tuples(st.just("close"), st.sampled_from(Outcome)),
    st.just(("reopen",)),
    st.just(("alert",)),
    st.just(("stale",)),
)


@pytest.fixture
def alerted(clinic: Clinic, doctor_id: int) -> tuple[Clinic, int]:
    return clinic, doctor_id


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=8))
def test_whatever_is_done_a_patient_has_one_open_task_at_most_and_its_life_tells_how_it_stands(
    alerted: tuple[Clinic, int], steps: list[tuple[Any, ...]]
) -> None:
    clinic, doctor_id = alerted
    patient_id = clinic.add_patient("王秀英", doctor_id)
    task = opened(clinic, patient_id, doctor_id)
    for step in steps:
        before = task
        try:
            task = took(clinic, task, doctor_id, step)
        except (DecisionConflictError, StaleVersionError):
            (now,) = tasks(clinic, doctor_id, state=None, follow_up_id=task.follow_up_id)
            assert now == before, "a refusal changes nothing"
        rows = clinic.rows("select state, version from follow_up where patient_id = %s", patient_id)
        assert len([row for row in rows if row["state"] == "open"]) <= 1
        last = [act for act in life(clinic, task) if act in ("opened", "closed", "reopened")][-1]
        assert (last == "closed") == (task.state == "closed")
        assert task.is_for_doctor == (task.attempts >= ATTEMPTS_MAX)


def took(clinic: Clinic, task: FollowUp, user_id: int, step: tuple[Any, ...]) -> FollowUp:
    who = touch(clinic, task, user_id)
    match step:
        case ("call", result, outcome, is_later):
            next_at = (
                clinic.clock() + timedelta(days=1) if outcome is None and (is_later or result != "no_answer") else None
            )
            return follow_ups.call(clinic.pool, who, Call(result=result, outcome=outcome, next_at=next_at))
        case ("close", outcome):
            return follow_ups.close(clinic.pool, who, outcome=outcome)
        case ("reopen",):
            return follow_ups.reopen(clinic.pool, who)
        case ("stale",):
            stale = Touch(follow_up_id=who.follow_up_id, version=10**6, user_id=user_id, role="nurse", now=who.now)
            return follow_ups.close(clinic.pool, stale, outcome=Outcome.SETTLED)
    with transaction(clinic.pool) as conn:
        follow_ups.open_for_plan(conn, patient_id=task.patient_id, now=clinic.clock())
    (found,) = tasks(clinic, user_id, patient_id=task.patient_id)
    return found


def opened(clinic: Clinic, patient_id: int, user_id: int) -> FollowUp:
    return follow_ups.open_by_hand(
        clinic.pool,
        patient_id=patient_id,
        user_id=user_id,
        role="nurse",
        note="",
        due_at=None,
        assigned_to=None,
        now=clinic.clock(),
    )


def resolve(program: httpx2.Client, episode_id: UUID, resolution: str) -> None:
    etag = program.get(f"/api/v1/alerts/{episode_id}").headers["ETag"]
    program.post(
        f"/api/v1/alerts/{episode_id}/resolve", json={"resolution": resolution}, headers={"If-Match": etag}
    ).raise_for_status()
