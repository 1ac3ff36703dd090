"""The page `docs/reference/catalog.md`: every rule of the catalog in plain English, made from the rules themselves.

A test compares the page with the rules, so that nobody reads of a threshold that is not judged by. It judges nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from server.rules.combined_conditions import Age, AllOf, AnyOf, AnyPart, Combined, Negated
from server.rules.conditions import Change, CountOfLast, Reach, Rolling, Trend
from server.rules.glucose_conditions import Band
from server.rules.load import is_scenario, load_rules
from server.rules.rule import (
    ChangeRule,
    CombinedRule,
    CountOfLastRule,
    DaysInARowRule,
    FailedMeasurementsRule,
    LastingRule,
    RangeShareRule,
    RollingRule,
    Rule,
    ScheduleRule,
    SilenceRule,
    SingleValueRule,
)
from server.rules.sentences import COMPARISONS, KINDS, number
from server.rules.signals import SOURCES
from server.rules.trend_sentences import ELEMENTS, elements_of, what_of

_INTRODUCTION: Final = """\
# The catalog

Every rule that HomeVigil brings, in the words of its file in `server/rules/catalog`. Made by `homevigil rules list --markdown`;
a test compares it with the rules. What the kinds mean: [rules](rules.md); what stands against a wrong alert:
[safety](../explanation/safety.md).

A rule *for everyone* speaks of every patient for whom nobody has switched it off; one that is *chosen* only of those for whom a
clinician has chosen it. A patient's own numbers take the place of the rule's. Guideline presets stand beside clinic presets:
choose one of them. "Not verified in the original" means what it says: somebody has to look it up before relying on it.
"""

_STATISTICS: Final = {
    "mean": "the mean",
    "highest": "the highest",
    "lowest": "the lowest",
    "sd": "the standard deviation",
    "cv": "the coefficient of variation",
    "arv": "the mean change from one to the next",
    "count": "the number",
}
_FIGURES: Final = {
    "share": "share",
    "mean": "mean",
    "cv": "coefficient of variation",
    "gmi": "glucose management indicator (GMI)",
    "gri": "Glycemia Risk Index (GRI)",
    "lbgi": "low blood glucose index (LBGI)",
    "hbgi": "high blood glucose index (HBGI)",
}


def page_of(folder: Path) -> str:
    """The page of the rule files in `folder`, one section for each file."""
    files = sorted(file for file in folder.glob("*.yaml") if not is_scenario(file))
    sections = [_section(file.stem, load_rules(file).rules) for file in files]
    return "\n".join([_INTRODUCTION, *sections])


def fires_when(rule: Rule) -> str:
    """What opens an alert, in one English clause."""
    match rule:
        case DaysInARowRule():
            return _days_in_a_row(rule)
        case SingleValueRule():
            return _single_value(rule)
        case FailedMeasurementsRule():
            return f"{rule.when.count} measurements of one kind fail in a clinical day"
        case RollingRule() | CountOfLastRule() | ChangeRule():
            return _trend(rule.when)
        case CombinedRule():
            return _joint(rule.when, f", by what was said last in the {_age(rule.when.within)} before")
        case RangeShareRule():
            return _range_share(rule)
        case LastingRule():
            when = rule.when
            limit = f"{COMPARISONS['en'][when.comparison]} {number(when.value)} {when.unit}"
            gap = f"no two readings more than {when.gap_minutes} minutes apart"
            return f"a worn sensor is {limit} for {when.minutes} minutes, {gap}"
        case SilenceRule():
            days = "clinical day" if rule.when.days == 1 else f"{rule.when.days} clinical days"
            return (
                f"nothing of any kind is measured on {days}, counted from the day after enrolment on; {_unknown(rule)}"
            )
        case ScheduleRule():
            return _schedule(rule)


def ends_when(rule: Rule) -> str:
    """What ends it, in one English clause."""
    match rule:
        case DaysInARowRule():
            return f"{rule.resolve.days} measured days in a row lie {_by(rule.resolve.below_by)}"
        case SingleValueRule():
            return _value_ends(rule)
        case FailedMeasurementsRule():
            return "the clinical day ends"
        case CountOfLastRule():
            near = f" or within {rule.resolve.below_by:g} of it" if rule.resolve.below_by else ""
            return f"fewer than {rule.when.needed} of them are beyond the threshold{near}; a gap ends nothing"
        case ChangeRule():
            least = f"at least {rule.resolve.below_by:g} {rule.when.unit} " if rule.resolve.below_by else ""
            return f"it is {least}less than that; a gap ends nothing"
        case CombinedRule():
            return "an answer comes after which that is not so any more; a gap ends nothing"
        case LastingRule():
            return f"it has been on the good side for {rule.when.minutes} minutes; a gap ends nothing"
        case SilenceRule():
            return "something is measured, of whatever kind"
        case ScheduleRule():
            return f"{rule.when.measured_days} of the last {rule.when.of_days} clinical days are measured again"
        case _:
            return f"it lies {_by(rule.resolve.below_by)}; a gap ends nothing"


def _section(stem: str, rules: Sequence[Rule]) -> str:
    return "\n".join([f"## {stem.replace('_', ' ').capitalize()}", "", *(_entry(rule) for rule in rules)])


def _entry(rule: Rule) -> str:
    lines = [
        f"### `{rule.id}`, version {rule.version}",
        "",
        f"{rule.title['en']} · {rule.title['zh']}",
        "",
        f"- For: {'everyone' if rule.watch == 'everyone' else 'those for whom it is chosen'}; priority {rule.priority};"
        f" tells {' and '.join(f'the {who}' for who in rule.tell) or 'nobody'}",
        f"- Fires when {fires_when(rule)}",
        f"- Ends when {ends_when(rule)}",
        f"- Source: {' '.join(rule.source.split())}",
        *(f"- The patient reads: {' '.join(text.split())}" for text in _messages(rule)),
    ]
    return "\n".join([*lines, ""])


def _messages(rule: Rule) -> Iterator[str]:
    if rule.patient_message is not None:
        yield from (rule.patient_message["en"], rule.patient_message["zh"])


def _days_in_a_row(rule: DaysInARowRule) -> str:
    when = rule.when
    gaps = (
        "a missing day begins the count again"
        if when.missing_day == "break"
        else f"a missing day neither counts nor breaks, all within {when.span_days} days"
    )
    fewest = f", each with {when.min_readings_per_day} readings or more" if when.min_readings_per_day > 1 else ""
    each = _any_of([(c.signal, c.comparison, c.value, c.unit) for c in when.any_of])
    return f"the mean of each of {when.days} measured days in a row{fewest} is {each} ({gaps})"


def _single_value(rule: SingleValueRule) -> str:
    when = rule.when
    arrived = "" if when.arrived == "in_time" else ", and it arrives too late to alarm"
    each = _any_of([(c.signal, c.comparison, c.value, c.unit) for c in when.any_of])
    urgent = ""
    if when.confirm is not None:
        urgent = (
            f"; priority {when.confirm.priority} after a repeat, after a yes to symptoms, or after"
            f" {when.confirm.within_minutes} minutes without a repeat"
        )
    return f"one reading ({' or '.join(when.readings)}) is {each}{arrived}{urgent}"


def _trend(when: Trend) -> str:
    match when:
        case Rolling():
            return _rolling(when)
        case CountOfLast():
            return _count_of_last(when)
        case Change():
            return _change(when)


def _joint(joint: Combined | AllOf | AnyOf, by: str = "") -> str:
    """`all of this is so: …; and …`. What is joined within is in brackets."""
    parts = [f"({_joint(part)})" if isinstance(part, AllOf | AnyOf) else _simple(part) for part in joint.parts]
    word, between = ("any", "; or ") if joint.is_any else ("all", "; and ")
    return f"{word} of this is so{by}: {between.join(parts)}"


def _simple(part: AnyPart) -> str:
    match part:
        case Negated():
            return f"it is known that not: {_simple(part.condition)}"
        case Rolling() | CountOfLast() | Change():
            over = f" (over at {part.below_by:g} or more on the good side)" if part.below_by else ""
            return f"{_trend(part)}{over}"
    raise AssertionError(part)


def _rolling(when: Rolling) -> str:
    each = " or ".join(
        f"{COMPARISONS['en'][c.comparison]} {number(c.value)} {c.unit} ({what_of(c.signal, when.of, 'en')})"
        for c in when.any_of
    )
    fewest = f"with {when.min_readings} {elements_of(when.of, when.min_readings, 'en')} or more"
    return f"{_STATISTICS[when.statistic]} over {_span(when.over)}, {fewest}, is {each}"


def _count_of_last(when: CountOfLast) -> str:
    each = " or ".join(
        "the flag of an irregular pulse"
        if c.unit == "flag"
        else f"{what_of(c.signal, when.of, 'en')} {COMPARISONS['en'][c.comparison]} {number(c.value)} {c.unit}"
        for c in when.any_of
    )
    if when.of_last == 1:
        return f"the last {elements_of(when.of, 1, 'en')} has {each}"
    days = f", on {when.on_days} days or more," if when.on_days > 1 else ""
    return f"{when.needed} of the last {when.of_last} {ELEMENTS['en'][when.of]}{days} within {_span(when.within)} have {each}"


def _range_share(rule: RangeShareRule) -> str:
    when = rule.when
    enough = (
        f"at least {when.sufficient_percent} % of the quarter hours"
        if when.sufficient_percent is not None
        else f"{when.min_readings} readings on {when.min_days} days or more"
    )
    unit = "" if when.unit == "index" else f" {when.unit}"
    figure = (
        f"the share of readings {_range(when.range)}" if when.range is not None else f"the {_FIGURES[when.statistic]}"
    )
    limit = f"{COMPARISONS['en'][when.comparison]} {number(when.value)}{unit}"
    return f"{figure} of {SOURCES[when.signal].words['en']} over {_span(when.over)} (with {enough}) is {limit}"


def _range(band: Band) -> str:
    if band.lowest is not None and band.highest is not None:
        return f"from {number(band.lowest)} to {number(band.highest)} {band.unit}"
    word, limit = ("below", band.below) if band.below is not None else ("above", band.above)
    assert limit is not None, "a band has a limit"
    return f"{word} {number(limit)} {band.unit}"


def _change(when: Change) -> str:
    way = "above the lowest" if when.falls_by is None else "below the highest"
    (by,) = when.numbers
    return f"{what_of(when.signal, when.of, 'en')} lies {by:g} {when.unit} or more {way} within {_span(when.within)}"


def _schedule(rule: ScheduleRule) -> str:
    when = rule.when
    often = f" {when.readings_per_day} times" if when.readings_per_day > 1 else ""
    days = f"on fewer than {when.measured_days} of {when.of_days} clinical days, whatever the unknown ones brought"
    return f"{KINDS[when.of]['en']} is measured{often} {days}; {_unknown(rule)}"


def _unknown(rule: SilenceRule | ScheduleRule) -> str:
    hours = rule.when.unknown_after_hours
    return f"a day of which the home cannot be heard for more than {hours} hours is unknown and counts for nothing"


def _value_ends(rule: SingleValueRule) -> str:
    resolve = rule.resolve
    hours = "" if resolve.at_most_hours is None else f", or after {resolve.at_most_hours} hours"
    match resolve.by:
        case "person":
            return "a clinician closes it"
        case "new_reading":
            return f"the patient has measured again{hours}"
        case _:
            return f"{resolve.visible_hours} hours have passed since a later accepted reading on the good side{hours}"


def _any_of(conditions: Sequence[tuple[str, str, float, str]]) -> str:
    words: Mapping[str, str] = {str(word): text for word, text in COMPARISONS["en"].items()}
    return " or ".join(
        f"{SOURCES[signal].words['en']} {words[comparison]} {number(value)} {unit}"  # type: ignore[index]
        for signal, comparison, value, unit in conditions
    )


def _by(below_by: float) -> str:
    return f"at least {below_by:g} on the good side of every threshold" if below_by else "on the good side"


def _age(age: Age) -> str:
    return "hour" if age.in_hours == 1 else f"{age.in_hours} hours"


def _span(reach: Reach) -> str:
    return f"{reach.hours} hours" if reach.days is None else f"{reach.days} clinical days (today counted)"
