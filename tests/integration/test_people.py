"""Accounts, sessions, panels and links as rows: what is kept, what is not, and when it ends."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from server.people import accounts, links, panels, sessions
from server.people.accounts import Role
from server.people.errors import (
    LoginTakenError,
    NotOnPanelError,
    TooManyAttemptsError,
    WeakPasswordError,
    WrongPasswordError,
)
from server.store import enrolment
from server.store.postgres import Pool, transaction

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
PASSWORD = "a long enough password"


@pytest.fixture
def user_id(pool: Pool) -> int:
    return _add(pool, "lin")


@pytest.fixture
def patient_id(pool: Pool, user_id: int) -> int:
    with transaction(pool) as conn:
        return enrolment.add_patient(
            conn, name="王秀英", language="zh", enrolled_on=NOW.date(), zone="Asia/Shanghai", doctor_id=user_id, now=NOW
        )


def test_only_a_hash_of_a_password_is_kept(pool: Pool, user_id: int) -> None:
    with transaction(pool) as conn:
        (stored,) = conn.execute("select password_hash from app_user").fetchone() or ("",)

    assert stored.startswith("$argon2id$")
    assert PASSWORD not in stored


def test_the_right_password_is_the_users_and_a_wrong_one_nobodys(pool: Pool, user_id: int) -> None:
    with transaction(pool) as conn:
        assert accounts.verify(conn, login="lin", password=PASSWORD) == user_id
        assert accounts.verify(conn, login="lin", password=PASSWORD + "!") is None
        assert accounts.verify(conn, login="nobody", password=PASSWORD) is None


def test_a_hash_made_with_older_parameters_is_renewed_at_the_next_sign_in(pool: Pool, user_id: int) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with transaction(pool) as conn:
        conn.execute("update app_user set password_hash = %s", (old,))

    with transaction(pool) as conn:
        assert accounts.verify(conn, login="lin", password=PASSWORD) == user_id
    with transaction(pool) as conn:
        (renewed,) = conn.execute("select password_hash from app_user").fetchone() or ("",)
        assert renewed != old
        assert accounts.verify(conn, login="lin", password=PASSWORD) == user_id


def test_a_login_is_given_once(pool: Pool, user_id: int) -> None:
    with pytest.raises(LoginTakenError, match="'lin' is taken"):
        _add(pool, "lin")


@pytest.mark.parametrize("password", ["", "short12", "x" * 257])
def test_a_password_too_short_or_too_long_is_refused(pool: Pool, password: str) -> None:
    with pytest.raises(WeakPasswordError, match="8 to 256 characters"):
        _add(pool, "lin", password)


def test_a_token_is_kept_as_a_hash_only(pool: Pool, user_id: int, patient_id: int) -> None:
    signed_in = sessions.sign_in(pool, login="lin", password=PASSWORD, address="here", now=NOW)
    with transaction(pool) as conn:
        link = links.issue_patient_link(conn, patient_id, now=NOW, valid_for=timedelta(days=1))
        kept = conn.execute(
            "select token_hash from user_session union all select token_hash from patient_link"
        ).fetchall()

    assert all(len(token_hash) == 32 for (token_hash,) in kept)
    assert signed_in.token.encode() not in {token_hash for (token_hash,) in kept}
    assert len(link) == len(signed_in.token) == 43
    assert signed_in.session.csrf_token != signed_in.token


def test_sessions_that_have_ended_are_forgotten_at_the_next_sign_in(pool: Pool, user_id: int) -> None:
    sessions.sign_in(pool, login="lin", password=PASSWORD, address="here", now=NOW)
    later = NOW + sessions.IDLE_FOR + timedelta(seconds=1)

    kept = sessions.sign_in(pool, login="lin", password=PASSWORD, address="here", now=later)

    with transaction(pool) as conn:
        assert conn.execute("select token_hash from user_session").fetchall() == [(kept.session.token_hash,)]


def test_successes_are_not_counted_as_guesses(pool: Pool, user_id: int) -> None:
    for second in range(2 * sessions.ATTEMPTS):
        sessions.sign_in(pool, login="lin", password=PASSWORD, address="here", now=NOW + timedelta(seconds=second))


def test_guesses_count_for_a_login_and_an_address(pool: Pool, user_id: int) -> None:
    for second in range(sessions.ATTEMPTS):
        with pytest.raises(WrongPasswordError):
            sessions.sign_in(pool, login="lin", password="guess", address="there", now=NOW + timedelta(seconds=second))

    with pytest.raises(TooManyAttemptsError) as refused:
        sessions.sign_in(pool, login="lin", password=PASSWORD, address="there", now=NOW + timedelta(minutes=1))

    assert refused.value.retry_after == timedelta(minutes=14)
    sessions.sign_in(pool, login="lin", password=PASSWORD, address="here", now=NOW + timedelta(minutes=1))


def test_many_machines_that_guess_at_one_login_are_stopped_together(pool: Pool, user_id: int) -> None:
    sessions.sign_in(pool, login="lin", password=PASSWORD, address="ward", now=NOW - timedelta(days=20))
    for number in range(sessions.ACCOUNT_ATTEMPTS):
        _guess(pool, "lin", f"10.0.0.{number}", number)

    with pytest.raises(TooManyAttemptsError):
        sessions.sign_in(pool, login="lin", password=PASSWORD, address="10.0.1.1", now=NOW + timedelta(minutes=50))
    sessions.sign_in(pool, login="lin", password=PASSWORD, address="ward", now=NOW + timedelta(minutes=50))
    sessions.sign_in(pool, login="lin", password=PASSWORD, address="10.0.1.1", now=NOW + timedelta(hours=1, minutes=1))


def test_one_machine_that_tries_every_login_is_stopped_and_its_neighbours_at_home_are_not(
    pool: Pool, user_id: int
) -> None:
    sessions.sign_in(pool, login="lin", password=PASSWORD, address="2001:db8::1", now=NOW - timedelta(days=20))
    _add(pool, "wu")
    for number in range(sessions.PLACE_ATTEMPTS):
        _guess(pool, f"staff-{number}", f"2001:db8::{number + 1:x}", number)

    with pytest.raises(TooManyAttemptsError):
        sessions.sign_in(pool, login="wu", password=PASSWORD, address="2001:db8::ffff", now=NOW + timedelta(minutes=2))
    sessions.sign_in(pool, login="wu", password=PASSWORD, address="2001:db8:0:1::1", now=NOW + timedelta(minutes=2))
    sessions.sign_in(pool, login="lin", password=PASSWORD, address="2001:db8::ffff", now=NOW + timedelta(minutes=2))


def _guess(pool: Pool, login: str, address: str, second: int) -> None:
    with pytest.raises(WrongPasswordError):
        sessions.sign_in(pool, login=login, password="guess", address=address, now=NOW + timedelta(seconds=second))


def test_a_link_opens_until_its_end_or_until_it_is_revoked(pool: Pool, patient_id: int) -> None:
    with transaction(pool) as conn:
        first = links.issue_patient_link(conn, patient_id, now=NOW, valid_for=timedelta(days=7))
        second = links.issue_patient_link(conn, patient_id, now=NOW, valid_for=timedelta(days=30))
        later = NOW + timedelta(days=8)

        assert links.find_patient(conn, first, now=NOW) == patient_id
        assert links.find_patient(conn, first, now=later) is None
        assert links.find_patient(conn, second, now=later) == patient_id
        assert links.revoke_patient_links(conn, patient_id, now=later) == 1
        assert links.find_patient(conn, second, now=later) is None
        assert links.find_patient(conn, "guess", now=NOW) is None


def test_a_role_opens_nothing_and_a_panel_does(pool: Pool, patient_id: int) -> None:
    with transaction(pool) as conn:
        admin = accounts.add_user(
            conn, login="root", display_name="Root", role="admin", password=PASSWORD, language="en", now=NOW
        )
        nurse = accounts.add_user(
            conn, login="nurse", display_name="Nurse", role="nurse", password=PASSWORD, language="en", now=NOW
        )
        for user_id in (admin, nurse):
            with pytest.raises(NotOnPanelError):
                panels.check(conn, user_id=user_id, patient_id=patient_id)
            panels.add(conn, user_id=user_id, patient_id=patient_id)
            panels.add(conn, user_id=user_id, patient_id=patient_id)
        panels.check(conn, user_id=nurse, patient_id=patient_id)
        with pytest.raises(NotOnPanelError):
            panels.check(conn, user_id=admin, patient_id=patient_id)


def test_accounts_are_kept_from_the_command_line(
    database_url: str, pool: Pool, patient_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", database_url)
    monkeypatch.setenv("HOMEVIGIL_SERVER_PUBLIC_URL", "https://clinic.example")
    _add(pool, "root", role="admin")

    reset = json.loads(_command("reset", "lin", "--json").stdout)
    renamed = _command("rename", "lin", "林医生")
    nurse = _command("role", "lin", "nurse")
    auditor = json.loads(_command("role", "lin", "auditor", "--json").stdout)
    last = _command("role", "root", "nurse")
    closed = _command("close", "lin")
    closed_again = _command("close", "lin")
    reopened = _command("reopen", "lin", "--json")
    out = _command("sign-out", "nobody")

    assert reset["link"].startswith("https://clinic.example/welcome/")
    assert (renamed.stdout, nurse.stdout) == ("lin is called 林医生\n", "lin is nurse\n")
    assert auditor == {"user_id": auditor["user_id"], "login": "lin", "role": "auditor", "patients": 1}
    assert (last.returncode, "the last admin's" in last.stderr) == (1, True)
    assert closed.stdout == "lin is closed\n"
    assert (closed_again.returncode, closed_again.stderr) == (1, "nothing was changed: the account is closed already\n")
    assert json.loads(reopened.stdout)["login"] == "lin"
    assert (out.returncode, "no account 'nobody'" in out.stderr) == (1, True)
    with transaction(pool) as conn:
        done = conn.execute("select act from audit_entry where act like 'account.%' order by entry_id").fetchall()
        assert conn.execute("select doctor_id from patient where patient_id = %s", (patient_id,)).fetchone() == (None,)
    assert [act for (act,) in done] == [
        f"account.{each}" for each in ("reset", "rename", "role", "role", "close", "reopen")
    ]


def test_an_account_is_made_and_a_link_printed_from_the_command_line(
    database_url: str, pool: Pool, patient_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", database_url)
    monkeypatch.setenv("HOMEVIGIL_SERVER_PUBLIC_URL", "https://clinic.example")

    added = _command("add", "wang", "--name", "王敏", "--role", "nurse", "--password-stdin", given=f"{PASSWORD}\n")
    again = _command("add", "wang", "--name", "王敏", "--password-stdin", given=f"{PASSWORD}\n")
    weak = _command("add", "li", "--name", "李", "--password-stdin", given="short\n")
    listed = _command("list", "--json")
    seen = _command("see", "wang", str(patient_id))
    link = _command("patient-link", str(patient_id), "--valid-days", "3")
    nobody = _command("patient-link", "999")

    assert (added.returncode, again.returncode, weak.returncode, nobody.returncode) == (0, 1, 1, 1)
    assert "taken" in again.stderr
    assert "no patient 999" in nobody.stderr
    assert '"display_name": "王敏", "role": "nurse"' in listed.stdout
    assert seen.stdout == f"wang sees patient {patient_id}\n"
    address, _, token = link.stdout.strip().rpartition("/")
    assert address == "https://clinic.example/me"
    with transaction(pool) as conn:
        now = datetime.now(UTC)  # noqa: TID251 - the command that made it read the real clock too
        assert links.find_patient(conn, token, now=now) == patient_id
        assert accounts.verify(conn, login="wang", password=PASSWORD) is not None
    assert _command("revoke-links", str(patient_id)).stdout == "ended: 1\n"


def _command(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", "user", *words], input=given, capture_output=True, text=True, check=False
    )


def _add(pool: Pool, login: str, password: str = PASSWORD, role: Role = "doctor") -> int:
    with transaction(pool) as conn:
        return accounts.add_user(
            conn, login=login, display_name="Lin", role=role, password=password, language="zh", now=NOW
        )
