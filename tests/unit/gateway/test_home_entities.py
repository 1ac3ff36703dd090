"""What Home Assistant is told of a meter: by its documented schema, without a value where there is none to be shown.

The keys are those of https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery (device discovery) and
https://www.home-assistant.io/integrations/sensor.mqtt/, the device classes and units those of
https://www.home-assistant.io/integrations/sensor/#device-class, written down here by hand.
"""

import re
from datetime import timedelta

import pytest
from msgspec.structs import replace
from unit.gateway.samples import GATEWAY, METER, NOW, reading

from gateway.home_entities import FRESH, NOTHING, Told, discovery_topic, state_topic, tell
from vitals.reading import (
    BloodPressure,
    Glucose,
    HeartRate,
    OxygenSaturation,
    Reading,
    Temperature,
    TimeQuality,
    Weight,
)

DEVICE_KEYS = {"identifiers", "name", "manufacturer", "model", "sw_version"}
SHARED_KEYS = {"device", "origin", "components", "state_topic", "availability_topic", "qos"}
SENSOR_KEYS = {
    "platform",
    "unique_id",
    "name",
    "value_template",
    "expire_after",
    "unit_of_measurement",
    "state_class",
    "suggested_display_precision",
    "device_class",
    "entity_category",
}
UNITS = {
    "battery": "%",
    "blood_glucose_concentration": "mmol/L",
    "weight": "kg",
    "temperature": "°C",
    "timestamp": None,
}
MEASUREMENTS = [
    BloodPressure(systolic_mmhg=128.0, diastolic_mmhg=82.0, pulse_bpm=70.0, unit_sent="mmHg"),
    Glucose(sequence=1, glucose_mmol_l=7.06, glucose_mg_dl=127.2, unit_sent="kg/L"),
    Weight(weight_kg=81.44, unit_sent="kg"),
    OxygenSaturation(spo2_percent=97.0, pulse_bpm=61.0),
    Temperature(temperature_celsius=36.64, unit_sent="°C"),
    HeartRate(pulse_bpm=58.0, has_contact=True),
]


def _told(*readings: Reading, battery_percent: int | None = 80) -> Told:
    about = {"manufacturer": "A&D Medical", "model": "UA-651BLE", "firmware": "1.0", "serial": "5180400123"}
    return tell(
        METER,
        readings,
        gateway_id=GATEWAY,
        version="0.2.0",
        about=about,
        battery_percent=battery_percent,
        now=NOW,
    )


def _of(measurement: object, **changes: object) -> Reading:
    return replace(reading(1), measurement=measurement, **{"user_slot": None, **changes})


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda m: type(m).__name__)
def test_every_sensor_is_described_as_home_assistant_documents_it(measurement: object) -> None:
    told = _told(_of(measurement))
    assert set(told.discovery) == SHARED_KEYS
    assert set(told.discovery["device"]) <= DEVICE_KEYS
    assert told.discovery["device"]["identifiers"]
    assert told.discovery["origin"]["name"] == "HomeVigil"
    ids = [each["unique_id"] for each in told.discovery["components"].values()]
    assert len(set(ids)) == len(ids) >= 3
    for key, each in told.discovery["components"].items():
        assert set(each) <= SENSOR_KEYS
        assert each["platform"] == "sensor"
        assert each["value_template"] == f"{{{{ value_json.{key} | default('None') }}}}"
        assert each["expire_after"] == 12 * 3600
        if "device_class" in each:
            assert each.get("unit_of_measurement") == UNITS[each["device_class"]]
        assert ("state_class" in each) == ("unit_of_measurement" in each)


def test_the_topics_are_those_of_device_discovery() -> None:
    topic = discovery_topic("gw:1.a", METER)
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
    assert state_topic("gw-1", METER) == "homevigil/home/gw-1/F0_00_00_10_00_01/state"


def test_the_state_has_the_values_and_the_description_has_none() -> None:
    told = _told(*(_of(each) for each in MEASUREMENTS))
    assert told.state == {
        "systolic": 128,
        "diastolic": 82,
        "pulse": 70,
        "glucose": 7.1,
        "weight": 81.4,
        "oxygen_saturation": 97,
        "oximeter_pulse": 61,
        "body_temperature": 36.6,
        "heart_rate": 58,
        "battery": 80,
        **dict.fromkeys((key for key in told.state if key.endswith("_measured_at")), NOW.isoformat()),
    }
    assert set(told.state) == set(told.discovery["components"])
    assert not {"128", "7.06", "81.4", "5180400123"} & set(re.findall(r"[\d.]+", str(told.discovery)))


@pytest.mark.parametrize(
    "unusable",
    [
        _of(BloodPressure(systolic_mmhg=None, diastolic_mmhg=None, unit_sent="mmHg")),
        _of(BloodPressure(systolic_mmhg=128.0, diastolic_mmhg=82.0, unit_sent="mmHg", status=1)),
        _of(BloodPressure(systolic_mmhg=320.0, diastolic_mmhg=82.0, unit_sent="mmHg")),
        _of(MEASUREMENTS[0], time_quality=TimeQuality.ORPHAN),
    ],
    ids=["failed", "rejected: moved", "impossible", "of nobody knows when"],
)
def test_what_is_no_valid_measurement_is_not_shown_and_the_one_before_it_is(unusable: Reading) -> None:
    later = replace(unusable, measured_at=NOW)
    before = _of(MEASUREMENTS[0], measured_at=NOW - timedelta(hours=1))
    assert "systolic" not in _told(later).state
    assert _told(later, before).state["systolic"] == 128


@pytest.mark.parametrize("censored", ["HI", "LO"])
def test_hi_and_lo_are_no_numbers(censored: str) -> None:
    told = _told(_of(Glucose(sequence=1, glucose_mmol_l=None, glucose_mg_dl=None, censored=censored)))  # type: ignore[arg-type]
    assert told.state["glucose"] == NOTHING


def test_a_reading_is_shown_for_twelve_hours_and_its_sensor_stays() -> None:
    old = _of(MEASUREMENTS[0], measured_at=NOW - FRESH - timedelta(seconds=1))
    assert _told(old).state["systolic"] == NOTHING
    assert "systolic" in _told(old).discovery["components"]
    assert _told(replace(old, measured_at=NOW - FRESH)).state["systolic"] == 128


def test_the_newest_counts_whatever_the_order_in_which_they_came() -> None:
    newer = _of(MEASUREMENTS[0], measured_at=NOW - timedelta(minutes=1))
    older = _of(BloodPressure(systolic_mmhg=150.0, diastolic_mmhg=90.0, unit_sent="mmHg"), measured_at=NOW - FRESH)
    assert _told(newer, older).state["systolic"] == _told(older, newer).state["systolic"] == 128


def test_each_user_of_a_shared_meter_has_sensors_of_their_own() -> None:
    told = _told(_of(MEASUREMENTS[0], user_slot=1), _of(MEASUREMENTS[0], user_slot=2), battery_percent=None)
    assert told.discovery["components"]["systolic_user_2"]["name"] == "Systolic (user 2)"
    assert {"systolic_user_1", "systolic_user_2"} <= set(told.state)
    assert "systolic" not in told.state
