"""Every kind of standard meter is read by the real collector: in memory, and over the bridge by unmodified bleak.

What was measured is what is kept: the bytes as sent, the values in the canonical unit and as sent, the time by the meter's own
clock, and what is no value as what it is.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fix_meters import VirtualAir
from gateway_box import Box, box
from unit.gateway.homes import at_home

from firmware_sims.commands import Driven, carry_out
from firmware_sims.measure import Measure
from gateway.user_codes import UserCodes
from vitals.gatt import uuids
from vitals.quality import grade
from vitals.reading import HeartRate, Measurement, OxygenSaturation, Reading, Temperature, TimeQuality, Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A meter (`settings` as in a meters file), what it is told, and what must be kept of it."""

    kind: str
    told: dict[str, Any]
    kept: Measurement
    settings: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    user_slot: int | None = None
    has_time: bool = True
    time_quality: TimeQuality = TimeQuality.CORRECTED


CASES = {
    "a weight in kg with height and user": Case(
        kind="weight",
        told={"weight_kg": 117.92, "height_m": 1.92, "user_slot": 1},
        kept=Weight(weight_kg=117.92, unit_sent="kg", weight_sent=117.92, bmi=32.0, height_m=1.92),
        user_slot=1,
    ),
    "a weight in lb": Case(
        kind="weight",
        told={"weight_kg": 25.764046616},
        settings={"weight_unit": "lb"},
        kept=Weight(weight_kg=25.764046616, unit_sent="lb", weight_sent=56.8),
    ),
    "a scale that could not weigh": Case(
        kind="weight",
        told={"weight_kg": 70},
        settings={"faults": {"fails": True}},
        kept=Weight(weight_kg=None, unit_sent="kg"),
        reasons=("value_special",),
    ),
    "a scale that has no clock": Case(
        kind="weight",
        told={"weight_kg": 61.2},
        settings={"clock": "absent"},
        kept=Weight(weight_kg=61.2, unit_sent="kg", weight_sent=61.2),
        has_time=False,
        time_quality=TimeQuality.RECEIVED,
    ),
    "a scale that hangs up": Case(
        kind="weight",
        told={"weight_kg": 61.2},
        settings={"faults": {"hangs_up": True}},
        kept=Weight(weight_kg=61.2, unit_sent="kg", weight_sent=61.2),
    ),
    "a temperature in °C, where it is always taken": Case(
        kind="temperature",
        told={"temperature_celsius": 38.4},
        kept=Temperature(temperature_celsius=38.4, unit_sent="°C", temperature_sent=38.4, site="armpit"),
    ),
    "a temperature in °F, in the mouth": Case(
        kind="temperature",
        told={"temperature_celsius": 37.0, "site": "mouth"},
        settings={"temperature_unit": "°F"},
        kept=Temperature(temperature_celsius=37.0, unit_sent="°F", temperature_sent=98.6, site="mouth"),
    ),
    "a thermometer that takes its time": Case(
        kind="temperature",
        told={"temperature_celsius": 38.4, "rises": True},
        settings={"tick_ms": 20},
        kept=Temperature(temperature_celsius=38.4, unit_sent="°C", temperature_sent=38.4, site="armpit"),
    ),
    "a thermometer that failed": Case(
        kind="temperature",
        told={"temperature_celsius": 38.4, "site": "ear"},
        settings={"faults": {"fails": True}},
        kept=Temperature(temperature_celsius=None, unit_sent="°C", site="ear"),
        reasons=("value_special",),
    ),
    "a stored spot check": Case(
        kind="oxygen_saturation",
        told={"spo2_percent": 97, "pulse_bpm": 66},
        kept=OxygenSaturation(spo2_percent=97, pulse_bpm=66, status=0x0300),
    ),
    "a spot check with a cold finger": Case(
        kind="oxygen_saturation",
        told={"spo2_percent": 93, "pulse_bpm": 88, "sensor_status": 0x20},
        kept=OxygenSaturation(spo2_percent=93, pulse_bpm=88, status=0x0300, sensor_status=0x20),
        reasons=("low_perfusion",),
    ),
    "an oximeter without a finger": Case(
        kind="oxygen_saturation",
        told={"spo2_percent": 97, "pulse_bpm": 66},
        settings={"faults": {"fails": True}},
        kept=OxygenSaturation(spo2_percent=None, pulse_bpm=None, status=0x0300),
        reasons=("value_special",),
    ),
}


def tell(meter: Driven, **fields: Any) -> None:
    name = meter.firmware.meter.name
    carry_out(msgspec.convert({"do": "measure", "meter": name, **fields}, Measure), {name: meter})


def check(reading: Reading, case: Case, sent: list[bytes], meter: Driven) -> None:
    assert reading.measurement == case.kept
    assert sent[-1] == reading.raw
    assert reading.user_slot == case.user_slot
    assert grade(reading.measurement)[1] == case.reasons
    assert reading.meter_time == (meter.wall.isoformat() if case.has_time else None)
    assert reading.time_quality is case.time_quality


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_it_is_read_in_memory(case: Case, tmp_path: Path) -> None:
    async with at_home(
        tmp_path / "outbox.sqlite", {"name": "m", "kind": case.kind, "index": 1, **case.settings}
    ) as home:
        tell(home.meter("m"), **case.told)
        await home.until(lambda: bool(home.kept()))  # one without a time is not sent before it is the only one
        (reading,) = home.kept()
        check(reading, case, [happening.raw for happening in home.happened], home.meter("m"))
        assert home.outbox.counts().quarantined == 0


@pytest.mark.radio
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_it_is_read_by_bleak(case: Case, air: VirtualAir, tmp_path: Path) -> None:
    meter = await air.put(case.kind, **case.settings)
    async with box(tmp_path / "outbox.sqlite", air) as home:
        tell(meter, **case.told)
        (reading,) = await home.until_kept(1)
        check(reading, case, air.said(meter), meter)
        assert home.outbox.counts().quarantined == 0


@pytest.mark.radio
async def test_four_kinds_are_read_side_by_side(air: VirtualAir, tmp_path: Path) -> None:
    told: dict[str, dict[str, Any]] = {
        "blood_pressure": {"systolic_mmhg": 152, "diastolic_mmhg": 94},
        "weight": {"weight_kg": 61.2},
        "temperature": {"temperature_celsius": 38.4},
        "oxygen_saturation": {"spo2_percent": 97, "pulse_bpm": 66},
    }
    for kind, fields in told.items():
        tell(await air.put(kind), **fields)
    async with box(tmp_path / "outbox.sqlite", air) as home:
        readings = await home.until_kept(len(told))
    assert {msgspec.to_builtins(r.measurement)["kind"] for r in readings} == set(told)


WORN: dict[str, tuple[str, dict[str, Any], dict[str, Any], Measurement]] = {
    "an oximeter that only shows what it sees": (
        "oxygen_saturation",
        {"shows_only": True},
        {"spo2_percent": 97, "pulse_bpm": 66},
        OxygenSaturation(spo2_percent=97, pulse_bpm=66, status=0x0120, sensor_status=0),
    ),
    "a strap": ("heart_rate", {}, {"pulse_bpm": 72}, HeartRate(pulse_bpm=72, has_contact=True)),
}


@pytest.mark.radio
@pytest.mark.parametrize("worn", WORN.values(), ids=WORN)
async def test_of_what_is_worn_one_reading_is_kept_and_then_it_rests(
    worn: tuple[str, dict[str, Any], dict[str, Any], Measurement], air: VirtualAir, tmp_path: Path
) -> None:
    kind, settings, told, kept = worn
    meter = await air.put(kind, tick_ms=20, **settings)
    tell(meter, is_worn=True, **told)
    async with box(tmp_path / "outbox.sqlite", air, also_services=[uuids.HEART_RATE_SERVICE]) as home:
        (reading,) = await home.until_kept(1)
        await home.until(lambda: home.collector.totals.sessions == 1)
        tell(await air.put("weight"), weight_kg=61.2)
        _, weight = await home.until_kept(2)
        assert isinstance(weight.measurement, Weight)
        assert home.outbox.counts().quarantined == 0
    assert reading.measurement == kept
    assert reading.time_quality is TimeQuality.RECEIVED
    assert reading.meter_time is None


@pytest.mark.radio
async def test_a_strap_is_not_even_connected_to_unless_the_home_wants_it(air: VirtualAir, tmp_path: Path) -> None:
    strap = await air.put("heart_rate", tick_ms=20)
    tell(strap, pulse_bpm=72, is_worn=True)
    async with box(tmp_path / "outbox.sqlite", air) as home:
        tell(await air.put("weight"), weight_kg=61.2)
        (reading,) = await home.until_kept(1)
        assert isinstance(reading.measurement, Weight)
        await home.until(lambda: home.collector.totals.sessions == 1)
        assert strap.meter.meter_id not in home.collector.totals.meters


@pytest.mark.radio
async def test_a_shared_scale_is_read_for_each_of_its_users(air: VirtualAir, tmp_path: Path) -> None:
    people = [{"index": 1, "consent_code": 1234}, {"index": 2, "consent_code": 77}]
    scale = await air.put("weight", users=people)
    tell(scale, weight_kg=83.4, user_slot=2)
    tell(scale, weight_kg=61.2, user_slot=1)
    for person in people:
        UserCodes(tmp_path).store(scale.meter.meter_id, person["index"], f"{person['consent_code']:04d}")
    async with box(tmp_path / "outbox.sqlite", air) as home:
        readings = await home.until_kept(2)
        await home.until(lambda: home.collector.totals.of(scale.meter.meter_id).users is not None)
        facts = home.collector.totals.of(scale.meter.meter_id)
        assert (facts.users, facts.asks_for_user) == ({"1": "opened", "2": "opened"}, False)
    by_slot = {each.user_slot: each.measurement for each in readings}
    assert {slot: weight.weight_kg for slot, weight in by_slot.items() if isinstance(weight, Weight)} == {
        1: 61.2,
        2: 83.4,
    }


async def test_a_scale_that_wants_consent_gives_us_nothing_and_keeps_everything(tmp_path: Path) -> None:
    scale: dict[str, Any] = {"name": "ws", "kind": "weight", "index": 1, "users": [{"index": 1, "consent_code": 1234}]}
    scale |= {"faults": {"disconnect_after_ms": 50}}
    async with at_home(tmp_path / "outbox.sqlite", scale) as home:
        meter = home.meter("ws")
        tell(meter, weight_kg=61.2, user_slot=1)
        await home.until(lambda: home.collector.totals.sessions >= 1)
        assert home.outbox.counts().kept == 0
        assert meter.firmware.is_advertising
        assert home.collector.totals.of(meter.meter.meter_id).asks_for_user


@pytest.mark.parametrize("kind", ["weight", "temperature", "oxygen_saturation"])
async def test_a_frame_that_is_cut_short_lies_in_quarantine(kind: str, tmp_path: Path) -> None:
    told = next(case.told for case in CASES.values() if case.kind == kind)
    settings = {"name": "m", "kind": kind, "index": 1, "faults": {"truncate_to": 4}}
    async with at_home(tmp_path / "outbox.sqlite", settings) as home:
        tell(home.meter("m"), **told)
        await home.until(lambda: home.outbox.counts().quarantined == 1)
        assert home.outbox.counts().kept == 0


async def test_a_spot_check_taken_while_we_listen_is_kept_as_one_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finger stays in, so that there is a session; what it shows every tick is no reading, what is measured in the end is."""
    oximeter = {"name": "po", "kind": "oxygen_saturation", "index": 1, "tick_ms": 10}
    async with at_home(tmp_path / "outbox.sqlite", oximeter) as home:
        meter = home.meter("po")
        told = meter.firmware.on_subscribed

        def measure_when_listened_to(characteristic: str, *, is_on: bool) -> None:
            told(characteristic, is_on=is_on)
            if is_on and characteristic == uuids.PLX_SPOT_CHECK and not home.outbox.counts().kept:
                tell(meter, spo2_percent=96, pulse_bpm=71)

        monkeypatch.setattr(meter.firmware, "on_subscribed", measure_when_listened_to)
        tell(meter, spo2_percent=95, pulse_bpm=70, is_worn=True)
        (reading,) = await home.until_kept(1)
    assert reading.measurement == OxygenSaturation(spo2_percent=96, pulse_bpm=71, status=0x0100)


async def test_a_second_spot_check_is_told_from_a_repeat(tmp_path: Path) -> None:
    """An oximeter gives all its records each time."""
    oximeter = {"name": "po", "kind": "oxygen_saturation", "index": 1}
    async with at_home(tmp_path / "outbox.sqlite", oximeter) as home:
        meter = home.meter("po")
        tell(meter, spo2_percent=97, pulse_bpm=66)
        await home.until_kept(1)
        tell(meter, spo2_percent=97, pulse_bpm=67)
        readings = await home.until_kept(2)
        assert len({r.reading_id for r in readings}) == 2


@pytest.mark.radio
async def test_a_confirmation_that_the_scale_never_saw_brings_the_weight_again_and_it_is_kept_once(
    air: VirtualAir, tmp_path: Path
) -> None:
    scale = await air.put("weight", faults={"drops_after_indication": 1})
    async with box(tmp_path / "outbox.sqlite", air) as home:
        tell(scale, weight_kg=61.2)
        await air.until(lambda: len(air.said(scale, "confirmed")) == 1, within_s=30)
        await home.until_kept(1)
        await _settled(home)
        assert len(air.said(scale)) == 2
        assert home.outbox.counts().kept == 1


async def _settled(home: Box) -> None:
    """Until the session with the meter is over."""
    await home.until(lambda: home.collector.totals.sessions >= 1)
    await asyncio.sleep(0)
