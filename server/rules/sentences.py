"""Why an alert is there, in one plain sentence with its numbers, in English and Chinese. Computes nothing."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.rules.conditions import Comparison
from server.rules.episodes import Language
from server.rules.signals import SOURCES, Signal

_SIGNALS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {"systolic": "systolic", "diastolic": "diastolic"},
    "zh": {"systolic": "收缩压", "diastolic": "舒张压"},
}
COMPARISONS: Final[Mapping[Language, Mapping[Comparison, str]]] = {
    "en": {"above": "above", "at_least": "at or above", "below": "below", "at_most": "at or below"},
    "zh": {"above": "高于", "at_least": "达到或超过", "below": "低于", "at_most": "不高于"},
}
_OR: Final[Mapping[Language, str]] = {"en": " or ", "zh": " 或"}
KINDS: Final[Mapping[str, dict[Language, str]]] = {
    "blood_pressure": {"en": "blood pressure", "zh": "血压"},
    "glucose": {"en": "glucose", "zh": "血糖"},
    "sensor_glucose": {"en": "sensor glucose", "zh": "动态血糖"},
    "weight": {"en": "weight", "zh": "体重"},
    "oxygen_saturation": {"en": "blood oxygen", "zh": "血氧"},
    "temperature": {"en": "temperature", "zh": "体温"},
    "heart_rate": {"en": "heart rate", "zh": "心率"},
}

_UNITS_ZH: Final = {"bpm": "次/分"}

Condition = tuple[str, Comparison, float]
"""(signal, comparison, value in the unit of the rule)"""


def days_in_a_row(
    conditions: Sequence[Condition], values: Sequence[tuple[float, float]], *, weak_days: int
) -> dict[Language, str]:
    """`Blood pressure above 140/90 on 3 measured days in a row: 152/94, 149/92, 155/96`."""
    n = len(values)
    shown = [f"{number(systolic)}/{number(diastolic)}" for systolic, diastolic in values]
    en = f"Blood pressure {limits(conditions, 'en')} on {n} measured days in a row: {', '.join(shown)}"
    zh = f"连续 {n} 个测量日血压{limits(conditions, 'zh')}：{'、'.join(shown)}"
    if weak_days:
        en += f" ({weak_days} of them with a single reading)"
        zh += f"（其中 {weak_days} 天仅测量一次）"
    return {"en": en, "zh": zh}


def single_value(
    conditions: Sequence[Condition], value: tuple[float, float], note: Mapping[Language, str]
) -> dict[Language, str]:
    """`Blood pressure 188/104, at or above 180/120 (unconfirmed)`."""
    shown = f"{number(value[0])}/{number(value[1])}"
    return {
        "en": f"Blood pressure {shown}, {limits(conditions, 'en')} ({note['en']})",
        "zh": f"血压 {shown}，{limits(conditions, 'zh')}（{note['zh']}）",
    }


def one_value(
    conditions: Sequence[Condition], signal: Signal, unit: str, value: float | str, note: Mapping[Language, str]
) -> dict[Language, str]:
    """`Glucose 2.8 mmol/L, below 3 (unconfirmed)`, `Glucose HI, above 16.7 (unconfirmed)`; all conditions are on `signal`."""
    shown = value if isinstance(value, str) else _beyond(value, [limit for _, _, limit in conditions])
    units = dict.fromkeys(_OR, "") if isinstance(value, str) else {each: f" {unit_in(unit, each)}" for each in _OR}
    what = SOURCES[signal].words
    limit = {
        language: joint.join(f"{COMPARISONS[language][word]} {to_hundredths(limit)}" for _, word, limit in conditions)
        for language, joint in _OR.items()
    }
    return {
        "en": f"{what['en'].capitalize()} {shown}{units['en']}, {limit['en']} ({note['en']})",
        "zh": f"{what['zh']} {shown}{units['zh']}，{limit['zh']}（{note['zh']}）",
    }


def failed_measurements(kind: str, count: int) -> dict[Language, str]:
    """`3 blood pressure measurements failed in one day`."""
    what = KINDS[kind]
    return {
        "en": f"{count} {what['en']} measurements failed in one day: check the meter",
        "zh": f"一天内有 {count} 次{what['zh']}测量失败：请检查仪器",
    }


def limits(conditions: Sequence[Condition], language: Language) -> str:
    """`above 140/90` where systolic and diastolic share one comparison, else each condition by its name."""
    words = COMPARISONS[language]
    if len(conditions) == 2 and [c[0] for c in conditions] == ["systolic", "diastolic"]:
        (_, first, systolic), (_, second, diastolic) = conditions
        if first == second:
            return f"{words[first]} {number(systolic)}/{number(diastolic)}"
    names = _SIGNALS[language]
    space = " " if language == "en" else ""
    return _OR[language].join(
        f"{names[signal]}{space}{words[comparison]} {number(value)}" for signal, comparison, value in conditions
    )


def unit_in(unit: str, language: Language) -> str:
    """The unit as it is written in a language: 次/分 for bpm."""
    return _UNITS_ZH.get(unit, unit) if language == "zh" else unit


def number(value: float) -> str:
    """At most one decimal, and none where it says nothing: 152, 140.4."""
    return f"{value:.1f}".removesuffix(".0")


def apart(value: float, limit: float) -> str:
    """With so many decimals that a value beyond the limit does not read as the limit itself: 3.04 is not `3, above 3`."""
    if number(value) != number(limit) or value == limit:
        return number(value)
    finer = (f"{value:.{digits}f}" for digits in (2, 3))
    return next((text for text in finer if float(text) != limit), number(value))


def to_hundredths(value: float) -> str:
    """At most two decimals, so that 2.96 does not read as the 3 that it is below."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _beyond(value: float, limits: Sequence[float]) -> str:
    """To hundredths, or to thousandths where it would read as a limit that it is beyond: 2.997 is not `3, below 3`."""
    shown = to_hundredths(value)
    return f"{value:.3f}" if float(shown) in limits and value not in limits else shown
