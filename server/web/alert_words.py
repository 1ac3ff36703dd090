"""An alert's grounds and life in words: the days as they were judged, its lines and who set them, what was done and said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from server.store.thresholds import OwnVersion
from server.store.worklist import Alert, ShownTransition
from server.store.worklist_rows import EarlierAlert
from server.web.words import RESOLUTIONS, STATES, UNITS, Words, mark

SIGNALS: Final = {
    "systolic": mark("upper value"),
    "diastolic": mark("lower value"),
    "pulse_pressure": mark("upper minus lower value"),
    "pulse": mark("pulse"),
    "irregular_pulse": mark("irregular pulse"),
    "glucose": mark("Glucose"),
    "fasting_glucose": mark("glucose when fasting"),
    "preprandial_glucose": mark("glucose before a meal"),
    "postprandial_glucose": mark("glucose after a meal"),
    "sensor_glucose": mark("Sensor glucose"),
    "weight": mark("Weight"),
    "spo2": mark("Blood oxygen"),
    "temperature": mark("Temperature"),
    "heart_rate": mark("Heart rate"),
}
COMPARISONS: Final = {
    "above": mark("%(signal)s above %(value)s"),
    "at_least": mark("%(signal)s %(value)s or more"),
    "below": mark("%(signal)s below %(value)s"),
    "at_most": mark("%(signal)s %(value)s or less"),
}
GRADES: Final = {
    "full": mark("two sittings or more, of two readings each"),
    "adequate": mark("two readings or more"),
    "weak": mark("one reading"),
}
REASONS: Final = {
    "acknowledged": mark("Acknowledged"),
    "snoozed": mark("Snoozed"),
    "useful": mark("Said to be of use"),
    "not_useful": mark("Said to be of no use"),
    "noted": mark("Note"),
    "undone": mark("The decision was undone"),
    "snooze_over": mark("The time to sleep is over"),
    "worse": mark("A value is worse than before"),
    "raised": mark("It has become more urgent"),
    "seeded": mark("Found in readings from before"),
    "threshold_changed": mark("The patient's own thresholds were changed"),
    "rule_withdrawn": mark("The rule was ended"),
    "rule_changed": mark("The rule was replaced"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedDay:
    """One day as the rule saw it. `is_later`: it came after those that made the alert."""

    day: str
    value: str
    readings: str
    grade: str
    is_later: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step in the life of an alert."""

    at: str
    state: str
    who: str
    reason: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An alert of the same rule from before."""

    alert: EarlierAlert
    days: str
    sentence: str
    ended: str


def judged_days(verdict: Mapping[str, Any], words: Words) -> list[JudgedDay]:
    """The days of a rule over days, first those that made the alert; empty where the rule counts otherwise."""
    found = []
    for name, is_later in (("days", False), ("later_days", True)):
        days = verdict.get(name)
        for each in days if isinstance(days, list) else ():
            if not isinstance(each, dict) or "systolic" not in each:
                continue
            found.append(
                JudgedDay(
                    day=words.day(date.fromisoformat(each["date"])),
                    value=f"{_number(each['systolic'], words)}/{_number(each['diastolic'], words)}",
                    readings=words.number(each["readings"]),
                    grade=words.among(GRADES, str(each["grade"])),
                    is_later=is_later,
                )
            )
    return found


def lines_in_words(verdict: Mapping[str, Any], words: Words) -> list[str]:
    """What it was judged by, in the unit in which the rule is written."""
    parts = [each for part in verdict.get("parts", ()) for each in part.get("thresholds", ())]
    return list(
        dict.fromkeys(
            _line(each, words)
            for each in [*verdict.get("thresholds", ()), *parts]
            if each.get("comparison") in COMPARISONS
        )
    )


def _line(threshold: Mapping[str, Any], words: Words) -> str:
    wording = COMPARISONS[threshold["comparison"]]
    value = f"{_number(float(threshold['value']), words)} {_unit(threshold)}".rstrip()
    return words.say(wording, signal=words.among(SIGNALS, threshold["signal"]), value=value)


def who_set(alert: Alert, versions: Sequence[OwnVersion], zone: str, words: Words) -> str:
    """Whose numbers those are: the rule's own, or the patient's, from whom and since when."""
    if not alert.threshold_version:
        return words.say("the rule's own numbers")
    own = next((each for each in versions if each.version == alert.threshold_version), None)
    if own is None:
        return words.say("the patient's own thresholds, version %(version)s", version=alert.threshold_version)
    said = words.say(
        "the patient's own thresholds, version %(version)s, set by %(who)s on %(day)s",
        version=own.version,
        who=own.set_by,
        day=words.moment(own.set_at, zone),
    )
    return f"{said} ({own.reason})" if own.reason and words.language == "en" else said + _in_brackets(own.reason)


def _in_brackets(reason: str) -> str:
    return f"（{reason}）" if reason else ""


def absence_in_words(verdict: Mapping[str, Any], last_at: datetime | None, zone: str, words: Words) -> list[str]:
    """Of a rule about what was not measured: how many days, since when, and of which days nobody can say."""
    said = []
    if isinstance(verdict.get("days"), int):
        said.append(
            words.count("%(n)s whole day without a reading", "%(n)s whole days without a reading", verdict["days"])
        )
        since = verdict.get("since")
        if since:
            at = words.moment(datetime.fromisoformat(str(since)), zone)
            said.append(words.say("the last reading before it: %(at)s", at=at))
        else:
            said.append(words.say("no reading since enrolment"))
    elif "measured_days" in verdict:
        said.append(
            words.say(
                "measured on %(measured)s of %(of)s days, %(needed)s were agreed",
                measured=words.number(verdict["measured_days"]),
                of=words.number(verdict["of_days"]),
                needed=words.number(verdict["needed_days"]),
            )
        )
    else:
        return []
    if verdict.get("unknown_days"):
        said.append(
            words.count(
                "on %(n)s day besides the home could not be heard",
                "on %(n)s days besides the home could not be heard",
                verdict["unknown_days"],
            )
        )
    if last_at is not None:
        said.append(words.say("the newest reading now: %(at)s", at=words.moment(last_at, zone)))
    return said


def step_in_words(transition: ShownTransition, zone: str, words: Words) -> Step:
    code, _, old_note = transition.reason.partition(": ")
    reason = (
        words.say(RESOLUTIONS[code]) if code in RESOLUTIONS else words.among(REASONS, code) if code in REASONS else ""
    )
    state = words.among(STATES, transition.to_state)
    return Step(
        at=words.moment(transition.at, zone),
        state=state if transition.from_state != transition.to_state else "",
        who=transition.by_name or words.say("HomeVigil"),
        reason="" if reason == state else reason,
        note=transition.note or (old_note if code in RESOLUTIONS else ""),
    )


def earlier_in_words(alert: EarlierAlert, words: Words) -> Earlier:
    first, last = words.short_date(alert.first_day), words.short_date(alert.last_day)
    return Earlier(
        alert=alert,
        days=first if first == last else words.say("%(first)s to %(last)s", first=first, last=last),
        sentence=words.pick(alert.sentence),
        ended=words.among(RESOLUTIONS, alert.resolution) if alert.resolution else words.among(STATES, alert.state),
    )


def _unit(threshold: Mapping[str, Any]) -> str:
    unit = str(threshold.get("unit", UNITS["blood_pressure"]))
    return "" if unit == "flag" else unit


def _number(value: float, words: Words) -> str:
    return words.number(value, 0 if float(value).is_integer() else 1)
