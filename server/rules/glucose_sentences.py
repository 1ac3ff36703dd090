"""Why a rule about glucose over time fired, in one plain sentence with its numbers, in English and Chinese. Computes nothing."""

from typing import Final

from server.rules.conditions import RISING
from server.rules.episodes import Language
from server.rules.glucose_conditions import Band, Lasting, RangeShare, ShareStatistic
from server.rules.sentences import COMPARISONS, apart, number
from server.rules.signals import SOURCES

_FIGURES: Final[dict[Language, dict[ShareStatistic, str]]] = {
    "en": {
        "share": "Share of {signal} {range}",
        "mean": "Mean {signal}",
        "cv": "Variability (CV) of {signal}",
        "gmi": "Glucose management indicator (GMI)",
        "gri": "Glycemia risk index (GRI)",
        "lbgi": "Low blood glucose index (LBGI) of {signal}",
        "hbgi": "High blood glucose index (HBGI) of {signal}",
    },
    "zh": {
        "share": "{signal}{range}的比例",
        "mean": "{signal}均值",
        "cv": "{signal}变异系数",
        "gmi": "血糖管理指标（GMI）",
        "gri": "血糖风险指数（GRI）",
        "lbgi": "{signal}低血糖指数（LBGI）",
        "hbgi": "{signal}高血糖指数（HBGI）",
    },
}


def range_share(
    when: RangeShare, threshold: float, value: float, *, readings: int, measured_percent: float
) -> dict[Language, str]:
    """`Share of sensor glucose from 70 to 180 mg/dL 58.3 % over 14 days (3891 readings, 97 % of the time), below 70`."""
    unit = "" if when.unit == "index" else f" {when.unit}"
    said: dict[Language, str] = {}
    for language in ("en", "zh"):
        signal = SOURCES[when.signal].words[language]
        name = _FIGURES[language][when.statistic].format(signal=signal, range=_range(when.range, language))
        limit = f"{COMPARISONS[language][when.comparison]} {number(threshold)}"
        time = f"{number(round(measured_percent))} %"
        is_worn = when.signal == "sensor_glucose"
        if language == "en":
            basis = f"{readings} readings" + (f", {time} of the time" if is_worn else "")
            days = "1 day" if when.span_days == 1 else f"{when.span_days} days"
            said["en"] = f"{name} {apart(value, threshold)}{unit} over {days} ({basis}), {limit}"
        else:
            basis = f"{readings} 次读数" + (f"，覆盖 {time} 的时间" if is_worn else "")
            space = "" if name.endswith("）") else " "
            said["zh"] = f"{when.span_days} 天内{name}{space}{apart(value, threshold)}{unit}（{basis}），{limit}"
    return said


def lasting(when: Lasting, threshold: float, farthest: float | str, *, minutes: int) -> dict[Language, str]:
    """`Sensor glucose below 54 mg/dL for 25 minutes, lowest 48`."""
    is_high = when.comparison in RISING
    shown = farthest if isinstance(farthest, str) else number(farthest)
    words = SOURCES[when.signal].words
    limit = {
        language: f"{COMPARISONS[language][when.comparison]} {number(threshold)} {when.unit}" for language in words
    }
    return {
        "en": f"{words['en'].capitalize()} {limit['en']} for {minutes} minutes, {'highest' if is_high else 'lowest'} {shown}",
        "zh": f"{words['zh']}{limit['zh']} 持续 {minutes} 分钟，{'最高' if is_high else '最低'} {shown}",
    }


def _range(band: Band | None, language: Language) -> str:
    if band is None:
        return ""
    if band.lowest is not None and band.highest is not None:
        low, high = number(band.lowest), number(band.highest)
        return f"from {low} to {high} {band.unit}" if language == "en" else f"在 {low}–{high} {band.unit} 之间"
    comparison, limit = ("below", band.below) if band.below is not None else ("above", band.above)
    assert limit is not None, "a band has a limit"
    word = COMPARISONS[language]["below" if comparison == "below" else "above"]
    return f"{word} {number(limit)} {band.unit}" + (" " if language == "zh" else "")
