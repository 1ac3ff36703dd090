"""Lines in, lines out: what the process of the simulated meters is told and tells."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from firmware_sims.air import Air
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.commands import (
    Raw,
    Stop,
    carry_out,
    line_of,
    line_of_error,
    line_of_ready,
    parse_command,
)
from firmware_sims.glucometer import Glucometer
from firmware_sims.happenings import Happening
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter
from vitals.errors import MalformedError
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.glucose import GlucoseMeasurement

NOW = datetime(2026, 11, 20, 23, 5, 30, tzinfo=UTC)

MakeAir = Callable[[], Air]


@pytest.fixture
async def air() -> Air:
    meters = (
        Meter(name="bp-01", kind="blood_pressure", index=1),
        Meter(name="glu-01", kind="glucose", index=1, zone="Europe/Berlin"),
    )
    return Air(meters, now=lambda: NOW)


def obey(air: Air, **fields: object) -> None:
    command = parse_command(json.dumps(fields).encode())
    assert not isinstance(command, Stop)
    carry_out(command, air.meters)


def cuff_frame(air: Air) -> BloodPressureMeasurement:
    firmware = air.meters["bp-01"].firmware
    assert isinstance(firmware, BloodPressureMeter)
    (raw,) = firmware.records
    return BloodPressureMeasurement.from_bytes(raw)


def glucometer_frame(air: Air) -> GlucoseMeasurement:
    firmware = air.meters["glu-01"].firmware
    assert isinstance(firmware, Glucometer)
    (record,) = firmware.records
    return GlucoseMeasurement.from_bytes(record.measurement)


async def test_a_cuff_measures_what_it_is_told(air: Air) -> None:
    obey(air, do="measure", meter="bp-01", systolic_mmhg=152, diastolic_mmhg=94, pulse_bpm=72, user_slot=1, status=0)
    frame = cuff_frame(air)
    assert (frame.systolic.number, frame.diastolic.number, frame.user_id, frame.status) == (152, 94, 1, 0)
    assert frame.meter_time == "2026-11-21T07:05:30", "now, on the wall in Shanghai"


async def test_a_time_on_the_wall_can_be_given(air: Air) -> None:
    obey(air, do="measure", meter="bp-01", systolic_mmhg=152, diastolic_mmhg=94, at="2026-11-19T20:00:01")
    assert cuff_frame(air).meter_time == "2026-11-19T20:00:01"


async def test_a_glucometer_measures_what_it_is_told(air: Air) -> None:
    obey(air, do="measure", meter="glu-01", glucose_mg_dl=126, meal="fasting")
    frame = glucometer_frame(air)
    assert frame.to_measurement().glucose_mg_dl == 126
    assert frame.context_follows
    assert frame.meter_time == "2026-11-21T00:05:30", "now, on the wall in Berlin"


async def test_a_raw_frame_is_stored_as_it_is(air: Air) -> None:
    obey(air, do="raw", meter="bp-01", frame="16FF07FF07FF07E80706170E230AFF070000")
    assert cuff_frame(air).systolic.special == "nan"


def test_commands_are_told_apart() -> None:
    assert parse_command(b'{"do":"stop"}') == Stop()
    assert parse_command(b'{"do":"raw","meter":"m","frame":""}') == Raw(meter="m", frame="")
    assert parse_command(b'{"do":"measure","meter":"m","glucose_mg_dl":90}') == Measure(meter="m", glucose_mg_dl=90)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"do":"dance"}',
        b'{"do":"stop","now":true}',
        b'{"do":"raw","meter":"m","frame":"abc"}',
        b'{"do":"measure","meter":"m","systolic_mmhg":"152"}',
        b'{"do":"measure","meter":"m","glucose_mg_dl":90,"meal":"brunch"}',
        b'{"do":"measure","meter":"m","at":"2026-11-21T07:05:30Z"}',
    ],
)
def test_a_line_that_is_no_command_is_malformed(line: bytes) -> None:
    with pytest.raises(MalformedError, match="command"):
        parse_command(line)


@pytest.mark.parametrize(
    "command",
    [
        Measure(meter="bp-99", systolic_mmhg=120, diastolic_mmhg=80),
        Measure(meter="bp-01", glucose_mg_dl=120),
        Measure(meter="bp-01", systolic_mmhg=120),
        Measure(meter="glu-01", systolic_mmhg=120, diastolic_mmhg=80),
        Measure(meter="glu-01", glucose_mg_dl=120, pulse_bpm=70),
    ],
)
async def test_a_meter_that_cannot_measure_that_says_so(air: Air, command: Measure) -> None:
    with pytest.raises(MalformedError, match="command"):
        carry_out(command, air.meters)


async def test_the_ready_line_names_every_meter(air: Air) -> None:
    assert json.loads(line_of_ready(air.meters)) == {
        "event": "ready",
        "meters": [
            {"name": "bp-01", "meter_id": "F0:00:00:10:00:01", "kind": "blood_pressure"},
            {"name": "glu-01", "meter_id": "F0:00:00:08:00:01", "kind": "glucose"},
        ],
    }


def test_a_happening_is_one_line() -> None:
    happening = Happening(
        event="indicated", meter="bp-01", meter_id="F0:00:00:10:00:01", characteristic="2a35", raw=b"\x1e\x94"
    )
    now_ns = round(NOW.timestamp()) * 10**9
    assert json.loads(line_of(happening, now_ns=now_ns)) == {
        "event": "indicated",
        "meter": "bp-01",
        "meter_id": "F0:00:00:10:00:01",
        "characteristic": "2a35",
        "raw": "1e94",
        "at": "2026-11-20T23:05:30+00:00",
        "at_ns": now_ns,
    }


def test_an_error_is_one_line() -> None:
    assert json.loads(line_of_error(MalformedError("command", "no meter 'x' on the air"))) == {
        "event": "error",
        "reason": "command",
        "message": "no meter 'x' on the air",
    }
