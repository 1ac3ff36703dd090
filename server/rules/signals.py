"""What a rule about trends can speak of: each signal with the kinds of reading that carry it, and its column for each unit.

A threshold is compared in the unit in which it is written, so a signal that meters send in two units has two columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from server.rules.episodes import Language
from vitals.reading import Meal

Signal = Literal[
    "systolic",
    "diastolic",
    "pulse_pressure",
    "pulse",
    "irregular_pulse",
    "glucose",
    "fasting_glucose",
    "preprandial_glucose",
    "postprandial_glucose",
    "sensor_glucose",
    "weight",
    "spo2",
    "temperature",
]
Unit = Literal["mmHg", "bpm", "flag", "mmol/L", "mg/dL", "kg", "%", "°C"]
Elements = Literal["readings", "sittings", "days", "first_of_day", "first_of_morning", "day_spreads", "meal_rises"]
"""What a series is made of."""

ELEMENTS_OF: Final[Mapping[Elements, tuple[Signal, ...]]] = {
    "sittings": ("systolic", "diastolic"),
    "days": ("systolic", "diastolic"),
    "day_spreads": ("glucose",),
    "meal_rises": ("glucose",),
}
"""The signals that these are made of; the others are made of any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a signal is found: the kinds of reading, the meals that they belong to (none: any), and the column by unit."""

    kinds: tuple[str, ...]
    columns: Mapping[str, str]
    words: Mapping[Language, str]
    meals: tuple[Meal, ...] = ()


_GLUCOSE: Final = {"mmol/L": "glucose_mmol_l", "mg/dL": "glucose_mg_dl"}


def _finger_stick(en: str, zh: str, *meals: Meal) -> Source:
    return Source(kinds=("glucose",), columns=_GLUCOSE, words={"en": en, "zh": zh}, meals=meals)


SOURCES: Final[Mapping[Signal, Source]] = {
    "systolic": Source(
        kinds=("blood_pressure",), columns={"mmHg": "systolic_mmhg"}, words={"en": "systolic pressure", "zh": "收缩压"}
    ),
    "diastolic": Source(
        kinds=("blood_pressure",),
        columns={"mmHg": "diastolic_mmhg"},
        words={"en": "diastolic pressure", "zh": "舒张压"},
    ),
    "pulse_pressure": Source(
        kinds=("blood_pressure",), columns={"mmHg": "pulse_pressure_mmhg"}, words={"en": "pulse pressure", "zh": "脉压"}
    ),
    # not a strap's heart rate: it is worn in sport, and these rules are about somebody who sits
    "pulse": Source(
        kinds=("blood_pressure", "oxygen_saturation"), columns={"bpm": "pulse_bpm"}, words={"en": "pulse", "zh": "脉搏"}
    ),
    "irregular_pulse": Source(
        kinds=("blood_pressure",),
        columns={"flag": "irregular_pulse"},
        words={"en": "irregular pulse", "zh": "脉搏不齐"},
    ),
    "glucose": _finger_stick("glucose", "血糖"),
    "fasting_glucose": _finger_stick("fasting glucose", "空腹血糖", "fasting"),
    "preprandial_glucose": _finger_stick("glucose before a meal", "餐前血糖", "fasting", "preprandial"),
    "postprandial_glucose": _finger_stick("glucose after a meal", "餐后血糖", "postprandial"),
    "sensor_glucose": Source(
        kinds=("sensor_glucose",), columns=_GLUCOSE, words={"en": "sensor glucose", "zh": "动态血糖"}
    ),
    "weight": Source(kinds=("weight",), columns={"kg": "weight_kg"}, words={"en": "weight", "zh": "体重"}),
    "spo2": Source(
        kinds=("oxygen_saturation",),
        columns={"%": "spo2_percent"},
        words={"en": "oxygen saturation", "zh": "血氧饱和度"},
    ),
    "temperature": Source(
        kinds=("temperature",), columns={"°C": "temperature_celsius"}, words={"en": "temperature", "zh": "体温"}
    ),
}
"""By the word that rules use. A finger-stick is fasting, or before or after a meal, if its meter or the patient said so; it is
never inferred from the clock."""


def group_of(signal: Signal) -> str:
    """Signals of one group are there together or not at all: the two pressures of an inflation."""
    return "pressure" if signal in ("systolic", "diastolic") else signal
