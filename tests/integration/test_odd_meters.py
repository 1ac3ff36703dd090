"""Meters with ways of their own, read by the real collector: in memory, and over the bridge by unmodified bleak.

What an entry says is tested in tests/unit/gateway/test_quirks.py; here it must find its meter through a radio: by a name, by what
Device Information says, by a characteristic of 128 bits.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fix_meters import VirtualAir
from gateway_box import box
from unit.gateway.homes import at_home

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.glucometer import Glucometer
from firmware_sims.weight_scale import WeightScale
from gateway.new_user import make_user
from gateway.user_codes import UserCodes
from vitals.reading import BloodPressure, Glucose, Reading, TimeQuality, Weight

WRONG: dict[str, Any] = {"clock": {"offset_s": -7200}}


def measure(meter: Any) -> None:
    match meter.firmware:
        case BloodPressureMeter() as cuff:
            cuff.measure(wall=meter.wall, systolic_mmhg=148, diastolic_mmhg=92, pulse_bpm=72, user_slot=1)
        case Glucometer() as glucometer:
            glucometer.measure(wall=meter.wall, glucose_mg_dl=126)
        case WeightScale() as scale:
            scale.measure(wall=meter.wall, weight_kg=72.5, user_slot=1)
    meter.wake()


def value_of(reading: Reading) -> float | None:
    match reading.measurement:
        case BloodPressure() as pressure:
            return pressure.systolic_mmhg
        case Glucose() as glucose:
            return glucose.glucose_mg_dl
        case Weight() as weight:
            return weight.weight_kg
    raise AssertionError(reading.measurement)


CASES: dict[str, tuple[str, float]] = {
    "Omron BP5150": ("blood_pressure", 148),
    "A&D UA-651BLE": ("blood_pressure", 148),
    "Beurer BM85": ("blood_pressure", 148),
    "QardioArm": ("blood_pressure", 148),
    "TaiDoc DM30b": ("glucose", 126),
    "CareSens Dual": ("glucose", 126),
    "Contour Next One": ("glucose", 126),
    "Accu-Chek Aviva Connect": ("glucose", 126),
    "Renpho ES-WBE28": ("weight", 72.5),
    "Xiaomi XMTZC04HM": ("weight", 72.5),
}
CLOCKS = {
    "Omron BP5150": "set",
    "A&D UA-651BLE": "left_wrong",
    "Contour Next One": "told",
    "CareSens Dual": "told",
    "Accu-Chek Aviva Connect": "left_wrong",
    "TaiDoc DM30b": "unreadable",
}


@pytest.mark.parametrize("model", CASES)
async def test_an_odd_meter_is_read_in_memory(model: str, tmp_path: Path) -> None:
    kind, value = CASES[model]
    async with at_home(
        tmp_path / "outbox.sqlite", {"name": "odd", "kind": kind, "index": 1, "model": model, **WRONG}
    ) as home:
        measure(home.meter("odd"))
        (reading,) = await home.until_kept(1)
        assert value_of(reading) == value
        if model in CLOCKS:
            await home.until(lambda: home.collector.totals.sessions >= 1)
            assert {each.clock for each in home.collector.totals.meters.values()} == {CLOCKS[model]}
        assert home.outbox.counts().quarantined == 0


@pytest.mark.radio
@pytest.mark.parametrize("model", CASES)
async def test_an_odd_meter_is_read_by_bleak(model: str, air: VirtualAir, tmp_path: Path) -> None:
    kind, value = CASES[model]
    meter = await air.put(kind, model=model, **WRONG)
    async with box(tmp_path / "outbox.sqlite", air) as home:
        measure(meter)
        (reading,) = await home.until_kept(1)
        assert value_of(reading) == value
        if model in CLOCKS:
            await home.until(lambda: home.collector.totals.sessions >= 1)
            assert {each.clock for each in home.collector.totals.meters.values()} == {CLOCKS[model]}
        assert home.outbox.counts().quarantined == 0


ANNA, BORIS = {"index": 1, "consent_code": 1234}, {"index": 2, "consent_code": 77}
BF720: dict[str, Any] = {"name": "odd", "kind": "weight", "index": 1, "model": "Beurer BF720"}
LEAVES: dict[str, Any] = {"disconnect_after_ms": 1500}
"""Else each visit without a record is fifteen seconds long."""


@pytest.mark.radio
async def test_a_beurer_scale_is_read_by_bleak_once_a_code_is_told(air: VirtualAir, tmp_path: Path) -> None:
    scale = await air.put("weight", model="Beurer BF720", users=[ANNA, BORIS], faults=LEAVES)
    meter_id = scale.meter.meter_id
    UserCodes(tmp_path).store(meter_id, 2, "9999")
    async with box(tmp_path / "outbox.sqlite", air) as home:
        measure(scale)
        await home.until(lambda: home.collector.totals.of(meter_id).users == {"2": "wrong code"})
        assert home.outbox.counts().kept == 0
        UserCodes(tmp_path).store(meter_id, 1, "1234")
        (reading,) = await home.until_kept(1)
        assert (reading.user_slot, value_of(reading)) == (1, 72.5)


async def test_a_person_has_a_scale_make_a_user_and_is_told_its_number(tmp_path: Path) -> None:
    async with at_home(tmp_path / "outbox.sqlite", BF720 | {"users": [ANNA], "faults": LEAVES}) as home:
        scale, said = home.meter("odd"), list[str]()
        measure(scale)
        waiting = asyncio.to_thread(
            make_user, tmp_path, scale.meter.meter_id, say=said.append, within_s=1000, clock=home.clock.clock
        )
        assert await waiting
        assert "has made user 2" in said[-1]
        (made,) = UserCodes(tmp_path).of(scale.meter.meter_id).known
        assert made.index == 2
        assert isinstance(scale.firmware, WeightScale)
        scale.firmware.measure(wall=scale.wall, weight_kg=55.0, user_slot=2)
        scale.wake()
        (reading,) = await home.until_kept(1)
        assert (reading.user_slot, value_of(reading)) == (2, 55.0)


@pytest.mark.radio
async def test_a_meter_that_counts_from_the_newest_doubles_nothing_as_its_numbers_move_on(tmp_path: Path) -> None:
    meter = {"name": "odd", "kind": "glucose", "index": 1, "model": "TaiDoc DM30b"}
    async with at_home(tmp_path / "outbox.sqlite", meter) as home:
        for count in (1, 2, 3):
            home.let_pass(timedelta(hours=1))
            home.prick("odd", mg_dl=100 + count)
            await home.until_kept(count)
            await home.until(lambda count=count: home.collector.totals.sessions >= count)  # type: ignore[misc]
        assert home.collector.totals.repeated == 3, "one of the first, and both of the first two, came again"
        assert sorted(filter(None, map(value_of, home.kept()))) == [101, 102, 103]


async def test_of_a_maker_who_deviates_an_unknown_model_lies_in_quarantine(air: VirtualAir, tmp_path: Path) -> None:
    meter = await air.put("blood_pressure", model="Beurer BM54")
    async with box(tmp_path / "outbox.sqlite", air) as home:
        measure(meter)
        async with asyncio.timeout(30):
            await home.until(lambda: home.outbox.counts().quarantined == 1)
        assert home.outbox.counts().kept == 0


async def test_an_omron_that_goes_in_its_window_leaves_no_record_on_the_wrong_time_line(tmp_path: Path) -> None:
    """Its clock is set before its records have come: what is still in it is of either time line, and no longer certain."""
    cuff: dict[str, Any] = {"name": "odd", "kind": "blood_pressure", "index": 1, "model": "Omron BP5150", **WRONG}
    async with at_home(tmp_path / "outbox.sqlite", cuff | {"faults": {"drops_after_indication": 1}}) as home:
        meter = home.meter("odd")
        assert isinstance(meter.firmware, BloodPressureMeter)
        for systolic in (150, 151):
            meter.firmware.measure(wall=meter.wall, systolic_mmhg=systolic, diastolic_mmhg=92, pulse_bpm=72)
        meter.wake()
        measured_at = home.true_now
        readings = await home.until_kept(2)
    certain = [each for each in readings if each.time_quality is TimeQuality.CORRECTED]
    assert {each.time_quality for each in readings} <= {
        TimeQuality.CORRECTED,
        TimeQuality.SUSPECT,
        TimeQuality.ORPHAN,
    }
    assert all(abs(each.measured_at - measured_at) < timedelta(minutes=1) for each in certain), "two hours off is not"
