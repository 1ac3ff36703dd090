"""What bluetoothd does on its own account and a gateway has to live with: the bridge must do it too."""

import asyncio
import time

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from fix_meters import VirtualAir
from pairing import agent
from patience import patient

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.bluez_device import Timing
from firmware_sims.glucometer import Glucometer
from firmware_sims.over_the_air import MeterOnAir
from vitals.gatt import uuids

pytestmark = pytest.mark.radio

PRESSURE, SUGAR = uuids.full(uuids.BLOOD_PRESSURE_SERVICE), uuids.full(uuids.GLUCOSE_SERVICE)
ADAPTER = "/org/bluez/hci0"


def inflate(meter: MeterOnAir) -> bytes:
    assert isinstance(meter.firmware, BloodPressureMeter)
    raw = meter.firmware.measure(wall=meter.wall, systolic_mmhg=148, diastolic_mmhg=92)
    meter.wake()
    return raw


async def found(meter: MeterOnAir) -> BLEDevice:
    device = await BleakScanner.find_device_by_address(meter.meter.meter_id, timeout=patient(5))
    assert device is not None
    return device


async def call(bus: MessageBus, path: str, interface: str, member: str, signature: str = "", *body: object) -> Message:
    """A call as any D-Bus client makes it, answered or refused."""
    message = Message(
        destination="org.bluez", path=path, interface=interface, member=member, signature=signature, body=list(body)
    )
    reply = await bus.call(message)
    assert reply is not None
    return reply


async def leave(bus: MessageBus) -> None:
    bus.disconnect()
    await asyncio.wait({asyncio.ensure_future(bus.wait_for_disconnect())})


@pytest.mark.bridge
async def test_a_device_not_connected_soon_after_the_scan_is_dropped(virtual_air: VirtualAir) -> None:
    await virtual_air.bridge_with(Timing(temporary_for_s=0.05, disconnect_delay_s=0))
    cuff = await virtual_air.put("blood_pressure")
    inflate(cuff)
    device = await found(cuff)
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    gone = asyncio.Event()

    def watch(message: Message) -> None:
        if message.member == "InterfacesRemoved" and message.body[0] == device.details["path"]:
            gone.set()

    bus.add_message_handler(watch)
    rule = "type='signal',member='InterfacesRemoved'"
    await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="AddMatch",
            signature="s",
            body=[rule],
        )
    )
    reply = await call(
        bus, device.details["path"], "org.freedesktop.DBus.Properties", "GetAll", "s", "org.bluez.Device1"
    )
    if reply.message_type != MessageType.ERROR:
        async with asyncio.timeout(patient(5)):
            await gone.wait()
    await leave(bus)
    with pytest.raises((BleakDeviceNotFoundError, BleakError), match="not found"):
        await BleakClient(device, timeout=patient(5)).connect()


@pytest.mark.bridge
async def test_a_bonded_device_stays_known(virtual_air: VirtualAir) -> None:
    await virtual_air.bridge_with(Timing(temporary_for_s=1.0, disconnect_delay_s=0))
    cuff, other = await virtual_air.put("blood_pressure", 1), await virtual_air.put("blood_pressure", 2)
    inflate(cuff)
    async with agent():
        device = await found(cuff)
        async with BleakClient(device, pair=True, timeout=patient(5)):
            pass
        # The unbonded one is heard, and dropped: so much time has passed that the bonded one would be gone as well.
        inflate(other)
        stale = await found(other)
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        async with asyncio.timeout(patient(5)):
            while await _is_known(bus, stale):
                pass
        assert await _is_known(bus, device)
        await leave(bus)


async def _is_known(bus: MessageBus, device: BLEDevice) -> bool:
    path = device.details["path"]
    reply = await call(bus, path, "org.freedesktop.DBus.Properties", "GetAll", "s", "org.bluez.Device1")
    return reply.message_type == MessageType.METHOD_RETURN


@pytest.mark.bridge
async def test_without_an_agent_subscribing_stalls_and_then_fails(virtual_air: VirtualAir) -> None:
    await virtual_air.bridge_with(Timing(no_agent_stall_s=0.2, disconnect_delay_s=0))
    cuff = await virtual_air.put("blood_pressure")
    inflate(cuff)
    async with BleakClient(await found(cuff), timeout=patient(5)) as client:
        began = time.monotonic()
        with pytest.raises(BleakGATTProtocolError) as failed:
            await client.start_notify(uuids.BLOOD_PRESSURE_MEASUREMENT, lambda *_: None)
        assert time.monotonic() - began >= 0.2
    assert failed.value.code == 0x0E


@pytest.mark.bridge
async def test_a_connection_made_in_order_to_pair_is_resolved_before_its_services_are_shown(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    device = await found(cuff)
    async with agent():
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        reply = await call(bus, device.details["path"], "org.bluez.Device1", "Pair")
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
        reply = await call(bus, "/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        at_once = reply.body[0]
        assert at_once[device.details["path"]]["org.bluez.Device1"]["ServicesResolved"].value is True
        later = at_once
        async with asyncio.timeout(patient(5)):
            while not _shows(later, uuids.CURRENT_TIME):
                reply = await call(bus, "/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
                later = reply.body[0]
        assert not _shows(at_once, uuids.CURRENT_TIME)
        await leave(bus)


def _shows(objects: dict[str, dict[str, dict[str, Variant]]], characteristic: str) -> bool:
    faces = (faces.get("org.bluez.GattCharacteristic1", {}) for faces in objects.values())
    return uuids.full(characteristic) in [face["UUID"].value for face in faces if face]


@pytest.mark.bridge
async def test_a_disconnect_takes_its_time(virtual_air: VirtualAir) -> None:
    await virtual_air.bridge_with(Timing(disconnect_delay_s=0.3))
    cuff = await virtual_air.put("blood_pressure", secure=False)
    inflate(cuff)
    client = BleakClient(await found(cuff), timeout=patient(5))
    await client.connect()
    began = time.monotonic()
    await client.disconnect()
    assert time.monotonic() - began >= 0.3


async def test_a_scanner_is_shown_only_what_it_asked_for(air: VirtualAir) -> None:
    cuff, glucometer = await air.put("blood_pressure"), await air.put("glucose")
    inflate(cuff)
    assert isinstance(glucometer.firmware, Glucometer)
    glucometer.firmware.measure(wall=glucometer.wall, glucose_mg_dl=101)
    glucometer.wake()
    assert await BleakScanner.find_device_by_filter(lambda *_: True, timeout=5, service_uuids=[SUGAR]) is not None
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    reply = await call(bus, "/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    assert [path for path in reply.body[0] if "dev_" in path] == [f"{ADAPTER}/dev_F0_00_00_08_00_01"]
    await leave(bus)


async def test_two_scanners_on_one_connection_are_refused(air: VirtualAir) -> None:
    async with BleakScanner():
        with pytest.raises(BleakDBusError, match="InProgress"):
            await BleakScanner().start()


async def test_a_scan_ends_with_the_client_that_wanted_it(air: VirtualAir) -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    reply = await call(bus, ADAPTER, "org.bluez.Adapter1", "SetDiscoveryFilter", "a{sv}", {})
    assert reply.message_type == MessageType.METHOD_RETURN
    reply = await call(bus, ADAPTER, "org.bluez.Adapter1", "StartDiscovery")
    assert reply.message_type == MessageType.METHOD_RETURN
    reply = await call(bus, ADAPTER, "org.bluez.Adapter1", "StartDiscovery")
    assert reply.error_name == "org.bluez.Error.InProgress"
    await leave(bus)
    other = await MessageBus(bus_type=BusType.SYSTEM).connect()
    async with asyncio.timeout(patient(5)):
        while await _is_discovering(other):
            pass
    reply = await call(other, ADAPTER, "org.bluez.Adapter1", "StopDiscovery")
    assert (reply.error_name, reply.body) == ("org.bluez.Error.Failed", ["No discovery started"])
    await leave(other)


async def _is_discovering(bus: MessageBus) -> bool:
    reply = await call(
        bus, ADAPTER, "org.freedesktop.DBus.Properties", "Get", "ss", "org.bluez.Adapter1", "Discovering"
    )
    value: Variant = reply.body[0]
    return bool(value.value)


async def test_a_connect_that_is_given_up_leaves_the_next_one_free(air: VirtualAir) -> None:
    silent, cuff = await air.put("blood_pressure", 1), await air.put("blood_pressure", 2, secure=False)
    inflate(silent)
    device = await found(silent)
    await silent.__aexit__()
    with pytest.raises(TimeoutError):
        await BleakClient(device, timeout=patient(0.2)).connect()
    inflate(cuff)
    async with BleakClient(await found(cuff), timeout=patient(5)) as client:
        assert client.is_connected


async def test_after_a_connection_the_uuids_hold_every_service(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", secure=False)
    inflate(cuff)
    async with BleakClient(await found(cuff), timeout=patient(5)):
        pass
    heard: asyncio.Queue[set[str]] = asyncio.Queue()
    async with BleakScanner(lambda _, data: heard.put_nowait(set(data.service_uuids))):
        async with asyncio.timeout(patient(5)):
            known = await heard.get()
    assert {PRESSURE, uuids.full(uuids.DEVICE_INFORMATION_SERVICE), uuids.full(uuids.BATTERY_SERVICE)} <= known


async def test_a_read_is_signalled_to_subscribers_too(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", secure=False)
    inflate(cuff)
    async with BleakClient(await found(cuff), timeout=patient(5)) as client:
        await client.read_gatt_char(uuids.BATTERY_LEVEL)
        assert bytes(await client.read_gatt_char(uuids.BATTERY_LEVEL, use_cached=True)) == bytes([87])


async def test_subscribing_to_what_never_notifies_is_not_supported(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", secure=False)
    inflate(cuff)
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    async with BleakClient(await found(cuff), timeout=patient(5)) as client:
        feature = client.services.get_characteristic(uuids.BLOOD_PRESSURE_FEATURE)
        assert feature is not None
        reply = await call(bus, feature.obj[0], "org.bluez.GattCharacteristic1", "StartNotify")
        assert reply.error_name == "org.bluez.Error.NotSupported"
    await leave(bus)


async def test_a_client_that_stops_listening_is_told_nothing_more(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", secure=False)
    inflate(cuff)
    values: asyncio.Queue[bytes] = asyncio.Queue()
    async with BleakClient(await found(cuff), timeout=patient(5)) as client:
        await client.start_notify(uuids.BLOOD_PRESSURE_MEASUREMENT, lambda _, v: values.put_nowait(bytes(v)))
        await values.get()
        await client.stop_notify(uuids.BLOOD_PRESSURE_MEASUREMENT)
        raw = inflate(cuff)
        # A round trip over the same link: had the cuff said anything, it would have come before this answer.
        await client.read_gatt_char(uuids.BATTERY_LEVEL)
        assert values.empty()
    assert isinstance(cuff.firmware, BloodPressureMeter)
    assert cuff.firmware.records == (raw,)


@pytest.mark.bridge
async def test_the_bridge_describes_itself(air: VirtualAir) -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    described = await bus.introspect("org.bluez", "/org/bluez")
    (manager,) = described.interfaces
    assert manager.name == "org.bluez.AgentManager1"
    assert {method.name: method.in_signature for method in manager.methods} == {
        "RegisterAgent": "os",
        "UnregisterAgent": "o",
        "RequestDefaultAgent": "o",
    }
    assert [node.name for node in described.nodes] == ["hci0"]
    await leave(bus)


@pytest.mark.parametrize(
    ("path", "interface", "member", "error"),
    [
        ("/org/bluez/hci0/dev_00", "org.bluez.Device1", "Connect", "org.freedesktop.DBus.Error.UnknownObject"),
        (ADAPTER, "org.bluez.Adapter1", "Explode", "org.freedesktop.DBus.Error.UnknownMethod"),
        (ADAPTER, "org.bluez.Device1", "Connect", "org.freedesktop.DBus.Error.UnknownMethod"),
    ],
)
async def test_what_is_not_there_is_refused_by_name(
    air: VirtualAir, path: str, interface: str, member: str, error: str
) -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    reply = await call(bus, path, interface, member)
    assert reply.error_name == error
    await leave(bus)


async def test_agents_are_registered_once_each_and_only_known_ones_leave(air: VirtualAir) -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    manager = ("/org/bluez", "org.bluez.AgentManager1")
    refused = await call(bus, *manager, "RequestDefaultAgent", "o", "/a")
    assert refused.error_name == "org.bluez.Error.DoesNotExist"
    refused = await call(bus, *manager, "RegisterAgent", "os", "/a", "Telepathy")
    assert refused.error_name == "org.bluez.Error.InvalidArguments"
    accepted = await call(bus, *manager, "RegisterAgent", "os", "/a", "")
    assert accepted.message_type == MessageType.METHOD_RETURN
    refused = await call(bus, *manager, "RegisterAgent", "os", "/a", "")
    assert refused.error_name == "org.bluez.Error.AlreadyExists"
    accepted = await call(bus, *manager, "UnregisterAgent", "o", "/a")
    assert accepted.message_type == MessageType.METHOD_RETURN
    refused = await call(bus, *manager, "UnregisterAgent", "o", "/a")
    assert refused.error_name == "org.bluez.Error.DoesNotExist"
    await leave(bus)
