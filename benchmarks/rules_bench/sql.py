"""The rules as SQL with window functions: one statement for all rules over readings, one for all over days.

What a rule says is a nullable boolean: null where it is not evaluable. DuckDB and PostgreSQL differ in little, and that little
is a `Dialect`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from benchmarks.rules_bench.specs import (
    DAY_S,
    HOUR_S,
    Confirmed,
    CountOfLast,
    DaysInARow,
    LowGlucoseRisk,
    RangeShare,
    Rise,
    Rolling,
    RuleSpec,
    Silence,
)

COLUMNS: Final = ("patient", "at_s", "systolic", "diastolic", "pulse", "glucose", "day", "sitting")
"""Of the table `reading`: one row a reading, keyed by `(patient, at_s)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What an engine says in its own way. Braces stand for what is filled in."""

    with_risk: str
    """What readings are read from where `risk`, the risk of a reading's glucose, is asked for."""
    risk: str
    sitting_value: str
    """Of `{column}`: the mean of a sitting, or twice that as an integer."""
    day_exceeds: str
    """Whether the mean of sitting values `{column}` is above `{threshold}`."""
    said_before: str
    """What `{says}` was at the patient's last evaluable point before (windows: `by_time`, `before`)."""


def statement_of_readings(rules: Sequence[RuleSpec], until_s: int, dialect: Dialect) -> str:
    """One row: count and sum of each rule, in order. None of `rules` may be of days."""
    windows = [
        "by_time as (partition by patient order by at_s)",
        "before as (partition by patient order by at_s rows between unbounded preceding and 1 preceding)",
    ]
    hours = sorted({rule.hours for rule in rules if isinstance(rule, Rolling | RangeShare | LowGlucoseRisk | Rise)})
    windows += [
        f"hours_{each} as (partition by patient order by at_s "
        f"range between {each * HOUR_S - 1} preceding and current row)"
        for each in hours
    ]
    lasts = sorted({rule.of for rule in rules if isinstance(rule, CountOfLast)})
    windows += [
        f"last_{each} as (partition by patient order by at_s rows between {each - 1} preceding and current row)"
        for each in lasts
    ]
    features: dict[str, str] = {}
    for rule in rules:
        features |= _features(rule, until_s, dialect)
    source = dialect.with_risk if any(isinstance(rule, LowGlucoseRisk) for rule in rules) else "reading"
    says = [f"{_says(rule)} as says_{number}" for number, rule in enumerate(rules)]
    raises = [_raises(number, rule, dialect) for number, rule in enumerate(rules)]
    figures = [_figures(number, _time(rule)) for number, rule in enumerate(rules)]
    return f"""
        with feature as (
            select patient, at_s, systolic, glucose, {_listed(f"{what} as {name}" for name, what in features.items())}
            from {source}
            window {_listed(windows)}
        ), verdict as (
            select patient, at_s, {_listed(says)} from feature
        ), edge as (
            select at_s, {_listed(raises)} from verdict
            window {_listed(windows[:2])}
        )
        select {_listed(figures)} from edge"""


def statement_of_days(rules: Sequence[DaysInARow], dialect: Dialect) -> str:
    """One row: count and sum of each rule, in order."""
    above: dict[str, str] = {}
    for rule in rules:
        for column, threshold in _thresholds(rule):
            exceeds = dialect.day_exceeds.format(column=column, threshold=threshold)
            above[f"{column}_above_{threshold}"] = exceeds
    high = [f"({_joined(rule)}) as high_{number}" for number, rule in enumerate(rules)]
    says = [
        f"count(*) filter (where high_{number}) over last_{rule.days} = {rule.days} "
        f"and day - first_value(day) over last_{rule.days} < {rule.span_days} as says_{number}"
        for number, rule in enumerate(rules)
    ]
    windows = [
        f"last_{days} as (partition by patient order by day rows between {days - 1} preceding and current row)"
        for days in sorted({rule.days for rule in rules})
    ]
    raises = [
        f"says_{number} and lag(says_{number}) over by_day is not true as raises_{number}"
        for number in range(len(rules))
    ]
    figures = [_figures(number, f"day * {DAY_S}::bigint") for number in range(len(rules))]
    return f"""
        with sitting_value as (
            select patient, min(day) as day,
                {_listed(f"{dialect.sitting_value.format(column=each)} as {each}" for each in ("systolic", "diastolic"))}
            from reading group by patient, sitting
        ), measured_day as (
            select patient, day, {_listed(f"{what} as {name}" for name, what in above.items())}
            from sitting_value group by patient, day
        ), judged_day as (
            select patient, day, {_listed(high)} from measured_day
        ), verdict as (
            select patient, day, {_listed(says)} from judged_day
            window {_listed(windows)}
        ), edge as (
            select day, {_listed(raises)} from verdict
            window by_day as (partition by patient order by day)
        )
        select {_listed(figures)} from edge"""


def _thresholds(rule: DaysInARow) -> list[tuple[str, int]]:
    found = [("systolic", rule.systolic_above)]
    return found if rule.diastolic_above is None else [*found, ("diastolic", rule.diastolic_above)]


def _joined(rule: DaysInARow) -> str:
    word = " and " if rule.needs_both else " or "
    return word.join(f"{column}_above_{threshold}" for column, threshold in _thresholds(rule))


def _features(rule: RuleSpec, until_s: int, dialect: Dialect) -> dict[str, str]:
    """What a rule needs of a reading's neighbours: columns by name."""
    match rule:
        case Silence():
            return {"silent_s": f"lead(at_s, 1, {until_s}) over by_time - at_s"}
        case CountOfLast():
            hits = f"count(*) filter (where {rule.signal} > {rule.above}) over last_{rule.of}"
            return {f"place_{rule.of}": f"count(*) over last_{rule.of}", _hits(rule): hits}
        case Confirmed():
            critical = f"(systolic >= {rule.systolic_at_least} or diastolic >= {rule.diastolic_at_least})"
            return {
                "critical": critical,
                "critical_before": f"lag({critical}) over by_time",
                "since_s": "at_s - lag(at_s) over by_time",
            }
        case Rise():
            return {f"min_{rule.signal}_{rule.hours}": f"min({rule.signal}) over hours_{rule.hours}"}
        case Rolling() | RangeShare() | LowGlucoseRisk():
            return {f"n_{rule.hours}": f"count(*) over hours_{rule.hours}", **_aggregates(rule, dialect)}
        case DaysInARow():
            raise AssertionError("days have a statement of their own")
        case _:
            assert_never(rule)


def _aggregates(rule: Rolling | RangeShare | LowGlucoseRisk, dialect: Dialect) -> dict[str, str]:
    over = f"over hours_{rule.hours}"
    match rule:
        case RangeShare():
            is_within = f"{rule.signal} between {rule.low} and {rule.high}"
            return {f"within_{rule.signal}_{rule.hours}": f"count(*) filter (where {is_within}) {over}"}
        case LowGlucoseRisk():
            return {f"risk_{rule.hours}": f"(sum({dialect.risk}) {over})::bigint"}
        case Rolling(statistic="count"):
            return {}
        case Rolling(statistic="max" | "min"):
            return {f"{rule.statistic}_{rule.signal}_{rule.hours}": f"{rule.statistic}({rule.signal}) {over}"}
        case Rolling():
            found = {f"sum_{rule.signal}_{rule.hours}": f"(sum({rule.signal}) {over})::bigint"}
            if rule.statistic != "mean":
                square = f"{rule.signal}::int * {rule.signal}"
                found[f"squares_{rule.signal}_{rule.hours}"] = f"(sum({square}) {over})::bigint"
            return found


def _says(rule: RuleSpec) -> str:
    match rule:
        case Silence():
            return f"silent_s > {rule.hours * HOUR_S}"
        case CountOfLast():
            return f"case when place_{rule.of} = {rule.of} then {_hits(rule)} >= {rule.hits} end"
        case Confirmed():
            return f"critical and critical_before is true and since_s <= {rule.within_s}"
        case Rise():
            return f"{rule.signal} - min_{rule.signal}_{rule.hours} >= {rule.by}"
        case Rolling() | RangeShare() | LowGlucoseRisk():
            says = _window_says(rule)
            if rule.min_readings <= 1:
                return says
            return f"case when n_{rule.hours} >= {rule.min_readings} then {says} end"
        case DaysInARow():
            raise AssertionError("days have a statement of their own")
        case _:
            assert_never(rule)


def _window_says(rule: Rolling | RangeShare | LowGlucoseRisk) -> str:
    count = f"n_{rule.hours}"
    match rule:
        case RangeShare():
            return f"100 * within_{rule.signal}_{rule.hours} < {rule.below_percent} * {count}"
        case LowGlucoseRisk():
            return f"risk_{rule.hours} > {rule.above} * {count}"
        case Rolling(statistic="count"):
            return f"{count} >= {rule.threshold}"
        case Rolling(statistic="max"):
            return f"max_{rule.signal}_{rule.hours} > {rule.threshold}"
        case Rolling(statistic="min"):
            return f"min_{rule.signal}_{rule.hours} < {rule.threshold}"
        case Rolling():
            total = f"sum_{rule.signal}_{rule.hours}"
            if rule.statistic == "mean":
                return f"{total} > {rule.threshold} * {count}"
            scatter = f"({count} * squares_{rule.signal}_{rule.hours} - {total} * {total})"
            if rule.statistic == "sd":
                return f"{scatter} > {rule.threshold**2} * {count} * ({count} - 1)"
            return f"{100**2} * {scatter} * {count} > {rule.threshold**2} * {total} * {total} * ({count} - 1)"


def _raises(number: int, rule: RuleSpec, dialect: Dialect) -> str:
    says = f"says_{number}"
    if isinstance(rule, Silence):
        return f"{says} as raises_{number}"
    leaves_gaps = isinstance(rule, Rolling | RangeShare | LowGlucoseRisk) and rule.min_readings > 1
    before = dialect.said_before.format(says=says) if leaves_gaps else f"lag({says}) over by_time"
    return f"{says} and ({before}) is not true as raises_{number}"


def _time(rule: RuleSpec) -> str:
    return f"at_s + {rule.hours * HOUR_S}::bigint" if isinstance(rule, Silence) else "at_s"


def _figures(number: int, time: str) -> str:
    return f"count(*) filter (where raises_{number}), coalesce(sum({time}) filter (where raises_{number}), 0)::bigint"


def _hits(rule: CountOfLast) -> str:
    return f"{rule.signal}_above_{rule.above}_of_{rule.of}"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)
