"""The meters in memory keep the gateway's ports exactly: what a collector does over a real radio works here too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from firmware_sims.air import Air, MeterInAir
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.glucometer import Glucometer
from firmware_sims.happenings import Happening
from firmware_sims.settings import Meter
from vitals.gatt import uuids
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.link import Advertisement, Disconnected, Link, LinkError, Notified, Radio
from vitals.gatt.record_access import RecordAccess

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)


def air_with(*meters: dict[str, Any], listener: Any = lambda _: None) -> Air:
    return Air(msgspec.convert(meters, tuple[Meter, ...]), now=lambda: NOW, listener=listener, interval_s=0.01)


CUFF = {"name": "bp", "kind": "blood_pressure", "index": 1}
GLUCOMETER = {"name": "glu", "kind": "glucose", "index": 1}


def inflate(meter: MeterInAir, systolic: int = 148) -> bytes:
    assert isinstance(meter.firmware, BloodPressureMeter)
    raw = meter.firmware.measure(wall=meter.wall, systolic_mmhg=systolic, diastolic_mmhg=92)
    meter.wake()
    return raw


def prick(meter: MeterInAir, count: int) -> list[bytes]:
    assert isinstance(meter.firmware, Glucometer)
    firmware = meter.firmware
    raws = [firmware.measure(wall=meter.wall, glucose_mg_dl=100 + n).measurement for n in range(count)]
    meter.wake()
    return raws


async def first_heard(radio: Radio) -> Advertisement:
    async with radio.advertisements() as heard, asyncio.timeout(5):
        return await anext(heard)


@asynccontextmanager
async def linked(radio: Radio) -> AsyncIterator[Link]:
    async with radio.connect(await first_heard(radio)) as link:
        yield link


async def events(link: Link) -> list[Notified | Disconnected]:
    """What has happened on the link until now."""
    happened: list[Notified | Disconnected] = []
    while (event := await link.event(0)) is not None:
        happened.append(event)
        if isinstance(event, Disconnected):
            break
    return happened


async def test_a_meter_with_a_record_is_heard_and_a_silent_one_is_not() -> None:
    air = air_with(CUFF, GLUCOMETER)
    inflate(air.meters["bp"])
    heard = await first_heard(air)
    assert heard == Advertisement(
        address="F0:00:00:10:00:01", name="bp", services=frozenset({uuids.BLOOD_PRESSURE_SERVICE}), rssi=-60
    )
    async with air.advertisements() as more:
        assert {(await anext(more)).name for _ in range(3)} == {"bp"}


async def test_a_meter_that_begins_to_advertise_is_heard_at_once() -> None:
    air = air_with(CUFF)
    air._interval_s = 60
    async with air.advertisements() as heard, asyncio.timeout(5):
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.sleep(0)
        inflate(air.meters["bp"])
        assert (await waiting).name == "bp"


async def test_records_come_oldest_first_and_once() -> None:
    air = air_with(CUFF)
    cuff = air.meters["bp"]
    raws = [inflate(cuff, 140 + n) for n in range(3)]
    async with linked(air) as link:
        assert await events(link) == []
        await link.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        assert await events(link) == [
            Notified(characteristic=uuids.BLOOD_PRESSURE_MEASUREMENT, value=raw) for raw in raws
        ]
    assert not cuff.is_heard


async def test_a_connected_meter_is_not_heard_and_not_connected_twice() -> None:
    air = air_with(CUFF)
    inflate(air.meters["bp"])
    advertisement = await first_heard(air)
    async with air.connect(advertisement):
        assert not air.meters["bp"].is_heard
        with pytest.raises(LinkError, match="does not answer"):
            async with air.connect(advertisement):
                pass
    assert air.meters["bp"].is_heard


async def test_a_stale_advertisement_is_not_answered() -> None:
    air = air_with(CUFF)
    inflate(air.meters["bp"])
    advertisement = await first_heard(air)
    async with air.connect(advertisement) as link:
        await link.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
    with pytest.raises(LinkError, match="does not answer"):
        async with air.connect(advertisement):
            pass


async def test_a_record_taken_during_the_link_comes_at_once() -> None:
    air = air_with(CUFF)
    cuff = air.meters["bp"]
    inflate(cuff)
    async with linked(air) as link:
        await link.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        await events(link)
        waiting = asyncio.ensure_future(link.event(5))
        await asyncio.sleep(0)
        raw = inflate(cuff, 151)
        assert await waiting == Notified(characteristic=uuids.BLOOD_PRESSURE_MEASUREMENT, value=raw)


async def test_twenty_records_are_reported_and_answered() -> None:
    air = air_with(GLUCOMETER)
    raws = prick(air.meters["glu"], 20)
    async with linked(air) as link:
        for characteristic in (uuids.GLUCOSE_MEASUREMENT, uuids.RECORD_ACCESS):
            await link.subscribe(characteristic)
        await link.write(uuids.RECORD_ACCESS, bytes(RecordAccess.report_all()))
        *records, answer = await events(link)
    assert [event.value for event in records if isinstance(event, Notified)] == raws
    assert answer == Notified(characteristic=uuids.RECORD_ACCESS, value=bytes.fromhex("06000101"))
    assert not air.meters["glu"].is_heard


async def test_att_errors_carry_their_codes() -> None:
    air = air_with(GLUCOMETER)
    prick(air.meters["glu"], 1)
    async with linked(air) as link:
        with pytest.raises(LinkError) as refused:
            await link.write(uuids.RECORD_ACCESS, bytes(RecordAccess.report_all()))
        assert refused.value.code == 0xFD
        with pytest.raises(LinkError) as refused:
            await link.read(uuids.GLUCOSE_MEASUREMENT)
        assert refused.value.code == 0x02
        with pytest.raises(LinkError, match="no characteristic") as refused:
            await link.read(uuids.BLOOD_PRESSURE_FEATURE)
        assert refused.value.code is None
        with pytest.raises(LinkError, match="neither"):
            await link.subscribe(uuids.GLUCOSE_FEATURE)


async def test_the_clock_is_read_and_set() -> None:
    air = air_with({**CUFF, "clock": {"offset_s": 120}})
    cuff = air.meters["bp"]
    inflate(cuff)
    async with linked(air) as link:
        assert uuids.CURRENT_TIME in link.characteristics
        assert CurrentTime.from_bytes(await link.read(uuids.CURRENT_TIME)).date_time.iso == "2026-11-21T08:32:00"
        await link.write(uuids.CURRENT_TIME, bytes(CurrentTime.of(cuff.wall)))
        assert CurrentTime.from_bytes(await link.read(uuids.CURRENT_TIME)).date_time.iso == "2026-11-21T08:30:00"


async def test_a_meter_that_hangs_up_has_been_heard_to_the_end() -> None:
    air = air_with({**CUFF, "faults": {"hangs_up": True}})
    raw = inflate(air.meters["bp"])
    async with linked(air) as link:
        await link.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        assert await events(link) == [
            Notified(characteristic=uuids.BLOOD_PRESSURE_MEASUREMENT, value=raw),
            Disconnected(),
        ]
        assert await link.event(0) == Disconnected()
        with pytest.raises(LinkError, match="gone"):
            await link.read(uuids.BATTERY_LEVEL)


async def test_an_unconfirmed_record_is_given_again() -> None:
    happened: list[Happening] = []
    air = air_with({**CUFF, "faults": {"drops_after_indication": 1}}, listener=happened.append)
    raw = inflate(air.meters["bp"])
    for _ in range(2):
        async with linked(air) as link:
            await link.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
            assert (await events(link))[0] == Notified(characteristic=uuids.BLOOD_PRESSURE_MEASUREMENT, value=raw)
    assert [(h.event, h.raw) for h in happened] == [("indicated", raw), ("indicated", raw), ("confirmed", raw)]


async def test_a_link_drops_when_the_fault_says_so() -> None:
    air = air_with({**CUFF, "faults": {"disconnect_after_ms": 10}})
    inflate(air.meters["bp"])
    async with linked(air) as link:
        assert await link.event(5) == Disconnected()


async def test_a_link_that_drops_at_once_does_so_as_often_as_the_fault_says() -> None:
    air = air_with({**CUFF, "faults": {"drops_at_once": 1}})
    raw = inflate(air.meters["bp"])
    async with linked(air) as link:
        assert await link.event(5) == Disconnected()
    async with linked(air) as link:
        await link.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        assert (await events(link))[0] == Notified(characteristic=uuids.BLOOD_PRESSURE_MEASUREMENT, value=raw)


async def test_leaving_the_link_ends_it() -> None:
    air = air_with(GLUCOMETER)
    prick(air.meters["glu"], 3)
    async with linked(air) as link:
        await link.subscribe(uuids.RECORD_ACCESS)
    with pytest.raises(LinkError, match="gone"):
        await link.write(uuids.RECORD_ACCESS, bytes(RecordAccess.count_all()))


async def test_every_run_is_the_same() -> None:
    async def run() -> list[Happening]:
        happened: list[Happening] = []
        air = air_with(CUFF, GLUCOMETER, listener=happened.append)
        inflate(air.meters["bp"])
        prick(air.meters["glu"], 5)
        for _ in range(2):
            async with linked(air) as link:
                for characteristic in sorted(link.characteristics & {"2a35", "2a18", "2a52"}):
                    await link.subscribe(characteristic)
                if uuids.RECORD_ACCESS in link.characteristics:
                    await link.write(uuids.RECORD_ACCESS, bytes(RecordAccess.report_all()))
        return happened

    assert await run() == await run()
    assert len(await run()) == 2 + 5
