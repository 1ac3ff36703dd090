"""The rules in PostgreSQL: window functions over a table that lies in the order of its index and has been vacuumed.

The embedded server of the demo, with memory for the whole table. A second index covers what the days need; left to itself the
planner hashes the sittings all the same, which takes three times as long, so hashing is off. PostgreSQL has no `lag` that
ignores nulls before version 19, so what was said before is carried in a running maximum: times ascend, and the answer is their
lowest bit.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import numpy as np
import psycopg

from benchmarks.rules_bench.cohort import Cohort
from benchmarks.rules_bench.specs import RISK_OF_GLUCOSE, TWENTY, DaysInARow, Raises, RuleSpec
from benchmarks.rules_bench.sql import COLUMNS, Dialect, statement_of_days, statement_of_readings
from homevigil.embedded.postgres import DURABLE, EmbeddedPostgres, temporary_folder

DIALECT: Final = Dialect(
    with_risk="reading",
    risk=f"('{{{','.join(map(str, RISK_OF_GLUCOSE))}}}'::int[])[glucose + 1]",
    sitting_value="(sum({column}) * 2 / count(*))::int",
    day_exceeds="sum({column}) > {threshold} * 2 * count(*)",
    said_before="max(case when {says} is not null then at_s * 2::bigint + {says}::int end) over before % 2 = 1",
)

_SETTINGS: Final = ("shared_buffers=2GB", "work_mem=512MB", "maintenance_work_mem=512MB", "enable_hashagg=off")
_OPTIONS: Final = tuple(word for setting in _SETTINGS for word in ("-c", setting))
_TABLE: Final = """
    create table reading (
        patient int not null, at_s int not null, systolic smallint not null, diastolic smallint not null,
        pulse smallint not null, glucose smallint not null, day int not null, sitting bigint not null
    )"""
_BLOCK_ROWS: Final = 200_000


class PostgresEngine:
    """A cohort as a table of a server that is this engine's own."""

    name = "PostgreSQL"
    is_elsewhere = True

    def __init__(self, cohort: Cohort) -> None:
        self._until_s = cohort.until_s
        with ExitStack() as stack:
            folder = temporary_folder()
            stack.callback(shutil.rmtree, folder)
            server = EmbeddedPostgres(folder=folder / "postgres", options=(*DURABLE, *_OPTIONS))
            stack.enter_context(server)
            self._db = stack.enter_context(psycopg.connect(server.url("postgres"), autocommit=True))
            self._load(cohort)
            self.threads = self._planned_processes()
            self._open = stack.pop_all()

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
        self._open.close()

    def _load(self, cohort: Cohort) -> None:
        self._db.execute(_TABLE)
        with self._db.cursor().copy("copy reading from stdin (format binary)") as copy:
            for block in _binary_copy(cohort):
                copy.write(block)
        self._db.execute("create unique index on reading (patient, at_s)")
        self._db.execute("create index on reading (patient, sitting) include (day, systolic, diastolic)")
        self._db.execute("vacuum (freeze, analyze) reading")

    def _planned_processes(self) -> int:
        """How many the planner means to use at most: window functions have one, grouping may have more."""
        of_days = [rule for rule in TWENTY if isinstance(rule, DaysInARow)]
        plan = self._db.execute(f"explain {statement_of_days(of_days, DIALECT)}".encode()).fetchall()
        workers = re.findall(r"Workers Planned: (\d+)", "\n".join(line for (line,) in plan))
        return 1 + max(map(int, workers), default=0)

    def _ask(self, statement: str) -> list[Raises]:
        row = self._db.execute(statement.encode()).fetchone()
        assert row is not None
        return list(zip(row[::2], row[1::2], strict=True))


def _binary_copy(cohort: Cohort) -> Iterator[bytes]:
    """PostgreSQL's binary COPY: a header, and per row the number of columns, and of each its length and big-endian value."""
    columns = {name: getattr(cohort, name) for name in COLUMNS}
    fields = [("columns", ">i2")]
    for name, column in columns.items():
        fields += [(f"{name} length", ">i4"), (name, column.dtype.newbyteorder(">").str)]
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for begin in range(0, len(cohort), _BLOCK_ROWS):
        rows = np.zeros(min(_BLOCK_ROWS, len(cohort) - begin), fields)
        rows["columns"] = len(columns)
        for name, column in columns.items():
            rows[f"{name} length"] = column.dtype.itemsize
            rows[name] = column[begin : begin + len(rows)]
        yield rows.tobytes()
    yield b"\xff\xff"
