"""`/fleet` and `/api/v1/fleet`: who sees what, and who may say that an event was looked at."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fix_clinic import Clinic, words_of
from fleet_clinic import Home, add_home, alarm, say, unheard

from server.store.alarms import AlarmKind
from server.store.heartbeat import enrol_watchdog
from server.store.postgres import transaction

BOTH = ("/fleet?lang=en", "/api/v1/fleet")


@pytest.fixture
def home(clinic: Clinic, doctor_id: int) -> Home:
    return add_home(clinic, "Wang Xiuying", doctor_id, 1)


@pytest.fixture
def foreign(clinic: Clinic) -> Home:
    """A home of somebody else's patient, who is silent."""
    return add_home(clinic, "Zhao Min", clinic.add_user("other"), 2, measured_days_ago=9)


@pytest.fixture
def doctor(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.client("doctor")


@pytest.fixture
def admin(clinic: Clinic) -> httpx2.Client:
    clinic.add_user("admin", "admin")
    return clinic.client("admin")


def asked(client: httpx2.Client) -> Any:
    answer = client.get("/api/v1/fleet")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_who_is_not_signed_in_sees_nothing(clinic: Clinic) -> None:
    stranger = clinic.client()

    assert stranger.get("/api/v1/fleet").status_code == 401
    assert stranger.get("/fleet").headers["Location"] == "/login?next=%2Ffleet"
    assert stranger.post("/fleet/alarms/1/seen", data={"times": "1"}).headers["Location"] == "/login"


def test_a_clinician_sees_the_homes_of_the_panel(doctor: httpx2.Client, home: Home, foreign: Home) -> None:
    seen = asked(doctor)

    assert [each["gateway_id"] for each in seen["gateways"]] == [home.gateway_id]
    assert [(each["meter_id"], each["state"]) for each in seen["meters"]] == [(home.meter_id, "bringing")]
    assert [(each["patient"]["name"], each["state"]) for each in seen["patients"]] == [("Wang Xiuying", "measuring")]
    assert seen["patient_counts"] == {"measuring": 1}
    assert seen["gateways"][0]["states"] == ["heard"]
    assert {each["part"] for each in seen["house"]} == {
        "hearing",
        "judging",
        "sending",
        "watchdog",
        "recompute",
        "accounts",
    }


@pytest.mark.parametrize("path", BOTH)
def test_a_patient_outside_the_panel_is_nowhere_by_name_or_number(
    clinic: Clinic, doctor_id: int, doctor: httpx2.Client, path: str
) -> None:
    for _ in range(40):  # numbers that nothing else on a page has by chance
        stranger = clinic.add_patient("Nobody", None)
    foreign = add_home(clinic, "Zhao Min", clinic.add_user("other"), 2, measured_days_ago=9)
    add_home(clinic, "Wang Xiuying", doctor_id, 1)
    assert foreign.patient_id > stranger > 39
    alarm(clinic, AlarmKind.PATIENT_SILENT, f"patient:{foreign.patient_id}", "9 whole days without a reading")
    alarm(clinic, AlarmKind.JUDGE_LAG, f"patient:{foreign.patient_id}", "judging breaks")
    alarm(clinic, AlarmKind.METER_SILENT, foreign.meter_id, "")
    alarm(clinic, AlarmKind.HOLE, foreign.gateway_id, "")
    push_id = _push_about(clinic, foreign)
    alarm(clinic, AlarmKind.PUSH_DEAD, push_id, "webhook: dead")

    page = doctor.get(path).text

    assert "Wang Xiuying" in page
    for secret in ("Zhao Min", "Nobody", foreign.gateway_id, foreign.meter_id, push_id):
        assert secret not in page
    assert str(foreign.patient_id) not in words_of(page).split()
    assert f"/p/{foreign.patient_id}" not in page
    assert f'"patient_id":{foreign.patient_id}' not in page
    assert asked(doctor)["alarms"] == []


@pytest.mark.parametrize("path", BOTH)
def test_an_admin_sees_every_home_and_patients_as_counts(
    admin: httpx2.Client, home: Home, foreign: Home, clinic: Clinic, path: str
) -> None:
    alarm(clinic, AlarmKind.PATIENT_SILENT, f"patient:{foreign.patient_id}", "9 whole days without a reading")
    push_id = _push_about(clinic, foreign)
    alarm(clinic, AlarmKind.PUSH_DEAD, push_id, "webhook: dead")

    page = admin.get(path).text

    for shown in (home.gateway_id, foreign.gateway_id, home.meter_id, foreign.meter_id, push_id):
        assert shown in page
    assert "Wang Xiuying" not in page
    assert "Zhao Min" not in page
    assert "/p/" not in page
    assert "patient:" not in page
    assert asked(admin)["patients"] == []
    assert asked(admin)["patient_counts"] == {"measuring": 1, "silent": 1}


def test_an_admin_with_a_panel_sees_no_more(clinic: Clinic, admin: httpx2.Client, home: Home) -> None:
    clinic.rows("insert into panel select user_id, %s from app_user where login = 'admin'", home.patient_id)

    assert asked(admin)["patients"] == []
    assert asked(admin)["meters"][0]["others"] == 1


def test_a_housemate_outside_the_panel_is_only_counted(
    clinic: Clinic, doctor: httpx2.Client, home: Home, foreign: Home
) -> None:
    clinic.rows(
        "update meter_binding set gateway_id = %s, meter_id = %s, user_slot = 2 where patient_id = %s",
        home.gateway_id,
        home.meter_id,
        foreign.patient_id,
    )

    (meter,) = asked(doctor)["meters"]
    assert ([each["name"] for each in meter["patients"]], meter["others"]) == (["Wang Xiuying"], 1)
    assert "Zhao Min" not in doctor.get("/fleet?lang=en").text


def test_both_doctors_of_a_conflict_see_it(clinic: Clinic, doctor: httpx2.Client, home: Home, foreign: Home) -> None:
    third = clinic.client(_third(clinic))
    clinic.rows(
        "insert into quarantine (gateway_id, reason, meter_id, raw) values (%s, 'binding_conflict', %s, ''::bytea)",
        foreign.gateway_id,
        home.meter_id,
    )
    alarm(clinic, AlarmKind.BINDING_CONFLICT, home.meter_id, f"read at gateway {foreign.gateway_id}")
    here, there = asked(doctor), asked(clinic.client("other"))

    for seen, gateway_id in ((here, home.gateway_id), (there, foreign.gateway_id)):
        assert [each["kind"] for each in seen["alarms"]] == ["binding_conflict"]
        assert (gateway_id, "conflict") in {(each["gateway_id"], each["state"]) for each in seen["meters"]}
        assert {each["gateway_id"] for each in seen["meters"]} == {gateway_id}
    assert asked(third)["alarms"] == []
    assert foreign.gateway_id not in doctor.get("/fleet").text
    mine = " ".join(words_of(doctor.get(f"/p/{home.patient_id}?lang=en").text).split())
    theirs = " ".join(words_of(clinic.client("other").get(f"/p/{foreign.patient_id}?lang=en").text).split())
    assert f"Whose readings are these? Meter {home.meter_id} of this patient was read in another home" in mine
    assert f"Whose readings are these? Somebody else's meter {home.meter_id} was read in this home" in theirs
    assert foreign.gateway_id not in mine
    assert home.gateway_id not in theirs


def test_what_is_wrong_with_a_gateway_is_said_and_not_its_patients_silence(
    clinic: Clinic, doctor: httpx2.Client, home: Home
) -> None:
    clinic.rows("update reading set measured_at = measured_at - interval '9 days'")
    unheard(clinic, home, 20)
    seen = asked(doctor)

    assert seen["gateways"][0]["states"] == ["unheard"]
    assert (seen["patients"][0]["state"], seen["patients"][0]["because"]) == ("unknowable", "unheard")
    say(clinic, home)
    assert asked(doctor)["patients"][0]["state"] == "silent"


def test_the_page_moves_with_the_clock_of_the_clinic(clinic: Clinic, doctor: httpx2.Client, home: Home) -> None:
    clinic.clock.ahead = timedelta(minutes=14, seconds=30)
    assert asked(doctor)["gateways"][0]["states"] == ["heard"]
    clinic.clock.ahead = timedelta(minutes=15, seconds=30)
    doctor = clinic.client("doctor")

    assert asked(doctor)["gateways"][0]["states"] == ["unheard"]


def test_the_watchdog_is_on_no_page(clinic: Clinic, admin: httpx2.Client, home: Home) -> None:
    at = clinic.clock()
    with transaction(clinic.pool) as conn:
        enrol_watchdog(
            conn, gateway_id="watch-dog", meter_id="dog-cuff", enrolled_on=at.date() - timedelta(days=60), now=at
        )

    for path in BOTH:
        page = admin.get(path).text
        assert "watch-dog" not in page
        assert "dog-cuff" not in page
    assert asked(admin)["patient_counts"] == {"measuring": 1}


@pytest.fixture
def browser(clinic: Clinic, doctor_id: int, home: Home) -> tuple[httpx2.Client, str]:
    return clinic.browser_client("doctor")


def test_an_event_that_somebody_has_seen_is_closed_with_who_saw_it(
    clinic: Clinic, browser: tuple[httpx2.Client, str], home: Home
) -> None:
    client, token = browser
    alarm(clinic, AlarmKind.FLOOD, home.gateway_id)

    answer = client.post("/fleet/alarms/1/seen", data={"times": "1", "csrf_token": token})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/fleet#alarms")
    assert clinic.rows("select cleared_by from alarm") == [{"cleared_by": "doctor"}]
    assert "Too many readings" not in client.get("/fleet?lang=en").text


@pytest.mark.parametrize(
    ("kind", "subject", "times", "token", "status"),
    [
        (AlarmKind.FLOOD, "gw-0001", "1", None, 403),  # without the session's token
        (AlarmKind.FLOOD, "gw-0001", "2", "right", 409),  # it has not happened as often as that
        (AlarmKind.FLOOD, "gw-0002", "1", "right", 409),  # of a foreign home
        (AlarmKind.GATEWAY_UNHEARD, "gw-0001", "1", "right", 409),  # a state: nobody can see it away
        (AlarmKind.JUDGE_LAG, "", "1", "right", 409),
        (AlarmKind.FLOOD, "gw-0001", "0", "right", 422),
    ],
)
def test_nothing_else_is_closed(
    clinic: Clinic,
    browser: tuple[httpx2.Client, str],
    foreign: Home,
    kind: AlarmKind,
    subject: str,
    times: str,
    token: str | None,
    status: int,
) -> None:
    client, right = browser
    alarm(clinic, kind, subject)

    answer = client.post(
        "/fleet/alarms/1/seen?lang=en", data={"times": times, "csrf_token": right if token else "wrong"}
    )

    assert answer.status_code == status
    assert clinic.rows("select cleared_at from alarm") == [{"cleared_at": None}]
    if status == 409:
        assert "Nothing was changed" in answer.text


def test_what_happened_again_since_it_was_shown_stays_open(
    clinic: Clinic, browser: tuple[httpx2.Client, str], home: Home
) -> None:
    client, token = browser
    alarm(clinic, AlarmKind.FLOOD, home.gateway_id)
    alarm(clinic, AlarmKind.FLOOD, home.gateway_id)

    assert client.post("/fleet/alarms/1/seen", data={"times": "1", "csrf_token": token}).status_code == 409
    assert client.post("/fleet/alarms/1/seen", data={"times": "2", "csrf_token": token}).status_code == 303
    assert client.post("/fleet/alarms/1/seen", data={"times": "2", "csrf_token": token}).status_code == 409


def test_a_dead_message_leads_its_clinician_to_the_patient(clinic: Clinic, doctor: httpx2.Client, home: Home) -> None:
    alarm(clinic, AlarmKind.PUSH_DEAD, _push_about(clinic, home), "webhook: dead: https://example.org")

    (seen,) = asked(doctor)["alarms"]
    page = doctor.get("/fleet?lang=en").text
    assert (seen["patient"]["name"], seen["subject"]) == ("Wang Xiuying", "")
    assert f'<a href="/p/{home.patient_id}">Wang Xiuying</a>' in page
    assert "https://example.org" not in page


def test_a_page_that_is_open_says_when_something_has_changed(clinic: Clinic, doctor: httpx2.Client, home: Home) -> None:
    shown = doctor.get("/fleet?lang=en").text.partition("/fleet/news?shown=")[2].partition('"')[0]
    assert "has changed" not in doctor.get(f"/fleet/news?shown={shown}&lang=en").text
    unheard(clinic, home, 20)

    assert "Something has changed" in doctor.get(f"/fleet/news?shown={shown}&lang=en").text


def test_a_page_that_is_open_keeps_no_session_alive(clinic: Clinic, doctor: httpx2.Client, home: Home) -> None:
    clinic.clock.ahead = timedelta(minutes=10)
    assert doctor.get("/fleet/news?shown=x").status_code == 200
    clinic.clock.ahead = timedelta(minutes=16)

    assert doctor.get("/api/v1/fleet").status_code == 401


def _third(clinic: Clinic) -> str:
    clinic.add_user("third")
    return "third"


def _push_about(clinic: Clinic, home: Home) -> str:
    """A message about this home's patient."""
    episode_id = f"00000000-0000-0000-0000-{home.patient_id:012d}"
    clinic.rows(
        "insert into episode (episode_id, patient_id, rule_id, rule_version, state, priority, first_day, last_day,"
        " started_at, opened_at, judged_at, verdict, sentence)"
        " values (%s, %s, 'r', 1, 'active', 'low', now(), now(), now(), now(), now(), '{}', '{}')",
        episode_id,
        home.patient_id,
    )
    push_id = f"11111111-0000-0000-0000-{home.patient_id:012d}"
    clinic.rows(
        "insert into push (push_id, episode_id, patient_id, recipient, channel, step, kind, text, state, due_at)"
        " values (%s, %s, %s, 'clinic:1', 'webhook', 0, 'opening', '{}', 'dead', now())",
        push_id,
        episode_id,
        home.patient_id,
    )
    return push_id
