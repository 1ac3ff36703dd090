"""What bluetoothd tells of meters that advertise, and of meters that sleep; true of the bridge, and of the real one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from conformance.test_bluetoothd import bystander, call, inflate, read_out
from dbus_fast import Message
from dbus_fast.aio import MessageBus
from fix_meters import VirtualAir
from gateway_box import be_heard_steadily
from patience import patient

from firmware_sims.over_the_air import MeterOnAir
from vitals.gatt import uuids

pytestmark = pytest.mark.radio

SERVICES: Final = [uuids.full(uuids.BLOOD_PRESSURE_SERVICE)]
ADAPTER: Final = "/org/bluez/hci0"
DEVICE: Final = "org.bluez.Device1"
AT_ONCE: Final = {"ServicesResolved": False, "Connected": False}


def path_of(meter: MeterOnAir) -> str:
    return f"{ADAPTER}/dev_{meter.meter.meter_id.replace(':', '_')}"


@dataclass(slots=True)
class Heard:
    """The meters that bleak's scanner was called back for."""

    devices: dict[str, BLEDevice] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, device: BLEDevice, _: AdvertisementData) -> None:
        self.devices[device.address] = device
        self.news.set()

    async def until(self, meter: MeterOnAir) -> None:
        while meter.meter.meter_id not in self.devices:
            self.news.clear()
            await self.news.wait()

    def client(self, meter: MeterOnAir) -> BleakClient:
        return BleakClient(self.devices[meter.meter.meter_id], timeout=patient(9))


@asynccontextmanager
async def scanning() -> AsyncIterator[Heard]:
    heard = Heard()
    async with BleakScanner(heard.note, SERVICES):
        yield heard


@asynccontextmanager
async def told(bus: MessageBus) -> AsyncIterator[asyncio.Queue[tuple[str, dict[str, Any]]]]:
    """The properties of meters as they change, each signal by itself."""
    changes: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    def note(message: Message) -> None:
        if message.member == "PropertiesChanged" and message.body[0] == DEVICE:
            values = {name: value.value for name, value in message.body[1].items()}
            changes.put_nowait((message.path or "", values))

    bus.add_message_handler(note)
    rule = f"type='signal',sender='org.bluez',member='PropertiesChanged',arg0='{DEVICE}'"
    await call(bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "AddMatch", "s", rule)
    yield changes


async def test_each_advertisement_is_told_while_discovery_has_a_filter_though_it_is_the_same_as_before(
    air: VirtualAir,
) -> None:
    cuff = await air.put("blood_pressure")
    be_heard_steadily(air, cuff)
    inflate(cuff)
    async with (
        asyncio.timeout(patient(5)),
        bystander() as bus,
        told(bus) as changes,
        BleakScanner(service_uuids=SERVICES),
    ):
        for _ in range(5):
            assert await changes.get() == (path_of(cuff), {"RSSI": -60})


async def test_without_a_filter_the_same_strength_is_not_told_again(air: VirtualAir) -> None:
    steady, varying = await air.put("blood_pressure", 1), await air.put("blood_pressure", 2)
    be_heard_steadily(air, steady)
    inflate(steady)
    inflate(varying)
    async with asyncio.timeout(patient(20)), bystander() as bus, told(bus) as changes:
        await call(bus, "org.bluez", ADAPTER, "org.bluez.Adapter1", "StartDiscovery")
        strengths = []
        while len(strengths) < 5:
            path, changed = await changes.get()
            assert path == path_of(varying), (path, changed)
            strengths.append(changed["RSSI"])
    assert all(abs(one - next_one) >= 8 for one, next_one in pairwise(strengths)), strengths


async def test_the_end_of_a_link_is_told_without_a_strength_and_of_a_meter_that_sleeps_no_more_is_told(
    air: VirtualAir,
) -> None:
    cuff, other = await air.put("blood_pressure", 1, secure=False), await air.put("blood_pressure", 2)
    inflate(cuff)
    async with asyncio.timeout(patient(10)), scanning() as hearing, bystander() as bus, told(bus) as changes:
        await hearing.until(cuff)
        async with hearing.client(cuff) as client:
            await read_out(client)
        inflate(other)
        await hearing.until(other)
        told_of_cuff = [changed for path, changed in _all(changes) if path == path_of(cuff)]
    linked = next(nth for nth, changed in enumerate(told_of_cuff) if changed.get("Connected"))
    assert not any("RSSI" in changed for changed in told_of_cuff[linked:])
    ended = [
        changed for changed in told_of_cuff if False in (changed.get("ServicesResolved"), changed.get("Connected"))
    ]
    assert ended in ([AT_ONCE], [{"ServicesResolved": False}, {"Connected": False}])  # BlueZ 5.82, and 5.66
    assert told_of_cuff[-1] == ended[-1]


def _all(queue: asyncio.Queue[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def test_a_connect_to_a_meter_that_sleeps_holds_up_nobody_and_succeeds_when_it_wakes(air: VirtualAir) -> None:
    *sleeping, awake = [await air.put("blood_pressure", index, secure=False) for index in (1, 2, 3)]
    async with asyncio.timeout(patient(10)), scanning() as hearing:
        for meter in (*sleeping, awake):
            inflate(meter)
            await hearing.until(meter)
        for meter in sleeping:
            await meter._device.stop_advertising()
        clients = [hearing.client(meter) for meter in sleeping]
        connects = [asyncio.create_task(client.connect()) for client in clients]
        async with hearing.client(awake) as client:
            assert client.is_connected
            assert not any(connect.done() for connect in connects)
        sleeping[0].wake()
        await connects[0]
        assert clients[0].is_connected
        await clients[0].disconnect()
        connects[1].cancel()
        await asyncio.wait(connects)
