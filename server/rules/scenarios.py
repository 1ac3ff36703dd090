"""Scenario files: a patient's readings and what must come of them. Test, demonstration and bug report in one.

Knows the file's format; `rehearsal` plays what it yields and `expectations` compares. Times are ISO 8601 (without an offset:
the patient's wall clock) or `dN HH:MM[:SS]` counted from `start`, which is d1.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, ValidationError

from server.rules.conditions import Part
from server.rules.episodes import Priority
from server.rules.load import explain, read_yaml
from server.rules.rehearsal import Arrival
from server.rules.scenario_readings import Marks, Moment, read_measurement
from server.rules.windows import (
    PatientHistory,
    PersonalThreshold,
    Symptom,
    UnheardSpan,
    ZoneSpan,
    row_of,
    window_of,
)
from vitals import quality
from vitals.errors import MalformedError
from vitals.reading import Measurement

FIRST_DAY: Final = date(2026, 3, 1)
"""d1 where a file says no `start`."""

ENROLLED_BEFORE_DAYS: Final = 30
"""Long enough for the warm-up day to be past."""

REPEATED_MAX: Final = 5000
"""Readings of one line: more than two weeks of a sensor that is read every five minutes."""

_NAMESPACE: Final = UUID("5f0f0a0e-54cb-5d9e-b7b2-9f3f6d1f2c77")


class Expected(Part):
    """One episode that must be there. A key that is left out is not compared."""

    rule: str
    state: Literal["pending", "active", "acknowledged", "snoozed", "resolved", "retracted"] | None = None
    priority: Priority | None = None
    first_day: Moment | None = None
    last_day: Moment | None = None
    opened_at: Moment | None = None
    resolved_at: Moment | None = None
    told: Annotated[tuple[Literal["patient", "doctor"], ...], Field(strict=False)] | None = None
    told_at: Moment | None = None
    raised_at: Moment | None = None
    doctor_told: Annotated[tuple[Moment, ...], Field(strict=False)] | None = None  # each time, in order
    sentence: str | None = None
    sentence_zh: str | None = None


_Answer = Annotated[tuple[Moment, bool], Field(strict=False)]
"""`[d1 07:31, yes]`: asked for symptoms, the patient said so then."""

_Unheard = Annotated[tuple[Moment, Moment | None], Field(strict=False)]
"""`[d4 09:00, d6 12:00]`: nothing of the patient could be heard then; `[d4 09:00, null]`: and it still cannot."""


class _Test(Part):
    name: Annotated[str, Field(min_length=1)]
    rules: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    zone: str = "Asia/Shanghai"
    moves: Annotated[tuple[Any, ...], Field(strict=False)] = ()
    start: date = FIRST_DAY
    enrolled: Moment | None = None
    thresholds: dict[str, dict[str, Any]] = Field(default_factory=dict)
    readings: Annotated[tuple[Any, ...], Field(strict=False)]
    symptoms: Annotated[tuple[_Answer, ...], Field(strict=False)] = ()
    unheard: Annotated[tuple[_Unheard, ...], Field(strict=False)] = ()
    arrive: Annotated[str, Field(pattern=r"^(in_order|reversed|at_once|shuffled:[0-9]+|late:[0-9]+([.][0-9]+)?)$")] = (
        "in_order"
    )
    now: Moment | None = None
    expect: Annotated[
        tuple[Expected, ...], Field(strict=False), BeforeValidator(lambda value: () if value == "none" else value)
    ]


class _File(Part):
    rules: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    tests: Annotated[tuple[_Test, ...], Field(strict=False, min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One test of a scenario file, ready to be played. `moment` reads the file's own way of writing a time."""

    file: Path
    name: str
    rules: tuple[str, ...]
    patient: PatientHistory
    arrivals: tuple[Arrival, ...]
    now: datetime
    expected: tuple[Expected, ...]
    moment: Callable[[Moment], datetime]
    day: Callable[[Moment], date]


def load_scenarios(file: Path) -> tuple[Scenario, ...]:
    """The scenarios of `file`; raises `MalformedError` (`scenario`) naming the file, the test and the field."""
    try:
        parsed = _File.model_validate(read_yaml(file))
    except ValidationError as e:
        raise MalformedError("scenario", explain(e, file), str(file)) from e
    names = [test.name for test in parsed.tests]
    if len(set(names)) != len(names):
        raise MalformedError("scenario", f"{file}: tests: two tests have the same name", str(file))
    return tuple(_Scene(file=file, test=test).scenario(parsed.rules) for test in parsed.tests)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    file: Path
    test: _Test

    def scenario(self, of_file: tuple[str, ...]) -> Scenario:
        rules = self._rules(of_file)
        readings = [reading for index, item in enumerate(self.test.readings) for reading in self._readings(index, item)]
        spans = self._spans(readings)
        now = self._now(readings)
        return Scenario(
            file=self.file,
            name=self.test.name,
            rules=rules,
            patient=PatientHistory(
                patient_id=1,
                enrolled_on=self._enrolled(readings),
                zones=spans,
                window=window_of(()),
                thresholds=self._thresholds(rules),
                symptoms=tuple(
                    Symptom(at=self._instant(at, f"symptoms.{index}"), has_symptoms=has_symptoms)
                    for index, (at, has_symptoms) in enumerate(self.test.symptoms)
                ),
                unheard=tuple(self._unheard(index, *span) for index, span in enumerate(self.test.unheard)),
            ),
            arrivals=self._arrivals(readings, now),
            now=now,
            expected=self.test.expect,
            moment=lambda moment: self._instant(moment, "expect"),
            day=lambda moment: self._day(moment, "expect"),
        )

    def _rules(self, of_file: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the file, or those among them that the test names: the others are silent in it."""
        rules = of_file if self.test.rules is None else self.test.rules
        for rule_id in rules:
            if rule_id not in of_file:
                raise self._wrong("rules", f"{rule_id} is not among the rules of this file")
        return rules

    # Time

    def _instant(self, moment: Moment, field: str) -> datetime:
        """An aware instant. A wall clock is read in the zone in force then; of a repeated hour the first is meant."""
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            return moment.astimezone(UTC)
        wall = self._wall(moment, field)
        if wall.tzinfo is not None:
            return wall.astimezone(UTC)
        for start, zone in reversed(self._moves()):
            instant = wall.replace(tzinfo=zone).astimezone(UTC)
            if instant >= start:
                return instant
        return wall.replace(tzinfo=self._zone(self.test.zone, "zone")).astimezone(UTC)

    def _wall(self, moment: Moment, field: str) -> datetime:
        if isinstance(moment, datetime):
            return moment
        if isinstance(moment, date):
            return datetime.combine(moment, time())
        counted = re.fullmatch(r"d(\d{1,4}) (\d{1,2}:\d{2}(?::\d{2})?)", moment.strip())
        try:
            if counted is None:
                return datetime.fromisoformat(moment)
            day = self.test.start + timedelta(days=int(counted[1]) - 1)
            return datetime.combine(day, time.fromisoformat(counted[2].zfill(5 if len(counted[2]) < 6 else 8)))
        except ValueError as e:
            raise self._wrong(field, f"{moment!r} is not a time; write 2026-03-01T07:30:00+08:00 or d1 07:30") from e

    def _day(self, moment: Moment, field: str) -> date:
        if isinstance(moment, date) and not isinstance(moment, datetime):
            return moment
        counted = re.fullmatch(r"d(\d{1,4})", moment.strip()) if isinstance(moment, str) else None
        if counted is None:
            raise self._wrong(field, f"{moment!r} is not a day; write 2026-03-01 or d1")
        return self.test.start + timedelta(days=int(counted[1]) - 1)

    def _zone(self, name: str, field: str) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as e:
            raise self._wrong(field, f"{name!r} is not an IANA time zone") from e

    def _moves(self) -> list[tuple[datetime, ZoneInfo]]:
        """(from, zone) of every move; the instant of a move carries its own offset."""
        moves = []
        for index, item in enumerate(self.test.moves):
            field = f"moves.{index}"
            if not isinstance(item, list) or len(item) != 2 or not isinstance(item[1], str):
                raise self._wrong(field, "a move is [instant, zone]")
            if not isinstance(item[0], datetime) or item[0].tzinfo is None:
                raise self._wrong(field, "the instant of a move needs its offset: 2026-03-01T12:00:00+08:00")
            moves.append((item[0].astimezone(UTC), self._zone(item[1], field)))
        return sorted(moves, key=lambda move: move[0])

    def _spans(self, readings: list["_Reading"]) -> tuple[ZoneSpan, ...]:
        self._zone(self.test.zone, "zone")
        first = min((r.measured_at for r in readings), default=datetime(2020, 1, 1, tzinfo=UTC))
        moves = self._moves()
        start = min([first, *(at for at, _ in moves)]) - timedelta(days=ENROLLED_BEFORE_DAYS)
        home = ZoneSpan(valid_from=start, zone=self.test.zone)
        return (home, *(ZoneSpan(valid_from=at, zone=zone.key) for at, zone in moves))

    def _now(self, readings: list["_Reading"]) -> datetime:
        newest = max((r.measured_at for r in readings), default=self._instant("d1 09:00", "now"))
        if self.test.now is None:
            wall = newest.astimezone(self._moves()[-1][1] if self.test.moves else ZoneInfo(self.test.zone))
            return self._instant(datetime.combine(wall.date() + timedelta(days=1), time(9)), "now")
        return self._instant(self.test.now, "now")

    # The patient

    def _enrolled(self, readings: list["_Reading"]) -> date:
        if self.test.enrolled is not None:
            return self._day(self.test.enrolled, "enrolled")
        first = min((r.measured_at for r in readings), default=self._instant("d1 09:00", "now"))
        local = first.astimezone(ZoneInfo(self.test.zone)).date()
        return local - timedelta(days=ENROLLED_BEFORE_DAYS)

    def _unheard(self, index: int, began: Moment, ended: Moment | None) -> UnheardSpan:
        field = f"unheard.{index}"
        return UnheardSpan(
            began=self._instant(began, field), ended=None if ended is None else self._instant(ended, field)
        )

    def _thresholds(self, rules: tuple[str, ...]) -> dict[str, PersonalThreshold]:
        for rule_id in self.test.thresholds:
            if rule_id not in rules:
                raise self._wrong("thresholds", f"{rule_id} is not among the rules of this test")
        own = self.test.thresholds
        return {
            rule_id: PersonalThreshold(version=int(rule_id in own), parameters=own.get(rule_id, {}), is_watched=True)
            for rule_id in rules
        }

    # Readings

    def _readings(self, index: int, item: Any) -> list["_Reading"]:
        """What a line says: one reading, or the same again and again."""
        field = f"readings.{index}"
        if not isinstance(item, list) or len(item) < 3:
            shown = "[d1 07:30, bp, 152, 94] or [d1 07:30, weight, 81.4]"
            raise self._wrong(field, f"a reading is [time, kind, value …, marks …]: {shown}")
        if not isinstance(item[0], datetime | str):
            raise self._wrong(field, f"{item[0]!r} is not a time")
        measured_at = self._instant(item[0], field)
        try:
            measured, marks = read_measurement(item[1], item[2:])
        except MalformedError as e:
            raise self._wrong(field, e.message) from e
        arrives = None if marks.arrives is None else self._instant(marks.arrives, field)
        received = None if marks.received is None else self._instant(marks.received, field)
        return [
            _Reading(
                reading_id=uuid5(_NAMESPACE, f"{self.test.name} {index}{f' {number}' if number else ''}"),
                measured=measured,
                measured_at=at,
                quality=marks.quality or quality.grade(measured)[0].value,
                time_quality=marks.time_quality,
                arrives=arrives,
                received=received or arrives,
            )
            for number, at in enumerate(self._times(measured_at, marks, field))
        ]

    def _times(self, first: datetime, marks: Marks, field: str) -> list[datetime]:
        if marks.every_minutes is None or marks.until is None:
            return [first]
        step = timedelta(minutes=marks.every_minutes)
        more = (self._instant(marks.until, field) - first) // step
        if not 0 <= more <= REPEATED_MAX:
            raise self._wrong(field, f"until is before the reading, or more than {REPEATED_MAX} readings after it")
        return [first + number * step for number in range(more + 1)]

    def _arrivals(self, readings: list["_Reading"], now: datetime) -> tuple[Arrival, ...]:
        """When each reading comes to the judge. A permuted arrival happens between the last reading and `now`."""
        word, _, value = self.test.arrive.partition(":")
        late = timedelta(hours=float(value)) if word == "late" else timedelta(0)
        if word in ("in_order", "late"):
            return tuple(r.arrival(r.arrives or r.measured_at + late, r.measured_at + late) for r in readings)
        newest = max((r.measured_at for r in readings), default=now)
        if newest >= now:
            raise self._wrong("now", f"arrive: {word} needs a now after the last reading")
        order = sorted(readings, key=lambda r: r.measured_at, reverse=True)
        if word == "shuffled":
            order = sorted(readings, key=lambda r: uuid5(_NAMESPACE, f"{value} {r.reading_id}"))
        if word == "at_once":
            return tuple(r.arrival(newest + (now - newest) / 2, r.measured_at) for r in readings)
        step = (now - newest) / (len(order) + 1)
        return tuple(r.arrival(newest + step * (index + 1), r.measured_at) for index, r in enumerate(order))

    def _wrong(self, field: str, message: str) -> MalformedError:
        return MalformedError("scenario", f"{self.file}: test {self.test.name!r}: {field}: {message}", field)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    reading_id: UUID
    measured: Measurement
    measured_at: datetime
    quality: str
    time_quality: str
    arrives: datetime | None
    received: datetime | None

    def arrival(self, at: datetime, received_at: datetime) -> Arrival:
        row = row_of(
            self.measured,
            reading_id=self.reading_id,
            measured_at=self.measured_at,
            received_at=self.received or received_at,
            quality=self.quality,
            time_quality=self.time_quality,
        )
        return Arrival(at=at, row=row)
