"""The glucose frames beyond the published ones: censored results, offsets, reserved members, contexts."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt import glucose_context
from vitals.gatt.date_time import DateTime
from vitals.gatt.glucose import GlucoseMeasurement, SampleLocation, SampleType, SensorStatus
from vitals.gatt.glucose_context import Carbohydrate, GlucoseContext, Health, Meal, Medication
from vitals.gatt.sfloat import NAN, Sfloat

BASE_TIME = DateTime(year=2026, month=11, day=21, hour=7, minute=20)
FRAME = bytes.fromhex("1F2A00EA070B1507140020FE48C0110000")

sfloats = st.builds(Sfloat, mantissa=st.integers(-2048, 2047), exponent=st.integers(-8, 7))
date_times = st.binary(min_size=7, max_size=7).map(DateTime.from_bytes)
words = st.integers(0, 0xFFFF)
octets = st.integers(0, 0xFF)
results = st.fixed_dictionaries(
    {
        "concentration": sfloats,
        "sample_type": st.none() | st.sampled_from(SampleType),
        "sample_location": st.none() | st.sampled_from(SampleLocation),
    }
)


@given(
    sequence=words,
    base_time=date_times,
    offset=st.none() | st.integers(-0x8000, 0x7FFF),
    result=st.just({}) | results,
    unit=st.sampled_from(("kg/L", "mol/L")),
    status=st.none() | words,
    context_follows=st.booleans(),
)
def test_what_is_encoded_is_read_again(**fields: object) -> None:
    result = fields.pop("result")
    offset = fields.pop("offset")
    measurement = GlucoseMeasurement(time_offset_min=offset, **fields, **result)  # type: ignore[arg-type, dict-item]
    assert GlucoseMeasurement.from_bytes(bytes(measurement)) == measurement
    assert 10 <= len(bytes(measurement)) <= 17


@given(st.binary(max_size=32))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    for codec in (GlucoseMeasurement, GlucoseContext):
        try:
            value = codec.from_bytes(data)
        except MalformedError as e:
            assert e.reason in ("frame_length", "flags")  # noqa: PT017
        else:
            assert codec.from_bytes(bytes(value)) is not None


@pytest.mark.parametrize("length", [*range(17), 18, 40])
def test_a_frame_of_another_length_than_its_flags_say_is_malformed(length: int) -> None:
    with pytest.raises(MalformedError) as refused:
        GlucoseMeasurement.from_bytes((FRAME + bytes(40))[:length])
    assert refused.value.reason == "frame_length"


@pytest.mark.parametrize("bit", [0x20, 0x40, 0x80])
def test_a_reserved_flag_is_let_pass_until_the_length_disagrees(bit: int) -> None:
    flagged = bytes((FRAME[0] | bit,)) + FRAME[1:]
    assert GlucoseMeasurement.from_bytes(flagged) == GlucoseMeasurement.from_bytes(FRAME)
    with pytest.raises(MalformedError) as refused:
        GlucoseMeasurement.from_bytes(flagged[:-1])
    assert refused.value.reason == "flags"


@pytest.mark.parametrize("offset", ["FF7F", "0080"], ids=["overrun", "underrun"])
def test_an_offset_beyond_what_it_can_say_is_no_time(offset: str) -> None:
    """oesmith/gatt-xml, org.bluetooth.characteristic.glucose_measurement.xml: read as minutes, it is three weeks off."""
    frame = GlucoseMeasurement.from_bytes(bytes.fromhex(f"03 2B00 EA070B15071900 {offset} 7EB0 12"))
    assert frame.user_facing_time is None
    assert frame.meter_time == "2026-11-21T07:25:00", "its name stays"


def test_a_clear_flag_means_no_concentration_and_none_is_made_up() -> None:
    """xDrip's reader takes the next bytes for one."""
    measured = GlucoseMeasurement.from_bytes(bytes.fromhex("08 2A00 EA070B15071400 0200")).to_measurement()
    assert measured.glucose_mmol_l is None
    assert measured.glucose_mg_dl is None
    assert measured.unit_sent is None
    assert measured.status == 2


@pytest.mark.parametrize("nibbles", [0x00, 0x0B, 0x50, 0xE0, 0xEF])
def test_a_reserved_sample_type_or_location_is_none(nibbles: int) -> None:
    frame = bytes.fromhex("02 2B00 EA070B15071900 7EB0") + bytes((nibbles,))
    measured = GlucoseMeasurement.from_bytes(frame).to_measurement()
    assert measured.sample_type is None
    assert measured.sample_location is None
    assert measured.glucose_mg_dl == 126.0


def test_every_sample_type_and_location_has_the_name_of_the_specification() -> None:
    assert [kind.name.lower() for kind in SampleType] == [
        "capillary_whole_blood",
        "capillary_plasma",
        "venous_whole_blood",
        "venous_plasma",
        "arterial_whole_blood",
        "arterial_plasma",
        "undetermined_whole_blood",
        "undetermined_plasma",
        "isf",
        "control_solution",
    ]
    assert {place.value: place.name.lower() for place in SampleLocation} == {
        1: "finger",
        2: "alternate_site_test",
        3: "earlobe",
        4: "control_solution",
        15: "not_available",
    }


@pytest.mark.parametrize(
    ("status", "censored"),
    [
        (SensorStatus.RESULT_ABOVE_RANGE, "HI"),
        (SensorStatus.RESULT_BELOW_RANGE, "LO"),
        (SensorStatus.RESULT_ABOVE_RANGE | SensorStatus.BATTERY_LOW, "HI"),
    ],
)
def test_a_result_beyond_the_meter_is_censored_and_has_no_value(status: int, censored: str) -> None:
    sent = GlucoseMeasurement(
        sequence=1, base_time=BASE_TIME, concentration=Sfloat.of("0.0333", -4), unit="mol/L", status=int(status)
    )
    measured = sent.to_measurement()
    assert measured.censored == censored
    assert measured.glucose_mmol_l is None
    assert measured.glucose_mg_dl is None
    assert measured.glucose_sent == 0.0333


def test_a_result_both_above_and_below_is_neither() -> None:
    both = SensorStatus.RESULT_ABOVE_RANGE | SensorStatus.RESULT_BELOW_RANGE
    sent = GlucoseMeasurement(sequence=1, base_time=BASE_TIME, concentration=Sfloat.of(0.00126, -5), status=int(both))
    measured = sent.to_measurement()
    assert (measured.censored, measured.glucose_mmol_l) == (None, None)


def test_a_special_concentration_is_no_value() -> None:
    measured = GlucoseMeasurement(sequence=1, base_time=BASE_TIME, concentration=NAN).to_measurement()
    assert (measured.glucose_mmol_l, measured.glucose_sent, measured.unit_sent) == (None, None, "kg/L")


def test_both_units_are_exact() -> None:
    """In floats, 0.00126 x 1e5 is 126.00000000000001 and 0.0072 x 1000 is 7.199999999999999."""
    mass = GlucoseMeasurement(sequence=1, base_time=BASE_TIME, concentration=Sfloat.of("0.00126", -5))
    molar = GlucoseMeasurement(sequence=1, base_time=BASE_TIME, concentration=Sfloat.of("0.0072", -4), unit="mol/L")
    assert mass.to_measurement().glucose_mg_dl == 126.0
    assert molar.to_measurement().glucose_mmol_l == 7.2
    assert molar.to_measurement().glucose_mg_dl == 129.73104


@pytest.mark.parametrize(
    ("offset", "shown"),
    [
        (None, "2026-11-21 07:20:00"),
        (-480, "2026-11-20 23:20:00"),
        (600, "2026-11-21 17:20:00"),
        (0, "2026-11-21 07:20:00"),
    ],
)
def test_the_display_shows_base_time_plus_offset(offset: int | None, shown: str) -> None:
    sent = GlucoseMeasurement(sequence=1, base_time=BASE_TIME, time_offset_min=offset)
    assert str(sent.user_facing_time) == shown
    assert sent.meter_time == "2026-11-21T07:20:00"


def test_an_unknown_base_time_has_no_display() -> None:
    unknown = DateTime(year=0, month=0, day=0, hour=7)
    sent = GlucoseMeasurement(sequence=1, base_time=unknown, time_offset_min=60)
    assert sent.user_facing_time is None
    assert sent.meter_time is None


@given(date_times, st.integers(-0x8000, 0x7FFF))
def test_no_offset_leaves_the_calendar(base_time: DateTime, offset: int) -> None:
    GlucoseMeasurement(sequence=1, base_time=base_time, time_offset_min=offset).user_facing_time  # noqa: B018


def test_a_context_gives_its_meal_to_the_measurement_of_its_sequence_number() -> None:
    sent = GlucoseMeasurement(sequence=7, base_time=BASE_TIME, context_follows=True)
    assert sent.to_measurement(GlucoseContext(sequence=7, meal=Meal.FASTING)).meal == "fasting"
    assert sent.to_measurement(GlucoseContext(sequence=7)).meal is None
    with pytest.raises(AssertionError):
        sent.to_measurement(GlucoseContext(sequence=8, meal=Meal.FASTING))


@given(
    sequence=words,
    extended=st.none() | octets,
    carbohydrate=st.just({})
    | st.fixed_dictionaries({"carbohydrate_id": st.sampled_from(Carbohydrate), "carbohydrate": sfloats}),
    meal=st.none() | st.sampled_from(Meal),
    tester=st.none() | st.sampled_from(glucose_context.Tester),
    health=st.none() | st.sampled_from(Health),
    exercise=st.just({}) | st.fixed_dictionaries({"exercise_duration_s": words, "exercise_intensity_percent": octets}),
    medication=st.just({})
    | st.fixed_dictionaries({"medication_id": st.sampled_from(Medication), "medication": sfloats}),
    medication_unit=st.sampled_from(("kg", "L")),
    hba1c=st.none() | sfloats,
)
def test_a_context_that_is_encoded_is_read_again(**fields: object) -> None:
    extended = fields.pop("extended")
    groups = [fields.pop(name) for name in ("carbohydrate", "exercise", "medication")]
    joined = {name: value for group in groups for name, value in group.items()}  # type: ignore[attr-defined]
    context = GlucoseContext(extended_flags=extended, **fields, **joined)  # type: ignore[arg-type]
    assert GlucoseContext.from_bytes(bytes(context)) == context
    assert len(bytes(context)) <= 17


@pytest.mark.parametrize(
    "frame",
    ["03 0100 00 1EB0 00", "02 0100 06", "04 0100 00", "04 0100 E6", "10 0100 06 0100"],
    ids=lambda frame: frame,
)
def test_reserved_members_of_a_context_are_none(frame: str) -> None:
    context = GlucoseContext.from_bytes(bytes.fromhex(frame))
    named = (context.carbohydrate_id, context.meal, context.tester, context.health, context.medication_id)
    assert named == (None,) * 5


def test_extended_flags_may_explain_a_length_that_disagrees() -> None:
    with pytest.raises(MalformedError) as refused:
        GlucoseContext.from_bytes(bytes.fromhex("82 0100 01 03 FF"))
    assert refused.value.reason == "flags"
    with pytest.raises(MalformedError) as refused:
        GlucoseContext.from_bytes(bytes.fromhex("82 0100 00 03 FF"))
    assert refused.value.reason == "frame_length"


@pytest.mark.parametrize(
    "wrong",
    [
        {"exercise_duration_s": 60},
        {"carbohydrate_id": Carbohydrate.LUNCH},
        {"medication_id": Medication.PRE_MIXED_INSULIN},
        {"sequence": 0x10000},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_half_a_field_of_a_context_is_our_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        GlucoseContext(**({"sequence": 1} | wrong))  # type: ignore[arg-type]


def test_a_meter_that_counts_days_of_exercise_keeps_its_overrun() -> None:
    frame = struct.pack("<BHHB", 0x08, 1, 0xFFFF, 10)
    assert GlucoseContext.from_bytes(frame).exercise_duration_s == 0xFFFF
