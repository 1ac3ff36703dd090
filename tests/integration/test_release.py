"""What a meter measured before anybody bound it reaches its patient by a release: whole, once, counted, or not at all."""

import subprocess
import sys
import textwrap
import threading
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from households import Household, enrol
from vaults import frames, spoil

from server.clock import now
from server.intake import Intake
from server.judge import Judge
from server.release import Outcome, preview, release
from server.rules.load import load_catalog
from server.store.enrolment import bind_meter
from server.store.intake import check_accounts
from server.store.postgres import Pool, in_transaction, transaction
from vitals.envelope import encode_reading
from vitals.reading import Reading

CUFF = "F0:00:00:10:77:01"


@pytest.fixture
def intake(pool: Pool) -> Intake:
    return Intake(pool)


@pytest.fixture
def home(pool: Pool) -> Household:
    """A household with a second cuff on the table, which nobody has bound yet."""
    with pool.connection() as conn:
        doctor = conn.execute(
            "insert into app_user (login, display_name, role, password_hash) values ('d', 'D', 'doctor', '') returning user_id"
        ).fetchone()
        assert doctor is not None
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor[0])


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(query.encode(), args)
        return cursor.fetchall() if cursor.description else []


def earlier(minutes: float = 0, *, days: float = 0) -> datetime:
    return now().replace(microsecond=0) - timedelta(days=days, hours=1, minutes=minutes)


def unowned(home: Household, at: datetime, *, slot: int | None = None, systolic: float = 152) -> Reading:
    return home.pressure(at, systolic, 94, meter_id=CUFF, user_slot=slot)


def refuse(intake: Intake, home: Household, *readings: Reading, first_seq: int = 1) -> bytes:
    """These come in and go to quarantine; the envelope, to send it again."""
    envelope = home.envelope(*readings, first_seq=first_seq)
    receipt = intake.take(envelope, topic_gateway=home.gateway_id)
    assert receipt is not None
    assert len(receipt.rejected) == len(readings)
    return envelope


def bind(pool: Pool, home: Household, *, since: datetime | None = None, slot: int | None = None) -> None:
    with pool.connection() as conn:
        bind_meter(
            conn,
            meter_id=CUFF,
            user_slot=slot,
            gateway_id=home.gateway_id,
            patient_id=home.patient_id,
            bound_by="d",
            now=since or home.since,
        )


def let_in(pool: Pool, *, slot: int | None = None, by: str = "d") -> Outcome:
    return in_transaction(pool, lambda conn: release(conn, meter_id=CUFF, user_slot=slot, by=by))


def accounts(pool: Pool) -> list[tuple[Any, ...]]:
    return ask(pool, "select received, stored, repeated, quarantined from gateway_account")


def test_what_was_measured_before_the_binding_becomes_the_patients_with_its_bytes(
    intake: Intake, home: Household, pool: Pool
) -> None:
    readings = [unowned(home, earlier(minutes)) for minutes in (30, 20, 10)]
    refuse(intake, home, *readings)
    bind(pool, home)

    outcome = let_in(pool)

    assert outcome == Outcome(stored={home.patient_id: 3}, repeated=0, left={})
    assert ask(pool, "select patient_id, reading_id, systolic_mmhg from reading order by measured_at") == [
        (home.patient_id, reading.reading_id, 152) for reading in readings
    ]
    with transaction(pool) as conn:
        kept = frames(conn)
    assert {reading_id: each.raw for reading_id, each in kept.items()} == {
        each.reading_id: each.raw for each in readings
    }
    assert all(msgspec.json.decode(kept[each.reading_id].sent, type=Reading) == each for each in readings)
    assert ask(pool, "select patient_id, since, quiet from due where reason <> 'timer'") == [
        (home.patient_id, readings[0].measured_at, False)
    ]
    assert ask(pool, "select distinct resolved_by, released_as, resolved_at is not null, raw from quarantine") == [
        ("d", "stored", True, b"")
    ]
    assert accounts(pool) == [(3, 3, 0, 0)]


def test_a_second_release_does_nothing(intake: Intake, home: Household, pool: Pool) -> None:
    refuse(intake, home, unowned(home, earlier()))
    bind(pool, home)
    let_in(pool)
    before = ask(pool, "select quarantine_id, resolved_at, resolved_by from quarantine")

    again = let_in(pool, by="somebody else")

    assert again.is_empty
    assert ask(pool, "select quarantine_id, resolved_at, resolved_by from quarantine") == before
    assert ask(pool, "select count(*) from due where reason <> 'timer'") == [(1,)]
    assert accounts(pool) == [(1, 1, 0, 0)]


def test_what_is_sent_again_after_its_release_is_a_repeat(intake: Intake, home: Household, pool: Pool) -> None:
    envelope = refuse(intake, home, unowned(home, earlier()))
    bind(pool, home)
    let_in(pool)
    receipt = intake.take(envelope, topic_gateway=home.gateway_id)
    assert receipt is not None
    assert receipt.rejected == ()
    assert accounts(pool) == [(2, 1, 1, 0)]


def test_what_was_sent_again_before_its_release_is_not_stored_twice(
    intake: Intake, home: Household, pool: Pool
) -> None:
    envelope = refuse(intake, home, unowned(home, earlier()))
    bind(pool, home)
    intake.take(envelope, topic_gateway=home.gateway_id)
    assert accounts(pool) == [(2, 1, 0, 1)]

    assert let_in(pool) == Outcome(stored={}, repeated=1, left={})

    assert ask(pool, "select released_as from quarantine") == [("repeated",)]
    assert accounts(pool) == [(2, 1, 1, 0)]


def test_one_reading_quarantined_for_two_reasons_is_stored_once(intake: Intake, home: Household, pool: Pool) -> None:
    reading = unowned(home, earlier())
    refuse(intake, home, reading)
    bind(pool, home, slot=3)
    refuse(intake, home, reading)
    assert ask(pool, "select reason from quarantine order by 1") == [("unknown_meter",), ("unmapped_slot",)]
    bind(pool, home)

    assert let_in(pool) == Outcome(stored={home.patient_id: 1}, repeated=1, left={})

    assert accounts(pool) == [(2, 1, 1, 0)]


def test_what_was_measured_before_the_binding_began_stays(intake: Intake, home: Household, pool: Pool) -> None:
    refuse(intake, home, unowned(home, earlier(days=2)), unowned(home, earlier()))
    bind(pool, home, since=earlier(days=1))

    assert let_in(pool) == Outcome(
        stored={home.patient_id: 1}, repeated=0, left={"not bound to anybody at that time": 1}
    )

    assert ask(pool, "select reason from quarantine where resolved_at is null") == [("unknown_meter",)]
    assert accounts(pool) == [(2, 1, 0, 1)]
    bind(pool, home, since=earlier(days=3))
    assert let_in(pool).stored == {home.patient_id: 1}, "the binding, said from an earlier time, reaches back to it"


def test_each_slot_goes_to_whom_it_is_bound(intake: Intake, home: Household, pool: Pool) -> None:
    refuse(intake, home, unowned(home, earlier(1), slot=1), unowned(home, earlier(2), slot=2))
    bind(pool, home, slot=1)
    with pool.connection() as conn:
        assert preview(conn, meter_id=CUFF).stored == {home.patient_id: 1}
    left = "this user slot of the meter is not bound to anybody"
    assert let_in(pool, slot=2) == Outcome(stored={}, repeated=0, left={left: 1})
    assert let_in(pool, slot=1) == Outcome(stored={home.patient_id: 1}, repeated=0, left={})
    assert let_in(pool) == Outcome(stored={}, repeated=0, left={left: 1})


def test_a_meter_that_moved_with_its_patient_is_released_from_the_new_home(
    intake: Intake, home: Household, pool: Pool
) -> None:
    with pool.connection() as conn:
        there = enrol(conn, enrolled_on=home.since.date())
    moved_at = earlier(days=1)
    refuse(intake, home, home.pressure(moved_at + timedelta(hours=2), meter_id=there.cuff))
    assert ask(pool, "select reason from quarantine") == [("binding_conflict",)]
    with pool.connection() as conn:
        bind_meter(
            conn,
            meter_id=there.cuff,
            user_slot=None,
            gateway_id=home.gateway_id,
            patient_id=there.patient_id,
            bound_by="d",
            now=moved_at,
        )
        outcome = release(conn, meter_id=there.cuff, user_slot=None, by="d")
    assert outcome.stored == {there.patient_id: 1}


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        (b'{"reading_id": "cut off in the mid', "cannot be read (decode:json)"),
        (b"{}", "cannot be read (decode:schema)"),
        (b"\xff\xfe", "cannot be read (decode:json)"),
        (None, "is not what its row says"),
    ],
)
def test_one_bad_row_among_good_ones_stays_and_costs_them_nothing(
    intake: Intake, home: Household, pool: Pool, spoiled: bytes | None, why: str
) -> None:
    refuse(intake, home, *(unowned(home, earlier(minutes)) for minutes in range(3)))
    bad = spoiled if spoiled is not None else encode_reading(home.pressure(earlier(), 153))
    with transaction(pool) as conn:
        spoil(conn, 2, bad)
    bind(pool, home)

    assert let_in(pool) == Outcome(stored={home.patient_id: 2}, repeated=0, left={why: 1})

    assert ask(pool, "select seq from quarantine where resolved_at is null") == [(2,)]
    assert accounts(pool) == [(3, 2, 0, 1)]


def test_a_reading_that_postgresql_cannot_take_stays_and_costs_the_others_nothing(
    intake: Intake, home: Household, pool: Pool
) -> None:
    ask(pool, "alter table reading add check (systolic_mmhg <> 153)")  # as what only the database refuses
    refuse(intake, home, unowned(home, earlier(1)), unowned(home, earlier(2), systolic=153), unowned(home, earlier(3)))
    bind(pool, home)

    assert let_in(pool) == Outcome(stored={home.patient_id: 2}, repeated=0, left={"poison": 1})

    assert accounts(pool) == [(3, 2, 0, 1)]


def test_another_body_under_a_known_id_stays(intake: Intake, home: Household, pool: Pool) -> None:
    reading = unowned(home, earlier())
    other = msgspec.structs.replace(reading, raw=b"\x12other")
    refuse(intake, home, reading, other)
    bind(pool, home)
    assert let_in(pool) == Outcome(stored={home.patient_id: 1}, repeated=0, left={"id_collision": 1})


def test_a_look_at_what_waits_changes_nothing(intake: Intake, home: Household, pool: Pool) -> None:
    refuse(intake, home, unowned(home, earlier()), unowned(home, earlier(5), slot=9))
    bind(pool, home)
    with pool.connection() as conn:
        waiting = preview(conn, meter_id=CUFF)
    assert waiting.stored == {home.patient_id: 1}
    assert waiting.left == {"this user slot of the meter is not bound to anybody": 1}
    assert ask(pool, "select count(*) from reading") == [(0,)]
    assert accounts(pool) == [(2, 0, 0, 2)]


def test_a_release_that_fails_has_not_happened(intake: Intake, home: Household, pool: Pool) -> None:
    refuse(intake, home, unowned(home, earlier()))
    bind(pool, home)

    def work(conn: Any) -> None:
        assert release(conn, meter_id=CUFF, user_slot=None, by="d").stored
        raise RuntimeError("the cleaner pulled the plug")

    with pytest.raises(RuntimeError, match="plug"):
        in_transaction(pool, work)

    assert ask(pool, "select count(*) from reading") == [(0,)]
    assert ask(pool, "select count(*) from due where reason <> 'timer'") == [(0,)]
    assert accounts(pool) == [(1, 0, 0, 1)]
    assert let_in(pool).stored == {home.patient_id: 1}


KILLED = """
    import sys
    from server.release import release
    from server.store.postgres import open_pool
    with open_pool(sys.argv[1]) as pool, pool.connection() as conn:
        release(conn, meter_id=sys.argv[2], user_slot=None, by="d")
        print("released, not committed", flush=True)
        sys.stdin.read()
"""


def test_a_release_killed_before_its_commit_has_not_happened(
    intake: Intake, home: Household, pool: Pool, database_url: str
) -> None:
    refuse(intake, home, *(unowned(home, earlier(minutes)) for minutes in range(5)))
    bind(pool, home)
    victim = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), database_url, CUFF],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with victim:
        assert victim.stdout is not None
        while b"not committed" not in victim.stdout.readline():
            assert victim.poll() is None
        victim.kill()
    assert ask(pool, "select count(*) from reading") == [(0,)]
    assert ask(pool, "select count(*) from quarantine where resolved_at is null") == [(5,)]

    assert let_in(pool).stored == {home.patient_id: 5}, "it waited until PostgreSQL had noticed and rolled back"

    assert accounts(pool) == [(5, 5, 0, 0)]


def test_of_many_releases_at_once_with_the_readings_coming_again_each_is_stored_once(
    intake: Intake, home: Household, pool: Pool
) -> None:
    envelope = refuse(intake, home, *(unowned(home, earlier(minutes)) for minutes in range(40)))
    bind(pool, home)
    failures: list[BaseException] = []

    def race(again: bool) -> None:
        try:
            if again:
                intake.take(envelope, topic_gateway=home.gateway_id)
            else:
                let_in(pool)
        except BaseException as e:
            failures.append(e)
            raise

    racers = [threading.Thread(target=race, args=(number % 2 == 0,)) for number in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert failures == []
    assert ask(pool, "select count(*), count(distinct reading_id) from reading") == [(40, 40)]
    assert accounts(pool) == [(160, 40, 120, 0)]


def test_what_was_released_is_judged_and_tells_doctor_and_patient(intake: Intake, home: Household, pool: Pool) -> None:
    refuse(intake, home, *(unowned(home, earlier(days=days)) for days in (3, 2, 1)))
    bind(pool, home)
    let_in(pool)
    assert Judge(pool, load_catalog()).judge_due() == 1
    assert ask(pool, "select rule_id, state from episode") == [("bp-above-140-90-3-days", "active")]
    assert ask(pool, "select count(distinct recipient) from push") == [(2,)]


def test_days_that_are_over_for_more_than_a_week_are_a_note_and_no_push(
    intake: Intake, home: Household, pool: Pool
) -> None:
    refuse(intake, home, *(unowned(home, earlier(days=days)) for days in (14, 13, 12)))
    bind(pool, home)
    let_in(pool)
    assert Judge(pool, load_catalog()).judge_due() == 1
    assert ask(pool, "select rule_id from episode") == [("bp-above-140-90-3-days",)]
    assert ask(pool, "select * from push") == []


def test_a_critical_value_that_is_old_tells_the_doctor_alone(intake: Intake, home: Household, pool: Pool) -> None:
    refuse(intake, home, unowned(home, earlier(days=9), systolic=190))
    bind(pool, home)
    let_in(pool)
    assert Judge(pool, load_catalog()).judge_due() == 1
    ((recipient,),) = ask(pool, "select distinct recipient from push where kind = 'opening'")
    assert recipient.startswith("user:")


def test_a_row_resolved_without_a_release_is_still_counted(intake: Intake, home: Household, pool: Pool) -> None:
    refuse(intake, home, unowned(home, earlier()))
    ask(pool, "update quarantine set resolved_at = now(), resolved_by = 'd'")
    with pool.connection() as conn:
        assert check_accounts(conn) == ()


def test_an_account_that_a_release_did_not_settle_is_found(intake: Intake, home: Household, pool: Pool) -> None:
    refuse(intake, home, unowned(home, earlier()))
    bind(pool, home)
    with pool.connection() as conn:
        release(conn, meter_id=CUFF, user_slot=None, by="d")
        conn.execute("update gateway_account set quarantined = 1, stored = 0")
        (account,) = check_accounts(conn)
        assert (account.stored, account.rows_stored, account.quarantined, account.rows_quarantined) == (0, 1, 1, 0)
        conn.rollback()
