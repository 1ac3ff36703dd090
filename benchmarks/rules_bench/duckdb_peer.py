"""The rules in DuckDB: window functions over an in-memory table in the order of patient and time.

Running sums joined by `asof join` were tried instead of range frames and are slower.
"""

from collections.abc import Sequence
from typing import Final

import duckdb
import numpy as np

from benchmarks.rules_bench.cohort import Cohort
from benchmarks.rules_bench.specs import RISK_OF_GLUCOSE, DaysInARow, Raises, RuleSpec
from benchmarks.rules_bench.sql import COLUMNS, Dialect, statement_of_days, statement_of_readings

DIALECT: Final = Dialect(
    with_risk="reading join risk using (glucose)",
    risk="risk",
    sitting_value="avg({column})",  # halves are exact in binary
    day_exceeds="avg({column}) > {threshold}",
    said_before="lag({says} ignore nulls) over by_time",
)


class DuckdbEngine:
    """A cohort as a table of a database in memory."""

    name = "DuckDB"
    is_elsewhere = False

    def __init__(self, cohort: Cohort, threads: int) -> None:
        self.threads = threads
        self._until_s = cohort.until_s
        self._db = duckdb.connect(config={"threads": threads})
        readings = {name: getattr(cohort, name) for name in COLUMNS}
        risks = {
            "glucose": np.arange(len(RISK_OF_GLUCOSE), dtype=np.int16),
            "risk": np.array(RISK_OF_GLUCOSE, np.int32),
        }
        for name, arrays in (("reading", readings), ("risk", risks)):
            self._db.register("arrays", arrays)
            self._db.execute(f"create table {name} as select * from arrays")
            self._db.unregister("arrays")

    def judge(self, rules: Sequence[RuleSpec]) -> list[Raises]:
        of_days = [rule for rule in rules if isinstance(rule, DaysInARow)]
        of_readings = [rule for rule in rules if not isinstance(rule, DaysInARow)]
        answers: dict[RuleSpec, Raises] = {}
        if of_days:
            answers |= zip(of_days, self._ask(statement_of_days(of_days, DIALECT)), strict=True)
        if of_readings:
            statement = statement_of_readings(of_readings, self._until_s, DIALECT)
            answers |= zip(of_readings, self._ask(statement), strict=True)
        return [answers[rule] for rule in rules]

    def close(self) -> None:
        self._db.close()

    def _ask(self, statement: str) -> list[Raises]:
        row = self._db.execute(statement).fetchone()
        assert row is not None
        return list(zip(row[::2], row[1::2], strict=True))
