"""The collector on an in-memory air with the meters' own firmware, and a real outbox under it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.gateway.samples import GATEWAY, NOW, SHANGHAI, TestClock

from firmware_sims.air import Air, MeterInAir
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.glucometer import Glucometer
from firmware_sims.happenings import Happening
from firmware_sims.settings import Meter
from gateway.collector import Collector
from gateway.outbox import Outbox
from gateway.readings import settled
from vitals.envelope import decode_stored_reading
from vitals.reading import Glucose, Reading, TimeQuality


@dataclass
class Home:
    """A gateway's Bluetooth side with some meters around it."""

    outbox: Outbox
    air: Air
    collector: Collector
    clock: TestClock
    happened: list[Happening]
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def meter(self, name: str) -> MeterInAir:
        return self.air.meters[name]

    def inflate(self, name: str = "bp", systolic: int = 152) -> bytes:
        meter = self.meter(name)
        assert isinstance(meter.firmware, BloodPressureMeter)
        raw = meter.firmware.measure(wall=meter.wall, systolic_mmhg=systolic, diastolic_mmhg=94, pulse_bpm=72)
        meter.wake()
        return raw

    def prick(self, name: str = "glu", mg_dl: float = 126, meal: str | None = None) -> None:
        meter = self.meter(name)
        assert isinstance(meter.firmware, Glucometer)
        meter.firmware.measure(wall=meter.wall, glucose_mg_dl=mg_dl, meal=meal)
        meter.wake()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for the reading, or the end of a session, after which the claim holds."""
        async with asyncio.timeout(20):
            while not is_so():
                self.news.clear()
                await self.news.wait()

    async def until_kept(self, count: int) -> list[Reading]:
        await self.until(lambda: self.outbox.counts().kept >= count)
        return self.kept()

    def kept(self) -> list[Reading]:
        rows = self.outbox.unconfirmed(1000)
        return [decode_stored_reading(row.body) for row in rows]


@asynccontextmanager
async def at_home(
    path: Path, *meters: dict[str, Any], clock: TestClock | None = None, max_unconfirmed: int = 50_000
) -> AsyncIterator[Home]:
    clock = clock or TestClock()
    happened: list[Happening] = []
    air = Air([msgspec.convert(m, Meter) for m in meters], now=lambda: NOW, listener=happened.append, interval_s=0.01)
    with Outbox(path, now=NOW, max_unconfirmed=max_unconfirmed) as outbox:
        collector = Collector(
            radio=air,
            outbox=outbox,
            gateway_id=GATEWAY,
            zone=lambda: SHANGHAI,
            clock=clock.clock,
            on_kept=lambda: home.news.set(),
        )
        home = Home(outbox, air, collector, clock, happened)
        task = asyncio.create_task(collector.run())
        pulse = asyncio.create_task(_pulse(home))
        try:
            yield home
        finally:
            for one in (task, pulse):
                one.cancel()
            await asyncio.gather(task, pulse, return_exceptions=True)


async def _pulse(home: Home) -> None:
    """Time passes in the gateway, and whoever waits looks again."""
    while True:
        await asyncio.sleep(0.01)
        home.clock.boot_s += 0.25
        home.news.set()


CUFF = {"name": "bp", "kind": "blood_pressure", "index": 1}
GLUCOMETER = {"name": "glu", "kind": "glucose", "index": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


async def test_what_the_cuff_sent_is_what_is_kept(path: Path) -> None:
    async with at_home(path, CUFF) as home:
        raw = home.inflate()
        (reading,) = await home.until_kept(1)
    assert reading.raw == raw
    assert reading.meter_id == "F0:00:00:10:00:01"
    assert (reading.gateway_id, reading.zone, reading.characteristic) == (GATEWAY, "Asia/Shanghai", "2a35")
    assert reading.time_quality is TimeQuality.CORRECTED


async def test_two_kinds_of_meter_are_read_at_the_same_time(path: Path) -> None:
    async with at_home(path, CUFF, GLUCOMETER) as home:
        home.inflate()
        home.prick(meal="fasting")
        readings = await home.until_kept(2)
    meals = [r.measurement.meal for r in readings if isinstance(r.measurement, Glucose)]
    assert meals == ["fasting"]
    assert {r.characteristic for r in readings} == {"2a35", "2a18"}


async def test_a_second_measurement_a_minute_later_is_another_reading(path: Path) -> None:
    async with at_home(path, CUFF) as home:
        home.inflate(systolic=152)
        await home.until_kept(1)
        home.inflate(systolic=148)
        readings = await home.until_kept(2)
    assert len({r.reading_id for r in readings}) == 2


async def test_a_record_that_the_meter_sends_again_is_kept_once(path: Path) -> None:
    async with at_home(path, CUFF | {"faults": {"drops_after_indication": 2}}) as home:
        home.inflate()
        await home.until(lambda: sum(h.event == "confirmed" for h in home.happened) == 1)
        await home.until(lambda: home.collector.totals.sessions == 3)
        assert home.outbox.counts().kept == 1
        assert home.collector.totals.repeated == 2


async def test_a_truncated_frame_lies_in_quarantine_and_the_next_reading_comes(path: Path) -> None:
    async with at_home(path, CUFF) as home:
        firmware = home.meter("bp").firmware
        assert isinstance(firmware, BloodPressureMeter)
        firmware.keep(b"\x1e\x98")
        home.inflate()
        await home.until_kept(1)
        assert home.outbox.counts().quarantined == 1


async def test_the_newest_sequence_is_remembered_for_the_next_session(path: Path) -> None:
    async with at_home(path, GLUCOMETER) as home:
        home.prick()
        home.prick(mg_dl=130)
        await home.until(lambda: home.collector.totals.sessions == 1)
        memory = home.outbox.recall("F0:00:00:08:00:01")
        assert (memory.highest_sequence, memory.about["model"]) == (2, "HV-GL1")
        home.prick(mg_dl=140)
        await home.until_kept(3)
        assert home.collector.totals.repeated <= 1


async def test_a_meter_whose_link_drops_at_once_costs_the_others_nothing(path: Path) -> None:
    async with at_home(path, GLUCOMETER, CUFF | {"faults": {"disconnect_after_ms": 0}}) as home:
        home.inflate()
        await home.until(lambda: home.collector.totals.failed_sessions >= 2)
        home.prick()
        (reading,) = await home.until_kept(1)
        assert reading.characteristic == "2a18"


async def test_a_full_outbox_leaves_the_rest_and_the_gateway_goes_on(path: Path) -> None:
    async with at_home(path, GLUCOMETER, max_unconfirmed=1) as home:
        home.prick()
        home.prick(mg_dl=140)
        await home.until(lambda: home.collector.totals.failed_sessions >= 1)
        assert home.outbox.counts().kept == 1
        assert isinstance(home.meter("glu").firmware, Glucometer)
        assert home.outbox.recall("F0:00:00:08:00:01").highest_sequence is None  # asked for again, all of it


async def test_readings_of_an_unbelievable_clock_are_held_and_settled_exactly(path: Path) -> None:
    clock = TestClock(wall=NOW - timedelta(days=20_000))
    async with at_home(path, CUFF, clock=clock) as home:
        home.inflate()
        await home.until(lambda: home.outbox.counts().held == 1)
        assert home.outbox.unconfirmed(10) == []
        (held,) = home.outbox.held(10)
        clock.wall = NOW + timedelta(hours=1)
        boot_s = held.unbelieved.since_boot_s + 3600
        reading = settled(held, now=clock.wall, since_boot_s=boot_s, boot_id="boot-1")
    assert abs(reading.received_at - NOW) < timedelta(seconds=1)
    assert abs(reading.measured_at - NOW) < timedelta(seconds=2)
    assert reading.time_quality is TimeQuality.CORRECTED
    assert reading.reading_id == held.reading.reading_id


async def test_our_unbelievable_time_is_not_written_into_the_meter(path: Path) -> None:
    clock = TestClock(wall=NOW - timedelta(days=20_000))
    async with at_home(path, CUFF, clock=clock) as home:
        home.inflate()
        await home.until(lambda: home.collector.totals.sessions >= 1)
        meter = home.meter("bp")
        assert meter.firmware.clock.shown(meter.wall) == meter.wall
