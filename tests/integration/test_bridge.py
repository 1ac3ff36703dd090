"""Unmodified bleak against simulated meters: the conversations that a gateway has, over the bridge's org.bluez."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError
from bleak_retry_connector import BleakClientWithServiceCache, establish_connection
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus
from fix_meters import VirtualAir
from pairing import agent
from patience import patient

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.glucometer import Glucometer
from firmware_sims.over_the_air import MeterOnAir
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.record_access import RecordAccess, ResponseCode

pytestmark = pytest.mark.radio

SERVICES = [uuids.full(uuids.BLOOD_PRESSURE_SERVICE), uuids.full(uuids.GLUCOSE_SERVICE)]


def inflate(meter: MeterOnAir, systolic: int = 148) -> bytes:
    """Let a cuff measure; gives the stored frame."""
    assert isinstance(meter.firmware, BloodPressureMeter)
    raw = meter.firmware.measure(wall=meter.wall, systolic_mmhg=systolic, diastolic_mmhg=92, pulse_bpm=72, user_slot=1)
    meter.wake()
    return raw


def prick(meter: MeterOnAir, count: int) -> list[bytes]:
    """Let a glucometer measure so many times; gives the stored frames."""
    assert isinstance(meter.firmware, Glucometer)
    firmware = meter.firmware
    raws = [firmware.measure(wall=meter.wall, glucose_mg_dl=100 + n).measurement for n in range(count)]
    meter.wake()
    return raws


async def find(meter: MeterOnAir, within_s: float = 5.0) -> BLEDevice | None:
    return await BleakScanner.find_device_by_filter(
        lambda device, _: device.address == meter.meter.meter_id, timeout=within_s, service_uuids=SERVICES
    )


async def found(meter: MeterOnAir) -> BLEDevice:
    device = await find(meter, within_s=patient(5))
    assert device is not None, "the meter is not heard"
    return device


@asynccontextmanager
async def session(meter: MeterOnAir, *, pair: bool = True, **options: Any) -> AsyncIterator[BleakClient]:
    """Pairs after connecting: paired first, the services are not all there yet (see test_bridge_manners)."""
    async with BleakClient(await found(meter), timeout=patient(10), **options) as client:
        if pair:
            await client.pair()
        yield client


@asynccontextmanager
async def until_gone(meter: MeterOnAir, *, pair: bool = True) -> AsyncIterator[tuple[BleakClient, asyncio.Event]]:
    """A session that the meter ends. bleak keeps the client's D-Bus connection open until it is told to disconnect."""
    gone = asyncio.Event()
    client = BleakClient(await found(meter), lambda _: gone.set(), timeout=patient(10))
    try:
        await client.connect()
        if pair:
            await client.pair()
        async with asyncio.timeout(patient(5)):
            yield client, gone
    finally:
        await client.disconnect()


class Inbox:
    """What a client was notified of, by characteristic."""

    def __init__(self, client: BleakClient) -> None:
        self._client = client
        self._queues: dict[str, asyncio.Queue[bytes]] = {}

    async def subscribe(self, *characteristics: str) -> None:
        for uuid in characteristics:
            self._queues.setdefault(uuid, asyncio.Queue())
            await self._client.start_notify(uuid, self._taker(uuid))

    def _taker(self, uuid: str) -> Callable[[BleakGATTCharacteristic, bytearray], None]:
        return lambda _, value: self._queues[uuid].put_nowait(bytes(value))

    async def next(self, characteristic: str) -> bytes:
        async with asyncio.timeout(patient(5)):
            return await self._queues[characteristic].get()

    def all(self, characteristic: str) -> list[bytes]:
        queue = self._queues[characteristic]
        return [queue.get_nowait() for _ in range(queue.qsize())]


async def read_out(meter: MeterOnAir, *, pair: bool = True) -> bytes:
    """One whole session with a cuff: connect, subscribe, one record."""
    async with session(meter, pair=pair) as client:
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        return await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT)


async def test_a_paired_cuff_gives_its_record_byte_for_byte(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    raw = inflate(cuff)
    async with agent():
        assert await read_out(cuff) == raw
    assert air.said(cuff) == [raw]
    assert BloodPressureMeasurement.from_bytes(raw).meter_time == "2026-11-21T08:30:00"


async def test_a_confirmed_record_is_not_given_again_and_the_cuff_goes_silent(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    async with agent():
        await read_out(cuff)
    assert await find(cuff, within_s=0.3) is None
    assert air.said(cuff, "confirmed") == air.said(cuff)


async def test_stored_records_come_oldest_first(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    raws = [inflate(cuff, 140 + n) for n in range(5)]
    async with agent(), session(cuff) as client:
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        assert [await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT) for _ in raws] == raws


async def test_a_record_taken_during_a_session_comes_at_once(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    async with agent(), session(cuff) as client:
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT)
        raw = inflate(cuff, 151)
        assert await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT) == raw


async def test_a_bonded_reconnect_encrypts_without_pairing_again(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    first = inflate(cuff)
    async with agent() as answering:
        assert await read_out(cuff) == first
        second = inflate(cuff, 152)
        # The subscription is refused on an unencrypted link, and nobody may pair any more.
        answering.refuses = True
        assert await read_out(cuff) == second


async def test_without_an_agent_pairing_fails_cleanly(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    with pytest.raises(BleakDBusError) as failed:
        await read_out(cuff)
    assert failed.value.dbus_error == "org.bluez.Error.AuthenticationFailed"


async def test_an_agent_is_lost_when_its_owner_leaves_the_bus(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    async with agent():
        pass
    with pytest.raises(BleakDBusError, match="AuthenticationFailed"):
        await read_out(cuff)


async def test_an_agent_that_refuses_leaves_the_meter_unread(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    async with agent(refuses=True):
        # The stack's own word for "did not work", 0x0E, or no word at all.
        with pytest.raises((BleakGATTProtocolError, TimeoutError)):
            async with asyncio.timeout(patient(3)):
                await read_out(cuff, pair=False)
    assert air.said(cuff) == []


async def test_an_insecure_meter_needs_no_agent(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", secure=False)
    raw = inflate(cuff)
    assert await read_out(cuff, pair=False) == raw


async def test_a_passkey_is_asked_of_the_agent(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", passkey=246813)
    raw = inflate(cuff)
    async with agent(capability="KeyboardDisplay", passkey=246813) as answering:
        assert await read_out(cuff) == raw
    assert answering.asked == ["RequestPasskey"]


async def test_a_wrong_passkey_fails_to_authenticate(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", passkey=246813)
    inflate(cuff)
    async with agent(capability="KeyboardDisplay", passkey=111111):
        with pytest.raises(BleakDBusError, match="AuthenticationFailed"):
            await read_out(cuff)


@pytest.mark.bond_lost
async def test_a_lost_bond_is_repaired_by_removing_the_device(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    async with agent():
        await read_out(cuff)
        await cuff.forget_bond()
        raw = inflate(cuff, 155)
        for _ in range(2):  # for ever, until somebody acts
            with pytest.raises(BleakDBusError, match="br-connection-canceled"):
                await read_out(cuff)
        await BleakClient(await found(cuff)).unpair()
        assert await read_out(cuff) == raw


async def test_a_record_is_not_lost_when_the_meter_hangs_up_right_after_it(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", faults={"hangs_up": True})
    raw = inflate(cuff)
    async with agent(), until_gone(cuff) as (client, gone):
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        assert await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT) == raw
        await gone.wait()
        assert not client.is_connected
    assert air.said(cuff, "confirmed") == [raw]


async def test_an_unconfirmed_record_is_given_again(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", faults={"drops_after_indication": 1})
    raw = inflate(cuff)
    async with agent():
        async with until_gone(cuff) as (client, gone):
            with suppress(BleakError):  # bluetoothd may hear of the end before it has answered
                await Inbox(client).subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
            await gone.wait()
        assert await read_out(cuff) == raw
    assert air.said(cuff) == [raw, raw]
    assert air.said(cuff, "confirmed") == [raw]


async def test_a_link_that_drops_early_is_a_disconnect_and_nothing_worse(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", secure=False, faults={"disconnect_after_ms": int(patient(250))})
    raw = inflate(cuff)
    async with until_gone(cuff, pair=False) as (client, gone):
        await gone.wait()
        with pytest.raises(BleakError):
            await client.read_gatt_char(uuids.BATTERY_LEVEL)
    assert isinstance(cuff.firmware, BloodPressureMeter)
    assert cuff.firmware.records == (raw,)


async def test_what_cannot_be_read_answers_with_its_att_error(air: VirtualAir) -> None:
    glucometer = await air.put("glucose", secure=False)
    prick(glucometer, 1)
    async with session(glucometer, pair=False) as client:
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.read_gatt_char(uuids.GLUCOSE_MEASUREMENT)
        assert refused.value.code == 0x02
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(uuids.GLUCOSE_FEATURE, b"\0", response=True)
        assert refused.value.code == 0x03


async def test_a_meter_tells_about_itself_and_its_clock_can_be_set(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", clock={"offset_s": -7200})
    inflate(cuff)
    async with agent(), session(cuff) as client:
        assert bytes(await client.read_gatt_char(uuids.MANUFACTURER_NAME)) == b"HomeVigil Sims"
        assert bytes(await client.read_gatt_char(uuids.BATTERY_LEVEL)) == bytes([87])
        shown = CurrentTime.from_bytes(bytes(await client.read_gatt_char(uuids.CURRENT_TIME)))
        assert shown.date_time.iso == "2026-11-21T06:30:00"
        await client.write_gatt_char(uuids.CURRENT_TIME, bytes(CurrentTime.of(cuff.wall)), response=True)
        shown = CurrentTime.from_bytes(bytes(await client.read_gatt_char(uuids.CURRENT_TIME)))
        assert shown.date_time.iso == "2026-11-21T08:30:00"


async def test_all_twenty_records_of_a_glucometer_are_reported(air: VirtualAir) -> None:
    glucometer = await air.put("glucose")
    raws = prick(glucometer, 20)
    async with agent(), session(glucometer) as client:
        inbox = Inbox(client)
        await inbox.subscribe(uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT, uuids.RECORD_ACCESS)
        await client.write_gatt_char(uuids.RECORD_ACCESS, bytes(RecordAccess.count_all()), response=True)
        counted = RecordAccess.from_bytes(await inbox.next(uuids.RECORD_ACCESS))
        assert counted.number_of_records == 20
        await client.write_gatt_char(uuids.RECORD_ACCESS, bytes(RecordAccess.report_all()), response=True)
        answer = RecordAccess.from_bytes(await inbox.next(uuids.RECORD_ACCESS))
        assert answer.response_code_value == ResponseCode.SUCCESS
        assert inbox.all(uuids.GLUCOSE_MEASUREMENT) == raws
    assert await find(glucometer, within_s=0.3) is None, "a glucometer that was read advertises no more"


async def test_only_records_from_a_sequence_number_on_are_reported(air: VirtualAir) -> None:
    glucometer = await air.put("glucose")
    prick(glucometer, 20)
    async with agent(), session(glucometer) as client:
        inbox = Inbox(client)
        await inbox.subscribe(uuids.GLUCOSE_MEASUREMENT, uuids.RECORD_ACCESS)
        await client.write_gatt_char(uuids.RECORD_ACCESS, bytes(RecordAccess.report_from(18)), response=True)
        await inbox.next(uuids.RECORD_ACCESS)
        frames = [GlucoseMeasurement.from_bytes(raw) for raw in inbox.all(uuids.GLUCOSE_MEASUREMENT)]
    assert [frame.sequence for frame in frames] == [18, 19, 20]


async def test_record_access_before_the_subscription_is_improperly_configured(air: VirtualAir) -> None:
    glucometer = await air.put("glucose")
    prick(glucometer, 1)
    async with agent(), session(glucometer) as client:
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(uuids.RECORD_ACCESS, bytes(RecordAccess.report_all()), response=True)
    assert refused.value.code == 0xFD


async def test_a_report_can_be_aborted_and_another_command_waits_its_turn(air: VirtualAir) -> None:
    glucometer = await air.put("glucose")
    prick(glucometer, 400)
    async with agent(), session(glucometer) as client:
        inbox = Inbox(client)
        await inbox.subscribe(uuids.GLUCOSE_MEASUREMENT, uuids.RECORD_ACCESS)
        await client.write_gatt_char(uuids.RECORD_ACCESS, bytes(RecordAccess.report_all()), response=True)
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(uuids.RECORD_ACCESS, bytes(RecordAccess.count_all()), response=True)
        assert refused.value.code == 0xFE
        await client.write_gatt_char(uuids.RECORD_ACCESS, bytes(RecordAccess.abort()), response=True)
        answer = RecordAccess.from_bytes(await inbox.next(uuids.RECORD_ACCESS))
        assert (answer.request_op_code, answer.response_code_value) == (3, ResponseCode.SUCCESS)
        assert 0 < len(inbox.all(uuids.GLUCOSE_MEASUREMENT)) < 400


async def test_a_meal_comes_as_context(air: VirtualAir) -> None:
    glucometer = await air.put("glucose", unit="mol/L")
    assert isinstance(glucometer.firmware, Glucometer)
    record = glucometer.firmware.measure(wall=glucometer.wall, glucose_mg_dl=130, meal="bedtime")
    glucometer.wake()
    async with agent(), session(glucometer) as client:
        inbox = Inbox(client)
        await inbox.subscribe(uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT, uuids.RECORD_ACCESS)
        await client.write_gatt_char(uuids.RECORD_ACCESS, bytes(RecordAccess.report_all()), response=True)
        assert await inbox.next(uuids.GLUCOSE_CONTEXT) == record.context
        assert inbox.all(uuids.GLUCOSE_MEASUREMENT) == [record.measurement]
    assert air.said(glucometer) == [record.measurement, record.context]


@pytest.mark.bond_lost
async def test_a_meter_that_forgets_its_bond_needs_repair_every_time(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", faults={"forgets_bond": True})
    async with agent():
        for systolic in (150, 151):
            raw = inflate(cuff, systolic)
            if systolic == 151:
                with pytest.raises(BleakDBusError, match="br-connection-canceled"):
                    await read_out(cuff)
                await BleakClient(await found(cuff)).unpair()
            assert await read_out(cuff) == raw


async def test_a_record_sent_twice_comes_twice_and_is_one_record(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", faults={"sends_twice": True})
    raw = inflate(cuff)
    async with agent(), session(cuff) as client:
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        assert [await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT) for _ in range(2)] == [raw, raw]
    assert isinstance(cuff.firmware, BloodPressureMeter)
    assert cuff.firmware.records == ()


async def test_a_killed_client_leaves_the_next_record_in_the_meter(air: VirtualAir) -> None:
    """bluetoothd keeps the link of a client that died, but not its subscription: nobody is there to take a record."""
    cuff = await air.put("blood_pressure", secure=False)
    inflate(cuff)
    device = await found(cuff)
    async with BleakClient(device, timeout=patient(10)) as client:
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT)
        assert client._backend._bus is not None  # type: ignore[attr-defined]
        client._backend._bus.disconnect()  # type: ignore[attr-defined]
        bystander = await MessageBus(bus_type=BusType.SYSTEM).connect()
        async with asyncio.timeout(patient(5)):
            while await _is_notifying(bystander, client):
                pass
        raw = inflate(cuff, 155)
        bystander.disconnect()
        await asyncio.wait({asyncio.ensure_future(bystander.wait_for_disconnect())})
    assert isinstance(cuff.firmware, BloodPressureMeter)
    assert cuff.firmware.records == (raw,)
    async with BleakClient(device, timeout=patient(10)) as client:  # the link is still up: nothing is advertised
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        assert await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT) == raw


async def _is_notifying(bus: MessageBus, client: BleakClient) -> bool:
    characteristic = client.services.get_characteristic(uuids.BLOOD_PRESSURE_MEASUREMENT)
    assert characteristic is not None
    reply = await bus.call(
        Message(
            destination="org.bluez",
            path=characteristic.obj[0],
            interface="org.freedesktop.DBus.Properties",
            member="Get",
            signature="ss",
            body=["org.bluez.GattCharacteristic1", "Notifying"],
        )
    )
    assert reply is not None
    return bool(reply.body[0].value)


async def test_bleak_retry_connector_works_unmodified(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure")
    raw = inflate(cuff)
    async with agent():
        client = await establish_connection(BleakClientWithServiceCache, await found(cuff), "cuff")
        await client.pair()
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        assert await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT) == raw
        await client.disconnect()


async def test_four_meters_are_read_at_the_same_time(air: VirtualAir) -> None:
    cuffs = [await air.put("blood_pressure", n) for n in range(1, 5)]
    raws = [inflate(cuff, 140 + n) for n, cuff in enumerate(cuffs)]
    async with agent():
        devices = [await found(cuff) for cuff in cuffs]
        one_by_one = asyncio.Lock()
        assert list(await asyncio.gather(*(_read_device(device, one_by_one) for device in devices))) == raws


async def _read_device(device: BLEDevice, one_by_one: asyncio.Lock) -> bytes:
    """Connected to one after the other: bluetoothd has no good word for links that come up at the same time, and bleak alone
    believes it (docs/explanation/bluetooth.md)."""
    client = BleakClient(device, timeout=patient(10))
    async with one_by_one:
        await client.connect()
    try:
        await client.pair()
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        return await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT)
    finally:
        await client.disconnect()


async def test_of_twenty_meters_none_is_lost(air: VirtualAir) -> None:
    cuffs = [await air.put("blood_pressure", n) for n in range(1, 11)]
    glucometers = [await air.put("glucose", n) for n in range(1, 11)]
    sent = {cuff.meter.meter_id: [inflate(cuff, 130 + n)] for n, cuff in enumerate(cuffs)}
    sent |= {glucometer.meter.meter_id: prick(glucometer, 3) for glucometer in glucometers}
    got: dict[str, list[bytes]] = {}
    async with agent():
        for meter in (*cuffs, *glucometers):
            async with session(meter) as client:
                got[meter.meter.meter_id] = await _collect(client, meter)
    assert got == sent


async def _collect(client: BleakClient, meter: MeterOnAir) -> list[bytes]:
    inbox = Inbox(client)
    if meter.meter.kind == "blood_pressure":
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        return [await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT)]
    await inbox.subscribe(uuids.GLUCOSE_MEASUREMENT, uuids.RECORD_ACCESS)
    await client.write_gatt_char(uuids.RECORD_ACCESS, bytes(RecordAccess.report_all()), response=True)
    await inbox.next(uuids.RECORD_ACCESS)
    return inbox.all(uuids.GLUCOSE_MEASUREMENT)
