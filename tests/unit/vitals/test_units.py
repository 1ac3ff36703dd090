"""Conversions, exact in decimals; an unknown unit raises."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals import units
from vitals.errors import MalformedError


def test_the_conversion_of_pressure() -> None:
    assert units.pressure_mmhg(Decimal("19.7"), "kPa") == Decimal("147.762214")
    assert units.pressure_mmhg(Decimal(148), "mmHg") == 148


@pytest.mark.parametrize(
    ("value", "unit", "mmol_l", "mg_dl"),
    [
        ("0.00126", "kg/L", None, "126"),
        ("126", "mg/dL", None, "126"),
        ("0.0072", "mol/L", "7.2", "129.73104"),
        ("7.2", "mmol/L", "7.2", "129.73104"),
    ],
)
def test_the_conversion_of_glucose(value: str, unit: str, mmol_l: str | None, mg_dl: str) -> None:
    told_mmol_l, told_mg_dl = units.glucose(Decimal(value), unit)
    assert told_mg_dl == Decimal(mg_dl)
    assert told_mmol_l == (Decimal(mg_dl) / Decimal("18.0182") if mmol_l is None else Decimal(mmol_l))


@given(st.decimals(min_value=0, max_value=1000, places=4))
def test_both_spellings_of_a_unit_agree(value: Decimal) -> None:
    assert units.glucose(value / 100_000, "kg/L") == units.glucose(value, "mg/dL")
    assert units.glucose(value / 1000, "mol/L") == units.glucose(value, "mmol/L")


@pytest.mark.parametrize("unit", ["", "mmhg", "KPA", "bar", "cmH2O", "mg/dL"])
def test_an_unknown_unit_of_pressure_raises(unit: str) -> None:
    with pytest.raises(MalformedError, match="unit") as refused:
        units.pressure_mmhg(Decimal(1), unit)
    assert refused.value.datum == unit


@pytest.mark.parametrize("unit", ["", "mg/dl", "g/L", "mmHg", "mmol/l"])
def test_an_unknown_unit_of_glucose_raises(unit: str) -> None:
    with pytest.raises(MalformedError, match="unit"):
        units.glucose(Decimal(1), unit)


@pytest.mark.parametrize(
    ("value", "unit", "kg"), [("72.5", "kg", "72.5"), ("1", "lb", "0.45359237"), ("159.83", "lb", "72.4976684971")]
)
def test_the_conversion_of_weight(value: str, unit: str, kg: str) -> None:
    assert units.weight_kg(Decimal(value), unit) == Decimal(kg)


@pytest.mark.parametrize(
    ("value", "unit", "celsius"),
    [("36.6", "°C", "36.6"), ("32", "°F", "0"), ("98.6", "°F", "37"), ("-40", "°F", "-40")],
)
def test_the_conversion_of_temperature(value: str, unit: str, celsius: str) -> None:
    assert units.temperature_celsius(Decimal(value), unit) == Decimal(celsius)


@pytest.mark.parametrize(
    ("value", "unit", "m"), [("1.73", "m", "1.73"), ("1", "in", "0.0254"), ("68.2", "in", "1.73228")]
)
def test_the_conversion_of_height(value: str, unit: str, m: str) -> None:
    assert units.height_m(Decimal(value), unit) == Decimal(m)


@pytest.mark.parametrize("unit", ["", "cm", "kg", "ft"])
def test_an_unknown_unit_of_height_raises(unit: str) -> None:
    with pytest.raises(MalformedError, match="unit"):
        units.height_m(Decimal(1), unit)


@pytest.mark.parametrize("unit", ["", "KG", "g", "st", "°C"])
def test_an_unknown_unit_of_weight_raises(unit: str) -> None:
    with pytest.raises(MalformedError, match="unit"):
        units.weight_kg(Decimal(1), unit)


@pytest.mark.parametrize("unit", ["", "C", "F", "K", "kg"])
def test_an_unknown_unit_of_temperature_raises(unit: str) -> None:
    with pytest.raises(MalformedError, match="unit"):
        units.temperature_celsius(Decimal(1), unit)
