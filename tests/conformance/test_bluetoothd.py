"""What bluetoothd does on its own account, each thing written once: true of the bridge, and true of the real one.

Only what takes a real bluetoothd half a minute goes faster on the bridge; the numbers of both are in `ITS`. What else the two
have in common is in tests/integration/test_bridge.py and test_bridge_manners.py, which run on both as well.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from fix_meters import VirtualAir
from pairing import agent
from patience import MACHINE, patient

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.bluez_device import Timing
from firmware_sims.over_the_air import MeterOnAir
from vitals.gatt import uuids

pytestmark = pytest.mark.radio

PROPERTIES: Final = "org.freedesktop.DBus.Properties"


@dataclass(frozen=True, slots=True, kw_only=True)
class Its:
    """How long the bluetoothd that is tested takes, at least."""

    temporary_for_s: float
    no_agent_stall_s: float
    disconnect_s: float


ITS: Final = (
    Its(temporary_for_s=0.5, no_agent_stall_s=0.3, disconnect_s=0.3)
    if MACHINE is None
    else Its(temporary_for_s=25.0, no_agent_stall_s=25.0, disconnect_s=1.5)
)


@pytest.fixture
async def air(virtual_air: VirtualAir) -> VirtualAir:
    """An air whose Bluetooth service takes as long as `ITS` says."""
    if MACHINE is not None:
        await virtual_air.start_bluetooth()
    else:
        timing = Timing(
            temporary_for_s=ITS.temporary_for_s,
            no_agent_stall_s=ITS.no_agent_stall_s,
            disconnect_delay_s=ITS.disconnect_s,
        )
        await virtual_air.bridge_with(timing)
    return virtual_air


def inflate(meter: MeterOnAir) -> bytes:
    assert isinstance(meter.firmware, BloodPressureMeter)
    raw = meter.firmware.measure(wall=meter.wall, systolic_mmhg=148, diastolic_mmhg=92)
    meter.wake()
    return raw


async def found(meter: MeterOnAir) -> BLEDevice:
    device = await BleakScanner.find_device_by_address(meter.meter.meter_id, timeout=patient(5))
    assert device is not None, "the meter is not heard"
    return device


@asynccontextmanager
async def connected(meter: MeterOnAir) -> AsyncIterator[BleakClient]:
    async with BleakClient(await found(meter), timeout=patient(5)) as client:
        yield client


async def read_out(client: BleakClient) -> bytes:
    values: asyncio.Queue[bytes] = asyncio.Queue()
    async with asyncio.timeout(patient(5)):
        await client.start_notify(uuids.BLOOD_PRESSURE_MEASUREMENT, lambda _, v: values.put_nowait(bytes(v)))
        return await values.get()


@asynccontextmanager
async def bystander() -> AsyncIterator[MessageBus]:
    """A client of the bus beside bleak."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    try:
        yield bus
    finally:
        bus.disconnect()
        await asyncio.wait({asyncio.ensure_future(bus.wait_for_disconnect())})


async def call(bus: MessageBus, destination: str, path: str, interface: str, member: str, *typed: Any) -> Message:
    """`typed` is a signature and what it is of."""
    signature, *body = typed or ("",)
    message = Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=body
    )
    reply = await bus.call(message)
    assert reply is not None
    return reply


async def test_pairing_without_an_agent_fails_at_once_and_by_name(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    async with connected(cuff) as client:
        began = time.monotonic()
        with pytest.raises(BleakDBusError) as failed:
            await client.pair()
        assert time.monotonic() - began < patient(2)
    assert failed.value.dbus_error == "org.bluez.Error.AuthenticationFailed"


async def test_a_restart_loses_the_agents_and_keeps_the_bonds(virtual_air: VirtualAir) -> None:
    air = virtual_air
    await air.start_bluetooth()
    known, new = await air.put("blood_pressure", 1), await air.put("blood_pressure", 2)
    inflate(known)
    async with agent():
        async with connected(known) as client:
            await client.pair()
            await read_out(client)
        await air.stop_bluetooth()
        await air.start_bluetooth()
        inflate(new)
        async with connected(new) as client:
            with pytest.raises(BleakDBusError, match="AuthenticationFailed"):
                await client.pair()
    raw = inflate(known)
    async with connected(known) as client:  # its subscription is refused on a link that is not encrypted
        assert await read_out(client) == raw


async def test_a_protected_subscription_without_an_agent_stalls_and_brings_nothing(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    raw = inflate(cuff)
    client = BleakClient(await found(cuff), timeout=patient(5))
    await client.connect()
    began = time.monotonic()
    with pytest.raises((BleakGATTProtocolError, TimeoutError)) as failed:
        async with asyncio.timeout(ITS.no_agent_stall_s + patient(3)):
            await client.start_notify(uuids.BLOOD_PRESSURE_MEASUREMENT, lambda *_: None)
    assert time.monotonic() - began >= ITS.no_agent_stall_s
    with suppress(BleakDBusError):  # BlueZ 5.66 has forgotten the meter by then
        await client.disconnect()
    if isinstance(failed.value, BleakGATTProtocolError):
        assert failed.value.code == 0x0E
    assert isinstance(cuff.firmware, BloodPressureMeter)
    assert cuff.firmware.records == (raw,)


async def test_a_protected_subscription_asks_the_agent_and_then_goes_on(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    raw = inflate(cuff)
    async with agent() as answering, connected(cuff) as client:
        try:
            got = await read_out(client)
        except BleakGATTProtocolError as e:
            if MACHINE is None or e.code != 0x0E:
                raise
            got = await read_out(client)  # two times in twenty-four; it has asked for security all the same
    assert got == raw
    assert answering.asked == ["RequestAuthorization"]


async def test_a_device_that_nobody_connects_is_forgotten_soon_after_the_scan(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    async with bystander() as bus:
        removed: asyncio.Queue[str] = asyncio.Queue()

        def note(message: Message) -> None:
            if message.member == "InterfacesRemoved":
                removed.put_nowait(message.body[0])

        bus.add_message_handler(note)
        rule = "type='signal',sender='org.bluez',member='InterfacesRemoved'"
        await call(bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "AddMatch", "s", rule)
        device = await found(cuff)
        began = time.monotonic()
        async with asyncio.timeout(ITS.temporary_for_s + patient(5)):
            while await removed.get() != device.details["path"]:
                pass
        assert time.monotonic() - began >= ITS.temporary_for_s * 0.8
    with pytest.raises(BleakError, match="not found"):
        await BleakClient(device, timeout=patient(5)).connect()
    async with connected(cuff):  # and a new scan finds it again
        pass


async def test_disconnecting_takes_its_time(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", secure=False)
    inflate(cuff)
    client = BleakClient(await found(cuff), timeout=patient(5))
    await client.connect()
    began = time.monotonic()
    await client.disconnect()
    assert ITS.disconnect_s <= time.monotonic() - began < ITS.disconnect_s + patient(1)


async def test_a_connected_device_says_what_it_is_and_offers(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", secure=False)
    inflate(cuff)
    async with connected(cuff), bystander() as bus:
        path = (await found_path(bus, cuff))[0]
        shown = await call(bus, "org.bluez", path, PROPERTIES, "GetAll", "s", "org.bluez.Device1")
        assert shown.message_type is MessageType.METHOD_RETURN
        known = {name: value.value for name, value in shown.body[0].items()}
    assert known["Connected"] is True
    assert known["ServicesResolved"] is True
    assert {uuids.full(uuids.BLOOD_PRESSURE_SERVICE), uuids.full(uuids.BATTERY_SERVICE)} <= set(known["UUIDs"])


async def found_path(bus: MessageBus, meter: MeterOnAir) -> list[str]:
    """The objects of a meter, itself first."""
    reply = await call(bus, "org.bluez", "/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    ending = meter.meter.meter_id.replace(":", "_")
    return sorted(path for path in reply.body[0] if ending in path)
