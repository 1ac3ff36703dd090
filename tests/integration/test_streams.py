"""What meters show while they measure, and a scale that wants consent first: unmodified bleak over the bridge."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from bleak import BleakClient, BleakScanner
from fix_meters import VirtualAir
from integration.test_bridge import Inbox
from pairing import agent
from patience import patient

from firmware_sims.commands import carry_out
from firmware_sims.measure import Measure
from firmware_sims.over_the_air import MeterOnAir
from vitals.gatt import uuids
from vitals.gatt.health_thermometer import IntermediateTemperature, TemperatureMeasurement
from vitals.gatt.heart_rate import HeartRateMeasurement
from vitals.gatt.pulse_oximeter import Continuous
from vitals.gatt.user_data import ResponseValue, UserControl
from vitals.gatt.weight_scale import WeightMeasurement

pytestmark = pytest.mark.radio


def tell(meter: MeterOnAir, **fields: Any) -> None:
    name = meter.meter.name
    carry_out(msgspec.convert({"do": "measure", "meter": name, **fields}, Measure), {name: meter})


@asynccontextmanager
async def inbox_of(meter: MeterOnAir) -> AsyncIterator[tuple[Inbox, BleakClient]]:
    """A bonded session with a meter that advertises."""
    service = uuids.full(meter.firmware.advertised_service)
    device = await BleakScanner.find_device_by_filter(
        lambda found, _: found.address == meter.meter.meter_id, timeout=5, service_uuids=[service]
    )
    assert device is not None, "the meter is not heard"
    async with agent(), BleakClient(device, timeout=patient(10)) as client:
        await client.pair()
        yield Inbox(client), client


async def test_a_strap_tells_every_beat_while_it_is_worn(air: VirtualAir) -> None:
    strap = await air.put("heart_rate", tick_ms=50, secure=False)
    tell(strap, pulse_bpm=1200, is_worn=True)
    async with inbox_of(strap) as (inbox, _):
        await inbox.subscribe(uuids.HEART_RATE_MEASUREMENT)
        frames = [HeartRateMeasurement.from_bytes(await inbox.next(uuids.HEART_RATE_MEASUREMENT)) for _ in range(5)]
        tell(strap, pulse_bpm=75, has_contact=False)
        async for frame in _frames(inbox):
            if frame.has_contact is False:
                break
    assert {frame.bpm for frame in frames} == {1200}
    assert all(frame.has_contact for frame in frames)
    assert any(frame.intervals == (51,) for frame in frames)


async def _frames(inbox: Inbox) -> AsyncIterator[HeartRateMeasurement]:
    while True:
        yield HeartRateMeasurement.from_bytes(await inbox.next(uuids.HEART_RATE_MEASUREMENT))


async def test_an_oximeter_shows_a_finger_that_stays_in(air: VirtualAir) -> None:
    oximeter = await air.put("oxygen_saturation", tick_ms=50)
    tell(oximeter, spo2_percent=98, pulse_bpm=78, is_worn=True)
    async with inbox_of(oximeter) as (inbox, _):
        await inbox.subscribe(uuids.PLX_CONTINUOUS)
        frames = [Continuous.from_bytes(await inbox.next(uuids.PLX_CONTINUOUS)) for _ in range(5)]
    assert [frame.normal.spo2.number for frame in frames] == [98] * 5


async def test_a_thermometer_shows_how_far_it_is_and_then_measures(air: VirtualAir) -> None:
    thermometer = await air.put("temperature", tick_ms=20)
    tell(thermometer, temperature_celsius=36.0)
    async with inbox_of(thermometer) as (inbox, _):
        await inbox.subscribe(uuids.TEMPERATURE_MEASUREMENT, uuids.INTERMEDIATE_TEMPERATURE)
        await inbox.next(uuids.TEMPERATURE_MEASUREMENT)
        tell(thermometer, temperature_celsius=38.2, rises=True)
        end = TemperatureMeasurement.from_bytes(await inbox.next(uuids.TEMPERATURE_MEASUREMENT))
        shown = map(IntermediateTemperature.from_bytes, inbox.all(uuids.INTERMEDIATE_TEMPERATURE))
    assert [frame.celsius for frame in shown] == [35.0, 36.4, 37.3, 37.8, 38.1]
    assert end.celsius == 38.2


async def test_a_shared_scale_gives_a_users_records_after_consent(air: VirtualAir) -> None:
    scale = await air.put("weight", users=[{"index": 1, "consent_code": 1234}])
    tell(scale, weight_kg=83.4, user_slot=2)
    tell(scale, weight_kg=61.2, user_slot=1)
    async with inbox_of(scale) as (inbox, client):
        await inbox.subscribe(uuids.WEIGHT_MEASUREMENT, uuids.USER_CONTROL)
        for code, answer in ((4321, ResponseValue.USER_NOT_AUTHORIZED), (1234, ResponseValue.SUCCESS)):
            assert inbox.all(uuids.WEIGHT_MEASUREMENT) == []
            await client.write_gatt_char(uuids.USER_CONTROL, bytes(UserControl.consent(1, code)), response=True)
            said = UserControl.from_bytes(await inbox.next(uuids.USER_CONTROL))
            assert said.response_value == answer
        frame = WeightMeasurement.from_bytes(await inbox.next(uuids.WEIGHT_MEASUREMENT))
    assert (frame.to_measurement().weight_kg, frame.user_slot) == (61.2, 1)
    assert len(air.said(scale)) == 1, "the other user has not consented"
