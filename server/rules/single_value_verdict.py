"""What an event of a single-value rule says: its readings and limits, and one plain sentence. Decides nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from server.rules import kernels, sentences
from server.rules.confirmation import Confirmation
from server.rules.episodes import Language, Verdict
from server.rules.features import Features
from server.rules.rule import SingleValueRule
from server.rules.signals import SOURCES, group_of
from server.rules.value_readings import ValueReadings
from server.rules.windows import CENSORED_CODES, QUALITY_CODES

Note = Mapping[Language, str]

_QUALITY_NAMES: Final = {code: name for name, code in QUALITY_CODES.items()}
_CENSORED_NAMES: Final = {code: name for name, code in CENSORED_CODES.items()}
_NOTES: Final[Mapping[str, Note]] = {
    "unconfirmed": {"en": "unconfirmed", "zh": "未确认"},
    "confirmed": {"en": "confirmed by a repeat", "zh": "复测已证实"},
    "symptoms": {"en": "with symptoms", "zh": "伴有症状"},
    "below": {"en": "a later reading was below", "zh": "其后一次读数已低于该值"},
    "above": {"en": "a later reading was above", "zh": "其后一次读数已高于该值"},
    "within": {"en": "a later reading was within the limits", "zh": "其后一次读数已在范围内"},
    "rejected": {"en": "the cuff moved or was loose: measure again", "zh": "测量时有移动或袖带过松：请重新测量"},
    "unreliable": {"en": "the meter calls it unreliable: measure again", "zh": "仪器提示该读数不可靠：请重新测量"},
    "late": {"en": "arrived late", "zh": "数据迟到"},
}


def verdict(
    rule: SingleValueRule,
    features: Features,
    readings: ValueReadings,
    places: Sequence[int],
    *,
    thresholds: Sequence[float],
    below_at: datetime | None,
    confirmation: Confirmation | None,
    raised_at: datetime | None,
) -> Verdict:
    """The verdict on the event of `places`; `thresholds` are those in force, one for each condition."""
    ids = [str(features.history.window.reading_ids[readings.row[place]]) for place in places]
    shown = _shown(rule, features, readings, places)
    numbers: dict[str, Any] = {
        "readings": [
            {
                "reading_id": reading_id,
                "measured_at": readings.at(place).isoformat(),
                **values,
                "quality": _QUALITY_NAMES[int(readings.quality[place])],
            }
            for reading_id, place, values in zip(ids, places, shown, strict=True)
        ],
        "thresholds": [
            {"signal": c.signal, "comparison": c.comparison, "value": value, "unit": c.unit}
            for c, value in zip(rule.when.any_of, thresholds, strict=True)
        ],
        "below_at": _iso(below_at),
        "reading_ids": ids,
    }
    if confirmation is not None:
        numbers |= {"confirmed_at": _iso(confirmation.confirmed_at), "raised_at": _iso(raised_at)}
    note = _note(rule, below_at, confirmation, raised_at)
    return Verdict(numbers=numbers, sentence=_sentence(rule, thresholds, shown, note))


def _shown(
    rule: SingleValueRule, features: Features, readings: ValueReadings, places: Sequence[int]
) -> list[dict[str, Any]]:
    """The values of each reading: both pressures, or the one that the rule is about (none where it is HI or LO)."""
    condition, rows = rule.when.any_of[0], readings.row[list(places)]
    if group_of(condition.signal) == "pressure":
        pressures = features.pressures
        return [
            {"systolic": _plain(pressures.systolic[place]), "diastolic": _plain(pressures.diastolic[place])}
            for place in places
        ]
    window = features.history.window
    values = kernels.micro(getattr(window, SOURCES[condition.signal].columns[condition.unit])[rows])
    return [
        {"value": None if word else _plain(value), "unit": condition.unit, "censored": word}
        for value, word in zip(values, (_CENSORED_NAMES[int(code)] for code in window.censored[rows]), strict=True)
    ]


def _sentence(
    rule: SingleValueRule, thresholds: Sequence[float], shown: Sequence[Mapping[str, Any]], note: Note
) -> dict[Language, str]:
    conditions = [(c.signal, c.comparison, value) for c, value in zip(rule.when.any_of, thresholds, strict=True)]
    pick = {"below": max, "above": min}.get(_side(rule))
    if group_of(rule.when.any_of[0].signal) == "pressure":
        pairs = [(each["systolic"], each["diastolic"]) for each in shown]
        return sentences.single_value(conditions, pairs[0] if pick is None else pick(pairs), note)
    words = [each["censored"] for each in shown if each["censored"]]
    values: list[float] = [each["value"] for each in shown if not each["censored"]]
    worst = words[0] if words else values[0] if pick is None else pick(values)
    first = rule.when.any_of[0]
    return sentences.one_value(conditions, first.signal, first.unit, worst, note)


def _note(
    rule: SingleValueRule, below_at: datetime | None, confirmation: Confirmation | None, raised_at: datetime | None
) -> Note:
    if rule.when.arrived == "late":
        return _NOTES["late"]
    if "accepted" not in rule.when.readings and "suspect" not in rule.when.readings:
        return _NOTES["rejected" if group_of(rule.when.any_of[0].signal) == "pressure" else "unreliable"]
    if below_at is not None:
        return _NOTES[_side(rule)]
    if confirmation is None or rule.when.confirm is None:
        return _NOTES["unconfirmed"]
    if confirmation.has_symptoms:
        return _NOTES["symptoms"]
    if confirmation.confirmed_at is not None:
        return _NOTES["confirmed"]
    return _NOTES["unconfirmed"] if raised_at is None else _not_repeated(rule.when.confirm.within_minutes)


def _not_repeated(minutes: int) -> Note:
    return {
        "en": f"not repeated within {minutes} minute{'s' * (minutes != 1)}",
        "zh": f"{minutes} 分钟内未复测",
    }


def _side(rule: SingleValueRule) -> str:
    """On which side of the limits the good values lie."""
    is_high = {condition.comparison in ("above", "at_least") for condition in rule.when.any_of}
    return "within" if len(is_high) == 2 else "below" if is_high.pop() else "above"


def _plain(micro: int) -> float:
    return round(float(micro / kernels.MICRO), 3)


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
