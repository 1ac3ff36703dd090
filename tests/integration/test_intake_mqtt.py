"""The door on a real mosquitto and a real PostgreSQL: receipts come back, and what is killed or stopped loses nothing."""

import queue
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from doors import open_door, settings_for
from households import EPOCH, Household, enrol
from plain_gateway import WAIT_S
from plain_gateway import PlainGateway as Gateway

from homevigil.embedded.broker import EmbeddedBroker
from homevigil.embedded.postgres import EmbeddedPostgres
from server.clock import now
from server.door import WINDOW, Door
from server.intake import Intake
from server.store.intake import check_accounts
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool
from vitals.envelope import Receipt
from vitals.reading import Reading


@pytest.fixture
def home(pool: Pool) -> Household:
    with pool.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


@pytest.fixture
def gateway(mosquitto: EmbeddedBroker, home: Household) -> Iterator[Gateway]:
    gateway = Gateway(mosquitto, home)
    yield gateway
    gateway.close()


def ask(pool: Pool, query: str) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        return conn.execute(query.encode()).fetchall()


def some(home: Household, count: int, start: int = 0) -> list[Reading]:
    at = now().replace(microsecond=0) - timedelta(hours=2)
    return [home.pressure(at - timedelta(minutes=start + number)) for number in range(count)]


def test_a_reading_by_mqtt_is_stored_and_answered(
    mosquitto: EmbeddedBroker, database_url: str, pool: Pool, home: Household, gateway: Gateway
) -> None:
    with open_door(settings_for(mosquitto, database_url), pool):
        gateway.send(*some(home, 3), first_seq=1)
        assert gateway.receipt() == Receipt(epoch=EPOCH, upto=3)
    assert ask(pool, "select count(*) from reading") == [(3,)]


def test_what_came_while_nobody_was_at_the_door_is_taken_later(
    mosquitto: EmbeddedBroker, database_url: str, pool: Pool, home: Household, gateway: Gateway
) -> None:
    settings = settings_for(mosquitto, database_url)
    with open_door(settings, pool):  # makes the session at the broker
        gateway.send(*some(home, 1), first_seq=1)
        gateway.receipt()
    for seq in range(2, 402):
        gateway.send(*some(home, 1, start=seq), first_seq=seq)
    with open_door(settings, pool):
        assert gateway.receipt_upto(401).rejected == ()
    assert ask(pool, "select count(*) from reading") == [(401,)]


def test_nonsense_on_every_topic_stops_nobody(
    mosquitto: EmbeddedBroker, database_url: str, pool: Pool, home: Household, gateway: Gateway
) -> None:
    with open_door(settings_for(mosquitto, database_url), pool):
        for payload in (b"", b"\xff", b"{}", b"[" * 3000, b'{"v":2}', b"null"):
            gateway.publish(payload)
            gateway.publish(payload, "status")
        gateway.publish(b'{"state":"online"}', "status")
        gateway.send(*some(home, 1), first_seq=1)
        assert gateway.receipt().upto == 1
    assert ask(pool, "select quarantined, stored from gateway_account") == [(6, 1)]
    assert ask(pool, "select last_status, last_heard_at is not null from gateway") == [({"state": "online"}, True)]


def test_a_message_that_breaks_the_door_is_put_away_and_the_next_is_taken(
    mosquitto: EmbeddedBroker, database_url: str, pool: Pool, home: Household, gateway: Gateway
) -> None:
    with pool.connection() as conn:  # a bug of ours, played by the database: it raises what nobody has thought of
        conn.execute(
            """create function broken() returns trigger language plpgsql as
               $$ begin if new.seen @> 7::int8 then raise exception 'a bug' using errcode = 'XX000'; end if; return new; end $$"""
        )
        conn.execute("create trigger broken before insert on gateway_progress for each row execute function broken()")
    with open_door(settings_for(mosquitto, database_url), pool):
        gateway.send(*some(home, 1), first_seq=7)
        gateway.send(*some(home, 1, start=9), first_seq=1)
        assert gateway.receipt().upto == 1
    assert ask(pool, "select reason from quarantine") == [("intake_error",)]
    assert ask(pool, "select received, stored, quarantined from gateway_account") == [(2, 1, 1)]


def test_a_killed_broker_that_forgot_everything_costs_no_reading(
    mosquitto: EmbeddedBroker, database_url: str, pool: Pool, home: Household, gateway: Gateway
) -> None:
    with open_door(settings_for(mosquitto, database_url), pool):
        gateway.send(*some(home, 2), first_seq=1)
        gateway.receipt_upto(2)
        mosquitto.kill()
        mosquitto.start()
        gateway.close()
        again = Gateway(mosquitto, home)
        try:
            resend_until(lambda: again.send(*some(home, 3, start=5), first_seq=3), again, 5)
        finally:
            again.close()
    assert ask(pool, "select count(*) from reading") == [(5,)]


def resend_until(send: Callable[[], None], gateway: Gateway, seq: int) -> None:
    """As the outbox does: the same rows again, until the receipt."""
    for _ in range(60):
        send()
        try:
            if gateway.receipts.get(timeout=0.5).upto >= seq:
                return
        except queue.Empty:
            continue
    raise AssertionError("no receipt")


CUT_OFF_DOOR = """
    import os, sys, threading
    from pydantic import SecretStr
    from server import door, intake
    from server.config import Settings
    from server.store.postgres import open_pool

    class Door(door.Door):
        def _send(self, gateway_id, receipt):
            print("committed", flush=True)
            threading.Event().wait()  # until we are killed: after the commit, before receipt and acknowledgement

    with open_pool(sys.argv[1]) as pool:
        settings = Settings(database_url=SecretStr(sys.argv[1]), mqtt_host=sys.argv[2], mqtt_port=int(sys.argv[3]))
        Door(settings, intake.Intake(pool), threading.Event()).run()
"""


def test_an_intake_killed_between_commit_and_acknowledgement_gets_the_message_again_and_stores_it_once(
    mosquitto: EmbeddedBroker, database_url: str, pool: Pool, home: Household, gateway: Gateway
) -> None:
    settings = settings_for(mosquitto, database_url)
    with open_door(settings, pool):  # makes the session, so that the broker keeps what comes for it
        gateway.send(*some(home, 1), first_seq=1)
        gateway.receipt()
    gateway.send(*some(home, 2, start=3), first_seq=2)
    victim = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CUT_OFF_DOOR), database_url, mosquitto.host, str(mosquitto.port)],
        stdout=subprocess.PIPE,
    )
    with victim:
        assert victim.stdout is not None
        while b"committed" not in victim.stdout.readline():
            assert victim.poll() is None
        victim.kill()
    assert ask(pool, "select count(*) from reading") == [(3,)]
    with open_door(settings, pool):
        assert gateway.receipt_upto(3) == Receipt(epoch=EPOCH, upto=3)
    assert ask(pool, "select received, stored, repeated from gateway_account") == [(5, 3, 2)]


def test_a_database_that_crashes_in_the_middle_loses_nothing(
    mosquitto: EmbeddedBroker, own_postgres: EmbeddedPostgres
) -> None:
    database_url = own_postgres.create_database("clinic")
    migrate(database_url)
    with open_pool(database_url) as pool:
        with pool.connection() as conn:
            home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())
        gateway = Gateway(mosquitto, home)
        try:
            with open_door(settings_for(mosquitto, database_url), pool):
                for seq in range(1, 6):
                    gateway.send(*some(home, 1, start=seq), first_seq=seq)
                gateway.receipt_upto(5)
                own_postgres.crash()
                for seq in range(6, 31):
                    gateway.send(*some(home, 1, start=seq), first_seq=seq)
                assert all(receipt.upto <= 5 for receipt in gateway.receipts.queue), "nothing is promised meanwhile"
                own_postgres.start()
                assert gateway.receipt_upto(30).rejected == ()
        finally:
            gateway.close()
    with psycopg.connect(database_url) as conn:
        assert conn.execute("select count(*) from reading").fetchone() == (30,)
        assert conn.execute("select received, stored from gateway_account").fetchone() == (30, 30)
        assert check_accounts(conn) == ()


def test_the_door_waits_for_a_broker_that_is_not_there_yet(
    mosquitto: EmbeddedBroker, database_url: str, pool: Pool, home: Household
) -> None:
    mosquitto.stop()
    with open_door(settings_for(mosquitto, database_url), pool, wait=False):
        mosquitto.start()
        gateway = Gateway(mosquitto, home)
        try:
            resend_until(lambda: gateway.send(*some(home, 1), first_seq=1), gateway, 1)
        finally:
            gateway.close()
    assert ask(pool, "select count(*) from reading") == [(1,)]


def test_two_gateways_get_each_its_own_receipts(
    mosquitto: EmbeddedBroker, database_url: str, pool: Pool, home: Household, gateway: Gateway
) -> None:
    with pool.connection() as conn:
        other = enrol(conn, enrolled_on=home.since.date())
    next_door = Gateway(mosquitto, other)
    try:
        with open_door(settings_for(mosquitto, database_url), pool):
            gateway.send(*some(home, 4), first_seq=1)
            next_door.send(*some(other, 2), first_seq=1)
            assert (gateway.receipt().upto, next_door.receipt().upto) == (4, 2)
    finally:
        next_door.close()


def test_silence_after_a_long_drain_is_met_with_a_new_connection_of_the_same_session(
    mosquitto: EmbeddedBroker,
    database_url: str,
    pool: Pool,
    home: Household,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.door.STALL_S", 0.2)
    ended = threading.Event()

    class Watched(Door):
        def _disconnect(self) -> None:
            super()._disconnect()
            ended.set()

    stop = threading.Event()
    door = Watched(settings_for(mosquitto, database_url), Intake(pool), stop)
    working = threading.Thread(target=door.run)
    working.start()
    try:
        assert door.listening.wait(WAIT_S)
        for seq in range(1, WINDOW + 1):
            gateway.send(*some(home, 1, start=seq), first_seq=seq)
        gateway.receipt_upto(WINDOW)
        assert ended.wait(WAIT_S)
        gateway.send(*some(home, 1, start=0), first_seq=WINDOW + 1)  # the broker keeps it for the session
        assert gateway.receipt_upto(WINDOW + 1).rejected == ()
    finally:
        stop.set()
        working.join()
    assert ask(pool, "select stored from gateway_account") == [(WINDOW + 1,)]
