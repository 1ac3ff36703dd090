"""What a rule about trends can speak of: each signal with the kinds of reading that carry it, and its column for each unit.

A threshold is compared in the unit in which it is written, so a signal that meters send in two units has two columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from server.rules.episodes import Language

Signal = Literal["systolic", "diastolic", "pulse", "glucose", "sensor_glucose", "weight", "spo2", "temperature"]
Unit = Literal["mmHg", "bpm", "mmol/L", "mg/dL", "kg", "%", "°C"]
Elements = Literal["readings", "sittings", "days", "first_of_day", "first_of_morning"]
"""What a series is made of; sittings and days are of blood pressure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a signal is found: the kinds of reading, and the window's column by unit."""

    kinds: tuple[str, ...]
    columns: Mapping[str, str]
    words: Mapping[Language, str]


_GLUCOSE: Final = {"mmol/L": "glucose_mmol_l", "mg/dL": "glucose_mg_dl"}

SOURCES: Final[Mapping[Signal, Source]] = {
    "systolic": Source(
        kinds=("blood_pressure",), columns={"mmHg": "systolic_mmhg"}, words={"en": "systolic pressure", "zh": "收缩压"}
    ),
    "diastolic": Source(
        kinds=("blood_pressure",),
        columns={"mmHg": "diastolic_mmhg"},
        words={"en": "diastolic pressure", "zh": "舒张压"},
    ),
    "pulse": Source(
        kinds=("blood_pressure", "oxygen_saturation"), columns={"bpm": "pulse_bpm"}, words={"en": "pulse", "zh": "脉搏"}
    ),
    "glucose": Source(kinds=("glucose",), columns=_GLUCOSE, words={"en": "glucose", "zh": "血糖"}),
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
"""By the word that rules use."""
