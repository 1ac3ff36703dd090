"""The rules in polars, in two forms, each one lazy query that shares what the rules have in common.

*rolling* is what its documentation teaches: `rolling` with `group_by` for windows of time, `group_by` for sittings and days.
*sums* is the fastest form known to us: running sums and `join_asof` on a time line along which the patients are laid end to
end. Many patients are taken a part at a time, as its memory asks for. All cores are used, as polars does by itself.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

import polars as pl

from benchmarks.rules_bench.cohort import Cohort
from benchmarks.rules_bench.specs import (
    DAY_S,
    HOUR_S,
    RISK_OF_GLUCOSE,
    Confirmed,
    CountOfLast,
    DaysInARow,
    LowGlucoseRisk,
    Raises,
    RangeShare,
    Rise,
    Rolling,
    RuleSpec,
    Silence,
)

Form = Literal["rolling", "sums"]

PART_PATIENTS: Final = 2000
_APART_S: Final = 4 * 365 * DAY_S  # between one patient's start and the next's; a cohort is shorter

_patient, _at_s, _line, _day = pl.col("patient"), pl.col("at_s"), pl.col("line"), pl.col("day")
_RISK: Final = pl.Series("risk", RISK_OF_GLUCOSE, dtype=pl.Int64)


def open_engines(cohort: Cohort) -> list["PolarsEngine"]:
    """Both forms, over the same data frames."""
    assert cohort.until_s - int(cohort.at_s.min()) < _APART_S // 2
    frames = [
        _load(cohort.part(begin, min(begin + PART_PATIENTS, cohort.patients)))
        for begin in range(0, cohort.patients, PART_PATIENTS)
    ]
    return [PolarsEngine(frames, cohort.until_s, form) for form in ("rolling", "sums")]


class PolarsEngine:
    """A cohort as data frames, of some patients each."""

    is_elsewhere = False

    def __init__(self, frames: Sequence[pl.DataFrame], until_s: int, form: Form) -> None:
        self.name = f"polars, {form}"
        self.threads = pl.thread_pool_size()
        self._form: Form = form
        self._until_s = until_s
        self._frames = frames

    def judge(self, rules: Sequence[RuleSpec]) -> list[Raises]:
        counts, sums = [0] * len(rules), [0] * len(rules)
        for frame in self._frames:
            for number, (count, total) in enumerate(self._judge_part(frame.lazy(), rules)):
                counts[number] += count
                sums[number] += total
        return list(zip(counts, sums, strict=True))

    def close(self) -> None:
        self._frames = []

    def _judge_part(self, frame: pl.LazyFrame, rules: Sequence[RuleSpec]) -> Iterator[Raises]:
        of_days = [rule for rule in rules if isinstance(rule, DaysInARow)]
        of_readings = [rule for rule in rules if not isinstance(rule, DaysInARow)]
        plans = []
        if of_days:
            plans.append(_of_days(_days(frame, self._form), of_days))
        if of_readings:
            plans.append(_of_readings(_with_windows(frame, of_readings, self._form), of_readings, self._until_s))
        answers: dict[str, int] = {}
        for answer in pl.collect_all(plans):
            answers |= answer.row(0, named=True)
        for rule in rules:
            yield answers[f"count {rule.name}"], answers[f"sum {rule.name}"]


def _load(cohort: Cohort) -> pl.DataFrame:
    columns = ("at_s", "systolic", "diastolic", "pulse", "glucose", "day", "sitting")
    frame = pl.DataFrame({"patient": cohort.patient, **{name: getattr(cohort, name) for name in columns}})
    return frame.with_columns(_patient.set_sorted(), pl.col("sitting").set_sorted())


def _raises(name: str, at: pl.Expr, evaluable: str | None = None) -> tuple[pl.Expr, pl.Expr]:
    """The two figures of a rule as aggregates, from the column of its yeses: raised where it says yes and at the patient's
    evaluable point before did not.

    Without a column `evaluable` every point counts, which is as well where a patient's first points are a no instead.
    """
    is_yes, patient = pl.col(name), _patient
    if evaluable is not None:
        is_yes, at, patient = (each.filter(pl.col(evaluable)) for each in (is_yes, at, patient))
    is_first = (patient != patient.shift(1)).fill_null(value=True)
    return _figures(name, is_yes & (is_first | ~is_yes.shift(1, fill_value=False)), at)


def _figures(name: str, is_raise: pl.Expr, at: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    return (
        is_raise.sum().cast(pl.Int64).alias(f"count {name}"),
        at.filter(is_raise).cast(pl.Int64).sum().alias(f"sum {name}"),
    )


def _has_before(points: int) -> pl.Expr:
    """Whether the patient has so many points before this one."""
    return (_patient == _patient.shift(points)).fill_null(value=False)


# --- days ---------------------------------------------------------------------------------------------------------------


def _days(frame: pl.LazyFrame, form: Form) -> pl.LazyFrame:
    """`patient, day, systolic, diastolic`: the measured days in order, with their values."""
    if form == "sums":
        return _days_by_running_sums(frame)
    sittings = frame.group_by("sitting", maintain_order=True).agg(
        _patient.first(), _day.first(), pl.col("systolic").mean(), pl.col("diastolic").mean()
    )
    key = _patient.cast(pl.Int64) * 10_000_000 + _day  # one sorted key is grouped twice as fast as two
    days = sittings.with_columns(key=key.set_sorted()).group_by("key", maintain_order=True)
    return days.agg(_patient.first(), _day.first(), pl.col("systolic").mean(), pl.col("diastolic").mean()).drop("key")


def _days_by_running_sums(frame: pl.LazyFrame) -> pl.LazyFrame:
    """A run's sum is the running sum at its last row less that at the last row of the run before."""
    pressures = ("systolic", "diastolic")
    sitting, row = pl.col("sitting"), pl.col("row")
    sittings = (
        frame.select(
            "patient",
            "sitting",
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row"),
            pl.when(sitting != sitting.shift(1, fill_value=-1)).then(_day).forward_fill(),
            *(pl.col(name).cast(pl.Int64).cum_sum() for name in pressures),
        )
        .filter(sitting != sitting.shift(-1, fill_value=-1))
        .select("patient", "day", *(_step(pl.col(name)) / _step(row) for name in pressures))
    )
    return (
        sittings.with_columns(
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row"), *(pl.col(name).cum_sum() for name in pressures)
        )
        .filter((_day != _day.shift(-1, fill_value=-1)) | (_patient != _patient.shift(-1, fill_value=-1)))
        .select("patient", "day", *(_step(pl.col(name)) / _step(row) for name in pressures))
    )


def _step(running: pl.Expr) -> pl.Expr:
    return running - running.shift(1, fill_value=0)


def _of_days(days: pl.LazyFrame, rules: Sequence[DaysInARow]) -> pl.LazyFrame:
    """Means of halves are exact in binary, so a comparison of floats is one of the integers they stand for."""
    says = days.select("patient", "day", *(_days_say(rule).alias(rule.name) for rule in rules))
    day_s = _day.cast(pl.Int64) * DAY_S
    return says.select(figure for rule in rules for figure in _raises(rule.name, day_s))


def _days_say(rule: DaysInARow) -> pl.Expr:
    back = rule.days - 1
    is_above = pl.col("systolic") > rule.systolic_above
    if rule.diastolic_above is not None:
        other = pl.col("diastolic") > rule.diastolic_above
        is_above = is_above & other if rule.needs_both else is_above | other
    is_yes = _has_before(back) & (_day - _day.shift(back, fill_value=0) < rule.span_days)
    for step in range(rule.days):
        is_yes = is_yes & is_above.shift(step, fill_value=False)
    return is_yes


# --- readings -----------------------------------------------------------------------------------------------------------


def _with_windows(frame: pl.LazyFrame, rules: Sequence[RuleSpec], form: Form) -> pl.LazyFrame:
    """The readings with what the rules need of their windows: columns named by `_named`."""
    frame = frame.with_columns(line=_patient.cast(pl.Int64) * _APART_S + _at_s).with_columns(_line.set_sorted())
    needed: dict[int, dict[str, pl.Expr]] = {}
    for rule in rules:
        if isinstance(rule, Rolling | RangeShare | LowGlucoseRisk | Rise):
            needed.setdefault(rule.hours, {}).update(_needed(rule))
    windows = [frame]
    for hours, terms in needed.items():
        if form == "rolling":
            windows.append(_rolled(frame, hours, terms))
        else:
            windows.append(_summed(frame, hours, terms))
    return pl.concat(windows, how="horizontal")


def _needed(rule: Rolling | RangeShare | LowGlucoseRisk | Rise) -> dict[str, pl.Expr]:
    """What is aggregated over a rule's window: by its name, the term whose sum or extreme is sought."""
    match rule:
        case Rise():
            return {f"min {rule.signal}": pl.col(rule.signal)}
        case RangeShare():
            is_within = pl.col(rule.signal).is_between(rule.low, rule.high)
            return {"n": pl.lit(1), f"within {rule.signal}": is_within.cast(pl.Int64)}
        case LowGlucoseRisk():
            return {"n": pl.lit(1), "risk": pl.lit(_RISK).gather(pl.col("glucose"))}
        case Rolling(statistic="max" | "min"):
            return {f"{rule.statistic} {rule.signal}": pl.col(rule.signal)}
        case Rolling(statistic="count"):
            return {"n": pl.lit(1)}
        case Rolling():
            value = pl.col(rule.signal).cast(pl.Int64)
            needed = {"n": pl.lit(1), f"sum {rule.signal}": value}
            return needed if rule.statistic == "mean" else {**needed, f"squares {rule.signal}": value * value}


def _named(name: str, hours: int) -> str:
    return f"{name} in {hours} h"


def _rolled(frame: pl.LazyFrame, hours: int, terms: dict[str, pl.Expr]) -> pl.LazyFrame:
    plain = {name: term for name, term in terms.items() if name not in ("n", "risk")}
    if "risk" in terms:
        frame, plain["risk"] = frame.with_columns(risk=terms["risk"]), pl.col("risk")
    rolled = frame.rolling(index_column="at_s", period=f"{hours * HOUR_S}i", group_by="patient").agg(
        pl.len().cast(pl.Int64).alias(_named("n", hours)),
        *(_aggregate(name, term).alias(_named(name, hours)) for name, term in plain.items()),
    )
    return rolled.drop("patient", "at_s")


def _aggregate(name: str, term: pl.Expr) -> pl.Expr:
    if name.startswith("min "):
        return term.min()
    return term.max() if name.startswith("max ") else term.sum()


def _summed(frame: pl.LazyFrame, hours: int, terms: dict[str, pl.Expr]) -> pl.LazyFrame:
    """Sums as differences of running sums, the earlier one being that of the last reading before the window."""
    window = f"{hours * HOUR_S}i"
    extremes, running = [], {}
    for name, term in terms.items():
        if name == "n":
            running[name] = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
        elif name.startswith("min "):
            extremes.append(term.rolling_min_by("line", window_size=window).alias(_named(name, hours)))
        elif name.startswith("max "):
            extremes.append(term.rolling_max_by("line", window_size=window).alias(_named(name, hours)))
        else:
            running[name] = term.cum_sum()
    sums = frame.select("line", **running).with_columns(before=(_line - hours * HOUR_S).set_sorted())
    joined = sums.join_asof(sums.drop("before"), left_on="before", right_on="line", suffix=" before").select(
        (pl.col(name) - pl.col(f"{name} before").fill_null(0)).alias(_named(name, hours)) for name in running
    )
    if not extremes:
        return joined
    return pl.concat([joined, frame.select(extremes)], how="horizontal") if running else frame.select(extremes)


def _of_readings(frame: pl.LazyFrame, rules: Sequence[RuleSpec], until_s: int) -> pl.LazyFrame:
    """In two steps, so that nothing is computed once for its edges' own row and once for the row before."""
    says: dict[str, pl.Expr] = {}
    figures: list[pl.Expr] = []
    for rule in rules:
        says[rule.name] = _says(rule, until_s)
        evaluable = None
        if isinstance(rule, Rolling | RangeShare | LowGlucoseRisk) and rule.min_readings > 1:
            evaluable = f"{rule.min_readings} in {rule.hours} h"
            says[evaluable] = pl.col(_named("n", rule.hours)) >= rule.min_readings
        if isinstance(rule, Silence):
            figures += _figures(rule.name, pl.col(rule.name), _at_s.cast(pl.Int64) + rule.hours * HOUR_S)
        else:
            figures += _raises(rule.name, _at_s, evaluable)
    return frame.select("patient", "at_s", **says).select(figures)


def _says(rule: RuleSpec, until_s: int) -> pl.Expr:
    """Yes or no at each reading."""
    match rule:
        case Silence():
            next_s = pl.when(_patient == _patient.shift(-1)).then(_at_s.shift(-1)).otherwise(until_s)
            return next_s - _at_s > rule.hours * HOUR_S
        case CountOfLast():
            is_hit = (pl.col(rule.signal) > rule.above).cast(pl.Int8)
            hits = pl.sum_horizontal(is_hit.shift(back, fill_value=0) for back in range(rule.of))
            return _has_before(rule.of - 1) & (hits >= rule.hits)
        case Confirmed():
            is_critical = (pl.col("systolic") >= rule.systolic_at_least) | (
                pl.col("diastolic") >= rule.diastolic_at_least
            )
            is_near = (_line - _line.shift(1) <= rule.within_s).fill_null(value=False)
            return is_critical & is_critical.shift(1, fill_value=False) & is_near
        case Rolling() | RangeShare() | LowGlucoseRisk() | Rise():
            return _window_says(rule)
        case DaysInARow():
            raise AssertionError("days are judged from their own table")


def _window_says(rule: Rolling | RangeShare | LowGlucoseRisk | Rise) -> pl.Expr:
    def of(name: str) -> pl.Expr:
        return pl.col(_named(name, rule.hours))

    count = of("n")
    match rule:
        case Rise():
            return pl.col(rule.signal) - of(f"min {rule.signal}") >= rule.by
        case RangeShare():
            return 100 * of(f"within {rule.signal}") < rule.below_percent * count
        case LowGlucoseRisk():
            return of("risk") > rule.above * count
        case Rolling(statistic="count"):
            return count >= rule.threshold
        case Rolling(statistic="max"):
            return of(f"max {rule.signal}") > rule.threshold
        case Rolling(statistic="min"):
            return of(f"min {rule.signal}") < rule.threshold
        case Rolling(statistic="mean"):
            return of(f"sum {rule.signal}") > rule.threshold * count
        case Rolling():
            total = of(f"sum {rule.signal}")
            scatter = count * of(f"squares {rule.signal}") - total * total
            if rule.statistic == "sd":
                return scatter > rule.threshold**2 * count * (count - 1)
            return 100**2 * scatter * count > rule.threshold**2 * total * total * (count - 1)
