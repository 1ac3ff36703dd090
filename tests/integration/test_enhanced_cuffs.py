"""Enhanced cuffs, and cuffs that show what is in them while they inflate, read by the real collector."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from fix_meters import VirtualAir
from integration.test_gateway_radio import box
from unit.gateway.homes import at_home

from firmware_sims.commands import Driven, carry_out
from firmware_sims.measure import Measure
from vitals.gatt import uuids
from vitals.reading import BloodPressure, TimeQuality

CUFF: dict[str, Any] = {"name": "ebp", "kind": "enhanced_blood_pressure", "index": 1}


def tell(meter: Driven, **fields: Any) -> None:
    name = meter.firmware.meter.name
    carry_out(msgspec.convert({"do": "measure", "meter": name, **fields}, Measure), {name: meter})


async def test_an_inflation_of_an_enhanced_cuff_is_one_reading(tmp_path: Path) -> None:
    async with at_home(tmp_path / "outbox.sqlite", CUFF) as home:
        meter = home.meter("ebp")
        for user in (1, 2, 1):
            tell(meter, systolic_mmhg=150 + user, diastolic_mmhg=92, pulse_bpm=72, user_slot=user)
        readings = await home.until_kept(3)
        await home.until(lambda: home.collector.totals.sessions == 1)
        assert not meter.firmware.is_advertising
        tell(meter, systolic_mmhg=161, diastolic_mmhg=92, user_slot=2)
        readings = await home.until_kept(4)
        await home.until(lambda: home.collector.totals.sessions == 2)
    assert [(r.user_slot, r.characteristic) for r in readings] == [(1, "2b34"), (2, "2b34"), (1, "2b34"), (2, "2b34")]
    assert {r.time_quality for r in readings} == {TimeQuality.CORRECTED}
    assert len({r.reading_id for r in readings}) == 4


@pytest.mark.radio
async def test_an_enhanced_cuff_is_read_by_bleak(air: VirtualAir, tmp_path: Path) -> None:
    meter = await air.put("enhanced_blood_pressure", name="ebp")
    for systolic in (150, 151, 152):
        tell(meter, systolic_mmhg=systolic, diastolic_mmhg=92, pulse_bpm=72, user_slot=1)
    async with box(tmp_path / "outbox.sqlite", air) as home:
        readings = await home.until_kept(3)
        await home.until(lambda: home.collector.totals.sessions == 1)
        assert home.collector.totals.failed_sessions == 0
        assert home.outbox.counts().quarantined == 0
    found = [r.measurement.systolic_mmhg for r in readings if isinstance(r.measurement, BloodPressure)]
    assert found == [150.0, 151.0, 152.0]


@pytest.mark.parametrize("kind", ["blood_pressure", "enhanced_blood_pressure"])
async def test_what_is_in_the_cuff_on_the_way_is_no_reading(kind: str, tmp_path: Path) -> None:
    settings = {"name": "bp", "kind": kind, "index": 1, "tick_ms": 10}
    async with at_home(tmp_path / "outbox.sqlite", settings) as home:
        tell(home.meter("bp"), systolic_mmhg=148, diastolic_mmhg=92, rises=True)
        (reading,) = await home.until_kept(1)
        assert isinstance(reading.measurement, BloodPressure)
        assert reading.measurement.systolic_mmhg == 148.0
        assert home.outbox.counts().quarantined == 0


@pytest.mark.radio
async def test_a_cuff_shows_what_is_in_it_to_who_wants_to_see_and_the_gateway_does_not(
    air: VirtualAir, tmp_path: Path
) -> None:
    meter = await air.put("blood_pressure", tick_ms=20)
    async with box(tmp_path / "outbox.sqlite", air) as home:
        tell(meter, systolic_mmhg=148, diastolic_mmhg=92, rises=True)
        (reading,) = await home.until_kept(1)
        assert reading.characteristic == uuids.BLOOD_PRESSURE_MEASUREMENT
        assert home.outbox.counts().kept == 1
