"""The thermometer's firmware by itself: what it sends, and what it shows on the way."""

from datetime import datetime, timedelta

import pytest
from unit.firmware_sims.told import WALL, a_meter, all_said, listen_to, tell

from firmware_sims.thermometer import ALWAYS, BELOW
from vitals.gatt import uuids
from vitals.gatt.health_thermometer import IntermediateTemperature, TemperatureMeasurement, temperature_type

READING, ON_THE_WAY = uuids.TEMPERATURE_MEASUREMENT, uuids.INTERMEDIATE_TEMPERATURE


def test_its_frame_is_the_captured_one() -> None:
    """A thermometer showing 36.0 °C; a question about Xamarin, 2018."""
    thermometer = a_meter("temperature")
    tell(thermometer, wall=datetime(2018, 3, 10, 21, 52), temperature_celsius=36.0, site="body")  # noqa: DTZ001
    listen_to(thermometer, READING)
    assert all_said(thermometer) == [(READING, "06680100FFE207030A15340002")]


def test_in_fahrenheit_it_sends_fahrenheit() -> None:
    thermometer = a_meter("temperature", temperature_unit="°F", clock="absent")
    tell(thermometer, temperature_celsius=37.0, site="mouth")
    listen_to(thermometer, READING)
    assert all_said(thermometer) == [(READING, "05DA0300FF06")]


def test_a_measurement_that_fails_is_no_number() -> None:
    thermometer = a_meter("temperature", clock="absent", faults={"fails": True})
    tell(thermometer, temperature_celsius=37.0)
    listen_to(thermometer, READING)
    assert all_said(thermometer) == [(READING, "00FFFF7F00")]


def test_where_it_always_measures_is_said_apart() -> None:
    assert temperature_type(a_meter("temperature").read(uuids.TEMPERATURE_TYPE, wall=WALL)) is ALWAYS


def test_it_shows_how_far_it_is_and_measures_at_the_end() -> None:
    thermometer = a_meter("temperature")
    tell(thermometer, temperature_celsius=38.2, rises=True)
    assert thermometer.is_advertising
    listen_to(thermometer, READING, ON_THE_WAY)
    said, tick = [], 0
    while thermometer.is_ticking:
        tick += 1
        thermometer.on_tick(wall=WALL + timedelta(seconds=tick))
        said += all_said(thermometer)
    *on_the_way, (name, last) = said
    shown = [IntermediateTemperature.from_bytes(bytes.fromhex(raw)).celsius for _, raw in on_the_way]
    assert {name for name, _ in on_the_way} == {ON_THE_WAY}
    assert shown == [35.0, 36.4, 37.3, 37.8, 38.1]
    measured = TemperatureMeasurement.from_bytes(bytes.fromhex(last))
    assert (name, measured.celsius, measured.meter_time) == (READING, 38.2, "2026-11-21T07:05:36")
    assert not thermometer.is_advertising


def test_what_nobody_listens_to_is_not_said_later() -> None:
    thermometer = a_meter("temperature")
    tell(thermometer, temperature_celsius=38.2, rises=True)
    for _ in range(len(BELOW) + 1):
        thermometer.on_tick(wall=WALL)
        assert thermometer.next_action() is None
    listen_to(thermometer, READING, ON_THE_WAY)
    assert [name for name, _ in all_said(thermometer)] == [READING]


def test_it_does_not_hang_up_while_it_rises() -> None:
    thermometer = a_meter("temperature", faults={"hangs_up": True})
    tell(thermometer, temperature_celsius=36.0)
    tell(thermometer, temperature_celsius=38.2, rises=True)
    listen_to(thermometer, READING)
    assert [name for name, _ in all_said(thermometer)] == [READING]
    assert thermometer.next_action() is None


@pytest.mark.parametrize("field", ["weight_kg", "systolic_mmhg"])
def test_it_measures_nothing_else(field: str) -> None:
    with pytest.raises(Exception, match="cannot measure"):
        tell(a_meter("temperature"), temperature_celsius=36.0, **{field: 60})
