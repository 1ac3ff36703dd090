"""Why a trend rule fired, in one plain sentence with its numbers, in English and Chinese. Computes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from server.rules.conditions import Comparison, Reach, Statistic
from server.rules.episodes import Language
from server.rules.rule import ChangeRule, CountOfLastRule, TrendRule
from server.rules.sentences import COMPARISONS, number
from server.rules.signals import SOURCES, Elements, Signal

LAST_SHOWN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One comparison as it was made, with the patient's own value."""

    signal: Signal
    comparison: Comparison
    value: float
    unit: str


_STATISTICS: Final[dict[Language, dict[Statistic, str]]] = {
    "en": {
        "mean": "Mean {signal}",
        "highest": "Highest {signal}",
        "lowest": "Lowest {signal}",
        "sd": "Standard deviation of {signal}",
        "cv": "Variability (CV) of {signal}",
        "arv": "Mean change between readings of {signal}",
        "count": "Readings of {signal}",
    },
    "zh": {
        "mean": "{signal}均值",
        "highest": "{signal}最高值",
        "lowest": "{signal}最低值",
        "sd": "{signal}标准差",
        "cv": "{signal}变异系数",
        "arv": "{signal}相邻读数的平均变化",
        "count": "{signal}读数次数",
    },
}
_ELEMENTS: Final[dict[Language, dict[Elements, str]]] = {
    "en": {
        "readings": "readings",
        "sittings": "sittings",
        "days": "days",
        "first_of_day": "first readings of the day",
        "first_of_morning": "first morning readings",
        "day_spreads": "days",
        "meal_rises": "meals",
    },
    "zh": {
        "readings": "次读数",
        "sittings": "组测量",
        "days": "个测量日",
        "first_of_day": "天的首次读数",
        "first_of_morning": "天的晨间首次读数",
        "day_spreads": "天",
        "meal_rises": "餐",
    },
}


def sentence(
    rule: TrendRule, limits: Sequence[Limit], value: float | None, values: Sequence[float]
) -> dict[Language, str]:
    """`Mean systolic pressure 147.2 mmHg over 7 days (14 readings), at or above 145`."""
    return {language: _sentence(rule, limits, value, values, language) for language in ("en", "zh")}


def _sentence(
    rule: TrendRule, limits: Sequence[Limit], value: float | None, values: Sequence[float], language: Language
) -> str:
    is_en = language == "en"
    signal, unit = SOURCES[limits[0].signal].words[language], limits[0].unit
    if isinstance(rule, CountOfLastRule):
        return _count(rule, limits, values, language)
    reach = rule.when.within if isinstance(rule, ChangeRule) else rule.when.over
    span = _span(reach, language)
    assert value is not None
    if isinstance(rule, ChangeRule):
        is_rise = rule.when.falls_by is None
        shown, least, newest = number(value), number(limits[0].value), number(values[-1])
        if is_en:
            verb = "rose" if is_rise else "fell"
            return f"{signal.capitalize()} {verb} by {shown} {unit} within {span}, to {newest} (limit {least})"
        verb = "上升" if is_rise else "下降"
        return f"{signal}在{span}内{verb} {shown} {unit}，至 {newest}（界限 {least}）"
    name = _STATISTICS[language][rule.when.statistic].format(signal=signal)
    limit = f"{COMPARISONS[language][limits[0].comparison]} {number(limits[0].value)}"
    elements = f"{len(values)} {_ELEMENTS[language][rule.when.of]}"
    if rule.when.statistic == "count":
        return f"{name}: {len(values)} in {span}, {limit}" if is_en else f"{span}内{name} {len(values)}，{limit}"
    if is_en:
        return f"{name} {number(value)} {unit} over {span} ({elements}), {limit}"
    return f"{span}内{name} {number(value)} {unit}（{elements}），{limit}"


def _count(rule: CountOfLastRule, limits: Sequence[Limit], values: Sequence[float], language: Language) -> str:
    joint = " or " if language == "en" else "或"
    words = COMPARISONS[language]
    condition = joint.join(
        f"{SOURCES[each.signal].words[language]} {words[each.comparison]} {number(each.value)} {each.unit}"
        for each in limits
    )
    shown = [number(each) for each in values[-LAST_SHOWN:]]
    of = _ELEMENTS[language][rule.when.of]
    if language == "en":
        return f"{rule.when.needed} or more of the last {rule.when.of_last} {of}: {condition} ({', '.join(shown)})"
    return f"最近 {rule.when.of_last} {of}中至少 {rule.when.needed} {of[:1]}{condition}（{'、'.join(shown)}）"


def _span(reach: Reach, language: Language) -> str:
    if reach.days is not None:
        return f"{reach.days} days" if language == "en" else f" {reach.days} 天"
    return f"{reach.hours} hours" if language == "en" else f" {reach.hours} 小时"
