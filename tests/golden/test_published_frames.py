"""Every codec against bytes that others published or captured (golden/frames.py)."""

from typing import Any, Protocol, Self

import pytest
from golden.frames import PUBLISHED, REFUSED
from golden.published import Published

from homevigil.decode import canonical, hex_bytes
from vitals.errors import MalformedError
from vitals.gatt.blood_pressure import BloodPressureMeasurement, Feature, IntermediateCuffPressure
from vitals.gatt.blood_pressure_record import RecordSegment
from vitals.gatt.cgm_control import CgmControl
from vitals.gatt.cgm_measurement import CgmMeasurement
from vitals.gatt.cgm_session import CgmFeature, CgmStatus, SessionRunTime, SessionStartTime
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime
from vitals.gatt.enhanced_blood_pressure import EnhancedBloodPressureMeasurement, EnhancedIntermediateCuffPressure
from vitals.gatt.glucose import Feature as GlucoseFeature
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.glucose_context import GlucoseContext
from vitals.gatt.health_thermometer import IntermediateTemperature, TemperatureMeasurement
from vitals.gatt.heart_rate import HeartRateMeasurement
from vitals.gatt.pulse_oximeter import Continuous, Features, SpotCheck
from vitals.gatt.record_access import RecordAccess
from vitals.gatt.user_data import DatabaseChangeIncrement, UserControl, UserIndex
from vitals.gatt.weight_scale import WeightMeasurement, WeightScaleFeature


class WireValue(Protocol):
    @classmethod
    def from_bytes(cls, data: bytes) -> Self: ...

    def __bytes__(self) -> bytes: ...


CODECS: dict[str, type[WireValue]] = {
    "2a35": BloodPressureMeasurement,
    "2a36": IntermediateCuffPressure,
    "2a18": GlucoseMeasurement,
    "2a34": GlucoseContext,
    "2a52": RecordAccess,
    "2a9d": WeightMeasurement,
    "2a9e": WeightScaleFeature,
    "2a1c": TemperatureMeasurement,
    "2a1e": IntermediateTemperature,
    "2a5e": SpotCheck,
    "2a5f": Continuous,
    "2a60": Features,
    "2a37": HeartRateMeasurement,
    "2b34": EnhancedBloodPressureMeasurement,
    "2b35": EnhancedIntermediateCuffPressure,
    "2b36": RecordSegment,
    "2aa7": CgmMeasurement,
    "2aa8": CgmFeature,
    "2aa9": CgmStatus,
    "2aaa": SessionStartTime,
    "2aab": SessionRunTime,
    "2aac": CgmControl,
    "2a99": DatabaseChangeIncrement,
    "2a9a": UserIndex,
    "2a9f": UserControl,
}


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.source)
def test_a_published_frame_says_what_its_source_says(published: Published) -> None:
    told = canonical(published.characteristic, published.raw)
    assert {key: told.get(key) for key in published.expected} == published.expected


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.source)
def test_only_what_must_not_be_believed_carries_doubt(published: Published) -> None:
    told = canonical(published.characteristic, published.raw)
    assert told.get("quality") == published.expected.get("quality")
    assert ("quality" in told) == ("reasons" in told)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.source)
def test_a_published_frame_is_encoded_as_it_came(published: Published) -> None:
    value = CODECS[published.characteristic].from_bytes(published.raw)
    assert (bytes(value) == published.raw) is published.is_canonical
    assert CODECS[published.characteristic].from_bytes(bytes(value)) == value


@pytest.mark.parametrize(("source", "characteristic", "frame", "reason"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_frame_that_contradicts_its_flags_is_refused(
    source: str, characteristic: str, frame: str, reason: str
) -> None:
    with pytest.raises(MalformedError) as refused:
        CODECS[characteristic].from_bytes(hex_bytes(frame))
    assert refused.value.reason == reason


def test_a_current_time_of_the_specification() -> None:
    now = CurrentTime.from_bytes(bytes.fromhex("EA070B15071E00060001"))
    assert str(now.naive) == "2026-11-21 07:30:00"
    assert (now.day_of_week, now.adjust_reason) == (6, CurrentTime.AdjustReason.MANUAL)


def test_a_current_time_captured_from_an_omron_hem_7155t() -> None:
    """eigger/hass-omron#67: the cuff does not know the day of the week."""
    now = CurrentTime.from_bytes(bytes.fromhex("ea07060c143008000001"))
    assert str(now.naive) == "2026-06-12 20:48:08"
    assert now.day_of_week == 0
    assert bytes(now).hex() == "ea07060c143008000001"


DATE_TIMES: tuple[tuple[str, Any], ...] = (("E2070411 0F3300", "2018-04-17T15:51:00"), ("00000000 121A20", None))


@pytest.mark.parametrize(("frame", "iso"), DATE_TIMES)
def test_a_date_time_of_the_nordic_library(frame: str, iso: str | None) -> None:
    date_time = DateTime.from_bytes(bytes.fromhex(frame))
    assert date_time.iso == iso
    assert bytes(date_time) == bytes.fromhex(frame)


def test_a_glucose_feature_of_the_nordic_library() -> None:
    feature = GlucoseFeature.parse(bytes.fromhex("F003"))
    assert feature == (
        GlucoseFeature.STRIP_TYPE
        | GlucoseFeature.RESULT_HIGH_LOW
        | GlucoseFeature.TEMPERATURE_HIGH_LOW
        | GlucoseFeature.READ_INTERRUPT
        | GlucoseFeature.DEVICE_FAULT
        | GlucoseFeature.TIME_FAULT
    )
    assert bytes(feature).hex() == "f003"


def test_a_blood_pressure_feature_codes_itself() -> None:
    feature = Feature.parse(b"\x25\x00")
    assert feature == Feature.BODY_MOVEMENT | Feature.IRREGULAR_PULSE | Feature.MULTIPLE_BONDS
    assert bytes(feature) == b"\x25\x00"
    with pytest.raises(MalformedError, match="frame_length"):
        Feature.parse(b"\x25")
