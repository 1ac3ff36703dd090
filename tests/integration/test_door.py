"""The door under strain, on a real mosquitto and a real PostgreSQL: floods, broken callbacks, silence, a database away."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from doors import open_door, settings_for
from households import EPOCH, Household, enrol
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from plain_gateway import WAIT_S, PlainGateway
from stalling_line import StallingLine

from homevigil.embedded.broker import EmbeddedBroker
from homevigil.embedded.postgres import EmbeddedPostgres
from server import door as door_module
from server.clock import now
from server.config import Settings
from server.door import SUSPECT_FROM, WINDOW, Door, _Delivery
from server.intake import Intake
from server.pace import SPEED
from server.store.alarms import open_alarms
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction
from vitals.envelope import Receipt
from vitals.reading import Reading
from vitals.topics import Channel, Topic

YESTERDAY = now().replace(microsecond=0) - timedelta(days=1)


@pytest.fixture
def home(pool: Pool) -> Household:
    return another(pool)


@pytest.fixture
def gateway(mosquitto: EmbeddedBroker, home: Household) -> Iterator[PlainGateway]:
    gateway = PlainGateway(mosquitto, home)
    yield gateway
    gateway.close()


@pytest.fixture
def settings(mosquitto: EmbeddedBroker, database_url: str) -> Settings:
    return settings_for(mosquitto, database_url)


def another(pool: Pool) -> Household:
    with transaction(pool) as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


def ask(pool: Pool, query: str, *values: object) -> list[tuple[Any, ...]]:
    with transaction(pool) as conn:
        cursor = conn.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []


def one(home: Household, number: int) -> Reading:
    return home.pressure(YESTERDAY - timedelta(seconds=number))


@contextmanager
def working(door: Door, stop: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=door.run)
    thread.start()
    try:
        assert door.listening.wait(WAIT_S)
        yield
    finally:
        stop.set()
        thread.join()


def until(is_so: Callable[[], bool]) -> None:
    """Look again and again; the test's own time limit ends what never comes."""
    pause = threading.Event()
    while not is_so():
        pause.wait(0.01)


# 21: a flood


class Flooder:
    """Sends as fast as a broker takes it, without looking at any receipt."""

    def __init__(self, broker: EmbeddedBroker, home: Household) -> None:
        self.sent = 0
        self.home = home
        self._payloads = itertools.cycle([home.envelope(one(home, seq), first_seq=seq) for seq in range(1, 601)])
        self._client = Client(CallbackAPIVersion.VERSION2, f"{home.gateway_id}-flood", protocol=MQTTv5)
        self._client.max_inflight_messages_set(200)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def send(self, count: int) -> None:
        """Returns when the broker has them."""
        topic = f"homevigil/1/{self.home.gateway_id}/readings"
        last = [self._client.publish(topic, next(self._payloads), qos=1) for _ in range(count)][-1]
        last.wait_for_publish(WAIT_S)
        self.sent += count

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def flooder(mosquitto: EmbeddedBroker, pool: Pool) -> Iterator[Flooder]:
    flooder = Flooder(mosquitto, another(pool))
    yield flooder
    flooder.close()


def test_21_while_one_gateway_floods_every_reading_of_another_is_stored_and_answered(
    settings: Settings, pool: Pool, home: Household, gateway: PlainGateway, flooder: Flooder, mosquitto: EmbeddedBroker
) -> None:
    is_served = threading.Event()

    def flood() -> None:
        while flooder.sent < 20_000 or not is_served.is_set():
            flooder.send(500)

    flooding = threading.Thread(target=flood)
    with open_door(settings, pool):
        flooding.start()
        for seq in range(1, 41):
            gateway.send(one(home, seq), first_seq=seq)
            assert gateway.receipt_upto(seq).rejected == ()
        assert flooding.is_alive(), "all of this while the flood lasted"
        is_served.set()
        flooding.join()
        noted = "select received + turned_away from gateway_account where gateway_id = %s"
        until(lambda: ask(pool, noted, flooder.home.gateway_id) == [(flooder.sent,)])
        assert ask(pool, "select count(*) from reading where patient_id = %s", home.patient_id) == [(40,)]
        ((received,),) = ask(
            pool, "select received from gateway_account where gateway_id = %s", flooder.home.gateway_id
        )
        assert SPEED.burst <= received <= flooder.sent / 2
        with transaction(pool) as conn:
            assert [(alarm.kind, alarm.subject) for alarm in open_alarms(conn)] == [("flood", flooder.home.gateway_id)]
        after = PlainGateway(mosquitto, flooder.home)
        try:
            resend_until_answered(after, flooder.home.envelope(one(flooder.home, 9_000), first_seq=9_000), 9_000)
        finally:
            after.close()


def resend_until_answered(gateway: PlainGateway, payload: bytes, seq: int) -> None:
    """As an outbox does: the same row again, until the receipt names it."""
    named: list[int] = []
    while seq not in named:
        gateway.publish(payload)
        until(lambda: not gateway.receipts.empty() or pause_is_over())
        while not gateway.receipts.empty():
            named += gateway.receipts.get().extra


_pauses = itertools.count(1)


def pause_is_over() -> bool:
    """True at every hundredth look: a second of looking every 10 ms."""
    return next(_pauses) % 100 == 0


def test_21_a_flood_of_statuses_costs_no_reading(
    settings: Settings, pool: Pool, home: Household, gateway: PlainGateway
) -> None:
    with open_door(settings, pool):
        for number in range(300):
            gateway.publish(json.dumps({"state": "online", "number": number}).encode(), "status")
        gateway.send(one(home, 1), first_seq=1)
        assert gateway.receipt() == Receipt(epoch=EPOCH, upto=1)
        until(lambda: ask(pool, "select turned_away > 200 from gateway_account") == [(True,)])


def test_a_turned_away_message_is_not_held_though_the_database_is_away(
    mosquitto: EmbeddedBroker, own_postgres: EmbeddedPostgres
) -> None:
    database_url = own_postgres.create_database("clinic")
    migrate(database_url)
    with open_pool(database_url) as pool:
        flooder, stop = Flooder(mosquitto, another(pool)), threading.Event()
        door = Door(settings_for(mosquitto, database_url), Intake(pool), stop)
        with working(door, stop):
            flooder.send(300)
            until(lambda: ask(pool, "select received from gateway_account") == [(300,)])
            own_postgres.crash()
            flooder.send(2_000)
            flooder.close()
            until(lambda: door._waiting.qsize() >= WINDOW / 2)
            assert door._waiting.qsize() <= WINDOW
            own_postgres.start()
            until(lambda: ask(pool, "select received + turned_away from gateway_account") == [(2_300,)])


# Callbacks and the network thread


class Clumsy(Door):
    """Breaks once, in paho's thread, on the first message that comes."""

    def __init__(self, *given: Any, fault: BaseException) -> None:
        super().__init__(*given)
        self.fault: BaseException | None = fault

    def _admits(self, delivery: Any) -> bool:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return super()._admits(delivery)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(ValueError("a bug"), id="callback"),
        pytest.param(
            SystemExit(),
            id="thread",
            marks=pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),  # it is the fault
        ),
    ],
)
def test_what_breaks_in_the_network_thread_costs_no_message(
    settings: Settings, pool: Pool, home: Household, gateway: PlainGateway, fault: BaseException
) -> None:
    """An exception in a callback would end paho's thread; what ends the thread all the same is noticed."""
    stop = threading.Event()
    door = Clumsy(settings, Intake(pool), stop, fault=fault)
    with working(door, stop):
        gateway.send(one(home, 1), first_seq=1)
        assert gateway.receipt() == Receipt(epoch=EPOCH, upto=1)
        gateway.send(one(home, 2), first_seq=2)
        assert gateway.receipt_upto(2) == Receipt(epoch=EPOCH, upto=2)
    assert door.fault is None


def test_a_message_that_cannot_even_be_refused_stops_nobody(
    settings: Settings, pool: Pool, home: Household, gateway: PlainGateway
) -> None:
    break_in_the_database(pool, "quarantine", "true")
    with open_door(settings, pool):
        gateway.publish(b"junk")
        gateway.send(one(home, 1), first_seq=1)
        assert gateway.receipt() == Receipt(epoch=EPOCH, upto=1)
    assert ask(pool, "select received, stored from gateway_account") == [(1, 1)]


def test_a_status_that_breaks_the_door_stops_nobody(
    settings: Settings, pool: Pool, home: Household, gateway: PlainGateway
) -> None:
    break_in_the_database(pool, "gateway", "new.last_status ? 'bad'")
    with open_door(settings, pool):
        gateway.publish(b'{"state":"online","bad":1}', "status")
        gateway.send(one(home, 1), first_seq=1)
        assert gateway.receipt() == Receipt(epoch=EPOCH, upto=1)
        gateway.publish(b'{"state":"online","good":1}', "status")
        until(lambda: ask(pool, "select last_status ? 'good' from gateway") == [(True,)])


def break_in_the_database(pool: Pool, table: str, when: str) -> None:
    """A bug of ours, played by the database: it raises what nobody has thought of."""
    ask(
        pool,
        f"""create function broken() returns trigger language plpgsql as
            $$ begin if {when} then raise exception 'a bug' using errcode = 'XX000'; end if; return new; end $$""",
    )
    ask(pool, f"create trigger broken before insert or update on {table} for each row execute function broken()")


# What a status asks for


def status(**outbox: object) -> bytes:
    return json.dumps({"state": "online", "outbox": {"epoch": EPOCH, **outbox}}).encode()


def test_what_is_said_to_us_is_not_hidden_by_its_retained_copy(settings: Settings, pool: Pool, home: Household) -> None:
    topic = Topic(gateway_id=home.gateway_id, channel=Channel.STATUS)
    said, copy = (
        _Delivery(mid=mid, qos=1, topic=topic, payload=status(kept=3, answered=3), is_retained=is_copy, connection=0)
        for mid, is_copy in ((1, False), (2, True))
    )
    Door(settings, Intake(pool), threading.Event())._take_once([said, copy])
    with transaction(pool) as conn:
        assert [alarm.kind for alarm in open_alarms(conn)] == ["server_lost"]


def test_a_status_that_shows_a_loss_is_answered_with_what_is_missing(
    settings: Settings, pool: Pool, home: Household, gateway: PlainGateway
) -> None:
    with open_door(settings, pool):
        gateway.send(one(home, 1), one(home, 2), first_seq=1)
        assert gateway.receipt() == Receipt(epoch=EPOCH, upto=2)
        gateway.publish(status(kept=2, answered=2), "status", retain=True)
        gateway.publish(status(kept=9, answered=7), "status", retain=True)
        assert gateway.receipt() == Receipt(epoch=EPOCH, upto=2, missing=((3, 9),))
        gateway.send(*(one(home, seq) for seq in range(3, 10)), first_seq=3)
        assert gateway.receipt() == Receipt(epoch=EPOCH, upto=9)
        gateway.publish(status(kept=9, answered=9), "status", retain=True)
    with transaction(pool) as conn:
        ((kind, subject),) = [(alarm.kind, alarm.subject) for alarm in open_alarms(conn)]
    assert (kind, subject) == ("server_lost", home.gateway_id)


# Silence


class Watched(Door):
    """Counts how often it connects anew."""

    ends = 0

    def _disconnect(self) -> None:
        super()._disconnect()
        self.ends += 1


def test_silence_is_doubted_until_a_new_connection_brings_nothing(
    settings: Settings, pool: Pool, home: Household, gateway: PlainGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "STALL_S", 0.2)
    gateway.publish(b'{"state":"online"}', "status", retain=True)  # comes again at each connection: no sign of a queue
    stop = threading.Event()
    door = Watched(settings, Intake(pool), stop)
    with working(door, stop):
        for seq in range(1, SUSPECT_FROM + 1):
            gateway.send(one(home, seq), first_seq=seq)
        gateway.receipt_upto(SUSPECT_FROM)
        until(lambda: door.ends == 1)
        gateway.send(one(home, 0), first_seq=SUSPECT_FROM + 1)  # far less than a window, and then silence again
        gateway.receipt_upto(SUSPECT_FROM + 1)
        until(lambda: door._taken == 0)
        assert door.ends >= 2
        ends = door.ends
        gateway.send(one(home, 3_000), first_seq=SUSPECT_FROM + 2)
        gateway.receipt_upto(SUSPECT_FROM + 2)
        until(lambda: door._taken == 1)
        assert not door._has_stalled()
        assert door.ends == ends
    assert ask(pool, "select stored, repeated from gateway_account") == [(SUSPECT_FROM + 2, 0)]


def test_a_drain_that_stalls_again_and_again_loses_nothing_and_doubles_nothing(
    settings: Settings,
    pool: Pool,
    home: Household,
    gateway: PlainGateway,
    mosquitto: EmbeddedBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a window, after less than one, after a single message, after none at all."""
    monkeypatch.setattr(door_module, "STALL_S", 0.5)
    with open_door(settings, pool):
        gateway.send(one(home, 1), first_seq=1)  # the broker keeps what comes from now on
        gateway.receipt()
    count = 2 * WINDOW
    for seq in range(2, count + 1):
        gateway.send(one(home, seq), first_seq=seq)
    stalls_after = [SUSPECT_FROM + 20, 30, 1, 60]
    with StallingLine(mosquitto.host, mosquitto.port, stalls_after) as line:
        stop = threading.Event()
        door = Watched(settings.model_copy(update={"mqtt_host": line.host, "mqtt_port": line.port}), Intake(pool), stop)
        with working(door, stop):
            assert gateway.receipt_upto(count) == Receipt(epoch=EPOCH, upto=count)
        assert line.connections > len(stalls_after)
    assert ask(pool, "select received, stored, repeated from gateway_account") == [(count, count, 0)]


# A database that is away


def test_what_is_in_hand_when_the_door_closes_in_an_outage_comes_again(
    mosquitto: EmbeddedBroker, own_postgres: EmbeddedPostgres
) -> None:
    database_url = own_postgres.create_database("clinic")
    migrate(database_url)
    settings = settings_for(mosquitto, database_url)
    with open_pool(database_url) as pool:
        home = another(pool)
        gateway, stop = PlainGateway(mosquitto, home), threading.Event()
        try:
            door = Door(settings, Intake(pool), stop)
            with working(door, stop):
                gateway.send(one(home, 1), first_seq=1)
                gateway.receipt_upto(1)
                own_postgres.crash()
                for seq in range(2, 2 * WINDOW + 2):
                    gateway.send(one(home, seq), first_seq=seq)
                until(lambda: door._waiting.qsize() >= WINDOW / 2)
                assert door._waiting.qsize() <= WINDOW, "the rest waits at the broker"
            assert gateway.receipts.empty()
            own_postgres.start()
            with open_door(settings, pool):
                assert gateway.receipt_upto(2 * WINDOW + 1) == Receipt(epoch=EPOCH, upto=2 * WINDOW + 1)
        finally:
            gateway.close()
        assert ask(pool, "select received, stored from gateway_account") == [(2 * WINDOW + 1, 2 * WINDOW + 1)]
