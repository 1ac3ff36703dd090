"""What a back-test costs, and where its time goes: reading a clinic's past, judging it, trying other numbers, counting.

Two wishes of a clinic: 90 days by five rules, and a year by the whole catalog. The past is read from a real PostgreSQL and from
Parquet. Beside it stands the way of the live judge, that was the back-test's first: a patient's readings by themselves as rows in
Python, and every judging from the readings on, put into words. All answers must be equal before a figure is told.

    python -m benchmarks.backtests [--patients 1000] [--year-patients 200]
"""

import argparse
import gc
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.backtest_clinic import move_in, people
from homevigil.embedded.postgres import EmbeddedPostgres, temporary_folder
from server import cohort_files
from server.rules import backtest, engine
from server.rules.backtest import Replayed, Span, burdens, loaded_from, replay
from server.rules.load import load_catalog
from server.rules.rule import RuleSet
from server.rules.windows import PatientHistory, PersonalThreshold
from server.store import backtests as store
from server.store.judging import history_of
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction

UNTIL: Final = datetime(2026, 6, 1, tzinfo=UTC)
FIVE: Final = ("bp-above-140-90-3-days", "bp-critical", "bp-critical-repeat", "bp-critical-late", "check-the-meter")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Milliseconds a patient: reading by the clock, the database included, and all else in processor time of one core."""

    rules: int
    days: int
    patients: int
    readings: int
    """Of a patient, in view."""
    from_database_ms: float
    from_files_ms: float
    judging_ms: float
    wishes_ms: float
    """What the tries of other numbers add."""
    counting_ms: float
    live_reading_ms: float
    live_judging_ms: float
    alerts: int
    wishes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 where the answers are not equal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=1000, help="of the 90 days by five rules")
    parser.add_argument("--year-patients", type=int, default=200, help="of the year by the whole catalog")
    wish = parser.parse_args(arguments)
    catalog = load_catalog()
    folder = temporary_folder()
    try:
        with EmbeddedPostgres(folder=folder / "postgres") as database:
            figures = [
                _measure(database, folder, rules, days, patients)
                for rules, days, patients in (
                    (catalog.only(FIVE), 90, wish.patients),
                    (catalog, 365, wish.year_patients),
                )
            ]
    except _DifferError as e:
        sys.stderr.write(f"{e}\n")
        return 1
    finally:
        shutil.rmtree(folder)
    _tell(figures)
    return 0


class _DifferError(Exception):
    """Two ways to one answer gave two."""


def _measure(database: EmbeddedPostgres, folder: Path, rules: RuleSet, days: int, patients: int) -> Figures:
    span = Span(since=UNTIL - timedelta(days=days), until=UNTIL)
    since = loaded_from(rules, span)
    histories = list(people(patients, since=since, until=UNTIL))
    url = database.create_database(f"past_{days}")
    migrate(url)
    with open_pool(url) as pool:
        ids = move_in(pool, histories, since=since, until=UNTIL)
        store_ms, stored = _clock_ms(lambda: list(store.histories(pool, ids, since=since, with_absences=True)))
        live_ms, live = _clock_ms(lambda: list(_live(pool, ids, since)))
    cohort_files.export(histories, folder / f"past_{days}")
    files_ms, exported = _clock_ms(lambda: list(cohort_files.load(folder / f"past_{days}")))
    replay(histories[0], rules, span, as_written=False, with_wishes=True)
    judging_ms, _ = _cpu_ms(lambda: _replayed(histories, rules, span, with_wishes=False))
    both_ms, found = _cpu_ms(lambda: _replayed(histories, rules, span))
    counting_ms, _ = _cpu_ms(lambda: burdens(found, rules, span))
    live_judging_ms, judged = _cpu_ms(lambda: [_judged_live(each, rules, span) for each in histories])
    _check("Parquet", found, _replayed(exported, rules, span))
    _check("the database", found, _replayed(map(_numbered, stored, histories), rules, span))
    _check("the database, one by one", found, _replayed(map(_numbered, live, histories), rules, span))
    _check("the live judge", [[(a.rule_id, a.opened_at, a.resolved_at) for a in each.alerts] for each in found], judged)
    figures = (store_ms, files_ms, judging_ms, both_ms - judging_ms, counting_ms, live_ms, live_judging_ms)
    names = (
        "from_database_ms",
        "from_files_ms",
        "judging_ms",
        "wishes_ms",
        "counting_ms",
        "live_reading_ms",
        "live_judging_ms",
    )
    return Figures(
        rules=len(rules.rules),
        days=days,
        patients=patients,
        readings=round(sum(len(each.window) for each in histories) / patients),
        alerts=sum(len(each.alerts) for each in found),
        wishes=sum(len(each.wishes) for each in found),
        **{name: round(ms / patients, 3) for name, ms in zip(names, figures, strict=True)},
    )


def _live(pool: Pool, patient_ids: Sequence[int], since: datetime) -> Iterable[PatientHistory]:
    """One after another, a row a reading: as the live judge reads."""
    for patient_id in patient_ids:
        with transaction(pool) as conn:
            yield history_of(conn, patient_id, since=since, asks_absence=True)


def _numbered(stored: PatientHistory, drawn: PatientHistory) -> PatientHistory:
    """The database numbers patients by itself."""
    return replace(stored, patient_id=drawn.patient_id)


def _replayed(
    histories: Iterable[PatientHistory], rules: RuleSet, span: Span, *, with_wishes: bool = True
) -> list[Replayed]:
    return [replay(each, rules, span, as_written=False, with_wishes=with_wishes) for each in histories]


def _judged_live(history: PatientHistory, rules: RuleSet, span: Span) -> list[tuple[str, datetime, datetime | None]]:
    """The alerts of the span by one judging of every day, with all that it says."""
    none = PersonalThreshold(version=0, parameters={})
    watched = {rule.id: replace(history.thresholds.get(rule.id, none), is_watched=True) for rule in rules.rules}
    judged_from = span.since - backtest.LEAD - timedelta(days=engine.look_back_days(rules))
    judged = engine.judge(replace(history, thresholds=watched, judged_from=judged_from), rules, now=span.until)
    return [
        (each.rule_id, each.opened_at, each.resolved_at)
        for each in judged.findings
        if each.state != "pending" and span.since <= each.opened_at < span.until
    ]


def _check(way: str, expected: object, found: object) -> None:
    if expected != found:
        raise _DifferError(f"{way} finds something else")


def _clock_ms(work: Callable[[], T]) -> tuple[float, T]:
    return _ms(work, time.perf_counter)


def _cpu_ms(work: Callable[[], T]) -> tuple[float, T]:
    return _ms(work, time.process_time)


def _ms(work: Callable[[], T], clock: Callable[[], float]) -> tuple[float, T]:
    gc.collect()
    began_s = clock()
    result = work()
    return (clock() - began_s) * 1000, result


def _tell(figures: Sequence[Figures]) -> None:
    table = Table(title="A back-test, by what is asked; milliseconds a patient")
    table.add_column("")
    for each in figures:
        table.add_column(f"{each.days} days, {each.rules} rules", justify="right")
    for name in Figures.__slots__:
        table.add_row(name.replace("_", " "), *(f"{getattr(each, name):,}" for each in figures))
    Console(width=100).print(table)
    line = {
        "benchmark": "backtests",
        "figures": [asdict(each) for each in figures],
        "load_at_the_end": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
