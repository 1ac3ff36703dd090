"""What a person must look at is an alarm from the transaction in which it was found, once, and not again for what is resent."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from households import EPOCH, Household, enrol
from vaults import samples_beyond

from server.clock import now
from server.intake import Intake
from server.store import quarantine
from server.store.alarms import open_alarms
from server.store.intake import check_accounts
from server.store.postgres import Pool, transaction
from vitals.envelope import Receipt


@pytest.fixture
def intake(pool: Pool) -> Intake:
    return Intake(pool)


@pytest.fixture
def home(pool: Pool) -> Household:
    return another(pool)


def another(pool: Pool) -> Household:
    with transaction(pool) as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


def earlier(minutes: float = 0) -> datetime:
    return now().replace(microsecond=0) - timedelta(hours=1, minutes=minutes)


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with transaction(pool) as conn:
        cursor = conn.execute(query.encode(), args)
        return cursor.fetchall() if cursor.description else []


def alarms(pool: Pool) -> list[tuple[str, str, int]]:
    with transaction(pool) as conn:
        return [(alarm.kind, alarm.subject, alarm.times) for alarm in open_alarms(conn)]


def speak(intake: Intake, home: Household, life: object, up_s: object, **more: object) -> None:
    said = {"state": "online", "starts": {"life": life, "up_s": up_s}} | more
    intake.note_status(msgspec.json.encode(said), topic_gateway=home.gateway_id, is_old=False)


def test_two_boxes_that_speak_as_one_gateway_by_turns_are_an_alarm(intake: Intake, home: Household, pool: Pool) -> None:
    for up_s in range(100, 160, 30):
        speak(intake, home, "a", up_s)
        speak(intake, home, "b", up_s - 90)
        assert alarms(pool) == []
    speak(intake, home, "a", 160)
    assert alarms(pool) == [("identity_copied", home.gateway_id, 1)]
    speak(intake, home, "b", 71)
    assert alarms(pool) == [("identity_copied", home.gateway_id, 2)]


def test_a_gateway_that_starts_again_and_again_is_one_box(intake: Intake, home: Household, pool: Pool) -> None:
    for start in range(40):
        for up_s in (1, 61, 121):
            speak(intake, home, f"life {start}", up_s)
        intake.note_status(b'{"state":"offline"}', topic_gateway=home.gateway_id, is_old=False)
    assert alarms(pool) == []
    ask(pool, "update gateway_life set gave_way_at = gave_way_at - interval '2 days'")
    speak(intake, home, "the last", 1)
    assert ask(pool, "select count(*) from gateway_life") == [(1,)], "of what is long past nothing is kept"


def test_what_is_delivered_again_and_again_is_no_second_box(intake: Intake, home: Household, pool: Pool) -> None:
    for _ in range(9):
        speak(intake, home, "a", 100)
        speak(intake, home, "b", 1)
    assert alarms(pool) == []


@pytest.mark.parametrize(
    ("life", "up_s"),
    [(None, 1), (7, 1), ("\0", 1), ("x" * 5000, 1), ("a", -1), ("a", 10**30), ("a", "soon"), ("a", 1.5), ([], {})],
    ids=repr,
)
def test_whatever_a_gateway_says_of_its_life_its_next_word_is_heard(
    intake: Intake, home: Household, pool: Pool, life: object, up_s: object
) -> None:
    for _ in range(2):
        speak(intake, home, life, up_s)
        speak(intake, home, "b", 1, version="heard")
        assert ask(pool, "select last_status ->> 'version' from gateway") == [("heard",)]
    assert alarms(pool) == []


def test_13_two_contents_of_one_id_alarm_once_however_often_they_come(
    intake: Intake, home: Household, pool: Pool
) -> None:
    at = earlier()
    reading = home.pressure(at)
    intake.take(home.envelope(reading), topic_gateway=home.gateway_id)
    assert alarms(pool) == []
    forged = home.envelope(home.pressure(at, 120, 80, reading_id=reading.reading_id), first_seq=2)
    for _ in range(3):
        intake.take(forged, topic_gateway=home.gateway_id)
    assert alarms(pool) == [("id_collision", home.cuff, 1)]
    other = home.envelope(home.pressure(at, 121, 80, reading_id=reading.reading_id), first_seq=3)
    intake.take(other, topic_gateway=home.gateway_id)
    assert alarms(pool) == [("id_collision", home.cuff, 2)]


def test_10_a_meter_in_the_wrong_home_is_an_alarm_and_both_sides_can_see_it(
    intake: Intake, home: Household, pool: Pool
) -> None:
    owner, bystander = another(pool), another(pool)
    stray = [home.pressure(earlier(minutes), meter_id=owner.cuff) for minutes in (1, 2)]
    intake.take(home.envelope(*stray), topic_gateway=home.gateway_id)
    assert alarms(pool) == [("binding_conflict", owner.cuff, 1)]

    def seen_by(household: Household) -> list[tuple[str, str, bool, int]]:
        with transaction(pool) as conn:
            found = quarantine.binding_conflicts(conn, patient_id=household.patient_id)
        return [(each.meter_id, each.gateway_id, each.is_own, each.readings) for each in found]

    assert seen_by(owner) == [(owner.cuff, home.gateway_id, True, 2)]
    assert seen_by(home) == [(owner.cuff, home.gateway_id, False, 2)]
    assert seen_by(bystander) == []
    ask(pool, "update quarantine set resolved_at = now(), resolved_by = 'nurse'")
    assert seen_by(owner) == seen_by(home) == []


def impostures(intake: Intake, impostor: Household, victim: Household, *messages: bytes) -> None:
    for message in messages:
        receipt = intake.take(message, topic_gateway=impostor.gateway_id)
        assert receipt is not None
        assert receipt.rejected[0].reason == "wrong_gateway"


def is_suspended(pool: Pool, home: Household) -> bool:
    return ask(pool, "select state from gateway where gateway_id = %s", home.gateway_id) == [("suspended",)]


def test_14_one_message_in_anothers_name_counts_once_however_often_it_comes(
    intake: Intake, home: Household, pool: Pool
) -> None:
    victim = another(pool)
    message = victim.envelope(*(victim.pressure(earlier(minutes)) for minutes in range(5)))
    impostures(intake, home, victim, *[message] * 5)
    assert not is_suspended(pool, home)
    assert alarms(pool) == []


def test_14_the_rows_of_one_message_that_name_another_gateway_count_as_one(
    intake: Intake, home: Household, pool: Pool
) -> None:
    stray = [home.pressure(earlier(minutes), gateway_id="gw-old-name") for minutes in range(5)]
    intake.take(home.envelope(*stray), topic_gateway=home.gateway_id)
    assert not is_suspended(pool, home)


def test_14_three_different_messages_suspend_though_they_begin_alike(
    intake: Intake, home: Household, pool: Pool
) -> None:
    victim = another(pool)
    messages = [victim.envelope(victim.pressure(earlier(minutes))) for minutes in range(3)]
    impostures(intake, home, victim, messages[0], messages[1], messages[0])
    assert not is_suspended(pool, home)
    impostures(intake, home, victim, messages[2])
    assert is_suspended(pool, home)
    assert alarms(pool) == [("gateway_suspended", home.gateway_id, 1)]


def test_14_a_gateway_that_is_restored_is_no_alarm_any_more_and_begins_anew(
    intake: Intake, home: Household, pool: Pool
) -> None:
    victim = another(pool)
    messages = [victim.envelope(victim.pressure(earlier(minutes))) for minutes in range(4)]
    impostures(intake, home, victim, *messages[:3])
    with transaction(pool) as conn:
        quarantine.settle_impostures(conn, home.gateway_id, by="nurse")
        conn.execute("update gateway set state = 'active'")
    assert alarms(pool) == []
    impostures(intake, home, victim, messages[3])
    assert not is_suspended(pool, home)


@pytest.mark.unbalanced
def test_accounts_that_do_not_balance_are_an_alarm_until_they_do(intake: Intake, home: Household, pool: Pool) -> None:
    intake.take(home.envelope(home.pressure(earlier())), topic_gateway=home.gateway_id)
    intake.check_accounts(count_rows=True)
    assert alarms(pool) == []
    ask(pool, "update gateway_account set received = 7")
    intake.check_accounts(count_rows=False)
    intake.check_accounts(count_rows=False)
    assert alarms(pool) == [("account_unbalanced", home.gateway_id, 2)]
    ask(pool, "update gateway_account set received = 2, stored = 2")
    intake.check_accounts(count_rows=False)
    assert [kind for kind, *_ in alarms(pool)] == ["account_unbalanced"], "the sums are right, the rows may not be"
    intake.check_accounts(count_rows=True)
    assert [kind for kind, *_ in alarms(pool)] == ["account_unbalanced"], "and they are not"
    ask(pool, "update gateway_account set received = 1, stored = 1")
    intake.check_accounts(count_rows=True)
    assert alarms(pool) == []


# The bound of a day's quarantine, made small


@pytest.fixture
def three_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ROWS_A_DAY", 3)


@pytest.mark.usefixtures("three_a_day")
def test_21_beyond_a_days_quarantine_rows_are_counted_and_the_first_and_last_kept(
    intake: Intake, home: Household, pool: Pool
) -> None:
    strays = [home.pressure(earlier(n), meter_id=f"F0:99:99:99:99:{n:02d}") for n in range(7)]
    receipts = [
        intake.take(home.envelope(*strays[at : at + 2], first_seq=at + 1), topic_gateway=home.gateway_id)
        for at in (0, 2, 4)
    ]
    assert [receipt and receipt.upto for receipt in receipts] == [2, 4, 6]
    assert ask(pool, "select count(*) from quarantine") == [(3,)]
    assert ask(pool, "select kept, beyond, first_reason, last_reason from quarantine_day") == [
        (3, 3, "unknown_meter", "unknown_meter")
    ]
    with transaction(pool) as conn:
        first, last = samples_beyond(conn)
    assert (b":99:03" in first, b":99:05" in last) == (True, True)
    assert alarms(pool) == [("quarantine_full", home.gateway_id, 2)]
    assert ask(pool, "select received, quarantined from gateway_account") == [(6, 6)]
    with transaction(pool) as conn:
        assert check_accounts(conn) == ()


@pytest.mark.usefixtures("three_a_day")
def test_21_a_full_quarantine_costs_neither_good_readings_nor_other_gateways(
    intake: Intake, home: Household, pool: Pool
) -> None:
    other = another(pool)
    intake.take_all([(home.gateway_id, b"junk %d" % n) for n in range(10)])
    for household in (home, other):
        receipt = intake.take(household.envelope(household.pressure(earlier())), topic_gateway=household.gateway_id)
        assert receipt == Receipt(epoch=EPOCH, upto=1)
    intake.take(b"junk", topic_gateway=other.gateway_id)
    assert ask(pool, "select gateway_id, count(*) from quarantine group by 1 order by 2") == [
        (other.gateway_id, 1),
        (home.gateway_id, 3),
    ]


@pytest.mark.usefixtures("three_a_day")
def test_21_what_was_put_away_before_is_a_repeat_though_the_day_is_full_and_the_next_day_begins_anew(
    intake: Intake, home: Household, pool: Pool
) -> None:
    junk = [(home.gateway_id, b"junk %d" % n) for n in range(5)]
    intake.take_all(junk)
    intake.take_all(junk)
    assert ask(pool, "select received, repeated, quarantined from gateway_account") == [(10, 3, 7)]
    ask(pool, "update quarantine_day set day = day - 1")
    intake.take_all(junk)
    assert ask(pool, "select received, repeated, quarantined from gateway_account") == [(15, 6, 9)]
    assert ask(pool, "select count(*) from quarantine") == [(5,)]


@pytest.mark.usefixtures("three_a_day")
def test_21_junk_first_does_not_keep_an_impostor_from_being_suspended(
    intake: Intake, home: Household, pool: Pool
) -> None:
    victim = another(pool)
    intake.take_all([(home.gateway_id, b"junk %d" % n) for n in range(5)])
    impostures(intake, home, victim, *(victim.envelope(victim.pressure(earlier(n))) for n in range(3)))
    assert is_suspended(pool, home)
