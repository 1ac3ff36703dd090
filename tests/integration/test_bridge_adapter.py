"""The bridge's adapter: power, rfkill, a stick that is pulled out, discovery that is deaf or stuck, calls never answered."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from bleak import BleakClient, BleakScanner
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from fix_meters import VirtualAir
from pairing import agent

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.bluez_bridge import Bridge
from firmware_sims.bluez_device import Timing
from firmware_sims.bluez_troubles import Cure
from firmware_sims.over_the_air import MeterOnAir

pytestmark = pytest.mark.radio

HCI0, ADAPTER, PROPERTIES = "/org/bluez/hci0", "org.bluez.Adapter1", "org.freedesktop.DBus.Properties"
AT_ONCE = Timing(disconnect_delay_s=0.0)


def inflate(meter: MeterOnAir) -> bytes:
    assert isinstance(meter.firmware, BloodPressureMeter)
    raw = meter.firmware.measure(wall=meter.wall, systolic_mmhg=148, diastolic_mmhg=92)
    meter.wake()
    return raw


@pytest.fixture
async def bus(bus_address: str) -> AsyncIterator[MessageBus]:
    connected = await MessageBus(bus_type=BusType.SYSTEM).connect()
    yield connected
    connected.disconnect()
    await asyncio.wait({asyncio.ensure_future(connected.wait_for_disconnect())})


async def call(bus: MessageBus, interface: str, member: str, signature: str = "", *body: object) -> Message:
    message = Message(
        destination="org.bluez", path=HCI0, interface=interface, member=member, signature=signature, body=list(body)
    )
    reply = await bus.call(message)
    assert reply is not None
    return reply


async def set_powered(bus: MessageBus, is_on: bool) -> Message:
    return await call(bus, PROPERTIES, "Set", "ssv", ADAPTER, "Powered", Variant("b", is_on))


async def get(bus: MessageBus, name: str) -> object:
    reply = await call(bus, PROPERTIES, "Get", "ss", ADAPTER, name)
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    return reply.body[0].value


@pytest.mark.bridge
async def test_an_adapter_without_power_refuses_discovery_and_has_ended_the_one_that_ran(
    virtual_air: VirtualAir, bus: MessageBus
) -> None:
    await virtual_air.bridge_with(AT_ONCE)
    await call(bus, ADAPTER, "StartDiscovery")
    assert await get(bus, "Discovering") is True
    await set_powered(bus, is_on=False)
    assert (await get(bus, "Powered"), await get(bus, "Discovering")) == (False, False)
    assert (await call(bus, ADAPTER, "StartDiscovery")).error_name == "org.bluez.Error.NotReady"
    await set_powered(bus, is_on=True)
    assert (await call(bus, ADAPTER, "StartDiscovery")).message_type is MessageType.METHOD_RETURN


@pytest.mark.bridge
async def test_the_links_of_an_adapter_end_with_its_power(virtual_air: VirtualAir, bus: MessageBus) -> None:
    await virtual_air.bridge_with(AT_ONCE)
    cuff = await virtual_air.put("blood_pressure", secure=False)
    inflate(cuff)
    gone = asyncio.Event()
    device = await BleakScanner.find_device_by_address(cuff.meter.meter_id, timeout=5)
    assert device is not None
    client = BleakClient(device, lambda _: gone.set(), timeout=5)
    await client.connect()
    await set_powered(bus, is_on=False)
    async with asyncio.timeout(5):
        await gone.wait()
    await client.disconnect()


@pytest.mark.bridge
async def test_a_blocked_adapter_cannot_be_switched_on(virtual_air: VirtualAir, bus: MessageBus) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    await bridge.block()
    assert (await get(bus, "Powered"), await get(bus, "PowerState")) == (False, "off-blocked")
    assert (await set_powered(bus, is_on=True)).error_name == "org.bluez.Error.Blocked"
    bridge.unblock()
    assert (await set_powered(bus, is_on=True)).message_type is MessageType.METHOD_RETURN


@pytest.mark.bridge
async def test_a_stick_that_is_pulled_out_is_gone_and_comes_back_with_its_bonds(
    virtual_air: VirtualAir, bus: MessageBus
) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    cuff = await virtual_air.put("blood_pressure")
    inflate(cuff)
    async with agent():
        device = await BleakScanner.find_device_by_address(cuff.meter.meter_id, timeout=5)
        assert device is not None
        async with BleakClient(device, pair=True, timeout=5):
            pass
    await bridge.unplug()
    assert (await call(bus, ADAPTER, "StartDiscovery")).error_name == "org.freedesktop.DBus.Error.UnknownObject"
    await bridge.plug_in()
    reply = await bus.call(
        Message(
            destination="org.bluez",
            path=device.details["path"],
            interface=PROPERTIES,
            member="Get",
            signature="ss",
            body=["org.bluez.Device1", "Paired"],
        )
    )
    assert reply is not None
    assert reply.body[0].value is True


@pytest.mark.bridge
async def test_bonds_outlive_a_restart_of_the_bluetooth_service(virtual_air: VirtualAir) -> None:
    cuff = await virtual_air.put("blood_pressure")
    inflate(cuff)
    async with Bridge(virtual_air.link, timing=AT_ONCE), agent():
        device = await BleakScanner.find_device_by_address(cuff.meter.meter_id, timeout=5)
        assert device is not None
        async with BleakClient(device, pair=True, timeout=5):
            pass
    async with Bridge(virtual_air.link, timing=AT_ONCE):  # and nobody who could pair
        device = await BleakScanner.find_device_by_address(cuff.meter.meter_id, timeout=5)
        assert device is not None
        assert device.name == cuff.meter.name
        async with BleakClient(device, pair=True, timeout=5) as client:
            assert client.is_connected


@pytest.mark.parametrize("cure", [Cure.SCAN, Cure.POWER, Cure.RESET])
@pytest.mark.bridge
async def test_a_deaf_discovery_hears_again_after_its_cure(
    virtual_air: VirtualAir, bus: MessageBus, cure: Cure
) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    cuff = await virtual_air.put("blood_pressure")
    inflate(cuff)
    bridge.troubles.deaf_until = cure
    if cure > Cure.SCAN:
        assert await BleakScanner.find_device_by_address(cuff.meter.meter_id, timeout=0.3) is None
    if cure is Cure.POWER:
        await set_powered(bus, is_on=False)
        await set_powered(bus, is_on=True)
    elif cure is Cure.RESET:
        await bridge.reset()
    assert await BleakScanner.find_device_by_address(cuff.meter.meter_id, timeout=5) is not None


@pytest.mark.bridge
async def test_a_stuck_discovery_is_in_progress_until_the_power_is_cycled(
    virtual_air: VirtualAir, bus: MessageBus
) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    bridge.troubles.stuck_until = Cure.POWER
    for member in ("StartDiscovery", "StopDiscovery"):
        assert (await call(bus, ADAPTER, member)).error_name == "org.bluez.Error.InProgress"
    await set_powered(bus, is_on=False)
    await set_powered(bus, is_on=True)
    assert (await call(bus, ADAPTER, "StartDiscovery")).message_type is MessageType.METHOD_RETURN


@pytest.mark.bridge
async def test_a_call_that_is_not_answered_waits(virtual_air: VirtualAir, bus: MessageBus) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    bridge.troubles.unanswered.add("StartDiscovery")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await call(bus, ADAPTER, "StartDiscovery")


@pytest.mark.bridge
async def test_an_agent_that_did_not_ask_to_be_the_default_answers_for_its_own_client_only(
    virtual_air: VirtualAir, bus: MessageBus
) -> None:
    await virtual_air.bridge_with(AT_ONCE)
    cuff = await virtual_air.put("blood_pressure")
    inflate(cuff)
    registered = await bus.call(
        Message(
            destination="org.bluez",
            path="/org/bluez",
            interface="org.bluez.AgentManager1",
            member="RegisterAgent",
            signature="os",
            body=["/idle", "NoInputNoOutput"],
        )
    )
    assert registered is not None
    assert registered.message_type is MessageType.METHOD_RETURN
    device = await BleakScanner.find_device_by_address(cuff.meter.meter_id, timeout=5)
    assert device is not None
    with pytest.raises(Exception, match="AuthenticationFailed"):
        await BleakClient(device, pair=True, timeout=5).connect()
