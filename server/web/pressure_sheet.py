"""The report of home blood pressure on one page: what the figures are, on what they rest, and every reading behind them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Final, Literal
from uuid import UUID

from markupsafe import Markup

from server.people.rule_texts import Condition, RuleText, text_of, trend_conditions
from server.rules import pressure_report
from server.rules.features import Features, features_of
from server.rules.pressure_report import (
    BLOCK_DAYS,
    HOME_DIASTOLIC_MMHG,
    HOME_SYSTOLIC_MMHG,
    READINGS_NEEDED,
    Average,
    Part,
    Pressure,
    PressureReport,
)
from server.store import record
from server.store.postgres import Connection
from server.store.reading_lists import ShownReading, list_all_readings
from server.web.history import Span, own_conditions
from server.web.pressure_figures import MeanLine, draw, mean_lines, say_mean
from server.web.rows import own_thresholds
from server.web.sheets import Period, Whose
from server.web.symptom_words import say_symptoms
from server.web.words import Words, mark

Use = Literal["counts", "first_day", "doubted", "rejected", "struck"]
"""What became of a reading: in the means, or why not."""

WHY: Final[Mapping[Use, str]] = {
    "first_day": mark("on the first day"),
    "doubted": mark("doubtful"),
    "rejected": mark("not used by the meter's own word"),
    "struck": mark("taken out by the clinic"),
}
OWN_LINE: Final = mark("this patient's own, by which alerts are made")
RULE_LINE: Final = mark("of the rule by which alerts are made")
_MARKS_VIEW: Final = timedelta(days=15)
_PARTS: Final[tuple[Part, ...]] = ("morning", "other", "evening")


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetReading:
    """One reading in the table: 07:31 152/94 72."""

    clock: str
    value: str
    pulse: str
    use: Use
    is_past: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetDay:
    """One clinical day: its readings in the morning, in between, and in the evening."""

    name: str
    parts: tuple[tuple[SheetReading, ...], ...]
    is_left_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A pair of numbers that the mean is held against. `is_home`: the guideline's for home; else the rule's that judges."""

    name: str
    source: str
    percent: str
    mean: str
    is_past: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureSheet:
    """Everything on the page, in words. `headline` is the mean of all that counts, or nothing."""

    whose: Whose
    period: Period
    said_period: str
    report: PressureReport
    headline: str
    headline_spread: str
    pulse: str
    not_enough: str
    means: tuple[MeanLine, ...]
    lines: tuple[Line, ...]
    chart: Markup | None
    days: tuple[SheetDay, ...]
    meters: tuple[str, ...]
    left_out: str
    noted: tuple[str, ...]
    block: str


def build(
    conn: Connection, whose: Whose, period: Period, rules: Mapping[str, RuleText], words: Words, *, now: datetime
) -> PressureSheet:
    """The report of the period; the caller may see the patient."""
    history = record.history_seen(
        conn,
        whose.patient_id,
        since=period.begins_at - _MARKS_VIEW,
        until=period.ends_at + timedelta(days=1),  # a reading may be vouched for by one of the day after
        kinds=("blood_pressure",),
    )
    features = features_of(history, now=now, is_explained=False)
    readings = list_all_readings(
        conn,
        whose.patient_id,
        since=period.begins_at,
        until=period.ends_at,
        kinds=("blood_pressure",),
        only_in_use=False,
    )
    answers = record.list_answers(conn, whose.patient_id, since=period.begins_at, until=period.ends_at)
    rule_id, conditions = trend_conditions(rules)
    own = own_thresholds(conn, [whose.patient_id]).get((whose.patient_id, rule_id), {})
    lines = own_conditions(conditions, own)
    made = pressure_report.report(
        features,
        first_day=period.first_day.toordinal(),
        last_day=period.last_day.toordinal(),
        is_block=period.days <= BLOCK_DAYS,
    )
    uses = _uses(made, features)
    average = made.overall
    return PressureSheet(
        whose=whose,
        period=period,
        said_period=period.say(words),
        report=made,
        headline="" if average is None else say_mean(average, words),
        headline_spread="" if average is None else _say_spread(average, words),
        pulse=_say_pulse(readings, uses, words),
        not_enough="" if made.is_enough else _say_not_enough(made, words),
        means=mean_lines(made, words),
        lines=(_home_line(made, words), *_rule_line(made, lines, text_of(rules, rule_id), bool(own), words)),
        chart=draw(features, _span(period, whose), _home_conditions(), words, height=210 if period.days <= 14 else 170),
        days=tuple(_days(readings, uses, made, period, words)),
        meters=tuple(dict.fromkeys(each.meter_id for each in readings if each.standing == "in_use")),
        left_out=_say_left_out(readings, uses, made, words),
        noted=tuple(f"{words.moment(each.answered_at, whose.zone)} {say_symptoms(each, words)}" for each in answers),
        block=_say_block(made, period, words),
    )


def _uses(made: PressureReport, features: Features) -> dict[UUID, tuple[Pressure, Use]]:
    """What became of each reading of the period, by its id; one without two numbers is not there."""
    ids, quality = features.history.window.reading_ids, features.quality
    found: dict[UUID, tuple[Pressure, Use]] = {}
    for each in made.readings:
        use: Use = "counts" if each.counts else "first_day" if each.is_usable else "doubted"
        if quality[each.row] <= 1:
            use = "rejected"
        found[ids[each.row]] = (each, use)
    return found


def _home_conditions() -> tuple[Condition, ...]:
    return (
        Condition(signal="systolic", comparison="at_least", value=float(HOME_SYSTOLIC_MMHG)),
        Condition(signal="diastolic", comparison="at_least", value=float(HOME_DIASTOLIC_MMHG)),
    )


def _span(period: Period, whose: Whose) -> Span:
    return Span(last_day=period.last_day, days=period.days, zone=whose.zone)


def _home_line(made: PressureReport, words: Words) -> Line:
    systolic, diastolic = HOME_SYSTOLIC_MMHG, HOME_DIASTOLIC_MMHG
    share = made.percent(systolic=systolic, diastolic=diastolic, is_met_at=True)
    is_past = made.overall is not None and (made.overall.systolic >= systolic or made.overall.diastolic >= diastolic)
    return Line(
        name=words.say("Home line %(line)s", line=f"{systolic}/{diastolic}"),
        source=words.say("guideline, for readings at home: it corresponds to 140/90 in the office"),
        percent=_say_share(share, words.say("at or above"), words),
        mean=_say_side(made, is_past, words.say("at or above"), words),
        is_past=is_past,
    )


def _rule_line(
    made: PressureReport, conditions: Sequence[Condition], text: RuleText, is_own: bool, words: Words
) -> tuple[Line, ...]:
    """The line of the rule over days that judges this patient, if it is one of a pair of pressures."""
    values = {each.signal: each.value for each in conditions}
    if set(values) != {"systolic", "diastolic"} or made.overall is None:
        return ()
    is_met_at = all(each.comparison == "at_least" for each in conditions)
    side = words.say("at or above") if is_met_at else words.say("above")
    share = made.percent(systolic=values["systolic"], diastolic=values["diastolic"], is_met_at=is_met_at)
    found = {"systolic": float(made.overall.systolic), "diastolic": float(made.overall.diastolic)}
    is_past = any(each.is_met_by(found[each.signal]) for each in conditions)
    return (
        Line(
            name=words.say("Rule line %(line)s", line=f"{values['systolic']:g}/{values['diastolic']:g}"),
            source=words.say("this patient's own, by which alerts are made")
            if is_own
            else words.say("of the rule by which alerts are made"),
            percent=_say_share(share, side, words),
            mean=_say_side(made, is_past, side, words),
            is_past=is_past,
        ),
    )


def _say_share(share: Fraction | None, side: str, words: Words) -> str:
    return (
        "–"
        if share is None
        else words.say("%(percent)s %% of readings %(side)s", percent=words.number(float(share), 1), side=side)
    )


def _say_side(made: PressureReport, is_past: bool, side: str, words: Words) -> str:
    if made.overall is None:
        return "–"
    if not made.is_enough:
        return words.say("too few readings to say")
    return words.say("mean %(side)s the line", side=side) if is_past else words.say("mean below the line")


def _say_spread(average: Average, words: Words) -> str:
    if average.systolic_sd is None or average.diastolic_sd is None:
        return ""
    return f"± {words.number(average.systolic_sd, 1)}/{words.number(average.diastolic_sd, 1)}"


def _say_pulse(readings: Iterable[ShownReading], uses: Mapping[UUID, tuple[Pressure, Use]], words: Words) -> str:
    counted = [
        each.pulse_bpm
        for each in readings
        if each.pulse_bpm is not None and each.standing == "in_use"
        if each.reading_id in uses and uses[each.reading_id][1] == "counts"
    ]
    return words.number(sum(counted) / len(counted)) if counted else ""


def _say_not_enough(made: PressureReport, words: Words) -> str:
    n = 0 if made.overall is None else made.overall.n
    return words.say(
        "Not enough readings: %(n)s of %(needed)s. What is below is what there is; it carries no decision.",
        n=n,
        needed=READINGS_NEEDED,
    )


def _say_block(made: PressureReport, period: Period, words: Words) -> str:
    """What of the period counts."""
    if made.left_out is None:
        return words.say("Every usable reading of these days counts.")
    day = words.short_date(date.fromordinal(made.left_out))
    if made.is_practice:
        return words.say("The day of enrolment (%(day)s) is practice and does not count.", day=day)
    return words.say("The first measured day (%(day)s) does not count.", day=day)


def _say_left_out(
    readings: Sequence[ShownReading],
    uses: Mapping[UUID, tuple[Pressure, Use]],
    made: PressureReport,
    words: Words,
) -> str:
    """How many readings are in no mean, and why; nothing where all are."""
    counts = Counter(_use(each, uses) for each in readings)
    parts = [words.say("%(n)s %(why)s", n=counts[use], why=words.say(why)) for use, why in WHY.items() if counts[use]]
    if counts[None]:
        parts.append(words.say("%(n)s %(why)s", n=counts[None], why=words.say("measurement failed")))
    return words.listed(parts)


def _use(reading: ShownReading, uses: Mapping[UUID, tuple[Pressure, Use]]) -> Use | None:
    """`None`: it failed, or nobody knows when it was."""
    if reading.standing != "in_use":
        return "struck"
    return uses[reading.reading_id][1] if reading.reading_id in uses and not reading.is_failed else None


def _days(
    readings: Sequence[ShownReading],
    uses: Mapping[UUID, tuple[Pressure, Use]],
    made: PressureReport,
    period: Period,
    words: Words,
) -> Iterable[SheetDay]:
    by_day: dict[date, dict[Part, list[SheetReading]]] = {}
    for each in readings:
        use = _use(each, uses)
        if use is None or each.is_failed or each.quality == "invalid":
            continue
        wall_us = period.calendar.wall_of(each.measured_at) % 86_400_000_000
        part = pressure_report.part_of(wall_us)
        by_day.setdefault(period.day(each.measured_at), {}).setdefault(part, []).append(
            _reading(each, use, period, words)
        )
    for day in sorted(by_day):
        yield SheetDay(
            name=words.weekday(day),
            parts=tuple(tuple(by_day[day].get(part, ())) for part in _PARTS),
            is_left_out=made.left_out is not None and day.toordinal() <= made.left_out,
        )


def _reading(reading: ShownReading, use: Use, period: Period, words: Words) -> SheetReading:
    systolic, diastolic = reading.systolic_mmhg or 0.0, reading.diastolic_mmhg or 0.0
    return SheetReading(
        clock=period.clock(reading.measured_at),
        value=words.pressure(systolic, diastolic),
        pulse="" if reading.pulse_bpm is None else words.number(reading.pulse_bpm),
        use=use,
        is_past=use == "counts" and (systolic >= HOME_SYSTOLIC_MMHG or diastolic >= HOME_DIASTOLIC_MMHG),
    )
