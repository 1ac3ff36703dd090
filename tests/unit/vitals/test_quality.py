"""The absolute marks: rows 2 to 5 of the bad-input table, and what is not bad input."""

from typing import Any

import pytest

from vitals.quality import Quality, grade
from vitals.reading import (
    BloodPressure,
    Glucose,
    HeartRate,
    Measurement,
    OxygenSaturation,
    SensorGlucose,
    Temperature,
    Weight,
)


def bp(systolic: float | None = 120.0, diastolic: float | None = 80.0, **other: Any) -> BloodPressure:
    return BloodPressure(systolic_mmhg=systolic, diastolic_mmhg=diastolic, **({"unit_sent": "mmHg"} | other))


def sugar(mmol_l: float | None = 6.0, **other: Any) -> Glucose:
    mg_dl = None if mmol_l is None else mmol_l * 18.0182
    return Glucose(sequence=1, glucose_mmol_l=mmol_l, glucose_mg_dl=mg_dl, **other)


def worn(mmol_l: float | None = 6.0, **other: Any) -> SensorGlucose:
    mg_dl = None if mmol_l is None else mmol_l * 18.0182
    return SensorGlucose(sequence=5, glucose_mmol_l=mmol_l, glucose_mg_dl=mg_dl, **({"unit_sent": "mg/dL"} | other))


def weight(kg: float | None = 72.5, **other: Any) -> Weight:
    return Weight(weight_kg=kg, **({"unit_sent": "kg"} | other))


def oxygen(percent: float | None = 97.0, **other: Any) -> OxygenSaturation:
    return OxygenSaturation(spo2_percent=percent, **other)


def warmth(celsius: float | None = 36.6, **other: Any) -> Temperature:
    return Temperature(temperature_celsius=celsius, **({"unit_sent": "°C"} | other))


@pytest.mark.parametrize(
    "measured",
    [
        bp(),
        bp(250.0, 130.0),  # a plausible extreme is a critical value, not bad input
        bp(40.1, 20.0),
        bp(300.0, 200.0),
        bp(pulse_bpm=20.0),
        bp(pulse_bpm=250.0),
        bp(mean_mmhg=None, pulse_bpm=None),
        bp(status=0),
        bp(status=0xFFC0),
        sugar(0.6),
        sugar(50.0),
        sugar(2.1),
        sugar(status=0x0001),  # battery low
        sugar(status=0x0800),  # its clock failed, not its strip
        sugar(sample_type="capillary_plasma", sample_location="finger"),
        worn(0.6),
        worn(50.0),
        worn(trend_mg_dl_per_min=-3.0, quality_percent=12.0),
        weight(2.0),
        weight(400.0),
        weight(72.5, bmi=24.2, height_m=1.73),
        weight(2.0, unit_sent="lb"),
        oxygen(40.0),
        oxygen(100.0),
        oxygen(88.0, pulse_bpm=20.0),  # a low saturation is a critical value, not bad input
        oxygen(88.0, pulse_bpm=250.0),
        oxygen(status=0, sensor_status=0),
        warmth(25.0),
        warmth(45.0),
        warmth(25.0, unit_sent="°F"),
        warmth(40.9, site="tympanum"),
    ],
)
def test_a_possible_value_is_accepted(measured: Measurement) -> None:
    assert grade(measured) == (Quality.ACCEPTED, ())


@pytest.mark.parametrize(
    "measured",
    [
        bp(None, None),
        bp(156.0, None),
        bp(None, 80.0),
        sugar(None),
        worn(None),
        weight(None),
        oxygen(None),
        oxygen(None, pulse_bpm=72.0),
        oxygen(None, status=0x2000, sensor_status=0x8000),
        warmth(None),
    ],
)
def test_a_value_that_the_meter_lacks_is_a_failed_measurement(measured: Measurement) -> None:
    assert grade(measured) == (Quality.INVALID, ("value_special",))


@pytest.mark.parametrize(
    "measured",
    [
        bp(80.0, 80.0),
        bp(80.0, 120.0),
        bp(301.0, 100.0),
        bp(250.0, 201.0),
        bp(39.0, 30.0),
        bp(100.0, 19.0),
        bp(-120.0, -80.0),
        bp(1e300, 1e299),
        sugar(0.5),
        sugar(50.1),
        sugar(-1.0),
        sugar(-555.0, glucose_sent=-0.1, unit_sent="kg/L"),
        worn(0.59),
        worn(50.1),
        worn(-1.0, glucose_sent=-18.0),
        weight(0.0),
        weight(1.9),  # 0.9 kg if it were pounds
        weight(882.0),
        weight(401.0, unit_sent="lb"),
        weight(0.9, unit_sent="lb"),
        oxygen(39.9),
        oxygen(100.1),
        oxygen(0.97),
        oxygen(-1.0),
        warmth(24.9),
        warmth(45.1),
        warmth(76.9),
        warmth(113.1),
        warmth(24.9, unit_sent="°F"),
        warmth(45.1, unit_sent="°F"),
        warmth(-4.0, unit_sent="°F"),
    ],
)
def test_an_impossible_value_is_out_of_range(measured: Measurement) -> None:
    assert grade(measured) == (Quality.INVALID, ("range",))


@pytest.mark.parametrize(
    "measured",
    [
        bp(18.9, 11.0),  # kPa under the mmHg flag
        bp(900.0744, 600.0496, unit_sent="kPa"),  # mmHg under the kPa flag: 120 and 80
        sugar(
            5828.0, glucose_sent=1.05, unit_sent="kg/L"
        ),  # g/L under the kg/L flag would be 105 mg/dL; as mmol/L it fits
        sugar(5800.0, glucose_sent=5.8, unit_sent="mol/L"),  # mmol/L under the mol/L flag
        sugar(105_000.0, glucose_sent=105.0, unit_sent="mol/L"),  # mg/dL under the mol/L flag
        sugar(63.8, glucose_sent=0.0115, unit_sent="kg/L"),  # mol/L under the kg/L flag
        worn(0.31, glucose_sent=5.6),  # mmol/L where a sensor must send mg/dL
        worn(126.0, glucose_sent=126.0, unit_sent="mmol/L"),
        weight(441.0),  # pounds under the kg flag: 200 kg
        weight(881.0),
        weight(1.96, unit_sent="lb"),  # 4.3 under the lb flag: a child of 4.3 kg
        warmth(98.6),  # °F under the °C flag
        warmth(77.0),
        warmth(113.0),
        warmth(2.78, unit_sent="°F"),  # 37 under the °F flag
    ],
)
def test_a_value_that_fits_another_unit_is_never_silently_converted(measured: Measurement) -> None:
    assert grade(measured) == (Quality.INVALID, ("unit_suspect",))


@pytest.mark.parametrize(
    ("status", "quality", "reasons"),
    [
        (0x01, Quality.REJECTED, ("body_movement",)),
        (0x02, Quality.REJECTED, ("cuff_too_loose",)),
        (0x20, Quality.REJECTED, ("improper_position",)),
        (0x27, Quality.REJECTED, ("body_movement", "cuff_too_loose", "improper_position")),
        (0x04, Quality.ACCEPTED, ("irregular_pulse",)),
        (0x08, Quality.ACCEPTED, ()),
    ],
)
def test_a_status_bit_grades_and_drops_nothing(status: int, quality: Quality, reasons: tuple[str, ...]) -> None:
    assert grade(bp(status=status)) == (quality, reasons)


@pytest.mark.parametrize("pulse_bpm", [19.0, 251.0, 0.0])
def test_an_impossible_pulse_rejects_a_pressure_that_may_be_right(pulse_bpm: float) -> None:
    assert grade(bp(pulse_bpm=pulse_bpm)) == (Quality.REJECTED, ("range",))
    assert grade(bp(pulse_bpm=pulse_bpm, status=0x01)) == (Quality.REJECTED, ("range", "body_movement"))
    assert grade(oxygen(pulse_bpm=pulse_bpm)) == (Quality.REJECTED, ("range",))
    assert grade(oxygen(pulse_bpm=pulse_bpm, status=0x4000)) == (Quality.REJECTED, ("range", "sensor_status"))


def test_an_impossible_value_outweighs_its_status() -> None:
    assert grade(bp(80.0, 120.0, status=0x01))[0] is Quality.INVALID
    assert grade(oxygen(101.0, status=0x8000))[0] is Quality.INVALID


@pytest.mark.parametrize("bit", [1, 2, 3, 4, 7, 8, 9, 10])
def test_a_faulty_strip_or_sensor_rejects(bit: int) -> None:
    assert grade(sugar(status=1 << bit)) == (Quality.REJECTED, ("sensor_status",))


@pytest.mark.parametrize("bit", [0, 5, 6, 11, 12, 13, 14, 15])
def test_other_status_bits_do_not_reject(bit: int) -> None:
    assert grade(sugar(status=1 << bit))[0] is Quality.ACCEPTED


@pytest.mark.parametrize("bit", range(24))
def test_a_sensor_that_is_broken_uncalibrated_or_too_hot_or_cold_rejects(bit: int) -> None:
    rejects = {"wrong sensor": 2, "malfunction": 3, "fault": 5, "calibration required": 11, "hot": 12, "cold": 13}
    expected = (Quality.REJECTED, ("sensor_status",)) if bit in rejects.values() else (Quality.ACCEPTED, ())
    assert grade(worn(status=1 << bit)) == expected


@pytest.mark.parametrize("bit", range(16))
def test_an_oximeter_says_which_of_its_values_it_does_not_stand_by(bit: int) -> None:
    expected: tuple[Quality, tuple[str, ...]] = (Quality.ACCEPTED, ())
    if bit in (6, 12, 13, 14, 15):  # early estimate, calibrating, unavailable, questionable, invalid
        expected = (Quality.REJECTED, ("sensor_status",))
    if bit in (10, 11):  # for demonstration, for testing
        expected = (Quality.INVALID, ("demonstration",))
    assert grade(oxygen(status=1 << bit)) == expected


@pytest.mark.parametrize("bit", range(24))
def test_a_weak_signal_or_a_loose_sensor_of_an_oximeter_rejects(bit: int) -> None:
    expected: tuple[Quality, tuple[str, ...]] = (Quality.REJECTED, ("sensor_status",))
    if bit in (0, 9) or bit >= 16:  # display, analysis ongoing, reserved
        expected = (Quality.ACCEPTED, ())
    if bit == 5:  # a cold finger
        expected = (Quality.ACCEPTED, ("low_perfusion",))
    assert grade(oxygen(sensor_status=1 << bit)) == expected


@pytest.mark.parametrize(("censored", "reason"), [("HI", "censored_hi"), ("LO", "censored_lo")])
def test_beyond_the_meters_range_is_kept_without_a_number(censored: str, reason: str) -> None:
    assert grade(sugar(None, censored=censored)) == (Quality.ACCEPTED, (reason,))
    assert grade(worn(None, censored=censored)) == (Quality.ACCEPTED, (reason,))
    assert grade(worn(None, censored=censored, status=0x08)) == (Quality.REJECTED, ("sensor_status",))


@pytest.mark.parametrize("where", ["sample_type", "sample_location"])
def test_control_solution_is_nobodys_blood(where: str) -> None:
    assert grade(sugar(**{where: "control_solution"})) == (Quality.INVALID, ("control_solution",))
    assert grade(sugar(None, censored="HI", **{where: "control_solution"}))[0] is Quality.INVALID


def test_nan_is_never_possible_even_if_it_got_in() -> None:
    assert grade(bp(float("nan"), 80.0))[0] is Quality.INVALID
    for measured in (sugar(float("nan")), worn(float("nan")), weight(float("nan")), oxygen(float("nan"))):
        assert grade(measured)[0] is Quality.INVALID
    for unit in ("°C", "°F"):
        assert grade(warmth(float("nan"), unit_sent=unit)) == (Quality.INVALID, ("range",))


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (HeartRate(pulse_bpm=20.0, has_contact=True), (Quality.ACCEPTED, ())),
        (HeartRate(pulse_bpm=250.0), (Quality.ACCEPTED, ())),
        (HeartRate(pulse_bpm=0.0), (Quality.INVALID, ("range",))),
        (HeartRate(pulse_bpm=251.0), (Quality.INVALID, ("range",))),
        (HeartRate(pulse_bpm=None), (Quality.INVALID, ("value_special",))),
        (HeartRate(pulse_bpm=72.0, has_contact=False), (Quality.REJECTED, ("no_contact",))),
    ],
)
def test_a_strap_is_believed_while_it_touches_the_skin(
    measured: HeartRate, expected: tuple[Quality, tuple[str, ...]]
) -> None:
    assert grade(measured) == expected
