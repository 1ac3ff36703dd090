"""What a build could not read is kept, and becomes readings once a build reads it: once, counted, judged.

Messages of a newer wire version are kept whole; of an envelope that could be read, the readings of a kind that was not known.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from households import Household, enrol
from vaults import quarantined

from server.clock import now
from server.intake import Intake
from server.replay import AT_A_TIME, Replayed, replay
from server.store.intake import check_accounts, holes
from server.store.postgres import Pool, in_transaction, transaction
from vitals.reading import BloodPressure, Glucose, Reading

UPGRADE = Callable[[], None]


@pytest.fixture
def intake(pool: Pool) -> Intake:
    return Intake(pool)


@pytest.fixture
def home(pool: Pool) -> Household:
    with transaction(pool) as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch) -> UPGRADE:
    """From now on this is a build that reads version 2 of the envelope, which has changed nothing else."""
    return lambda: monkeypatch.setattr("vitals.envelope.VERSION", 2)


def ask(pool: Pool, query: str, *values: object) -> list[tuple[Any, ...]]:
    with transaction(pool) as conn:
        cursor = conn.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []


def newer(home: Household, *seqs: int, **changes: Any) -> bytes:
    at = now().replace(microsecond=0) - timedelta(hours=1)
    readings = [home.pressure(at - timedelta(minutes=seq), **changes) for seq in seqs]
    return home.envelope(*readings, first_seq=seqs[0]).replace(b'"v":1', b'"v":2', 1)


def take(intake: Intake, home: Household, message: bytes) -> None:
    receipt = intake.take(message, topic_gateway=home.gateway_id)
    assert receipt is not None
    assert {each.reason for each in receipt.rejected} == {"schema_newer"}


def do_replay(pool: Pool, after: int = 0) -> Replayed:
    return in_transaction(pool, lambda conn: replay(conn, by="nurse", after=after))


def accounts(pool: Pool) -> list[tuple[Any, ...]]:
    return ask(pool, "select received, stored, repeated, quarantined from gateway_account order by gateway_id")


def test_17_after_the_upgrade_the_kept_messages_become_readings_and_the_accounts_balance(
    intake: Intake, home: Household, pool: Pool, upgrade: UPGRADE
) -> None:
    take(intake, home, newer(home, 1, 2, 3))
    take(intake, home, newer(home, 4))
    assert accounts(pool) == [(2, 0, 0, 2)]
    ask(pool, "update gateway set last_heard_at = null")
    upgrade()
    done = do_replay(pool)
    assert (done.messages, done.fates, done.unread) == (2, {"stored": 4}, 0)
    assert ask(pool, "select count(*) from reading where patient_id = %s", home.patient_id) == [(4,)]
    assert accounts(pool) == [(4, 4, 0, 0)]
    assert ask(pool, "select distinct resolved_by, released_as from quarantine") == [("nurse", "replayed")]
    assert ask(pool, "select count(*) from due where reason <> 'timer'") == [(1,)]
    assert ask(pool, "select last_heard_at from gateway") == [(None,)], "it is no sign of life"
    with transaction(pool) as conn:
        assert check_accounts(conn) == ()
        assert holes(conn, older_than=timedelta(seconds=-1)) == {}
    again = do_replay(pool)
    assert (again.messages, again.last) == (0, None)
    assert accounts(pool) == [(4, 4, 0, 0)]


def test_17_a_build_that_reads_it_no_better_leaves_it(intake: Intake, home: Household, pool: Pool) -> None:
    take(intake, home, newer(home, 1))
    done = do_replay(pool)
    assert (done.messages, done.unread) == (0, 1)
    assert ask(pool, "select resolved_at from quarantine") == [(None,)]
    assert accounts(pool) == [(1, 0, 0, 1)]


def test_17_what_the_newer_build_refuses_too_lies_in_quarantine_with_its_own_reason(
    intake: Intake, home: Household, pool: Pool, upgrade: UPGRADE
) -> None:
    take(intake, home, newer(home, 1, 2, meter_id="F0:99:99:99:99:99"))
    take(intake, home, newer(home, 3).replace(b'"seq":3', b'"seq":3,"mood":1'))
    upgrade()
    done = do_replay(pool)
    assert (done.messages, done.fates) == (2, {"unknown_meter": 2, "decode:schema": 1})
    assert accounts(pool) == [(3, 0, 0, 3)]
    assert ask(pool, "select reason, resolved_at is null from quarantine order by reason") == [
        ("decode:schema", True),
        *[("schema_newer", False)] * 2,
        *[("unknown_meter", True)] * 2,
    ]


def test_17_what_has_come_another_way_meanwhile_is_a_repeat(
    intake: Intake, home: Household, pool: Pool, upgrade: UPGRADE
) -> None:
    message = newer(home, 1, 2)
    take(intake, home, message)
    upgrade()
    intake.take(message, topic_gateway=home.gateway_id)
    assert do_replay(pool).fates == {"repeated": 2}
    assert accounts(pool) == [(4, 2, 2, 0)]


def test_17_of_a_gateway_that_is_shut_out_nothing_is_opened(
    intake: Intake, home: Household, pool: Pool, upgrade: UPGRADE
) -> None:
    take(intake, home, newer(home, 1))
    ask(pool, "update gateway set state = 'suspended'")
    upgrade()
    assert do_replay(pool).last is None
    ask(pool, "update gateway set state = 'active'")
    assert do_replay(pool).fates == {"stored": 1}


def test_17_a_replay_that_breaks_off_has_not_happened(
    intake: Intake, home: Household, pool: Pool, upgrade: UPGRADE
) -> None:
    take(intake, home, newer(home, 1))
    upgrade()
    with transaction(pool) as conn:
        assert replay(conn, by="nurse").messages == 1
        conn.rollback()
    assert accounts(pool) == [(1, 0, 0, 1)]
    assert do_replay(pool).messages == 1


def test_17_very_many_messages_are_replayed_in_parts(
    intake: Intake, home: Household, pool: Pool, upgrade: UPGRADE
) -> None:
    count = AT_A_TIME + 3
    intake.take_all([(home.gateway_id, newer(home, seq)) for seq in range(1, count + 1)])
    upgrade()
    first = do_replay(pool)
    assert first.last is not None
    second = do_replay(pool, first.last)
    assert (first.messages, second.messages) == (AT_A_TIME, 3)
    assert accounts(pool) == [(count, count, 0, 0)]


class OldReading(Reading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As 0.1.0 had it."""

    measurement: BloodPressure | Glucose


@pytest.fixture(params=["0.1.0", "later"])
def before(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> UPGRADE:
    """Until it is called, this is a build that knows blood pressures and finger-sticks alone; 0.1.0 has no word for others."""
    monkeypatch.setattr("vitals.envelope._reading", msgspec.json.Decoder(OldReading))
    if request.param == "later":
        monkeypatch.setattr("vitals.envelope.KINDS", ("blood_pressure", "glucose"))
    return monkeypatch.undo


def weighed(home: Household, *, seq: int = 2) -> bytes:
    """An envelope of a blood pressure, a weight and another blood pressure."""
    at = now().replace(microsecond=0) - timedelta(hours=1)
    first, second = home.pressure(at), home.pressure(at + timedelta(minutes=2))
    weight = home.weight(at + timedelta(minutes=1))
    return home.envelope(first, weight, second, first_seq=seq - 1)


def test_17_a_kind_that_is_not_known_costs_its_neighbours_nothing_and_is_taken_in_after_the_upgrade(
    intake: Intake, home: Household, pool: Pool, before: UPGRADE
) -> None:
    message = weighed(home)
    receipt = intake.take(message, topic_gateway=home.gateway_id)
    assert receipt is not None
    assert (receipt.upto, [each.seq for each in receipt.rejected]) == (3, [2])
    assert accounts(pool) == [(3, 2, 0, 1)]
    with transaction(pool) as conn:
        ((_, _, sent),) = quarantined(conn)
    assert b'"weight_kg":81.4' in sent
    assert do_replay(pool).unread == 1, "this build cannot read it either"
    before()
    done = do_replay(pool)
    assert (done.messages, done.fates, done.unread) == (1, {"stored": 1}, 0)
    assert ask(pool, "select kind, weight_kg, quality from reading where kind = 'weight'") == [
        ("weight", 81.4, "accepted")
    ]
    assert accounts(pool) == [(3, 3, 0, 0)]
    assert ask(pool, "select distinct resolved_by, released_as from quarantine") == [("nurse", "replayed")]
    with transaction(pool) as conn:
        assert check_accounts(conn) == ()
    assert do_replay(pool).last is None
    intake.take(message, topic_gateway=home.gateway_id)
    assert accounts(pool) == [(6, 3, 3, 0)]


def test_17_a_reading_that_is_no_better_for_the_upgrade_stays_where_it_lies(
    intake: Intake, home: Household, pool: Pool, before: UPGRADE
) -> None:
    message = weighed(home).replace(b'"weight_kg":81.4', b'"weight_kg":"81.4"')
    intake.take(message, topic_gateway=home.gateway_id)
    intake.take(weighed(home, seq=12).replace(b'"kind":"weight"', b'"kind":"height"'), topic_gateway=home.gateway_id)
    intake.take(
        weighed(home, seq=22).replace(b'"unit_sent":"mmHg"', b'"unit_sent":"bar"', 1), topic_gateway=home.gateway_id
    )
    before()
    done = do_replay(pool)
    assert (done.messages, done.unread, done.fates) == (1, 2, {"stored": 1})
    assert ask(pool, "select seq, released_as from quarantine order by 1") == [
        (2, None),
        (12, None),
        (21, None),
        (22, "replayed"),
    ]
    with transaction(pool) as conn:
        assert check_accounts(conn) == ()


UPGRADED = (
    "import sys, vitals.envelope; vitals.envelope.VERSION = int(sys.argv.pop(1)); import server.cli; server.cli.app()"
)


def test_17_the_command_takes_all_of_it(intake: Intake, home: Household, pool: Pool, database_url: str) -> None:
    ask(pool, "insert into app_user (login, display_name, role, password_hash) values ('wang', 'W', 'nurse', '')")
    intake.take_all([(home.gateway_id, newer(home, seq)) for seq in range(1, AT_A_TIME + 2)])

    def command(version: int, *options: str) -> tuple[int, str, str]:
        words = [sys.executable, "-c", UPGRADED, str(version), "quarantine", "replay", "--by", "wang", *options]
        environment = os.environ | {"HOMEVIGIL_SERVER_DATABASE_URL": database_url}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    code, said, complained = command(1)
    assert (code, said) == (1, "0 messages opened: -\n")
    assert "101 stay: this build cannot read them either" in complained
    code, said, complained = command(2, "--json")
    assert code == 0, complained
    assert json.loads(said) == {"messages": 101, "fates": {"stored": 101}, "unread": 0}
    assert command(2)[:2] == (0, "0 messages opened: -\n")
    assert accounts(pool) == [(101, 101, 0, 0)]


def test_17_the_command_takes_in_what_an_older_build_put_aside(
    home: Household, pool: Pool, database_url: str, before: UPGRADE
) -> None:
    ask(pool, "insert into app_user (login, display_name, role, password_hash) values ('wang', 'W', 'nurse', '')")
    Intake(pool).take(weighed(home), topic_gateway=home.gateway_id)
    done = subprocess.run(
        [sys.executable, "-m", "server", "quarantine", "replay", "--by", "wang"],
        env=os.environ | {"HOMEVIGIL_SERVER_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1 messages opened: 1 stored\n"), done.stderr
    assert accounts(pool) == [(3, 3, 0, 0)]
