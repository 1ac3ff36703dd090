"""Who is connected to, and who is not: a meter that advertises, and no other, whatever else BlueZ says of it."""

import asyncio
import time
from pathlib import Path

import pytest
from dbus_fast import Variant
from fix_meters import VirtualAir
from gateway_box import Box, be_heard_steadily, box, inflate
from patience import patient

from firmware_sims.over_the_air import MeterOnAir
from gateway.bleak_radio import BleakRadio
from gateway.bluez import BLUEZ, DEVICE, PROPERTIES, ask, connected_bus
from gateway.deadline import Deadlines
from gateway.pairing_agent import PairingAgent
from vitals.gatt.link import LinkError

pytestmark = pytest.mark.radio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


async def test_meters_that_sleep_are_left_alone_whatever_is_said_of_them_and_one_that_wakes_then_is_read_at_once(
    virtual_air: VirtualAir, path: Path
) -> None:
    air = virtual_air
    await air.start_bluetooth()
    meters = [await air.put("blood_pressure", index, faults={"hangs_up": True}) for index in (1, 2, 3)]
    *sleeping, waking = meters
    async with box(path, air) as home:
        for meter in meters:
            inflate(meter)
        totals = home.collector.totals
        await home.until(lambda: totals.sessions - totals.failed_sessions == 3)
        before, failed = (
            totals.sessions,
            totals.failed_sessions,
        )  # of three at once bluetoothd may show one by half at first
        for meter in sleeping:
            await distrust(meter)
        await until_read_at_once(home, waking, kept=4)
        await home.until(lambda: totals.sessions == before + 1)

        await air.stop_bluetooth()
        await air.start_bluetooth()  # which shows all three anew
        await home.until(lambda: home.agent.registrations == 2)
        await until_read_at_once(home, waking, kept=5)
        await home.until(lambda: totals.sessions == before + 2)
        assert totals.failed_sessions == failed


async def distrust(meter: MeterOnAir) -> None:
    """A property changes that has nothing to do with the air."""
    bus = await connected_bus()
    path = f"/org/bluez/hci0/dev_{meter.meter.meter_id.replace(':', '_')}"
    await ask(bus, BLUEZ, path, PROPERTIES, "Set", "ssv", DEVICE, "Trusted", Variant("b", False))
    bus.disconnect()


async def until_read_at_once(home: Box, meter: MeterOnAir, *, kept: int) -> None:
    began = time.monotonic()
    inflate(meter, 150 + kept)
    await home.until_kept(kept)
    assert time.monotonic() - began < patient(4)


async def test_a_meter_that_comes_back_with_the_same_strength_and_the_same_words_is_read_again(
    air: VirtualAir, path: Path
) -> None:
    meter = await air.put("blood_pressure", faults={"hangs_up": True})
    be_heard_steadily(air, meter)
    async with box(path, air) as home:
        for times in (1, 2, 3):
            inflate(meter, 140 + times)
            await home.until_kept(times)
            await home.until(lambda wanted=times: home.collector.totals.sessions == wanted)  # type: ignore[misc]
        assert home.collector.totals.failed_sessions == 0


async def test_a_meter_that_went_to_sleep_when_it_was_to_be_connected_to_is_given_up_soon(
    air: VirtualAir, tmp_path: Path
) -> None:
    brief = await air.put("blood_pressure")
    inflate(brief)
    radio = BleakRadio(agent=PairingAgent(folder=tmp_path), deadlines=Deadlines(reach_s=1.0))
    async with asyncio.timeout(patient(10)), radio.advertisements() as heard:
        advertisement = await anext(heard)
        await brief.__aexit__()
        began = time.monotonic()
        with pytest.raises(LinkError, match=r"no link within 1 s"):
            async with radio.connect(advertisement):
                pass
        assert time.monotonic() - began < patient(3)
    radio.care._bluez.close()
