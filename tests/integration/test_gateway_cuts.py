"""A line that breaks and breaks again: who cuts it is found and put aside, and nobody else suffers."""

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic

import pytest
from structlog.testing import capture_logs
from unit.gateway.far_end import far_end
from unit.gateway.samples import GATEWAY, reading
from unit.gateway.sender import sending

from gateway.backoff import Backoff
from gateway.carrier import MAX_QUEUED, Answered, connected
from gateway.clock import Clock
from gateway.config import Settings
from gateway.uplink import READMIT_EVERY_S
from homevigil.embedded import broker as embedded
from homevigil.embedded.broker import EmbeddedBroker
from vitals.topics import Channel

AT_ONCE = Backoff(first_s=0.001, longest_s=0.001)
RECONNECTS = 1000
CONFIGS = 100
BIG = b"x" * 3600
"""With these raw bytes a reading alone makes a message over 5,000 bytes; five ordinary ones together make a shorter one."""

Limited = Callable[[str], AbstractContextManager[EmbeddedBroker]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def limited(mosquitto: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Limited:
    """The broker, started again with this limit in place of its own."""

    @contextmanager
    def start(limit: str) -> Iterator[EmbeddedBroker]:
        word = limit.split()[0]
        lines = [limit if line.startswith(word) else line for line in embedded.MOSQUITTO.splitlines()]
        assert limit in lines
        monkeypatch.setattr(embedded, "MOSQUITTO", "\n".join(lines) + "\n")
        mosquitto.stop()
        mosquitto.start()
        yield mosquitto

    return start


async def test_a_row_over_a_limit_that_the_broker_keeps_to_itself_is_found_and_the_others_arrive(
    limited: Limited, path: Path
) -> None:
    good = (1, 2, 3, 5, 6, 7)
    with limited("message_size_limit 5000") as broker, far_end(broker.host, broker.port) as far:
        async with sending(path, broker, reconnect=AT_ONCE) as sender:
            for nth in range(1, 8):
                sender.outbox.keep(reading(nth, raw=BIG) if nth == 4 else reading(nth))
            sender.uplink.wake()
            await sender.until(lambda: sender.outbox.counts().unsendable == 1, within_s=30)
            await sender.until_confirmed(6)
            (aside,) = sender.outbox._db.execute("select seq, rejected_reason from reading where rejected_reason > ''")
            assert aside == (4, "cuts_connection")
            sender.keep(8)
            await sender.until_confirmed(7)
            assert sender.uplink.is_connected
            assert not sender.uplink.is_cautious
    assert {r.reading_id for r in far.stored.values()} == {reading(nth).reading_id for nth in (*good, 8)}


async def test_messages_over_a_limit_are_sent_row_by_row_and_no_good_row_is_put_aside(
    limited: Limited, path: Path
) -> None:
    with limited("message_size_limit 2000") as broker, far_end(broker.host, broker.port) as far:
        async with sending(path, broker, reconnect=AT_ONCE) as sender:
            sender.keep(*range(20))
            await sender.until_confirmed(20)
            assert sender.outbox.counts().unsendable == 0
    assert len(far.stored) == 20


async def test_a_limit_that_the_broker_announces_is_heeded_and_nothing_is_ever_cut(
    limited: Limited, path: Path
) -> None:
    with capture_logs() as told, limited("max_packet_size 5000") as broker, far_end(broker.host, broker.port) as far:
        async with sending(path, broker) as sender:
            for nth in range(40):
                sender.outbox.keep(reading(nth, raw=BIG) if nth == 4 else reading(nth))
            sender.uplink.wake()
            await sender.until_confirmed(39)
            assert sender.outbox.counts().unsendable == 1
    assert len(far.stored) == 39
    assert [line["event"] for line in told].count("uplink_connected") == 1


async def test_nothing_is_sent_through_a_broker_that_takes_too_little_for_a_reading(
    limited: Limited, path: Path
) -> None:
    with capture_logs() as told, limited("max_packet_size 2000") as broker:
        async with sending(path, broker) as sender:
            sender.keep(1)
            await sender.until(lambda: any("max_packet_size" in str(line.get("why")) for line in told))
            assert sender.outbox.counts().unconfirmed == 1


async def test_what_was_put_aside_is_sent_when_the_gateway_starts_again_and_the_broker_takes_it(
    limited: Limited, path: Path
) -> None:
    with limited("max_packet_size 5000") as broker:
        async with sending(path, broker) as sender:
            sender.outbox.keep(reading(1, raw=BIG))
            sender.uplink.wake()
            await sender.until(lambda: sender.outbox.counts().unsendable == 1)
    with limited("max_packet_size 65536") as broker, capture_logs() as told:
        async with sending(path, broker) as sender:
            await sender.until(lambda: "readings_sent" in [line["event"] for line in told])
            assert sender.outbox.counts().unsendable == 0


async def test_what_was_put_aside_is_tried_again_every_day_by_a_gateway_that_nobody_starts(
    limited: Limited, path: Path
) -> None:
    later_s = 0.0
    clock = Clock(since_boot_s=lambda: monotonic() + later_s)
    async with AsyncExitStack() as stack:
        with limited("message_size_limit 1000") as broker:
            sender = await stack.enter_async_context(sending(path, broker, reconnect=AT_ONCE, clock=clock))
            sender.outbox.keep(reading(1, raw=b"x" * 512))
            sender.uplink.wake()
            await sender.until(lambda: sender.outbox.counts().unsendable == 1, within_s=30)
        with limited("message_size_limit 65536") as broker, far_end(broker.host, broker.port) as far:
            later_s = READMIT_EVERY_S - 60
            sender.keep(2)
            await sender.until_confirmed(1)
            assert sender.outbox.counts().unsendable == 1
            later_s = READMIT_EVERY_S
            sender.keep(3)
            await sender.until_confirmed(3)
    assert [len(each.raw) == 512 for each in far.stored.values()].count(True) == 1


async def test_a_broker_that_is_killed_again_and_again_puts_nothing_aside(
    mosquitto: EmbeddedBroker, path: Path
) -> None:
    with far_end(mosquitto.host, mosquitto.port, answers=False) as far:
        async with sending(path, mosquitto, reconnect=AT_ONCE) as sender:
            sender.keep(*range(60))
            for _ in range(10):
                await sender.until(lambda: sender.uplink.is_connected)
                mosquitto.kill()
                await sender.until(lambda: not sender.uplink.is_connected)
                mosquitto.start()
            far.answers = True
            await sender.until_confirmed(60)
            assert sender.outbox.counts().rejected == 0


async def test_a_broker_that_answers_nothing_is_given_a_bounded_number_of_messages(
    mosquitto: EmbeddedBroker, path: Path
) -> None:
    settings = Settings(
        id=GATEWAY, zone="Asia/Shanghai", outbox=path, mqtt_host=mosquitto.host, mqtt_port=mosquitto.port
    )
    async with connected(settings, topics=(), last_words=("last", b"words")) as line:
        os.kill(mosquitto.pid, signal.SIGSTOP)
        try:
            numbers = [line.publish("anything", b"x") for _ in range(MAX_QUEUED + 10)]
        finally:
            os.kill(mosquitto.pid, signal.SIGCONT)
        assert [number is None for number in numbers] == [False] * MAX_QUEUED + [True] * 10
        answered: set[int] = set()
        async with asyncio.timeout(15):
            while len(answered) < MAX_QUEUED:
                answered |= {event.number for event in await line.next_events(1.0) if isinstance(event, Answered)}
        assert answered == set(numbers[:MAX_QUEUED])
        assert line.publish("anything", b"x") is not None


class Cable:
    """Between gateway and broker; it can be pulled."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker = broker
        self._ends: set[asyncio.StreamWriter] = set()
        self.host, self.port = "127.0.0.1", 0
        self.plugged = 0

    def pull(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def plug(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._broker.host, self._broker.port)
        self._ends |= {writer, far_writer}
        self.plugged += 1
        try:
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        except asyncio.CancelledError:
            pass  # the end of the test: the streams would log what is expected
        finally:
            self._ends -= {writer, far_writer}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def cable(broker: EmbeddedBroker) -> AsyncIterator[Cable]:
    laid = Cable(broker)
    server = await asyncio.start_server(laid.plug, laid.host, 0)
    laid.port = server.sockets[0].getsockname()[1]
    async with server:
        yield laid
        laid.pull()


def rows_of(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as db:
        rows = db.execute("select * from reading order by seq").fetchall()
    db.close()
    return rows


async def test_a_thousand_reconnects_and_a_hundred_remote_configurations_touch_no_row(
    mosquitto: EmbeddedBroker, path: Path
) -> None:
    """The losses of thingsboard-gateway 2124 and 1507: storage made anew on reconnect, nothing kept while disconnected."""
    with far_end(mosquitto.host, mosquitto.port, answers=False) as far:
        async with (
            cable(mosquitto) as line,
            sending(path, mosquitto, reconnect=AT_ONCE, mqtt_host=line.host, mqtt_port=line.port) as sender,
        ):
            epoch = sender.outbox.epoch
            sender.keep(1, 2, 3)
            await sender.until(lambda: sender.uplink.is_connected)
            before = rows_of(path)
            for nth in range(RECONNECTS):
                if nth % (RECONNECTS // CONFIGS) == 0:
                    seen = len(sender.configs)
                    zone = ("Asia/Urumqi", "Asia/Shanghai")[nth % 2]
                    far.send(GATEWAY, Channel.CONFIG, json.dumps({"zone": zone}).encode(), retain=True)
                    await sender.until(lambda seen=seen: len(sender.configs) > seen)
                plugged = line.plugged
                if nth % 2:  # a row that three cuts in a row find alone under way would rightly be put aside
                    await sender.until(lambda: not sender.uplink._caution._strikes)
                line.pull()
                if nth == RECONNECTS // 2:
                    sender.keep(4)
                await sender.until(lambda plugged=plugged: line.plugged > plugged and sender.uplink.is_connected)
            assert rows_of(path)[:3] == before
            assert len(sender.configs) >= CONFIGS
            assert (sender.outbox.epoch, sender.outbox.counts().unconfirmed) == (epoch, 4)
            far.answers = True
            await sender.until_confirmed(4)
    assert {r.reading_id for r in far.stored.values()} == {reading(n).reading_id for n in (1, 2, 3, 4)}
