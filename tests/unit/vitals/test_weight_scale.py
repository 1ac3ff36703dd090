"""The weight frames beyond the published ones: failures, users, units, lengths, what nobody weighs."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.date_time import DateTime
from vitals.gatt.weight_scale import UNSUCCESSFUL, WeightMeasurement, WeightScaleFeature
from vitals.quality import Quality, grade

FULL = bytes.fromhex("0EA438EA070B15071E0001F200C206")

date_times = st.binary(min_size=7, max_size=7).map(DateTime.from_bytes)
words = st.integers(0, 0xFFFF)
measurements = st.builds(
    lambda body, **fields: WeightMeasurement(**fields, **body),
    body=st.just({}) | st.fixed_dictionaries({"bmi": words, "height": words}),
    weight=words,
    unit=st.sampled_from(("kg", "lb")),
    date_time=st.none() | date_times,
    user_id=st.none() | st.integers(0, 0xFF),
)


@given(measurements)
def test_what_is_encoded_is_read_again(measurement: WeightMeasurement) -> None:
    assert WeightMeasurement.from_bytes(bytes(measurement)) == measurement
    assert 3 <= len(bytes(measurement)) <= 15


@given(st.binary(max_size=24))
def test_any_bytes_are_a_measurement_or_malformed(data: bytes) -> None:
    for codec in (WeightMeasurement, WeightScaleFeature):
        try:
            value = codec.from_bytes(data)
        except MalformedError as e:
            assert e.reason in ("frame_length", "flags")  # noqa: PT017
        else:
            assert codec.from_bytes(bytes(value)) == value


@given(st.integers(0, 0x0F), st.data())
def test_canonical_bytes_come_back_unchanged(flags: int, data: st.DataObject) -> None:
    length = 2 + 7 * bool(flags & 2) + bool(flags & 4) + 4 * bool(flags & 8)
    frame = bytes((flags,)) + data.draw(st.binary(min_size=length, max_size=length))
    assert bytes(WeightMeasurement.from_bytes(frame)) == frame


@pytest.mark.parametrize("length", [*range(15), 16, 17, 40])
def test_a_frame_of_another_length_than_its_flags_say_is_malformed(length: int) -> None:
    frame = (FULL + bytes(40))[:length]
    with pytest.raises(MalformedError) as refused:
        WeightMeasurement.from_bytes(frame)
    assert refused.value.reason == "frame_length"
    assert refused.value.datum == frame


@pytest.mark.parametrize("bit", [0x20, 0x40, 0x80])
def test_a_reserved_flag_is_let_pass_until_the_length_disagrees(bit: int) -> None:
    flagged = bytes((FULL[0] | bit,)) + FULL[1:]
    assert WeightMeasurement.from_bytes(flagged) == WeightMeasurement.from_bytes(FULL)
    with pytest.raises(MalformedError) as refused:
        WeightMeasurement.from_bytes(flagged + b"\0")
    assert refused.value.reason == "flags"


@pytest.mark.parametrize("flags", [0x10, 0x11, 0x30, 0x32, 0xB2])
def test_no_weight_is_read_where_the_unit_is_disputed(flags: int) -> None:
    frame = bytes((flags,)) + bytes(2 + 7 * bool(flags & 2))
    with pytest.raises(MalformedError) as refused:
        WeightMeasurement.from_bytes(frame)
    assert refused.value.reason == "flags"


@pytest.mark.parametrize("unit", ["kg", "lb"])
def test_a_scale_that_could_not_weigh_weighs_nobody(unit: str) -> None:
    """As a count it would be 327.675 kg, which a scale for heavy people may well show."""
    sent = WeightMeasurement(weight=UNSUCCESSFUL, unit=unit, user_id=2, bmi=242, height=1730)  # type: ignore[arg-type]
    measured = sent.to_measurement()
    assert (measured.weight_kg, measured.weight_sent, measured.bmi) == (None, None, None)
    assert sent.user_slot == 2
    assert grade(measured) == (Quality.INVALID, ("value_special",))


def test_a_count_is_five_grams_or_a_hundredth_of_a_pound_exactly() -> None:
    """In floats, 14501 x 0.005 is 72.50500000000001."""
    metric = WeightMeasurement(weight=14501).to_measurement()
    assert (metric.weight_kg, metric.weight_sent, metric.unit_sent) == (72.505, 72.505, "kg")
    imperial = WeightMeasurement(weight=16000, unit="lb").to_measurement()
    assert (imperial.weight_kg, imperial.weight_sent, imperial.unit_sent) == (72.5747792, 160.0, "lb")


@given(words, st.sampled_from(("kg", "lb")))
def test_a_weight_is_counted_as_it_will_be_read(weight: int, unit: str) -> None:
    step = Decimal("0.005") if unit == "kg" else Decimal("0.01")
    assert WeightMeasurement.count(weight * step, unit) == weight  # type: ignore[arg-type]
    assert WeightMeasurement.count(float(weight * step), unit) == weight  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 0xFFFF])
def test_a_bmi_and_a_height_that_nobody_has_are_none(count: int) -> None:
    measured = WeightMeasurement(weight=14500, bmi=count, height=count).to_measurement()
    assert (measured.weight_kg, measured.bmi, measured.height_m) == (72.5, None, None)


def test_inches_become_metres() -> None:
    assert WeightMeasurement(weight=16000, unit="lb", bmi=242, height=681).to_measurement().height_m == 1.72974


def test_a_user_that_the_scale_does_not_know_is_a_guest() -> None:
    assert WeightMeasurement.from_bytes(bytes.fromhex("04A438FF")).user_slot == 0xFF
    assert WeightMeasurement.from_bytes(bytes.fromhex("04A43800")).user_slot == 0
    assert WeightMeasurement.from_bytes(bytes.fromhex("00A438")).user_slot is None


def test_a_frame_without_a_time_has_none() -> None:
    assert WeightMeasurement(weight=14500).meter_time is None


@pytest.mark.parametrize(
    "wrong",
    [{"weight": -1}, {"weight": 0x10000}, {"user_id": 256}, {"unit": "st"}, {"bmi": 242}, {"height": 1730}],
    ids=str,
)
def test_what_the_wire_cannot_carry_is_our_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        WeightMeasurement(**({"weight": 14500} | wrong))  # type: ignore[arg-type]


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 15), st.integers(0, 7))
def test_a_feature_that_is_encoded_is_read_again(time: bool, users: bool, bmi: bool, weight: int, height: int) -> None:
    feature = WeightScaleFeature(
        has_time_stamp=time, has_users=users, has_bmi=bmi, weight_resolution=weight, height_resolution=height
    )
    assert WeightScaleFeature.from_bytes(bytes(feature)) == feature


def test_every_resolution_is_that_of_the_specification() -> None:
    weights = [WeightScaleFeature(weight_resolution=code).weight_resolution_kg for code in range(16)]
    grams = [None, 500, 200, 100, 50, 20, 10, 5] + [None] * 8
    assert [None if kg is None else int(kg * 1000) for kg in weights] == grams
    heights = [WeightScaleFeature(height_resolution=code).height_resolution_m for code in range(8)]
    assert [None if m is None else int(m * 1000) for m in heights] == [None, 10, 5, 1, None, None, None, None]


def test_reserved_bits_of_a_feature_are_let_pass() -> None:
    assert WeightScaleFeature.from_bytes(bytes.fromhex("01FCFFFF")) == WeightScaleFeature(has_time_stamp=True)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5])
def test_a_feature_has_four_bytes(length: int) -> None:
    with pytest.raises(MalformedError, match="frame_length"):
        WeightScaleFeature.from_bytes(bytes(length))
