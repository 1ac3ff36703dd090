"""The uplink against a real mosquitto: only a receipt confirms, and nothing published is ever too long."""

import asyncio
import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from structlog.testing import capture_logs
from unit.gateway.far_end import far_end
from unit.gateway.samples import GATEWAY, NOW, evidence, reading
from unit.gateway.sender import sending

from gateway import uplink
from gateway.outbox_rows import Unbelieved
from homevigil.embedded.broker import EmbeddedBroker
from vitals.envelope import Receipt, Rejection, encode_receipt
from vitals.topics import Channel


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


async def test_a_receipt_confirms(mosquitto: EmbeddedBroker, path: Path) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with sending(path, mosquitto) as sender:
            sender.keep(1, 2, 3)
            await sender.until_confirmed(3)
    assert {r.reading_id for r in far.stored.values()} == {reading(n).reading_id for n in (1, 2, 3)}


async def test_what_arrives_is_what_was_kept(mosquitto: EmbeddedBroker, path: Path) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with sending(path, mosquitto) as sender:
            sender.keep(7)
            await sender.until_confirmed(1)
    assert list(far.stored.values()) == [reading(7)]


async def test_a_puback_confirms_nothing_and_the_reading_is_sent_again(mosquitto: EmbeddedBroker, path: Path) -> None:
    with far_end(mosquitto.host, mosquitto.port, answers=False) as far:
        async with sending(path, mosquitto) as sender:
            sender.keep(1)
            first = await asyncio.to_thread(far.next_envelope)
            again = await asyncio.to_thread(far.next_envelope)
            assert first == again
            assert sender.outbox.counts().unconfirmed == 1
            far.answer(GATEWAY, first.epoch)
            await sender.until_confirmed(1)


async def test_nothing_is_sent_again_once_it_is_confirmed(mosquitto: EmbeddedBroker, path: Path) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with sending(path, mosquitto) as sender:
            sender.keep(1)
            await sender.until_confirmed(1)
            await asyncio.to_thread(far.next_envelope)
            assert await asyncio.to_thread(far.is_silent, 4.0)


async def test_what_was_kept_while_the_broker_was_down_is_sent_when_it_comes(
    mosquitto: EmbeddedBroker, path: Path
) -> None:
    mosquitto.kill()
    async with sending(path, mosquitto) as sender:
        sender.keep(1, 2)
        mosquitto.start()
        with far_end(mosquitto.host, mosquitto.port):
            await sender.until_confirmed(2)


async def test_a_broker_that_dies_with_everything_in_its_memory_loses_nothing(
    mosquitto: EmbeddedBroker, path: Path
) -> None:
    with far_end(mosquitto.host, mosquitto.port, answers=False) as far:
        async with sending(path, mosquitto) as sender:
            sender.keep(*range(20))
            await asyncio.to_thread(far.next_envelope)
            mosquitto.kill()
            sender.keep(20, 21)
            mosquitto.start()
            far.answers = True
            await sender.until_confirmed(22)
    assert len(far.stored) == 22


async def test_a_row_that_is_too_long_is_never_published_and_stops_nobody(
    mosquitto: EmbeddedBroker, path: Path
) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with sending(path, mosquitto) as sender:
            sender.outbox.keep(reading(1, raw=b"x" * 20_000))
            sender.keep(2)
            await sender.until_confirmed(1)
            await sender.until(lambda: sender.outbox.counts().rejected == 1)
            assert sender.uplink.is_connected
    assert [r.reading_id for r in far.stored.values()] == [reading(2).reading_id]


async def test_a_long_backlog_travels_in_bounded_messages(mosquitto: EmbeddedBroker, path: Path) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with sending(path, mosquitto) as sender:
            sender.keep(*range(400))
            await sender.until_confirmed(400)
    assert len(far.stored) == 400
    assert far.repeated == 0
    assert far.envelopes.qsize() <= 60


async def test_a_receipt_of_another_epoch_or_a_future_seq_or_for_another_gateway_confirms_nothing(
    mosquitto: EmbeddedBroker, path: Path
) -> None:
    with far_end(mosquitto.host, mosquitto.port, answers=False) as far:
        async with sending(path, mosquitto) as sender:
            sender.keep(1)
            epoch = (await asyncio.to_thread(far.next_envelope)).epoch
            far.send(GATEWAY, Channel.RECEIPTS, encode_receipt(Receipt(epoch="0" * 16, upto=1)))
            far.send(GATEWAY, Channel.RECEIPTS, encode_receipt(Receipt(epoch=epoch, upto=99)))
            far.send("gw-2", Channel.RECEIPTS, encode_receipt(Receipt(epoch=epoch, upto=1)))
            await sender.until(lambda: sender.outbox.counts().ignored_receipts == 2)
            assert sender.outbox.counts().unconfirmed == 1


async def test_a_receipt_that_is_no_receipt_is_counted_and_the_next_one_is_taken(
    mosquitto: EmbeddedBroker, path: Path
) -> None:
    with far_end(mosquitto.host, mosquitto.port, answers=False) as far:
        async with sending(path, mosquitto) as sender:
            sender.keep(1)
            epoch = (await asyncio.to_thread(far.next_envelope)).epoch
            for bad in (b"", b"{", b"\xff\xfe", b"[" * 9_000, b'{"epoch":1}', b"x" * 33_000):
                far.send(GATEWAY, Channel.RECEIPTS, bad[:32_000])
            far.answer(GATEWAY, epoch)
            await sender.until_confirmed(1)
            assert sender.uplink.malformed_receipts == 6


async def test_a_rejected_reading_is_not_sent_again(mosquitto: EmbeddedBroker, path: Path) -> None:
    with far_end(mosquitto.host, mosquitto.port, answers=False) as far:
        async with sending(path, mosquitto) as sender:
            sender.keep(1)
            epoch = (await asyncio.to_thread(far.next_envelope)).epoch
            rejection = Rejection(seq=1, reason="unknown_meter")
            far.send(GATEWAY, Channel.RECEIPTS, encode_receipt(Receipt(epoch=epoch, upto=1, rejected=(rejection,))))
            await sender.until(lambda: sender.outbox.counts().rejected == 1)
            assert await asyncio.to_thread(far.is_silent, 4.0)


async def test_the_status_is_retained_says_what_waits_and_turns_offline_at_the_end(
    mosquitto: EmbeddedBroker, path: Path
) -> None:
    async with sending(path, mosquitto) as sender:
        await sender.until(lambda: sender.uplink.is_connected)
        with far_end(mosquitto.host, mosquitto.port) as far:  # comes later: retained
            status = await asyncio.to_thread(far.until_status, state="online")
            assert status["outbox"] == {"unconfirmed": 0}
    with far_end(mosquitto.host, mosquitto.port) as far:
        assert far.until_status() == {"state": "offline"}


async def test_a_gateway_that_vanishes_leaves_its_last_will(mosquitto: EmbeddedBroker, path: Path) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with sending(path, mosquitto):
            await asyncio.to_thread(far.until_status, state="online")
            # A second client of the same name takes the session over: the broker drops the first without a goodbye.
            async with sending(path.with_name("copy.sqlite"), mosquitto):
                assert await asyncio.to_thread(far.until_status, state="offline")


async def test_what_the_clinic_has_set_arrives_even_if_it_was_set_before(mosquitto: EmbeddedBroker, path: Path) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far:
        far.send(GATEWAY, Channel.CONFIG, b'{"zone": "Asia/Urumqi"}', retain=True)
        async with sending(path, mosquitto) as sender:
            await sender.until(lambda: sender.configs == [b'{"zone": "Asia/Urumqi"}'])
            far.send(GATEWAY, Channel.CONFIG, b"\xff")
            await sender.until(lambda: sender.configs[1:] == [b"\xff"])


async def test_held_readings_stay_here_until_they_are_settled(mosquitto: EmbeddedBroker, path: Path) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with sending(path, mosquitto) as sender:
            held = reading(1, at=NOW - timedelta(days=9000))
            sender.outbox.keep(held, unbelieved=Unbelieved(boot_id="b", since_boot_s=1.0, evidence=evidence()))
            sender.keep(2)
            await sender.until_confirmed(1)
            sender.outbox.settle(1, reading(1))
            sender.uplink.wake()
            await sender.until_confirmed(2)
    assert [r.received_at for r in far.stored.values()] == [NOW, NOW]


async def test_a_line_whose_thread_has_died_is_left_for_a_new_one(
    mosquitto: EmbeddedBroker, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []
    misc = Client.loop_misc

    def dies_once(client: Client) -> object:
        if client.is_connected() and client._client_id == GATEWAY.encode() and not ended:
            ended.append(client)
            raise SystemExit
        return misc(client)

    monkeypatch.setattr(Client, "loop_misc", dies_once)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with sending(path, mosquitto) as sender:
            await sender.until(lambda: bool(ended))
            sender.keep(1)
            await sender.until_confirmed(1)
    assert len(far.stored) == 1


async def test_a_broker_that_answers_nothing_any_more_is_left(
    mosquitto: EmbeddedBroker, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "SILENT_S", 0.2)
    monkeypatch.setattr(uplink, "LOOK_AGAIN_S", 0.05)
    with far_end(mosquitto.host, mosquitto.port), capture_logs() as logs:
        async with sending(path, mosquitto) as sender:
            await sender.until(lambda: sender.uplink.is_connected)
            os.kill(mosquitto.pid, signal.SIGSTOP)
            sender.keep(1)
            await sender.until(lambda: not sender.uplink.is_connected)
            os.kill(mosquitto.pid, signal.SIGCONT)
            await sender.until_confirmed(1)
    assert any("left a message unanswered" in line.get("why", "") for line in logs)
