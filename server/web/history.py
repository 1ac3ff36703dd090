"""A patient's readings as pages show them: places on a chart, rows of a table, one sentence for who cannot see either."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Final, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from server.people.rule_texts import Condition
from server.rules.signals import SOURCES
from server.store.corrections import Correction
from server.store.reading_lists import ShownReading
from server.web.charts import Dot, Slot
from server.web.correction_words import say_correction
from server.web.words import KINDS, MEALS, QUALITIES, QUALITY_REASONS, TIME_QUALITIES, UNITS, Words

DAY: Final = timedelta(days=1)

PRESSURES: Final = ("systolic", "diastolic")
_SIGNALS: Final[Mapping[str, str]] = {
    "glucose": "glucose",
    "weight": "weight",
    "oxygen_saturation": "spo2",
    "temperature": "temperature",
    "heart_rate": "heart_rate",
}
"""The signal that the one value of a kind is, by which a rule may call it past a line."""
KINDS_OF: Final[Mapping[str, tuple[str, ...]]] = {signal: source.kinds for signal, source in SOURCES.items()}

Corrections = Mapping[UUID, Correction]
"""What was said last of readings of which something was said."""

NOTHING_SAID: Final[Corrections] = {}


class Valued(Protocol):
    """Anything with values at a time."""

    @property
    def kind(self) -> str: ...
    @property
    def measured_at(self) -> datetime: ...
    @property
    def systolic_mmhg(self) -> float | None: ...
    @property
    def diastolic_mmhg(self) -> float | None: ...
    @property
    def glucose_mmol_l(self) -> float | None: ...
    @property
    def value(self) -> float | None: ...
    @property
    def quality(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The days that a chart shows, the last of them `last_day`, on the wall clock of `zone`."""

    last_day: date
    days: int
    zone: str

    @classmethod
    def ending(cls, now: datetime, *, days: int, zone: str) -> "Span":
        return cls(last_day=now.astimezone(ZoneInfo(zone)).date(), days=days, zone=zone)

    @property
    def begins_at(self) -> datetime:
        """Local midnight of the first day."""
        return datetime.combine(self.last_day - (self.days - 1) * DAY, time(), tzinfo=ZoneInfo(self.zone))

    def day(self, place: int) -> date:
        """The date of a day counted from the left edge."""
        return self.last_day - (self.days - 1 - place) * DAY

    def place(self, at: datetime) -> float:
        """Days from the left edge, on the wall clock, so that a day is one day wide whatever the clocks do."""
        local = at.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        return (local - self.begins_at.replace(tzinfo=None)) / DAY


def slot_of(local: datetime) -> Slot:
    """Morning from 03:00 (where a clinical day begins) to noon, evening from 17:00 until the day ends."""
    if 3 <= local.hour < 12:
        return "morning"
    return "evening" if local.hour >= 17 or local.hour < 3 else "other"


def slot_at(at: datetime, zone: str) -> Slot:
    """As `slot_of`, of an instant on the wall clock of `zone`."""
    return slot_of(at.astimezone(ZoneInfo(zone)))


def is_past(value: Valued, conditions: Sequence[Condition]) -> bool:
    """Whether any condition is met by this value alone. What is only of one meal, or in another unit than shown, is not told."""
    found = {"systolic": value.systolic_mmhg, "diastolic": value.diastolic_mmhg, _SIGNALS.get(value.kind): value.value}
    return any(
        condition.is_met_by(number)
        for condition in conditions
        if condition.unit == UNITS.get(value.kind) and (number := found.get(condition.signal)) is not None
    )


def lines_of(conditions: Sequence[Condition], kind: str) -> tuple[float, ...]:
    """The values of those conditions that are on this kind of reading, in the unit in which it is shown."""
    return tuple(
        each.value for each in conditions if each.unit == UNITS[kind] and kind in KINDS_OF.get(each.signal, ())
    )


def own_conditions(conditions: Sequence[Condition], parameters: Mapping[str, object]) -> tuple[Condition, ...]:
    """The conditions with a patient's own thresholds in their place."""
    return tuple(
        replace(each, value=float(own)) if isinstance(own := parameters.get(each.signal), int | float) else each
        for each in conditions
    )


def pressure_dots(
    values: Iterable[Valued], span: Span, conditions: Sequence[Condition], *, struck: str = ""
) -> list[Dot]:
    """The usable blood pressures that lie in the span; crossed out, with why."""
    return [
        Dot(
            day=day,
            high=value.systolic_mmhg,
            low=value.diastolic_mmhg,
            slot=slot_at(value.measured_at, span.zone),
            is_past_line=is_past(value, conditions),
            struck=struck,
        )
        for value in values
        if value.kind == "blood_pressure" and value.quality == "accepted" and value.systolic_mmhg is not None
        if 0 <= (day := span.place(value.measured_at)) <= span.days
    ]


def value_dots(
    values: Iterable[Valued], span: Span, kind: str, conditions: Sequence[Condition], *, struck: str = ""
) -> list[Dot]:
    """The usable values of a kind that has one number, as far as they lie in the span; crossed out, with why."""
    return [
        Dot(
            day=day,
            high=value.value,
            slot=slot_at(value.measured_at, span.zone),
            is_past_line=is_past(value, conditions),
            struck=struck,
        )
        for value in values
        if value.kind == kind and value.quality == "accepted" and value.value is not None
        if 0 <= (day := span.place(value.measured_at)) <= span.days
    ]


def struck_readings(
    values: Iterable[ShownReading], said: Corrections, zone: str, words: Words
) -> list[tuple[ShownReading, str]]:
    """What a clinician has said does not count here, with why, who and when."""
    return [
        (value, say_correction(last, value, zone, words))
        for value in values
        if value.standing != "in_use" and (last := said.get(value.reading_id)) is not None
    ]


def say_pressures(dots: Sequence[Dot], span: Span, lines: Sequence[float], words: Words) -> str:
    """The chart in words."""
    highest = max(dots, key=lambda dot: dot.high)
    return words.say(
        "Blood pressure, last %(days)s days: %(n)s readings, %(past)s of them past the line %(lines)s; "
        "highest %(highest)s, latest %(latest)s mmHg.",
        days=span.days,
        n=len(dots),
        past=sum(dot.is_past_line or bool(dot.is_low_past_line) for dot in dots),
        lines="/".join(words.number(line) for line in lines),
        highest=words.pressure(highest.high, highest.low),
        latest=words.pressure(dots[-1].high, dots[-1].low),
    )


def say_values(dots: Sequence[Dot], span: Span, kind: str, words: Words) -> str:
    """The chart of a kind with one value in words."""
    lowest, highest, latest = min(dot.high for dot in dots), max(dot.high for dot in dots), dots[-1].high
    return words.say(
        "%(kind)s, last %(days)s days: %(n)s readings; lowest %(lowest)s, highest %(highest)s, latest %(latest)s %(unit)s.",
        kind=words.among(KINDS, kind),
        days=span.days,
        n=len(dots),
        lowest=words.amount(kind, lowest),
        highest=words.amount(kind, highest),
        latest=words.amount(kind, latest),
        unit=UNITS[kind],
    )


def day_names(span: Span, words: Words) -> list[tuple[float, str]]:
    """Every seventh day counted back from the last, under the middle of its day; of a week each, of a long span fewer."""
    first = span.begins_at.date()
    step = 1 if span.days <= 7 else 7 * -(-span.days // 70)
    return [(back + 0.5, words.short_date(first + back * DAY)) for back in range(span.days - 1, -1, -step)][::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRow:
    """One line of a table of readings, in words. `corrected`: what a clinician has said of it last, or nothing."""

    reading_id: UUID
    at: str
    slot: Slot
    value: str
    unit: str
    pulse: str
    detail: str
    quality: str
    is_usable: bool
    is_past_line: bool
    time_quality: str
    meter_id: str
    corrected: str


def reading_row(
    reading: ShownReading,
    zone: str,
    conditions: Sequence[Condition],
    words: Words,
    said: Corrections = NOTHING_SAID,
) -> ReadingRow:
    last = said.get(reading.reading_id)
    is_usable = reading.quality == "accepted" and reading.standing == "in_use"
    reasons = [words.among(QUALITY_REASONS, reason) for reason in reading.quality_reasons]
    quality = words.among(QUALITIES, reading.quality)
    return ReadingRow(
        reading_id=reading.reading_id,
        at=words.moment(reading.measured_at, zone),
        slot=slot_at(reading.measured_at, zone),
        value=shown_value(reading, words),
        unit=shown_unit(reading),
        pulse="" if reading.pulse_bpm is None or reading.kind == "heart_rate" else words.number(reading.pulse_bpm),
        detail=words.listed(
            [*shown_kind(reading, words), *([words.among(MEALS, reading.meal)] if reading.meal else [])]
        ),
        quality=words.say("%(quality)s (%(reasons)s)", quality=quality, reasons=words.listed(reasons))
        if reasons
        else quality,
        is_usable=is_usable,
        is_past_line=is_usable and is_past(reading, conditions),
        time_quality=words.among(TIME_QUALITIES, reading.time_quality),
        meter_id=reading.meter_id,
        corrected="" if last is None else say_correction(last, reading, zone, words),
    )


def shown_kind(reading: ShownReading, words: Words) -> list[str]:
    """What was measured, where the unit does not say it."""
    says_it_itself = reading.kind in ("blood_pressure", "glucose") and not reading.is_failed
    return [] if says_it_itself else [words.among(KINDS, reading.kind)]


def shown_value(reading: ShownReading, words: Words) -> str:
    """152/94, 7.0, 81.4, HI; in words that it failed, where the meter gave no value or half of one."""
    if reading.is_failed:
        return words.say("measurement failed")
    if reading.kind == "blood_pressure":
        return words.pressure(reading.systolic_mmhg, reading.diastolic_mmhg)
    if reading.glucose_censored:
        return reading.glucose_censored
    assert reading.value is not None
    return words.amount(reading.kind, reading.value)


def shown_unit(reading: ShownReading) -> str:
    """What the value is in; nothing where there is none."""
    return "" if reading.is_failed else UNITS[reading.kind]
