"""The rules in pandas, one thread, in the fastest form known to us.

`groupby(...).rolling("72h")` takes fourteen times as long as one `rolling("72h")` over a time line along which the patients are
laid end to end, further apart than any window is long; so that is what is done. Days are differences of running sums at the last
row of each sitting and day, which beats `groupby` too. Sums come as floats, and are exact: none of these reaches 2**53.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

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

_APART_S: Final = 4 * 365 * DAY_S  # between one patient's start and the next's; a cohort is shorter
_RISK: Final = np.array(RISK_OF_GLUCOSE, np.int64)


class PandasEngine:
    """A cohort as a data frame."""

    name = "pandas"
    threads = 1
    is_elsewhere = False

    def __init__(self, cohort: Cohort) -> None:
        assert cohort.until_s - int(cohort.at_s.min()) < _APART_S // 2
        columns = ("at_s", "systolic", "diastolic", "pulse", "glucose", "day", "sitting")
        self._frame = pd.DataFrame({"patient": cohort.patient, **{name: getattr(cohort, name) for name in columns}})
        self._until_s = cohort.until_s

    def judge(self, rules: Sequence[RuleSpec]) -> list[Raises]:
        return [_figures(raised) for raised in map(_Judging(self._frame, self._until_s).raises, rules)]

    def close(self) -> None:
        self._frame = self._frame.iloc[:0]


def _figures(raised: "pd.Series[Any]") -> Raises:
    return len(raised), int(raised.sum())


class _Judging:
    """One pass over some rules, with what they share."""

    def __init__(self, frame: pd.DataFrame, until_s: int) -> None:
        line = pd.DatetimeIndex((frame["patient"].astype("int64") * _APART_S + frame["at_s"]).astype("datetime64[s]"))
        self._frame = frame
        self._on_line = frame.set_index(line)
        self._until_s = until_s
        self._kept: dict[Any, Any] = {}

    def raises(self, rule: RuleSpec) -> "pd.Series[Any]":
        """The times of the raises."""
        at_s, patient = self._frame["at_s"].astype("int64"), self._frame["patient"]
        match rule:
            case DaysInARow():
                return self._days_in_a_row(rule)
            case Silence():
                next_s = at_s.shift(-1).where(patient == patient.shift(-1), self._until_s)
                return at_s[next_s - at_s > rule.hours * HOUR_S] + rule.hours * HOUR_S
            case CountOfLast():
                hits = (self._frame[rule.signal] > rule.above).cumsum()
                is_yes = hits - hits.shift(rule.of, fill_value=0) >= rule.hits
                return at_s[_edges(is_yes & (patient == patient.shift(rule.of - 1)), patient)]
            case Rise():
                least = self._window(rule.hours, f"min {rule.signal}")
                return at_s[_edges(self._frame[rule.signal] - least >= rule.by, patient)]
            case Confirmed():
                return at_s[_edges(self._confirmed(rule), patient)]
            case Rolling() | RangeShare() | LowGlucoseRisk():
                is_yes = self._window_says(rule)
                if rule.min_readings <= 1:
                    return at_s[_edges(is_yes, patient)]
                evaluable = self._window(rule.hours, "n") >= rule.min_readings
                return at_s[evaluable][_edges(is_yes[evaluable], patient[evaluable])]

    def _window_says(self, rule: Rolling | RangeShare | LowGlucoseRisk) -> "pd.Series[Any]":
        def of(name: str) -> "pd.Series[Any]":
            return self._window(rule.hours, name)

        match rule:
            case RangeShare():
                within = self._frame[rule.signal].between(rule.low, rule.high).astype("int64")
                return 100 * self._rolled(within, rule.hours, "sum") < rule.below_percent * of("n")
            case LowGlucoseRisk():
                risk = pd.Series(_RISK[self._frame["glucose"].to_numpy()])
                return self._rolled(risk, rule.hours, "sum") > rule.above * of("n")
            case Rolling(statistic="count"):
                return of("n") >= rule.threshold
            case Rolling(statistic="max"):
                return of(f"max {rule.signal}") > rule.threshold
            case Rolling(statistic="min"):
                return of(f"min {rule.signal}") < rule.threshold
            case Rolling(statistic="mean"):
                return of(f"sum {rule.signal}") > rule.threshold * of("n")
            case Rolling():
                count, total = of("n"), of(f"sum {rule.signal}")
                squares = self._rolled(self._frame[rule.signal].astype("int64") ** 2, rule.hours, "sum")
                scatter = count * squares - total * total
                if rule.statistic == "sd":
                    return scatter > rule.threshold**2 * count * (count - 1)
                return 100**2 * scatter * count > rule.threshold**2 * total * total * (count - 1)

    def _window(self, hours: int, name: str) -> "pd.Series[Any]":
        """`n`, or `sum`, `min` or `max` of a signal."""

        def make() -> "pd.Series[Any]":
            if name == "n":
                return self._rolled(self._frame["systolic"], hours, "count")
            statistic, signal = name.split()
            return self._rolled(self._frame[signal], hours, statistic)

        return self._once((hours, name), make)

    def _rolled(self, values: "pd.Series[Any]", hours: int, statistic: str) -> "pd.Series[Any]":
        """As whole numbers, by row."""
        rolling = values.set_axis(self._on_line.index).rolling(f"{hours}h")
        return getattr(rolling, statistic)().astype("int64").reset_index(drop=True)

    def _confirmed(self, rule: Confirmed) -> "pd.Series[Any]":
        frame = self._frame
        is_critical = (frame["systolic"] >= rule.systolic_at_least) | (frame["diastolic"] >= rule.diastolic_at_least)
        is_near = (frame["at_s"].diff() <= rule.within_s) & (frame["patient"] == frame["patient"].shift())
        return is_critical & is_critical.shift(fill_value=False) & is_near

    def _days_in_a_row(self, rule: DaysInARow) -> "pd.Series[Any]":
        days = self._once("days", self._days)
        is_above = days["systolic"] > rule.systolic_above
        if rule.diastolic_above is not None:
            other = days["diastolic"] > rule.diastolic_above
            is_above = is_above & other if rule.needs_both else is_above | other
        back = rule.days - 1
        is_yes = (days["patient"] == days["patient"].shift(back)) & (days["day"].diff(back) < rule.span_days)
        for step in range(rule.days):
            is_yes &= is_above.shift(step, fill_value=False)
        return days["day"].astype("int64")[_edges(is_yes, days["patient"])] * DAY_S

    def _days(self) -> pd.DataFrame:
        """`patient, day, systolic, diastolic`: the measured days in order. Means of halves are exact in binary."""
        frame, pressures = self._frame, ["systolic", "diastolic"]
        running = frame[pressures].astype("int64").cumsum()
        ends = frame["sitting"] != frame["sitting"].shift(-1)
        begins = ends.shift(fill_value=True)
        sittings = _steps(running, ends)
        sittings["patient"], sittings["day"] = frame["patient"][ends].array, frame["day"][begins].array
        running = sittings[pressures].cumsum()
        ends = (sittings["day"] != sittings["day"].shift(-1)) | (sittings["patient"] != sittings["patient"].shift(-1))
        days = _steps(running, ends)
        return days.assign(patient=sittings["patient"][ends].array, day=sittings["day"][ends].array)

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def _steps(running: pd.DataFrame, ends: "pd.Series[Any]") -> pd.DataFrame:
    """The mean of each run of rows, given running sums and which rows are the last of their runs."""
    at_ends = running[ends]
    rows = pd.Series(at_ends.index)
    sums = at_ends.reset_index(drop=True)
    return (sums - sums.shift(fill_value=0)).div(rows.diff().fillna(rows + 1), axis=0)


def _edges(is_yes: "pd.Series[Any]", patient: "pd.Series[Any]") -> "pd.Series[Any]":
    return is_yes & ~(is_yes.shift(fill_value=False) & (patient == patient.shift()))
