"""One canonical unit per quantity; an unknown unit raises.

Pressure is kept in mmHg, weight in kg, temperature in °C; glucose in mmol/L *and* mg/dL, because a threshold is compared in
the unit in which it is written. Conversions run in decimal arithmetic, so that 0.00126 kg/L is 126 mg/dL and not
126.00000000000001.
"""

from decimal import Decimal
from typing import Final

from vitals.errors import MalformedError

MMHG_PER_KPA: Final = Decimal("7.50062")
"""mmHg in one kPa (BIPM; the factor of ISO 81060-2's tables)."""

MG_DL_PER_MMOL_L: Final = Decimal("18.0182")
"""mg/dL of glucose in one mmol/L: molar mass 180.182 g/mol, as glucose meters' own documents use it."""

KG_PER_LB: Final = Decimal("0.45359237")
"""kg in one pound: exact since the international yard and pound agreement of 1959."""

M_PER_INCH: Final = Decimal("0.0254")
"""Metres in one inch: exact since the same agreement."""


def pressure_mmhg(value: Decimal, unit: str) -> Decimal:
    """`value` in "mmHg" or "kPa", as mmHg."""
    match unit:
        case "mmHg":
            return value
        case "kPa":
            return value * MMHG_PER_KPA
    raise MalformedError("unit", f"pressure in {unit!r}; expected mmHg or kPa", unit)


def glucose(value: Decimal, unit: str) -> tuple[Decimal, Decimal]:
    """`value` in "kg/L", "mol/L", "mg/dL" or "mmol/L", as (mmol/L, mg/dL)."""
    match unit:
        case "kg/L":
            mg_dl = value * 100_000
        case "mg/dL":
            mg_dl = value
        case "mol/L":
            return value * 1_000, value * 1_000 * MG_DL_PER_MMOL_L
        case "mmol/L":
            return value, value * MG_DL_PER_MMOL_L
        case _:
            raise MalformedError("unit", f"glucose in {unit!r}; expected kg/L, mol/L, mg/dL or mmol/L", unit)
    return mg_dl / MG_DL_PER_MMOL_L, mg_dl


def weight_kg(value: Decimal, unit: str) -> Decimal:
    """`value` in "kg" or "lb", as kg."""
    match unit:
        case "kg":
            return value
        case "lb":
            return value * KG_PER_LB
    raise MalformedError("unit", f"weight in {unit!r}; expected kg or lb", unit)


def height_m(value: Decimal, unit: str) -> Decimal:
    """`value` in "m" or "in", as m."""
    match unit:
        case "m":
            return value
        case "in":
            return value * M_PER_INCH
    raise MalformedError("unit", f"height in {unit!r}; expected m or in", unit)


def temperature_celsius(value: Decimal, unit: str) -> Decimal:
    """`value` in "°C" or "°F", as °C."""
    match unit:
        case "°C":
            return value
        case "°F":
            return (value - 32) * 5 / 9
    raise MalformedError("unit", f"temperature in {unit!r}; expected °C or °F", unit)
