"""The whole gateway in one process with an in-memory air, as the demo without dbus-daemon runs it; a real mosquitto."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from unit.gateway.far_end import FarEnd, far_end
from unit.gateway.samples import GATEWAY, NOW, TestClock
from whole_gateway import air_of, inflate, running

from gateway.app import LOOK_AT_CLOCK_S
from homevigil.embedded.broker import EmbeddedBroker
from server.clock import now
from vitals.reading import TimeQuality
from vitals.topics import Channel


async def _stored(far: FarEnd, count: int) -> list[Any]:
    return await asyncio.to_thread(far.until_stored, count)


async def test_a_reading_travels_from_the_air_to_the_far_end(mosquitto: EmbeddedBroker, tmp_path: Path) -> None:
    air = air_of()
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with running(tmp_path, mosquitto, air, TestClock()):
            raw = inflate(air)
            (reading,) = await _stored(far, 1)
    assert reading.raw == raw
    assert reading.zone == "Asia/Shanghai"


async def test_a_zone_set_by_the_clinic_counts_from_then_on_and_after_a_restart(
    mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    air = air_of()
    with far_end(mosquitto.host, mosquitto.port) as far:
        far.send(GATEWAY, Channel.CONFIG, json.dumps({"zone": "Asia/Urumqi"}).encode())
        async with running(tmp_path, mosquitto, air, TestClock()):
            await asyncio.to_thread(far.until_status, state="online")
            far.send(GATEWAY, Channel.CONFIG, json.dumps({"zone": "Mars/Olympus"}).encode())
            far.send(GATEWAY, Channel.CONFIG, json.dumps({"zone": "Asia/Urumqi"}).encode(), retain=True)
            await asyncio.to_thread(far.until_status, zone="Asia/Urumqi")
            inflate(air)
            (reading,) = await _stored(far, 1)
            assert reading.zone == "Asia/Urumqi"
        far.send(GATEWAY, Channel.CONFIG, b"", retain=True)
        async with running(tmp_path, mosquitto, air, TestClock()):
            status = await asyncio.to_thread(far.until_status, zone="Asia/Urumqi")
    assert status["state"] == "online"


async def test_a_reading_taken_in_1970_arrives_with_its_true_time_once_the_clock_is_right(
    mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    air = air_of(clock="absent")
    clock = TestClock(wall=NOW - timedelta(days=20_000), synchronised=False)
    with far_end(mosquitto.host, mosquitto.port, tells_time=False) as far:
        async with running(tmp_path, mosquitto, air, clock):
            inflate(air)
            waiting = await asyncio.to_thread(far.until_status, clock="waiting")
            assert waiting["state"] == "online"
            assert await asyncio.to_thread(far.is_silent, LOOK_AT_CLOCK_S / 2)
            clock.wall, clock.synchronised = NOW + timedelta(seconds=30), True
            (reading,) = await _stored(far, 1)
    assert reading.time_quality is TimeQuality.RECEIVED
    assert abs(reading.measured_at - NOW) < timedelta(seconds=35)
    assert reading.measured_at == reading.received_at


@pytest.mark.parametrize("off_by", [timedelta(days=-1), timedelta(days=1), timedelta(days=3650)])
async def test_a_box_without_ntp_takes_the_time_from_the_server_and_places_what_waited(
    mosquitto: EmbeddedBroker, tmp_path: Path, off_by: timedelta
) -> None:
    air, clock = air_of(clock="absent"), TestClock(wall=NOW + off_by, synchronised=False)
    async with running(tmp_path, mosquitto, air, clock):
        inflate(air)
        while not air.meters["bp"].is_heard and air.meters["bp"].link is None:  # noqa: ASYNC110  # the air gives no events
            await asyncio.sleep(0.01)
        with far_end(mosquitto.host, mosquitto.port) as far:
            (reading,) = await _stored(far, 1)
            told = await asyncio.to_thread(far.until_status, clock="believable")
    assert abs(reading.measured_at - now()) < timedelta(minutes=1)
    assert reading.time_quality is TimeQuality.RECEIVED
    assert told["time"]["witness"] == "server"
    assert abs(told["time"]["differs_s"] - (NOW + off_by - now()).total_seconds()) < 60


async def test_a_gateway_whose_ntp_says_otherwise_than_the_server_believes_ntp_and_says_so_once(
    mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    air, clock = air_of(clock="absent"), TestClock(wall=NOW + timedelta(days=1000))
    with capture_logs() as logs, far_end(mosquitto.host, mosquitto.port) as far:
        async with running(tmp_path, mosquitto, air, clock):
            await asyncio.to_thread(far.until_status, clock="believable")
            far.send(GATEWAY, Channel.CONFIG, b"{}")  # after which the status is said again
            while (await asyncio.to_thread(far.until_status))["time"]["differs_s"] is None:
                far.send(GATEWAY, Channel.CONFIG, b"{}")
            inflate(air)
            (reading,) = await _stored(far, 1)
    assert reading.measured_at > NOW + timedelta(days=999)
    assert [line["event"] for line in logs].count("clock_differs") == 1


async def test_without_a_broker_the_gateway_lives_and_keeps(mosquitto: EmbeddedBroker, tmp_path: Path) -> None:
    mosquitto.kill()
    air = air_of()
    async with running(tmp_path, mosquitto, air, TestClock()):
        inflate(air)
        while air.meters["bp"].is_heard or air.meters["bp"].link is None:  # noqa: ASYNC110  # the air gives no events
            await asyncio.sleep(0.01)
        mosquitto.start()
        with far_end(mosquitto.host, mosquitto.port) as far:
            await _stored(far, 1)


@pytest.mark.parametrize("times", [3])
async def test_starting_again_and_again_touches_no_row(mosquitto: EmbeddedBroker, tmp_path: Path, times: int) -> None:
    """ThingsBoard's gateway destroyed its storage on reconnect (thingsboard-gateway#2124)."""
    air = air_of()
    with far_end(mosquitto.host, mosquitto.port, answers=False) as far:
        for _ in range(times):
            async with running(tmp_path, mosquitto, air, TestClock()):
                if not far.stored:
                    inflate(air)
                await asyncio.to_thread(far.next_envelope)
    assert len(far.stored) == 1
    assert list(far.seqs.values()) == [{1}]
