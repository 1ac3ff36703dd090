"""The states of a fleet on a real PostgreSQL: each thing really happens, and exactly its own alarm is open."""

import json
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from households import EPOCH, Household, enrol

from homevigil.embedded.postgres import EmbeddedPostgres
from server.clock import now
from server.intake import Intake
from server.judge import Judge
from server.push.dispatch import Dispatcher
from server.push.inbox import Inbox
from server.rules.load import load_catalog
from server.store.alarms import AlarmKind, open_alarms
from server.store.enrolment import add_patient, bind_meter, unbind_meter
from server.store.heartbeat import enrol_watchdog
from server.store.migrate import migrate
from server.store.postgres import Pool, in_transaction, open_pool
from server.watch import states
from server.watch.gateways import GatewayState
from server.watch.house import HouseState
from server.watch.silence import MeterState, PatientState
from server.watch.states import Fleet, keep_alarms, look, watch_states

DAY = timedelta(days=1)


@pytest.fixture
def intake(pool: Pool) -> Intake:
    return Intake(pool)


@pytest.fixture
def home(pool: Pool) -> Household:
    return new_home(pool)


def new_home(pool: Pool, *, has_glucometer: bool = False) -> Household:
    """A household enrolled 90 days ago with a cuff, whose gateway is heard."""
    with pool.connection() as conn:
        home = enrol(conn, enrolled_on=(now() - 90 * DAY).date())
        if not has_glucometer:
            conn.execute("delete from meter_binding where meter_id = %s", (home.glucometer,))
        conn.execute("update patient set created_at = %s where patient_id = %s", (home.since, home.patient_id))
    hear(pool, home)
    return home


def hear(pool: Pool, home: Household, **said: Any) -> None:
    """The gateway says how it is."""
    status = {"state": "online", "version": "0.1.0", "clock": "believable", **said}
    Intake(pool).note_status(json.dumps(status).encode(), topic_gateway=home.gateway_id, is_old=False)


def ask(pool: Pool, statement: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(statement.encode(), args)
        return cursor.fetchall() if cursor.description else []


def fleet(pool: Pool, at: datetime | None = None) -> Fleet:
    return in_transaction(pool, lambda conn: look(conn, now=at or now()))


def patient_state(pool: Pool, home: Household) -> PatientState:
    return next(each.state for each in fleet(pool).patients if each.facts.patient_id == home.patient_id)


def meter_state(pool: Pool, meter_id: str) -> MeterState:
    return next(each.state for each in fleet(pool).meters if each.facts.meter_id == meter_id)


def open_after_a_round(pool: Pool) -> set[tuple[str, str]]:
    assert in_transaction(pool, keep_alarms)
    return {(alarm.kind, alarm.subject) for alarm in in_transaction(pool, open_alarms)}


def settle(pool: Pool) -> None:
    """Whatever is due is judged and sent."""
    while Judge(pool, load_catalog()).judge_due():
        pass
    while Dispatcher(pool, Inbox()).send_due():
        pass


def test_a_home_in_order_raises_nothing(pool: Pool, intake: Intake, home: Household) -> None:
    intake.take(home.envelope(home.pressure(now() - timedelta(hours=3))), topic_gateway=home.gateway_id)
    settle(pool)

    assert open_after_a_round(pool) == set()
    assert [each.states for each in fleet(pool).gateways] == [(GatewayState.HEARD,)]
    assert patient_state(pool, home) is PatientState.MEASURING
    assert meter_state(pool, home.cuff) is MeterState.BRINGING


def test_a_gateway_that_is_not_heard_is_an_alarm_until_it_is_heard_again(pool: Pool, home: Household) -> None:
    ask(pool, "update gateway set last_heard_at = now() - interval '16 minutes'")

    assert open_after_a_round(pool) == {("gateway_unheard", home.gateway_id)}
    assert patient_state(pool, home) is PatientState.UNKNOWABLE
    hear(pool, home)
    assert ("gateway_unheard", home.gateway_id) not in open_after_a_round(pool)
    assert ask(pool, "select times, cleared_by from alarm where kind = 'gateway_unheard'") == [(1, None)]


def test_a_lost_connection_is_no_alarm_and_takes_nothing_away_of_what_the_gateway_said(
    pool: Pool, intake: Intake, home: Household
) -> None:
    hear(pool, home, outbox={"unconfirmed": 4})
    intake.note_status(b'{"state":"offline"}', topic_gateway=home.gateway_id, is_old=False)
    (gateway,) = fleet(pool).gateways

    assert gateway.states == (GatewayState.LINK_LOST,)
    assert (gateway.report.version, gateway.report.waiting) == ("0.1.0", 4)
    assert ("gateway_unheard", home.gateway_id) not in open_after_a_round(pool)
    hear(pool, home)
    assert (fleet(pool).gateways[0].states, fleet(pool).gateways[0].report.waiting) == ((GatewayState.HEARD,), None)


def test_an_alarm_that_holds_is_news_once(pool: Pool, home: Household) -> None:
    ask(pool, "update gateway set last_heard_at = now() - interval '1 hour'")
    for _ in range(3):
        in_transaction(pool, keep_alarms)

    assert ask(pool, "select kind, times from alarm") == [("gateway_unheard", 3)]


def test_two_gateways_silent_at_once_are_the_houses_own_deafness(pool: Pool, home: Household) -> None:
    another = new_home(pool)
    ask(pool, "update gateway set last_heard_at = now() - interval '20 minutes'")

    assert open_after_a_round(pool) == {("nobody_heard", "")}
    hear(pool, another)
    assert open_after_a_round(pool) >= {("gateway_unheard", home.gateway_id)}


def test_a_patient_who_stops_measuring_is_silent_after_a_week(pool: Pool, intake: Intake, home: Household) -> None:
    intake.take(home.envelope(home.pressure(now() - 8.5 * DAY)), topic_gateway=home.gateway_id)
    settle(pool)

    assert open_after_a_round(pool) == {("patient_silent", f"patient:{home.patient_id}")}
    intake.take(home.envelope(home.pressure(now() - timedelta(minutes=5)), first_seq=2), topic_gateway=home.gateway_id)
    settle(pool)
    assert ("patient_silent", f"patient:{home.patient_id}") not in open_after_a_round(pool)


def test_a_meter_that_stops_while_its_patient_measures_is_the_silent_one(pool: Pool, intake: Intake) -> None:
    home, at = new_home(pool, has_glucometer=True), now()
    intake.take(
        home.envelope(home.pressure(at - 9 * DAY), home.glucose(at - timedelta(hours=2))),
        topic_gateway=home.gateway_id,
    )
    settle(pool)

    assert open_after_a_round(pool) == {("meter_silent", home.cuff)}
    assert patient_state(pool, home) is PatientState.MEASURING


def test_a_patient_whose_meter_lost_its_binding_is_not_silent(pool: Pool, intake: Intake, home: Household) -> None:
    intake.take(home.envelope(home.pressure(now() - 9 * DAY)), topic_gateway=home.gateway_id)
    settle(pool)
    with pool.connection() as conn:
        unbind_meter(conn, meter_id=home.cuff, user_slot=None, now=now() - timedelta(hours=2))
    assert patient_state(pool, home) is PatientState.NO_METER
    intake.take(home.envelope(home.pressure(now()), first_seq=2), topic_gateway=home.gateway_id)

    assert patient_state(pool, home) is PatientState.WAITS_FOR_BINDING
    assert open_after_a_round(pool) == set()


def test_a_user_slot_that_nobody_has_bound_waits_for_binding(pool: Pool, intake: Intake, home: Household) -> None:
    ask(pool, "update meter_binding set user_slot = 1 where meter_id = %s", home.cuff)
    intake.take(home.envelope(home.pressure(now(), user_slot=2)), topic_gateway=home.gateway_id)

    assert meter_state(pool, home.cuff) is MeterState.WAITS_FOR_BINDING
    assert patient_state(pool, home) is PatientState.WAITS_FOR_BINDING
    assert ("patient_silent", f"patient:{home.patient_id}") not in open_after_a_round(pool)


def test_a_meter_read_in_another_home_is_a_conflict_there_and_here(pool: Pool, intake: Intake, home: Household) -> None:
    other = new_home(pool)
    strayed = home.pressure(now(), gateway_id=other.gateway_id)
    intake.take(other.envelope(strayed), topic_gateway=other.gateway_id)

    assert meter_state(pool, home.cuff) is MeterState.CONFLICT
    assert ("binding_conflict", home.cuff) in open_after_a_round(pool)


def test_a_replaced_meter_does_not_begin_the_patients_silence_anew(pool: Pool, home: Household) -> None:
    with pool.connection() as conn:
        unbind_meter(conn, meter_id=home.cuff, user_slot=None, now=now() - 2 * DAY)
        bind_meter(
            conn,
            meter_id="new-cuff",
            user_slot=None,
            gateway_id=home.gateway_id,
            patient_id=home.patient_id,
            bound_by="test",
            now=now() - 2 * DAY,
        )

    (said,) = fleet(pool).patients
    assert (said.state, said.facts.covered_since) == (PatientState.SILENT, home.since)


def test_a_hole_becomes_an_alarm_after_ten_minutes_and_ends_with_what_was_missing(
    pool: Pool, intake: Intake, home: Household
) -> None:
    at = now() - timedelta(hours=2)
    intake.take(home.envelope(home.pressure(at), first_seq=1), topic_gateway=home.gateway_id)
    intake.take(home.envelope(home.pressure(at + timedelta(minutes=2)), first_seq=3), topic_gateway=home.gateway_id)
    settle(pool)
    assert ("hole", home.gateway_id) not in open_after_a_round(pool)
    ask(pool, "update gateway_progress set hole_since = now() - interval '11 minutes'")

    assert ("hole", home.gateway_id) in open_after_a_round(pool)
    (gateway,) = fleet(pool).gateways
    assert (gateway.states, gateway.facts.missing, gateway.facts.epochs) == ((GatewayState.HOLE,), 1, 1)
    assert EPOCH in gateway.facts.hole
    intake.take(home.envelope(home.pressure(at + timedelta(minutes=1)), first_seq=2), topic_gateway=home.gateway_id)
    settle(pool)
    assert ("hole", home.gateway_id) not in open_after_a_round(pool)


def test_what_nobody_judges_is_a_lag_and_nothing_else(pool: Pool, intake: Intake, home: Household) -> None:
    intake.take(home.envelope(home.pressure(now() - timedelta(hours=1))), topic_gateway=home.gateway_id)
    ask(pool, "update due set due_at = now() - interval '61 seconds'")

    assert open_after_a_round(pool) == {("judge_lag", "")}
    settle(pool)
    assert open_after_a_round(pool) == set()


def test_a_patient_whose_judging_breaks_is_named_though_it_was_put_off(
    pool: Pool, intake: Intake, home: Household
) -> None:
    intake.take(home.envelope(home.pressure(now() - timedelta(hours=1))), topic_gateway=home.gateway_id)
    ask(pool, "update patient_zone set zone = 'Nowhere/Land'")  # a judging that breaks
    judge = Judge(pool, load_catalog())
    judge.judge_due()
    ask(pool, "update patient_zone set zone = 'Asia/Shanghai'")

    assert open_after_a_round(pool) == {("judge_lag", f"patient:{home.patient_id}")}
    assert HouseState.JUDGING_BROKEN in {each.state for each in fleet(pool).house}
    ask(pool, "update due set due_at = now()")
    settle(pool)
    assert open_after_a_round(pool) == set()


def test_a_message_that_nobody_sends_is_undelivered_until_it_is_sent(
    pool: Pool, intake: Intake, home: Household
) -> None:
    intake.take(home.envelope(home.pressure(now() - timedelta(minutes=9), 190, 121)), topic_gateway=home.gateway_id)
    while Judge(pool, load_catalog()).judge_due():
        pass
    assert ask(pool, "select count(*) > 0 from push where state = 'pending' and due_at <= now()") == [(True,)]
    assert not any(kind == "push_undelivered" for kind, _ in open_after_a_round(pool))
    ask(pool, "update push set due_at = now() - interval '61 seconds' where due_at <= now()")

    assert ("push_undelivered", "inbox") in open_after_a_round(pool)
    settle(pool)
    assert not any(kind == "push_undelivered" for kind, _ in open_after_a_round(pool))


def test_a_message_that_nobody_is_to_hear_of_any_more_is_not_missed(
    pool: Pool, intake: Intake, home: Household
) -> None:
    intake.take(home.envelope(home.pressure(now() - timedelta(minutes=9), 190, 121)), topic_gateway=home.gateway_id)
    while Judge(pool, load_catalog()).judge_due():
        pass
    ask(pool, "update push set due_at = now() - interval '61 seconds' where due_at <= now()")
    ask(pool, "update episode set state = 'retracted'")

    assert not any(kind == "push_undelivered" for kind, _ in open_after_a_round(pool))


@pytest.mark.unbalanced
def test_an_account_that_does_not_add_up_is_said_of_its_gateway(pool: Pool, intake: Intake, home: Household) -> None:
    intake.take(home.envelope(home.pressure(now() - timedelta(hours=1))), topic_gateway=home.gateway_id)
    settle(pool)
    ask(pool, "update gateway_account set received = received + 1")

    assert [each.states for each in fleet(pool).gateways] == [(GatewayState.ACCOUNT_UNBALANCED,)]
    assert HouseState.ACCOUNT_UNBALANCED in {each.state for each in fleet(pool).house}


@pytest.mark.unbalanced
def test_a_round_leaves_alone_what_intake_found_by_counting(pool: Pool, intake: Intake, home: Household) -> None:
    intake.take(home.envelope(home.pressure(now() - timedelta(hours=1))), topic_gateway=home.gateway_id)
    settle(pool)
    ask(pool, "delete from reading")
    intake.check_accounts(count_rows=True)

    assert ("account_unbalanced", home.gateway_id) in open_after_a_round(pool)
    assert GatewayState.ACCOUNT_UNBALANCED in fleet(pool).gateways[0].states


def test_a_gateway_back_after_days_gets_a_day_before_its_patient_is_called_silent(pool: Pool, home: Household) -> None:
    ask(pool, "update gateway set last_heard_at = now() - interval '9 days'")
    in_transaction(pool, keep_alarms)
    ask(pool, "update alarm set raised_at = now() - interval '9 days'")
    hear(pool, home)
    in_transaction(pool, keep_alarms)

    assert [each.states for each in fleet(pool).gateways] == [(GatewayState.JUST_BACK,)]
    assert patient_state(pool, home) is PatientState.UNKNOWABLE
    ask(pool, "update alarm set cleared_at = now() - interval '25 hours'")
    assert patient_state(pool, home) is PatientState.SILENT


def test_the_watchdog_is_nowhere(pool: Pool) -> None:
    at = now()
    with pool.connection() as conn:
        enrol_watchdog(
            conn, gateway_id="dog", meter_id="dog-cuff", enrolled_on=(at - 60 * DAY).date(), now=at - 60 * DAY
        )
    seen = fleet(pool)

    assert (seen.gateways, seen.meters, seen.patients) == ((), (), ())
    assert open_after_a_round(pool) == set()


def test_a_patient_without_a_meter_is_said_to_have_none(pool: Pool) -> None:
    with pool.connection() as conn:
        add_patient(
            conn, name="New", language="zh", enrolled_on=now().date(), zone="Asia/Shanghai", now=now() - 30 * DAY
        )

    assert [each.state for each in fleet(pool).patients] == [PatientState.NO_METER]


def test_of_two_watchers_at_once_one_does_the_round(pool: Pool, home: Household) -> None:
    with pool.connection() as first, pool.connection() as second:
        assert keep_alarms(first)
        assert not keep_alarms(second)


def test_many_watchers_agree_on_one_row(pool: Pool, home: Household) -> None:
    ask(pool, "update gateway set last_heard_at = now() - interval '1 hour'")
    threads = [threading.Thread(target=lambda: in_transaction(pool, keep_alarms)) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert ask(pool, "select kind, subject, cleared_at from alarm") == [("gateway_unheard", home.gateway_id, None)]


def test_the_watch_survives_a_database_that_goes_away(
    own_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = own_postgres.create_database("watched")
    migrate(url)
    monkeypatch.setattr(states, "EVERY_S", 0.01)
    monkeypatch.setattr(states, "BACKOFF_S", 0.01)
    stop = threading.Event()
    with open_pool(url) as pool:
        home = new_home(pool)
        watching = threading.Thread(target=watch_states, args=(pool, stop))
        watching.start()
        try:
            own_postgres.crash()
            own_postgres.start()
            ask(pool, "update gateway set last_heard_at = now() - interval '1 hour'")
            with open_pool(url) as looking:
                wanted = (AlarmKind.GATEWAY_UNHEARD.value, home.gateway_id)
                found: list[tuple[Any, ...]] = []
                while wanted not in found:  # the test's own time is the limit
                    found = ask(looking, "select kind, subject from alarm where cleared_at is null")
        finally:
            stop.set()
            watching.join()

    assert wanted in found
