"""Running the engines: equal answers first, then the time that each takes, in turns.

An answer that differs ends everything: a table of engines that do different things would be worth nothing.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks.rules_bench import numpy_peer, plain
from benchmarks.rules_bench.cohort import Cohort, cohort
from benchmarks.rules_bench.engine import Engine, FunctionEngine
from benchmarks.rules_bench.specs import TWENTY, Raises, RuleSpec

JUDGED_PLAINLY: Final = (150, 120)
"""Patients and days of the cohort on which the engines are first compared with plain Python."""

READINGS_MAX: Final = 20_000_000
"""Beyond this only the engines in `FOR_MANY` run: the others would take minutes or all memory for each answer."""

FOR_MANY: Final = ("ours", "numpy", "polars")
PEERS: Final = ("numpy", "polars", "duckdb", "pandas", "postgres")
YARDSTICK: Final = "numpy"
"""Always runs: it needs nothing that the server does not, and what a good programmer gets from it is what ratios are worth."""

Opener = Callable[[Cohort], Sequence[Engine]]


class UnequalError(Exception):
    """Two engines answer differently."""


@dataclass(slots=True, kw_only=True)
class Timing:
    """One engine on one set of rules: seconds of each run, by the clock and of this process's processors."""

    engine: str
    threads: int
    rule_set: str
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return statistics.median(self.wall_s)

    @property
    def median_cpu_s(self) -> float | None:
        """None where the work is done in another process."""
        return statistics.median(self.cpu_s) if self.cpu_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """An engine that does not run, and why."""

    engine: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a race has found. `answers` are everybody's, by rule."""

    answers: Mapping[RuleSpec, Raises]
    timings: Sequence[Timing]
    absences: Sequence[Absence]


def run(
    whole: Cohort,
    rule_sets: Mapping[str, Sequence[RuleSpec]],
    *,
    only: Sequence[str],
    runs: int,
    ours: Opener | None,
    tell: Callable[[str], None],
) -> Outcome:
    """Compare and time the engines named in `only`. Raises `UnequalError`."""
    openers, absences = _available(only, len(whole), ours)
    every_rule = list(dict.fromkeys(rule for rules in rule_sets.values() for rule in rules))
    small = cohort(*JUDGED_PLAINLY, seed=2)
    expected = dict(zip(TWENTY, plain.judge(small, TWENTY), strict=True))
    for name, opens in openers.items():
        with _opened(small, {name: opens}) as engines:
            for engine in engines:
                _compare(engine, "plain Python", _together_and_alone(TWENTY), expected)
    tell(f"equal to plain Python on {len(small):,} readings: {', '.join(openers)}")
    with _opened(whole, openers) as engines:
        tell("loaded")
        answers = dict(zip(every_rule, engines[0].judge(every_rule), strict=True))
        for engine in engines:  # also warms each up
            _compare(engine, engines[0].name, rule_sets.values(), answers)
        tell(f"equal to one another on {len(whole):,} readings")
        timings = _time(engines, rule_sets, runs, tell)
    return Outcome(answers=answers, timings=timings, absences=absences)


def _available(only: Sequence[str], readings: int, ours: Opener | None) -> tuple[dict[str, Opener], list[Absence]]:
    openers: dict[str, Opener] = {}
    absences = []
    if ours is not None:
        openers["ours"] = ours
    for name in PEERS:
        if name not in (*only, YARDSTICK):
            continue
        if readings > READINGS_MAX and name not in FOR_MANY:
            absences.append(Absence(engine=name, reason="not run at this size"))
            continue
        try:
            openers[name] = opener(name)
        except ImportError as missing:
            reason = f"{missing.name} is not installed; deploy/requirements/bench.txt has it"
            absences.append(Absence(engine=name, reason=reason))
    return openers, absences


def opener(name: str) -> Opener:
    """Imports the engine; ImportError where it is not installed."""
    match name:
        case "numpy":
            return lambda cohort: [FunctionEngine(name="NumPy", threads=1, function=numpy_peer.judge, cohort=cohort)]
        case "polars":
            from benchmarks.rules_bench.polars_peer import open_engines

            return open_engines
        case "duckdb":
            from benchmarks.rules_bench.duckdb_peer import DuckdbEngine

            return lambda cohort: [DuckdbEngine(cohort, threads=os.cpu_count() or 1)]
        case "pandas":
            from benchmarks.rules_bench.pandas_peer import PandasEngine

            return lambda cohort: [PandasEngine(cohort)]
        case "postgres":
            from benchmarks.rules_bench.postgres_peer import PostgresEngine

            return lambda cohort: [PostgresEngine(cohort)]
        case _:
            raise AssertionError(name)


@contextmanager
def _opened(whole: Cohort, openers: Mapping[str, Opener]) -> Iterator[list[Engine]]:
    with ExitStack() as stack:
        engines: list[Engine] = []
        for opens in openers.values():
            for engine in opens(whole):
                stack.callback(engine.close)
                engines.append(engine)
        yield engines


def _together_and_alone(rules: Sequence[RuleSpec]) -> list[Sequence[RuleSpec]]:
    """Two ways through most engines, which share what rules have in common."""
    return [rules, *([rule] for rule in rules)]


def _compare(
    engine: Engine, judge: str, rule_sets: Iterable[Sequence[RuleSpec]], expected: Mapping[RuleSpec, Raises]
) -> None:
    for rules in rule_sets:
        for rule, answer in zip(rules, engine.judge(rules), strict=True):
            if answer != expected[rule]:
                raise UnequalError(f"{rule.name}: {engine.name} says {answer}, {judge} {expected[rule]}")


def _time(
    engines: Sequence[Engine],
    rule_sets: Mapping[str, Sequence[RuleSpec]],
    runs: int,
    tell: Callable[[str], None],
) -> list[Timing]:
    """The engines take turns, so that a slow minute of the machine is everybody's."""
    timings = {
        (engine.name, engine.threads, rule_set): Timing(engine=engine.name, threads=engine.threads, rule_set=rule_set)
        for rule_set in rule_sets
        for engine in engines
    }
    for number in range(1, runs + 1):
        for rule_set, rules in rule_sets.items():
            for engine in engines:
                timing = timings[engine.name, engine.threads, rule_set]
                wall_s, cpu_s = time.perf_counter(), time.process_time()
                engine.judge(rules)
                timing.wall_s.append(time.perf_counter() - wall_s)
                if not engine.is_elsewhere:
                    timing.cpu_s.append(time.process_time() - cpu_s)
        tell(f"run {number} of {runs}")
    return list(timings.values())
