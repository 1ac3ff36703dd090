"""Who is watched, with what, through which gateway, stated on the command line: what it does, and what it refuses and why."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from households import Household

from server import clock
from server.intake import Intake
from server.store import enrolment
from server.store.postgres import Pool, transaction
from server.store.vault import Identity, identity_of
from server.store.vault_keys import SETTING
from vitals.errors import MalformedError
from vitals.reading import GUEST, Reading

CUFF = "F0:00:00:10:00:01"
ZONE = "Asia/Shanghai"


@pytest.fixture
def clinic(pool: Pool) -> Pool:
    """A doctor lin, a nurse wang, a gateway gw-1, and patients 1 and 2."""
    with pool.connection() as conn:
        doctor_id = add_account(conn, "lin", "doctor")
        add_account(conn, "wang", "nurse")
        enrolment.add_gateway(conn, "gw-1", ZONE)
        for name in ("王秀英", "李强"):
            enrolment.add_patient(
                conn,
                name=name,
                language="zh",
                enrolled_on=(clock.now() - timedelta(days=60)).date(),
                zone=ZONE,
                doctor_id=doctor_id,
                now=clock.now(),
            )
    return pool


CHILD = """
import contextlib, io, json, os, sys, traceback
from server.cli import app
answers = sys.stdout
for line in sys.stdin:
    asked = json.loads(line)
    os.environ["HOMEVIGIL_SERVER_DATABASE_URL"] = asked["database_url"]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(args=asked["words"], prog_name="server")
        except SystemExit as end:
            code = end.code or 0
        except Exception:
            traceback.print_exc()
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=answers, flush=True)
"""


@pytest.fixture(scope="module")
def child() -> Iterator["subprocess.Popen[str]"]:
    """`python -m server` that stays for the next command: most of a command's second is importing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOMEVIGIL_") or name == SETTING}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        yield child
        assert child.stdin is not None
        child.stdin.close()


@pytest.fixture
def server(child: "subprocess.Popen[str]", database_url: str) -> "Server":
    return Server(child, database_url)


class Server:
    """`server …` against one database: exit code, what it says, what it complains of."""

    def __init__(self, child: "subprocess.Popen[str]", database_url: str) -> None:
        self._child = child
        self._database_url = database_url

    def __call__(self, words: str, *more: str) -> tuple[int, str, str]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        asked = {"database_url": self._database_url, "words": [*words.split(), *more]}
        print(json.dumps(asked), file=self._child.stdin, flush=True)
        code, said, complained = json.loads(self._child.stdout.readline())
        assert "Traceback" not in complained, complained
        return code, said, complained

    def says(self, words: str, *more: str) -> str:
        code, said, complained = self(words, *more)
        assert code == 0, complained
        return said

    def refuses(self, words: str, *more: str, code: int = 1) -> str:
        """What it says when it does nothing."""
        given, said, complained = self(words, *more)
        assert (given, said) == (code, ""), said + complained
        return " ".join(complained.split())


def add_account(conn: Any, login: str, role: str) -> int:
    """Somebody who never signs in here, so without the second that a good hash takes."""
    row = conn.execute(
        "insert into app_user (login, display_name, role, password_hash) values (%s, %s, %s, '') returning user_id",
        (login, login.title(), role),
    ).fetchone()
    return int(row[0])


def add_account_of(pool: Pool, login: str) -> None:
    with pool.connection() as conn:
        add_account(conn, login, "doctor")


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(query.encode(), args)
        return cursor.fetchall() if cursor.description else []


def earlier(**back: float) -> datetime:
    return clock.now().replace(microsecond=0) - timedelta(**back)


def arrive(pool: Pool, *measured_at: datetime, slot: int | None = None, first_seq: int = 1) -> list[Reading]:
    """Readings of the cuff come in from gw-1, whoever they belong to."""
    home = Household(gateway_id="gw-1", patient_id=0, cuff=CUFF, glucometer="GLU", since=measured_at[0], user_slot=slot)
    readings = [home.pressure(at) for at in measured_at]
    assert Intake(pool).take(home.envelope(*readings, first_seq=first_seq), topic_gateway="gw-1") is not None
    return readings


# gateways


def test_a_gateway_is_enrolled_listed_revoked_and_restored(server: Server, pool: Pool) -> None:
    assert server.says("gateway add gw-0001 --zone Asia/Shanghai") == "gateway gw-0001: Asia/Shanghai, active\n"
    assert server.says("gateway add gw-0001 --zone Asia/Urumqi") == "gateway gw-0001: Asia/Urumqi, active\n"
    add_account_of(pool, "lin")
    assert "revoked" in server.says("gateway revoke gw-0001 --by lin --reason", "left in a train")
    assert ask(pool, "select state from gateway") == [("revoked",)]
    assert server.says("gateway add gw-0001 --zone Asia/Urumqi") == "gateway gw-0001: Asia/Urumqi, revoked\n"
    assert "active" in server.says("gateway restore gw-0001 --by lin")
    (listed,) = json.loads(server.says("gateway list --json"))
    assert (listed["gateway_id"], listed["state"], listed["zone"]) == ("gw-0001", "active", "Asia/Urumqi")
    assert (listed["last_heard_at"], listed["certificate_ends_at"], listed["good_certificates"]) == (None, None, 0)
    assert server.says("gateway list").split() == ["gw-0001", "active", "Asia/Urumqi", "never", "heard"]


def test_who_shut_a_gateway_out_and_let_it_back_is_a_person_and_is_kept(server: Server, clinic: Pool) -> None:
    for words in ("revoke gw-1 --reason lost", "revoke gw-1 --by lin", "restore gw-1"):
        server.refuses(f"gateway {words}", code=2)
    assert "no active account 'nobody'" in server.refuses("gateway revoke gw-1 --by nobody --reason lost")
    assert ask(clinic, "select * from admission_event") == []
    server.says("gateway revoke gw-1 --by lin --reason", "left in a train")
    server.says("gateway restore gw-1 --by wang")
    newest_first = json.loads(server.says("gateway history gw-1 --json"))
    assert [(each["act"], each["by_login"], each["detail"]) for each in newest_first] == [
        ("gateway_restored", "wang", None),
        ("gateway_revoked", "lin", "left in a train"),
    ]
    lines = server.says("gateway history").splitlines()
    assert lines[1].split()[1:] == ["gw-1", "gateway_revoked", "lin", "left", "in", "a", "train"]
    assert server.says("gateway history gw-9") == ""


def test_the_list_says_of_every_certificate_what_there_is_to_do(server: Server, clinic: Pool) -> None:
    for nth, (ends, revoked) in enumerate([("30 days", None), ("-1 day", None), ("30 days", "1 hour")], start=1):
        ask(
            clinic,
            "insert into gateway (gateway_id, zone) values (%s, 'UTC') on conflict do nothing",
            f"gw-{nth}",
        )
        ask(
            clinic,
            "insert into gateway_certificate (serial, gateway_id, key_hash, certificate, not_before, not_after, issued_at,"
            " revoked_at) values (%s, %s, '', '', now() - interval '60 days', now() + %s::interval, now(),"
            " now() - %s::interval)",
            str(nth),
            f"gw-{nth}",
            ends,
            revoked,
        )
    ask(clinic, "insert into gateway (gateway_id, zone) values ('gw-4', 'UTC')")
    ask(
        clinic,
        "insert into gateway_claim (gateway_id, code_hash, made_by, made_at, expires_at, tries_left)"
        " values ('gw-4', '', 'lin', now(), now() + interval '9 minutes', 5)",
    )
    good, ended, revoked_one, fresh = server.says("gateway list").splitlines()
    assert f"certificate until {clock.now() + timedelta(days=30):%Y-%m-%d}" in good
    assert ended.endswith(": enrol the box again")
    assert "certificate ended" in ended
    assert "certificate revoked" in revoked_one
    assert " ".join(fresh.split()).startswith("gw-4 active UTC never heard a code is open until")
    stands = json.loads(server.says("gateway list --json"))
    assert [each["good_certificates"] for each in stands] == [1, 0, 0, 0]


@pytest.mark.parametrize("zone", ["Asia/Atlantis", "Asia", "", "../../etc/passwd", "UTC+8"])
def test_a_zone_that_is_none_is_not_understood(server: Server, pool: Pool, zone: str) -> None:
    assert "is not an IANA time zone such as Asia/Shanghai" in server.refuses("gateway add gw-1 --zone", zone, code=2)
    assert ask(pool, "select * from gateway") == []


@pytest.mark.parametrize("name", ["", "gw/1", "gw#", "-", "x" * 65, "门口"])
def test_a_name_that_mqtt_cannot_carry_is_not_understood(server: Server, pool: Pool, name: str) -> None:
    assert "1 to 64 letters" in server.refuses("gateway add --zone UTC --", name, code=2)
    assert ask(pool, "select * from gateway") == []


def test_an_unknown_gateway_is_named_with_what_to_do(server: Server, clinic: Pool) -> None:
    for words in (
        "gateway revoke gw-9 --by lin --reason lost",
        "gateway restore gw-9 --by lin",
        f"meter bind {CUFF} --patient 1 --gateway gw-9 --by lin",
    ):
        said = server.refuses(words)
        assert "no gateway 'gw-9' is enrolled: `server gateway add gw-9 --zone ZONE` enrols it" in said


def test_a_gateway_that_was_suspended_is_heard_again_after_its_restoring(server: Server, clinic: Pool) -> None:
    envelope = Household(gateway_id="gw-2", patient_id=0, cuff=CUFF, glucometer="G", since=earlier(days=1))
    for number in range(1, 4):
        stranger = envelope.envelope(envelope.pressure(earlier(hours=number)), first_seq=number)
        Intake(clinic).take(stranger, topic_gateway="gw-1")
    assert ask(clinic, "select state from gateway") == [("suspended",)]
    assert "is suspended: `server gateway restore gw-1 --by LOGIN`" in server.refuses(
        f"meter bind {CUFF} --patient 1 --gateway gw-1 --by lin"
    )
    server.says("gateway restore gw-1 --by lin")
    Intake(clinic).take(envelope.envelope(envelope.pressure(earlier(hours=9)), first_seq=9), topic_gateway="gw-1")
    assert ask(clinic, "select state from gateway") == [("active",)], "a fourth message alone does not suspend it"


# patients


ADD = "patient add --zone Asia/Shanghai --doctor lin --language zh"


def test_a_patient_is_enrolled_with_all_that_is_known(server: Server, clinic: Pool) -> None:
    said = server.says(
        f"{ADD} --enrolled-on 2026-01-05 --sex female --birth-date 1951-02-03 --condition I10 --condition E11.9 --json",
        *("--name", "陈 静", "--phone", "+86 21 5555 0100"),
    )
    patient_id = json.loads(said)["patient_id"]
    assert ask(
        clinic,
        "select p.sex, p.language, p.conditions, p.enrolled_on::text, u.login, z.zone"
        " from patient p join app_user u on u.user_id = p.doctor_id join patient_zone z using (patient_id)"
        " where patient_id = %s",
        patient_id,
    ) == [("female", "zh", ["I10", "E11.9"], "2026-01-05", "lin", ZONE)]
    with transaction(clinic) as conn:
        who = identity_of(conn, patient_id)
    assert who == Identity(name="陈 静", phone="+86 21 5555 0100", birth_date=date(1951, 2, 3))
    listed = {each["patient_id"]: each for each in json.loads(server.says("patient list --json"))}
    assert listed[patient_id]["name"] == "陈 静"
    assert (listed[patient_id]["doctor"], listed[patient_id]["zone"]) == ("lin", ZONE)
    assert len(server.says("patient list").splitlines()) == 3


def test_a_patient_needs_only_name_zone_day_doctor_and_language(server: Server, clinic: Pool) -> None:
    said = server.says(f"{ADD} --enrolled-on 2026-01-05 --name Chen")
    assert said == "patient 3: enrolled on 2026-01-05, Asia/Shanghai, doctor lin\n"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--enrolled-on", "2999-01-01"], "is in the future"),
        (["--enrolled-on", "2026-02-30"], "2026-02-30"),
        (["--enrolled-on", "2026-01-05", "--birth-date", "2026-01-06"], "is not before the day of enrolment"),
        (["--enrolled-on", "2026-01-05", "--birth-date", "0195-01-06"], "check the year"),
        (["--enrolled-on", "2026-01-05", "--condition", "high"], "'high' is not an ICD-10 code"),
        (["--enrolled-on", "2026-01-05", "--phone", "call me"], "3 to 32 digits"),
        (["--enrolled-on", "2026-01-05", "--sex", "x"], "'x' is not one of"),
        (["--enrolled-on", "2026-01-05", "--zone", "Shanghai"], "is not an IANA time zone"),
        (["--enrolled-on", "2026-01-05", "--name", " "], "1 to 100 characters"),
        (["--enrolled-on", "2026-01-05", "--name", "a\nb"], "1 to 100 characters"),
        (["--enrolled-on", "2026-01-05", "--name", "\udcff"], "1 to 100 characters"),
    ],
)
def test_what_cannot_be_of_a_patient_is_not_understood(server: Server, clinic: Pool, more: list[str], why: str) -> None:
    assert why in server.refuses(f"{ADD} --name Chen", *more, code=2)
    assert ask(clinic, "select count(*) from patient") == [(2,)]


@pytest.mark.parametrize(
    ("login", "why"), [("nobody", "no active account 'nobody'"), ("wang", "wang is no doctor but nurse")]
)
def test_a_patient_needs_a_doctor_who_is_one(server: Server, clinic: Pool, login: str, why: str) -> None:
    assert why in server.refuses(f"{ADD} --enrolled-on 2026-01-05 --name Chen --doctor", login)
    assert ask(clinic, "select count(*) from patient") == [(2,)]


def test_a_doctor_whose_account_is_closed_is_not_given_patients(server: Server, clinic: Pool) -> None:
    ask(clinic, "update app_user set active = false where login = 'lin'")
    assert "no active account 'lin'" in server.refuses(f"{ADD} --enrolled-on 2026-01-05 --name Chen")


# meters


def test_a_meter_is_bound_listed_and_unbound(server: Server, clinic: Pool) -> None:
    said = server.says("meter bind f0:00:00:10:00:01 --patient 1 --gateway gw-1 --by wang --since 2026-10-01T07:05")
    assert said == f"{CUFF} is patient 1's at gw-1 from 2026-10-01T07:05+08:00 on\n"
    (listed,) = json.loads(server.says("meter list --json"))
    assert listed == {
        "meter_id": CUFF,
        "user_slot": None,
        "gateway_id": "gw-1",
        "patient_id": 1,
        "bound_by": "wang",
        "valid_from": "2026-09-30T23:05:00Z",
    }
    assert f"{CUFF}       - patient 1" in server.says("meter list")
    assert "was patient 1's until now" in server.says(f"meter unbind {CUFF}")
    assert server.says("meter list") == ""
    assert ask(clinic, "select valid_to > valid_from from meter_binding") == [(True,)]


def test_a_meter_that_is_somebody_elses_is_not_taken_away(server: Server, clinic: Pool) -> None:
    server.says(f"meter bind {CUFF} --patient 1 --gateway gw-1 --by lin --slot 2")
    said = server.refuses(f"meter bind {CUFF} --patient 2 --gateway gw-1 --by lin --slot 2")
    assert "has been patient 1's at gw-1 since" in said
    assert f"`server meter unbind {CUFF} --slot 2` first" in said
    server.says(f"meter bind {CUFF} --patient 2 --gateway gw-1 --by lin --slot 1")
    server.says(f"meter unbind {CUFF} --slot 2")
    server.says(f"meter bind {CUFF} --patient 2 --gateway gw-1 --by lin --slot 2")


def test_a_binding_said_twice_is_one_and_reaches_back_when_said_from_earlier(server: Server, clinic: Pool) -> None:
    bind = f"meter bind {CUFF} --patient 1 --gateway gw-1 --by lin --since"
    for since in ("2026-10-02", "2026-10-03", "2026-10-01", "2026-10-01"):
        server.says(bind, since)
    assert ask(clinic, "select valid_from::text, valid_to from meter_binding") == [("2026-09-30 16:00:00+00", None)]


def test_nobodys_past_is_rewritten_by_a_binding(server: Server, clinic: Pool) -> None:
    server.says(f"meter bind {CUFF} --patient 1 --gateway gw-1 --by lin --since 2026-10-01")
    server.says(f"meter unbind {CUFF}")
    until = ask(clinic, "select valid_to from meter_binding")[0][0]
    said = server.refuses(f"meter bind {CUFF} --patient 2 --gateway gw-1 --by lin --since 2026-10-05")
    assert said == f"{CUFF} was patient 1's until {until:%Y-%m-%dT%H:%MZ}; bind it from then on"
    server.says(f"meter bind {CUFF} --patient 2 --gateway gw-1 --by lin --since", f"{until:%Y-%m-%dT%H:%MZ}")
    with clinic.connection() as conn, pytest.raises(MalformedError, match="bound from a later time"):
        enrolment.bind_meter(
            conn,
            meter_id=CUFF,
            user_slot=None,
            gateway_id="gw-1",
            patient_id=1,
            bound_by="lin",
            now=datetime(2026, 9, 1, tzinfo=UTC),
        )


def test_two_people_who_bind_one_meter_at_once_do_not_both_get_it(clinic: Pool) -> None:
    refused: list[str] = []

    def bind(patient_id: int) -> None:
        with clinic.connection() as conn:
            if enrolment.lock_bindings(conn, CUFF):
                refused.append(f"patient {patient_id}")
                return
            enrolment.bind_meter(
                conn,
                meter_id=CUFF,
                user_slot=None,
                gateway_id="gw-1",
                patient_id=patient_id,
                bound_by="lin",
                now=clock.now(),
            )

    both = [threading.Thread(target=bind, args=(patient_id,)) for patient_id in (1, 2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(refused) == 1
    assert ask(clinic, "select count(*) from meter_binding where valid_to is null") == [(1,)]


@pytest.mark.parametrize(
    ("words", "why", "code"),
    [
        ("--patient 9 --gateway gw-1 --by lin", "no patient 9: `server patient list`", 1),
        ("--patient 1 --gateway gw-1 --by nobody", "no active account 'nobody': `server user list`", 1),
        ("--patient 1 --gateway gw-1 --by lin --since 2999-01-01", "is in the future", 1),
        ("--patient 1 --gateway gw-1 --by lin --since yesterday", "is not an ISO 8601 time such as", 2),
        ("--patient 1 --gateway gw-1 --by lin --slot 256", "less than or equal to 255", 2),
        ("--patient 0 --gateway gw-1 --by lin", "greater than or equal to 1", 2),
        ("--patient 1 --by lin", "--gateway", 2),
    ],
)
def test_a_binding_that_cannot_be_is_refused_with_what_to_do(
    server: Server, clinic: Pool, words: str, why: str, code: int
) -> None:
    assert why in server.refuses(f"meter bind {CUFF} {words}", code=code)
    assert ask(clinic, "select * from meter_binding") == []


def test_unbinding_what_is_not_bound_says_what_is(server: Server, clinic: Pool) -> None:
    assert "`server meter list` shows" in server.refuses(f"meter unbind {CUFF}")
    server.says(f"meter bind {CUFF} --patient 1 --gateway gw-1 --by lin --slot 1")
    assert f"bound are: {CUFF} slot 1" in server.refuses(f"meter unbind {CUFF}")


def test_what_is_measured_after_the_unbinding_is_nobodys(server: Server, clinic: Pool) -> None:
    server.says(f"meter bind {CUFF} --patient 1 --gateway gw-1 --by lin --since 2026-10-01")
    server.says(f"meter unbind {CUFF}")
    arrive(clinic, earlier(minutes=90), clock.now() + timedelta(seconds=60))
    assert ask(clinic, "select patient_id from reading") == [(1,)]
    assert ask(clinic, "select reason from quarantine") == [("unknown_meter",)]


# quarantine


def test_a_meter_that_is_bound_late_loses_its_patient_nothing(server: Server, clinic: Pool) -> None:
    arrive(clinic, earlier(hours=3), earlier(hours=2), earlier(days=9))
    since = earlier(days=1).isoformat()
    said = server.says(f"meter bind {CUFF} --patient 1 --gateway gw-1 --by wang --since", since).splitlines()
    assert said[1:] == [
        f"in quarantine: 2 of its readings have an owner by now; `server quarantine release --meter {CUFF} --by LOGIN`"
        " takes them in",
        "in quarantine: 1 stay: not bound to anybody at that time",
    ]

    code, said, complained = server(f"quarantine release --meter {CUFF} --by wang")

    assert code == 0
    assert said.splitlines() == [
        "patient 1: 2 taken in, to be judged now",
        "1 stay: not bound to anybody at that time",
    ]
    assert f"earlier `server meter bind {CUFF} --since" in complained
    assert ask(clinic, "select patient_id, count(*) from reading group by 1") == [(1, 2)]
    assert server.says("check") == "received = stored + repeated + quarantined, for every gateway\n"
    code, again, _ = server(f"quarantine release --meter {CUFF} --by wang --json")
    assert code == 1, "all of it stays"
    assert json.loads(again) == {"stored": {}, "repeated": 0, "left": {"not bound to anybody at that time": 1}}


def test_a_single_reading_is_given_to_whom_a_person_says(server: Server, clinic: Pool) -> None:
    server.says(f"meter bind {CUFF} --patient 1 --gateway gw-1 --by wang --slot 1")
    arrive(clinic, earlier(hours=3), earlier(hours=2), slot=GUEST)
    (first,), (second,) = ask(clinic, "select quarantine_id from quarantine order by 1")

    said = server.says(f"quarantine assign {second} --patient 2 --by lin")

    assert said == "patient 2: 1 taken in, to be judged now\n"
    assert ask(clinic, "select patient_id from reading") == [(2,)]
    assert ask(clinic, "select resolved_by from quarantine order by quarantine_id") == [(None,), ("lin",)]
    assert server.says("check") == "received = stored + repeated + quarantined, for every gateway\n"
    arrive(clinic, earlier(minutes=30), slot=GUEST, first_seq=3)
    assert ask(clinic, "select count(*) from reading") == [(1,)], "nothing was bound by it"
    code, again, complained = server(f"quarantine assign {second} {first} --patient 1 --by lin")
    assert (code, again) == (1, "patient 1: 1 taken in, to be judged now\n")
    assert complained.startswith("1 wait for no owner")


def test_a_single_reading_is_not_given_to_nobody_nor_to_a_time_before_the_patients(
    server: Server, clinic: Pool
) -> None:
    arrive(clinic, earlier(days=800))
    ((number,),) = ask(clinic, "select quarantine_id from quarantine")
    assert "no patient 7" in server.refuses(f"quarantine assign {number} --patient 7 --by lin")
    assert "no active account" in server.refuses(f"quarantine assign {number} --patient 1 --by nobody")
    code, said, _ = server(f"quarantine assign {number} --patient 1 --by lin")
    assert (code, said) == (1, "1 stay: before the patient's time or in the future\n")


def test_with_nothing_waiting_a_release_says_so(server: Server, clinic: Pool) -> None:
    assert server.says(f"quarantine release --meter {CUFF} --by lin") == f"nothing of {CUFF} waits in quarantine\n"
    assert "no active account" in server.refuses(f"quarantine release --meter {CUFF} --by nobody")


def test_quarantine_is_listed_without_any_value(server: Server, clinic: Pool) -> None:
    arrive(clinic, earlier(hours=3), earlier(hours=2), slot=4)
    Intake(clinic).take(b'{"secret": 152}', topic_gateway="gw-1")
    rows = json.loads(server.says("quarantine list --json"))
    assert [set(row) for row in rows] == [
        {"quarantine_id", "gateway_id", "reason", "meter_id", "user_slot", "received_at"}
    ] * 3
    assert [(row["reason"], row["meter_id"], row["user_slot"]) for row in rows] == [
        ("decode:schema", None, None),
        ("unknown_meter", CUFF, 4),
        ("unknown_meter", CUFF, 4),
    ]
    code, shown, complained = server("quarantine list --limit 2")
    assert code == 0
    assert len(shown.splitlines()) == 2
    assert "1 older ones are not shown" in complained


def test_a_database_that_is_not_migrated_is_said_so(
    child: "subprocess.Popen[str]", empty_database_url: str, database_url: str
) -> None:
    server = Server(child, empty_database_url)
    assert "the database lacks 0001_people_and_meters.sql: `server migrate`" in server.refuses("patient list")


def test_help_of_the_words_brings_no_driver() -> None:
    code = (
        "import sys, server.cli, server.enrolment_commands, server.quarantine_commands;"
        "print([m for m in ('psycopg', 'numba', 'pydantic', 'fastapi', 'argon2', 'paho') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
