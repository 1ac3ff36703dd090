"""The watchdog on a real broker and database: its reading comes out as a message, or an alarm names what did not answer."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clinic_broker import clinic_broker
from doors import open_door, settings_for
from households import enrol
from pydantic import SecretStr

from homevigil.embedded.broker import EmbeddedBroker
from homevigil.embedded.child import free_port
from homevigil.embedded.postgres import EmbeddedPostgres
from server.clock import now
from server.config import Settings
from server.intake import Intake
from server.judge import Judge, judge_in
from server.push.dispatch import Dispatcher
from server.push.inbox import Inbox
from server.rules.load import load_catalog, load_watchdog
from server.store.alarms import open_alarms
from server.store.enrolment import list_patients
from server.store.heartbeat import claim_beat, enrol_watchdog, forget_beats, give_back, last_beat
from server.store.intake import check_accounts
from server.store.migrate import migrate
from server.store.postgres import Bell, Pool, open_pool, transaction
from server.watch.heartbeat import METER_ID, beat_if_due, reading_of
from vitals.envelope import encode_envelope, encode_reading
from vitals.errors import UnavailableError

SOON_S = 1.0
"""How long a beat waits that is meant to be late."""


@pytest.fixture
def settings(mosquitto: EmbeddedBroker, database_url: str) -> Settings:
    return settings_for(mosquitto, database_url)


@contextmanager
def line(settings: Settings, pool: Pool, *parts: str) -> Iterator[None]:
    """The parts of the server that are named, each in a thread of its own."""
    stop = threading.Event()
    url = settings.database_url.get_secret_value()

    def judge() -> None:
        bell = Bell(url, "due")
        Judge(pool, load_catalog()).run(stop, bell)
        bell.close()

    def push() -> None:
        bell = Bell(url, "push")
        Dispatcher(pool, Inbox()).run(stop, bell)
        bell.close()

    with ExitStack() as stack:
        if "intake" in parts:
            stack.enter_context(open_door(settings, pool))
        threads = [threading.Thread(target=work) for name, work in (("judge", judge), ("push", push)) if name in parts]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def beat(settings: Settings, pool: Pool, within_s: float = 60.0) -> bool | None:
    return beat_if_due(settings, pool, threading.Event(), every_s=0, within_s=within_s)


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(query.encode(), args)
        return cursor.fetchall() if cursor.description else []


def alarms(pool: Pool) -> list[tuple[str, str]]:
    with transaction(pool) as conn:
        return [(alarm.kind, alarm.detail) for alarm in open_alarms(conn)]


def rows(pool: Pool) -> dict[str, int]:
    """How much there is of everything that a beat leaves."""
    tables = "reading", "reading_raw", "reading_seen", "episode", "episode_transition", "push", "due", "quarantine"
    more = "gateway_progress", "gateway", "patient", "patient_zone", "meter_binding", "alarm", "heartbeat"
    return {name: ask(pool, f"select count(*) from {name}")[0][0] for name in (*tables, *more)}


def test_a_beat_comes_out_as_a_message(settings: Settings, pool: Pool) -> None:
    with line(settings, pool, "intake", "judge", "push"):
        assert beat(settings, pool) is True
    assert ask(pool, "select rule_id, state from episode") == [("watchdog-came-through", "active")]
    assert ask(pool, "select recipient, channel, kind, state from push") == [("patient", "inbox", "opening", "sent")]
    with transaction(pool) as conn:
        found = last_beat(conn)
    assert found is not None
    assert found.came_through_at is not None
    assert found.late_part is None
    assert found.took_s is not None
    assert 0 < found.took_s < 60
    assert alarms(pool) == []


@pytest.mark.parametrize(
    ("parts", "late"),
    [
        ((), "intake: no receipt"),
        (("intake",), "judge: the reading is stored and not judged"),
        (("intake", "judge"), "push: the message is queued and not sent"),
    ],
    ids=["no intake", "no judge", "no push"],
)
def test_the_alarm_names_the_part_that_did_not_answer_and_ends_with_the_next_beat(
    settings: Settings, pool: Pool, parts: tuple[str, ...], late: str
) -> None:
    with line(settings, pool, *parts):
        assert beat(settings, pool, SOON_S) is False
    assert alarms(pool) == [("watchdog_late", late)]
    with line(settings, pool, "intake", "judge", "push"):
        assert beat(settings, pool) is True
    assert alarms(pool) == []


def test_without_a_broker_the_beat_is_late_and_nothing_breaks(
    settings: Settings, pool: Pool, mosquitto: EmbeddedBroker
) -> None:
    elsewhere = settings.model_copy(update={"mqtt_port": free_port(0)})
    assert beat(elsewhere, pool, SOON_S) is False
    assert alarms(pool) == [("watchdog_late", "broker: it cannot be reached")]


def test_a_certificate_that_is_not_there_is_said_and_ends_no_role(settings: Settings, pool: Pool) -> None:
    wrong = settings.model_copy(update={"mqtt_ca_file": "/nowhere/ca.crt"})
    assert beat(wrong, pool, SOON_S) is False
    assert alarms(pool) == [("watchdog_late", "settings: the watchdog's certificate cannot be used: FileNotFoundError")]


def test_at_the_clinics_own_broker_the_watchdog_is_a_gateway_with_a_certificate(
    tmp_path: Path, database_url: str, pool: Pool
) -> None:
    with clinic_broker(tmp_path / "broker") as broker:
        plain = Settings(
            database_url=SecretStr(database_url),
            mqtt_host="localhost",
            mqtt_port=broker.port,
            mqtt_ca_file=str(broker.folder / "ca.crt"),
            mqtt_cert_file=str(broker.folder / "intake.crt"),
            mqtt_key_file=str(broker.folder / "intake.key"),
        )
        named = broker.issue(plain.watchdog_id)
        files = {f"watchdog_{end}_file": str(broker.folder / f"{named}.{suffix}") for end, suffix in _FILES}
        with line(plain, pool, "intake", "judge", "push"):
            assert beat(plain, pool, SOON_S) is False
            assert alarms(pool) == [("watchdog_late", "broker: it cannot be reached (the watchdog has no certificate)")]
            assert beat(plain.model_copy(update=files), pool) is True
        assert alarms(pool) == []


_FILES = (("cert", "crt"), ("key", "key"))


def test_a_gateway_that_was_shut_out_gets_no_receipt_and_leaves_no_heap(settings: Settings, pool: Pool) -> None:
    with line(settings, pool, "intake"):
        ask(pool, "insert into gateway (gateway_id, zone, state) values (%s, 'UTC', 'revoked')", settings.watchdog_id)
        for _ in range(3):
            assert beat(settings, pool, SOON_S) is False
    assert rows(pool)["quarantine"] <= 1
    assert alarms(pool) == [("watchdog_late", "intake: no receipt")]


def test_a_database_that_goes_away_is_ridden_out_and_said_afterwards(
    mosquitto: EmbeddedBroker, own_postgres: EmbeddedPostgres
) -> None:
    url = own_postgres.create_database("line")
    migrate(url)
    settings = settings_for(mosquitto, url)
    with open_pool(url) as pool:
        with transaction(pool) as conn:
            assert claim_beat(conn, every_s=0) is not None  # and then we were killed
        own_postgres.stop()
        with pytest.raises(UnavailableError):
            beat(settings, pool, SOON_S)
        own_postgres.start()
        assert beat(settings, pool, SOON_S) is False
        with line(settings, pool, "intake", "judge", "push"):
            assert beat(settings, pool) is True
        assert alarms(pool) == []
        assert ask(pool, "select times from alarm where kind = 'watchdog_late'") == [(2,)], (
            "the unseen end, and no intake"
        )


def test_of_two_who_watch_one_beats(settings: Settings, pool: Pool) -> None:
    start, results = threading.Barrier(2), []

    def work() -> None:
        start.wait()
        results.append(beat_if_due(settings, pool, threading.Event(), within_s=SOON_S))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [False, None]
    assert beat_if_due(settings, pool, threading.Event()) is None, "not before its time"


def test_who_is_told_to_end_leaves_the_beat_to_the_next(settings: Settings, pool: Pool) -> None:
    stop = threading.Event()
    stop.set()
    assert beat_if_due(settings, pool, stop) is None
    assert alarms(pool) == []
    with transaction(pool) as conn:
        claim = claim_beat(conn, every_s=300)
        assert claim is not None
        assert not claim.was_under_way
        give_back(conn, claim.started_at)
        assert claim_beat(conn, every_s=300) is not None


def test_an_end_that_nobody_saw_is_an_alarm_until_a_beat_comes_through(settings: Settings, pool: Pool) -> None:
    with transaction(pool) as conn:
        assert claim_beat(conn, every_s=0) is not None  # and then we were killed
    assert beat(settings, pool, SOON_S) is False
    assert ask(pool, "select times from alarm where kind = 'watchdog_late'") == [(2,)]
    with line(settings, pool, "intake", "judge", "push"):
        assert beat(settings, pool) is True
    assert alarms(pool) == []


def through_the_door(pool: Pool, settings: Settings, number: int) -> None:
    """One beat without a broker: prepared as the watchdog does, taken in, judged and sent by the real parts."""
    at = now() - timedelta(minutes=1)
    with transaction(pool) as conn:
        early = at - timedelta(minutes=5)
        dog = enrol_watchdog(
            conn,
            gateway_id=settings.watchdog_id,
            meter_id=METER_ID,
            enrolled_on=(at - timedelta(days=2)).date(),
            now=early,
        )
        forget_beats(conn, dog, now=now())
    payload = encode_envelope(dog.gateway_id, f"{number:032x}", [(1, encode_reading(reading_of(dog, at=at)))])
    intake = Intake(pool)
    for _ in range(2):  # and once more, as if the receipt had been lost
        receipt = intake.take(payload, topic_gateway=dog.gateway_id)
        assert receipt is not None
        assert receipt.upto == 1
    Judge(pool, load_catalog()).judge_patient(dog.patient_id)
    assert Dispatcher(pool, Inbox()).send_due() == 1


def test_the_hundredth_beat_finds_what_the_second_found_and_every_account_balances(
    settings: Settings, pool: Pool
) -> None:
    through_the_door(pool, settings, 1)
    through_the_door(pool, settings, 2)
    early = rows(pool)
    for number in range(3, 101):
        through_the_door(pool, settings, number)
        with transaction(pool) as conn:
            assert check_accounts(conn) == ()
    assert rows(pool) == early
    assert ask(pool, "select received, stored, repeated, quarantined from gateway_account") == [(2, 1, 1, 0)]


def test_what_is_taken_away_is_the_watchdogs_alone(settings: Settings, pool: Pool) -> None:
    with transaction(pool) as conn:
        home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())
    at = now().replace(microsecond=0) - timedelta(minutes=1)
    Intake(pool).take(home.envelope(home.pressure(at, 192, 124)), topic_gateway=home.gateway_id)
    Judge(pool, load_catalog()).judge_due()
    while Dispatcher(pool, Inbox()).send_due():
        continue  # nobody has this patient's inboxes: each step that finds nobody brings the next
    before = rows(pool)
    through_the_door(pool, settings, 1)
    with transaction(pool) as conn:
        dog = enrol_watchdog(
            conn, gateway_id=settings.watchdog_id, meter_id=METER_ID, enrolled_on=at.date(), now=at - timedelta(hours=1)
        )
        forget_beats(conn, dog, now=now())
    after = rows(pool)
    enrolment = {"gateway": 1, "patient": 1, "patient_zone": 1, "meter_binding": 1}
    assert after == {name: count + enrolment.get(name, 0) for name, count in before.items()}


def test_nobody_is_judged_by_the_watchdogs_rule_and_the_watchdog_by_no_other(settings: Settings, pool: Pool) -> None:
    with transaction(pool) as conn:
        home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())
        dog = enrol_watchdog(
            conn,
            gateway_id=home.gateway_id,
            meter_id=METER_ID,
            enrolled_on=(now() - timedelta(days=2)).date(),
            now=now() - timedelta(hours=1),
        )
    at = now().replace(microsecond=0) - timedelta(minutes=1)
    critical = home.pressure(at, 192, 124)
    Intake(pool).take(home.envelope(critical), topic_gateway=home.gateway_id)
    ask(
        pool,
        "insert into due (patient_id, due_at, since, reason) values (%s, now(), %s, 'reading')",
        dog.patient_id,
        at,
    )
    ask(
        pool,
        """insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, systolic_mmhg,
                                diastolic_mmhg, quality, time_quality, zone, received_at, decoder)
           values (%s, 'blood_pressure', %s, gen_random_uuid(), 'elsewhere', %s, 192, 124, 'accepted', 'synced', 'UTC', %s,
                   't')""",
        dog.patient_id,
        at,
        METER_ID,
        at,
    )
    with transaction(pool) as conn:
        for patient_id in (home.patient_id, dog.patient_id):
            assert judge_in(conn, patient_id, load_catalog())
    assert ask(pool, "select patient_id, rule_id from episode order by patient_id") == [
        (home.patient_id, "bp-critical"),
        (dog.patient_id, "watchdog-came-through"),
    ]
    assert {rule.id for rule in load_watchdog().rules}.isdisjoint(rule.id for rule in load_catalog().rules)


def test_the_watchdog_is_in_no_list_of_patients(settings: Settings, pool: Pool) -> None:
    through_the_door(pool, settings, 1)
    with transaction(pool) as conn:
        assert list_patients(conn) == []
    assert ask(pool, "select * from panel_member") == []


def test_its_reading_is_the_frame_of_a_cuff_and_has_its_own_id_at_each_beat() -> None:
    from server.store.heartbeat import Watchdog

    dog = Watchdog(gateway_id="homevigil-watchdog", meter_id=METER_ID, patient_id=1)
    at = datetime(2026, 11, 22, 8, 0, 0, 5, tzinfo=UTC)
    first, again, next_ = (reading_of(dog, at=each) for each in (at, at, at + timedelta(minutes=5)))
    assert first == again
    assert first.reading_id != next_.reading_id
    assert first.raw[0] & 0x02, "it carries the cuff's own time"
