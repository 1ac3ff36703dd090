"""A glucose sensor that is worn, read by the real collector: in memory, and over the bridge by unmodified bleak."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fix_meters import VirtualAir
from gateway_box import box
from unit.gateway.homes import Home, at_home

from firmware_sims.glucose_sensor import GlucoseSensor
from gateway.sessions.cgm import REST_S
from vitals.reading import SensorGlucose, TimeQuality

SENSOR: dict[str, Any] = {"name": "cgm", "kind": "sensor_glucose", "index": 1}


def measure(meter: Any, mg_dl: float, *, ago_min: int = 0, status: int | None = None) -> bytes:
    assert isinstance(meter.firmware, GlucoseSensor)
    wall = meter.wall - timedelta(minutes=ago_min)
    raw = meter.firmware.measure(wall=wall, glucose_mg_dl=mg_dl, trend_mg_dl_per_min=-0.4, status=status)
    meter.wake()
    return raw


def visits(home: Home) -> int:
    return home.collector.totals.sessions


async def test_a_day_of_a_sensor_is_read_and_the_next_visit_brings_what_is_new(tmp_path: Path) -> None:
    async with at_home(tmp_path / "outbox.sqlite", SENSOR) as home:
        meter = home.meter("cgm")
        sent = [measure(meter, 100 + n % 80, ago_min=1440 - 5 * n) for n in range(288)]
        readings = await home.until_kept(288)
        assert [r.raw for r in readings] == sent
        assert {r.time_quality for r in readings} == {TimeQuality.CORRECTED}
        ages = [home.true_now - r.measured_at for r in (readings[0], readings[-1])]
        assert timedelta(hours=23, minutes=58) < ages[0] < timedelta(hours=24, minutes=2)
        assert timedelta(minutes=4) < ages[1] < timedelta(minutes=7)
        await home.until(lambda: visits(home) == 1)
        sent.append(measure(meter, 70, status=0x040000))
        home.clock.boot_s += REST_S
        readings = await home.until_kept(289)
        last = readings[-1].measurement
        assert isinstance(last, SensorGlucose)
        assert (last.glucose_mg_dl, last.trend_mg_dl_per_min, last.status) == (70.0, -0.4, 0x040000)
        assert home.outbox.counts().quarantined == 0
        await home.until(lambda: visits(home) == 2)
        assert home.collector.totals.failed_sessions == 0


async def test_a_sensor_that_is_there_all_the_time_is_left_in_peace_between_visits(tmp_path: Path) -> None:
    async with at_home(tmp_path / "outbox.sqlite", SENSOR) as home:
        measure(home.meter("cgm"), 126)
        await home.until(lambda: visits(home) == 1)
        ended_s = home.clock.boot_s
        await home.until(lambda: home.clock.boot_s - ended_s > 60)
        assert visits(home) == 1
        home.clock.boot_s += REST_S
        await home.until(lambda: visits(home) == 2)


async def test_people_see_since_when_a_sensor_is_worn(tmp_path: Path) -> None:
    async with at_home(tmp_path / "outbox.sqlite", SENSOR) as home:
        measure(home.meter("cgm"), 126)
        await home.until(lambda: visits(home) == 1)
        (told,) = home.collector.totals.meters.values()
        assert told.worn is not None
        assert told.worn["started"] == home.meter("cgm").wall.isoformat()


@pytest.mark.radio
@pytest.mark.parametrize("clock", ["ok", "unset"])
async def test_a_sensor_is_read_by_bleak(air: VirtualAir, tmp_path: Path, clock: str) -> None:
    meter = await air.put("sensor_glucose", clock=clock)
    sent = [measure(meter, 100 + n, ago_min=60 - 5 * n) for n in range(12)]
    async with box(tmp_path / "outbox.sqlite", air) as home:
        readings = await home.until_kept(12)
        await home.until(lambda: home.collector.totals.sessions == 1)
        assert home.collector.totals.failed_sessions == 0
    assert [r.raw for r in readings] == sent
    assert [r.measurement.sequence for r in readings if isinstance(r.measurement, SensorGlucose)] == [
        5 * n for n in range(12)
    ]
    assert {r.time_quality for r in readings} == {TimeQuality.CORRECTED}
