"""What of a meter's attributes bluetoothd keeps for itself; true of the bridge, and of the real one."""

import asyncio
from typing import Final

import pytest
from bleak.exc import BleakGATTProtocolError
from conformance.test_bluetoothd import bystander, call, connected, inflate
from dbus_fast.aio import MessageBus
from fix_meters import VirtualAir
from patience import patient

from firmware_sims.over_the_air import MeterOnAir
from vitals.gatt import uuids

pytestmark = pytest.mark.radio

CHARACTERISTIC: Final = "org.bluez.GattCharacteristic1"
DESCRIPTOR: Final = "org.bluez.GattDescriptor1"


@pytest.mark.parametrize("characteristic", [uuids.BATTERY_LEVEL, uuids.MANUFACTURER_NAME])
async def test_what_a_plugin_looks_after_may_be_read_and_not_written(air: VirtualAir, characteristic: str) -> None:
    cuff = await air.put("blood_pressure", secure=False)
    inflate(cuff)
    async with asyncio.timeout(patient(10)), connected(cuff) as client:
        before = await client.read_gatt_char(characteristic)
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(characteristic, b"\x01", response=True)
        assert refused.value.code == 0x08
        assert await client.read_gatt_char(characteristic) == before


async def test_the_configuration_of_a_characteristic_is_shown_and_nobody_may_write_it(air: VirtualAir) -> None:
    cuff = await air.put("blood_pressure", secure=False)
    inflate(cuff)
    async with asyncio.timeout(patient(10)), connected(cuff), bystander() as bus:
        shown = await configurations(bus, cuff)
        assert shown
        for path in shown:
            reply = await call(bus, "org.bluez", path, DESCRIPTOR, "WriteValue", "aya{sv}", b"\x02\x00", {})
            assert (reply.error_name, reply.body) == ("org.bluez.Error.NotPermitted", ["Write not permitted"])


async def configurations(bus: MessageBus, meter: MeterOnAir) -> list[str]:
    """The paths of the 0x2902 of what this meter measures."""
    reply = await call(bus, "org.bluez", "/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    uuid_of = {
        path: face["UUID"].value
        for path, faces in reply.body[0].items()
        for name, face in faces.items()
        if name in (CHARACTERISTIC, DESCRIPTOR) and meter.meter.meter_id.replace(":", "_") in path
    }
    measured = [path for path, uuid in uuid_of.items() if uuid == uuids.full(uuids.BLOOD_PRESSURE_MEASUREMENT)]
    return [p for p, uuid in uuid_of.items() if uuid == uuids.full("2902") and p.rpartition("/")[0] in measured]
