"""Why a trend rule fired, in one plain sentence with its numbers, in English and Chinese. Computes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server.rules.conditions import Change, Comparison, CountOfLast, Reach, Statistic, Trend
from server.rules.episodes import Language
from server.rules.sentences import COMPARISONS, apart, number, unit_in
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
        "mean": "Mean {what}",
        "highest": "Highest {what}",
        "lowest": "Lowest {what}",
        "sd": "Standard deviation of {what}",
        "cv": "Variability (CV) of {what}",
        "arv": "Mean change between readings of {what}",
        "count": "Readings of {what}",
    },
    "zh": {
        "mean": "{what}均值",
        "highest": "{what}最高值",
        "lowest": "{what}最低值",
        "sd": "{what}标准差",
        "cv": "{what}变异系数",
        "arv": "{what}相邻读数的平均变化",
        "count": "{what}读数次数",
    },
}
ELEMENTS: Final[dict[Language, dict[Elements, str]]] = {
    "en": {
        "readings": "readings",
        "sittings": "sittings",
        "days": "measured days",
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
_ONE_ELEMENT: Final[Mapping[Elements, str]] = {
    "readings": "reading",
    "sittings": "sitting",
    "days": "measured day",
    "first_of_day": "first reading of the day",
    "first_of_morning": "first morning reading",
    "day_spreads": "day",
    "meal_rises": "meal",
}
_WHAT: Final[dict[Language, dict[Elements, str]]] = {
    "en": {
        "first_of_day": "first {signal} of the day",
        "first_of_morning": "morning {signal}",
        "day_spreads": "spread of {signal} within a day (highest less lowest)",
        "meal_rises": "rise of {signal} after a meal",
    },
    "zh": {
        "first_of_day": "当日首次{signal}",
        "first_of_morning": "晨间{signal}",
        "day_spreads": "全天{signal}波动幅度（最高减最低）",
        "meal_rises": "餐后{signal}升幅",
    },
}
"""What is counted, where it is not simply the signal."""


def sentence(when: Trend, limits: Sequence[Limit], value: float | None, values: Sequence[float]) -> dict[Language, str]:
    """`Mean systolic pressure 147.2 mmHg over 7 days (5 measured days), at or above 145`."""
    return {language: _sentence(when, limits, value, values, language) for language in ("en", "zh")}


def elements_of(of: Elements, count: int, language: Language) -> str:
    """The word for so many of them: `first reading of the day`, `measured days`."""
    return _ONE_ELEMENT[of] if count == 1 and language == "en" else ELEMENTS[language][of]


def what_of(signal: Signal, of: Elements, language: Language) -> str:
    """What is counted, in words: `morning weight`, `rise of glucose after a meal`."""
    return _WHAT[language].get(of, "{signal}").format(signal=SOURCES[signal].words[language])


def _sentence(
    when: Trend, limits: Sequence[Limit], value: float | None, values: Sequence[float], language: Language
) -> str:
    if isinstance(when, CountOfLast):
        is_flag = limits[0].signal == "irregular_pulse"
        return _flags(when, values, language) if is_flag else _count(when, limits, values, language)
    assert value is not None
    if isinstance(when, Change):
        return _change(when, limits[0], value, values, language)
    span, limit = _span(when.over, language), limits[0]
    name = _STATISTICS[language][when.statistic].format(what=what_of(limit.signal, when.of, language))
    beyond = f"{COMPARISONS[language][limit.comparison]} {number(limit.value)}"
    if when.statistic == "count":
        if language == "en":
            return f"{name}: {len(values)} in {span}, {beyond}"
        return f"{span}内{name} {len(values)}，{beyond}"
    shown = f"{apart(value, limit.value)} {unit_in(limit.unit, language)}"
    elements = f"{len(values)} {elements_of(when.of, len(values), language)}"
    if language == "en":
        return f"{name} {shown} over {span} ({elements}), {beyond}"
    return f"{span}内{name} {shown}（{elements}），{beyond}"


def _change(when: Change, limit: Limit, value: float, values: Sequence[float], language: Language) -> str:
    """`Morning weight rose by 2.1 kg from the lowest of the 3 days before, to 73.1 kg (limit 2 kg)`."""
    is_rise = when.falls_by is None
    what, since = what_of(limit.signal, when.of, language), _since(when, is_rise, language)
    by, to, least = (f"{number(each)} {unit_in(limit.unit, language)}" for each in (value, values[-1], limit.value))
    if language == "en":
        return f"{_begun(what)} {'rose' if is_rise else 'fell'} by {by} {since}, to {to} (limit {least})"
    return f"{what}{since}{'上升' if is_rise else '下降'} {by}，至 {to}（界限 {least}）"


def _since(when: Change, is_rise: bool, language: Language) -> str:
    """Where each day has one value, the days before today's are counted, as people count them."""
    reach = when.within
    if when.of == "readings" or reach.days is None or reach.days == 1:
        span = _span(reach, language)
        return f"within {span}" if language == "en" else f"在 {span}内"
    before = reach.days - 1
    if before == 1:
        return "from the day before" if language == "en" else "较前一天"
    if language == "en":
        return f"from the {'lowest' if is_rise else 'highest'} of the {before} days before"
    return f"较前 {before} 天的{'最低值' if is_rise else '最高值'}"


def _count(when: CountOfLast, limits: Sequence[Limit], values: Sequence[float], language: Language) -> str:
    """`Fasting glucose above 7 mmol/L in at least 3 of the last 5 readings within 14 days: 7.4, 6.8, 7.9, 8.1`."""
    words = COMPARISONS[language]
    space, joint = (" ", " or ") if language == "en" else ("", " 或")
    condition = joint.join(
        f"{what_of(each.signal, when.of, language)}{space}{words[each.comparison]}"
        f" {number(each.value)} {unit_in(each.unit, language)}"
        for each in limits
    )
    shown = [apart(each, limits[0].value) for each in values[-LAST_SHOWN:]]
    of, span = ELEMENTS[language][when.of], _span(when.within, language)
    if when.of_last == 1:
        if language == "en":
            return f"{_begun(condition)} in the last {elements_of(when.of, 1, language)}: {shown[-1]}"
        return f"最近 1 {of}的{condition}：{shown[-1]}"
    if when.of == "day_spreads" and when.within.days == when.of_last:
        span = ""  # the last seven days are within seven days
    if language == "en":
        within = span and f" within {span}"
        share = "each" if when.needed == when.of_last else f"at least {when.needed}"
        days = f", on at least {when.on_days} days," if when.on_days > 1 else ""
        return f"{_begun(condition)} in {share} of the last {when.of_last} {of}{days}{within}: {', '.join(shown)}"
    within = span and f"{span}内"
    if when.needed == when.of_last:
        return f"{within}最近 {when.of_last} {of}均为{condition}：{'、'.join(shown)}"
    share = f"至少 {when.needed} {of[:1]}"
    days = f"（分布在至少 {when.on_days} 天）" if when.on_days > 1 else ""
    return f"{within}最近 {when.of_last} {of}中{share}{condition}{days}：{'、'.join(shown)}"


def _flags(when: CountOfLast, values: Sequence[float], language: Language) -> str:
    """`Irregular pulse in 4 of 9 readings within 14 days (limit 3 readings, on 2 days)`."""
    found, n = sum(map(bool, values)), len(values)
    span = _span(when.within, language)
    if language == "en":
        days = f", on {when.on_days} days" if when.on_days > 1 else ""
        return f"Irregular pulse in {found} of {n} readings within {span} (limit {when.needed} readings{days})"
    days = f"，分布在 {when.on_days} 天" if when.on_days > 1 else ""
    return f"{span}内 {n} 次读数中有 {found} 次提示脉搏不齐（界限 {when.needed} 次{days}）"


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _span(reach: Reach, language: Language) -> str:
    if reach.days is not None:
        return f"{reach.days} days" if language == "en" else f"{reach.days} 天"
    return f"{reach.hours} hours" if language == "en" else f"{reach.hours} 小时"
