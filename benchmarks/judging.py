"""What it costs to judge a patient live: by the rules alone, and with everything around it, in a real PostgreSQL.

Patients measure four times a day; three in ten have been high for the last ten days. A reading has just come from each, so all
are due; each is judged in a transaction of its own, as the judge does it: lock, load what is in view, judge, reconcile, write,
set the next timer. Batches of 1, 100 and 10,000 patients; and 100 patients with 1, 4 and 16 months of history before what is in
view, which may not make their judging dearer. (An episode that is not over is in view from its first day on.)

    python -m benchmarks.judging [--patients 10000]
"""

import argparse
import gc
import json
import logging
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Final

import structlog
from rich.console import Console
from rich.table import Table

from homevigil.embedded.postgres import EmbeddedPostgres, temporary_folder
from server.clock import now
from server.judge import Judge, history_in_view
from server.rules import engine
from server.rules.load import load_catalog
from server.rules.windows import PatientHistory
from server.store.judging import episodes_of
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction

MONTH_DAYS: Final = 30
HIGH_DAYS: Final = 10
HISTORIES_MONTHS: Final = (1, 4, 16)
HISTORY_PATIENTS: Final = 100
SINGLES: Final = 200
"""How often a batch of one is judged; its figure is the median."""

UNEVEN_AT_MOST: Final = 1.25
"""The dearest history may cost so much of the cheapest: more would be growth, less is noise."""

_PATIENTS: Final = b"""
    with made as (
        insert into patient (language, enrolled_on)
        select 'en', current_date - %(days)s::int - 1 from generate_series(1, %(patients)s)
        returning patient_id
    ), placed as (
        insert into patient_zone (patient_id, valid_from, zone, recorded_by)
        select patient_id, now() - interval '10 years', 'Europe/Berlin', 'benchmark' from made
    )
    select patient_id from made order by patient_id"""

_READINGS: Final = b"""
    insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, systolic_mmhg, diastolic_mmhg,
                         pulse_bpm, unit_sent, quality, time_quality, zone, received_at, decoder)
    select patient_id, 'blood_pressure', at, gen_random_uuid(), 'gw', 'meter', systolic,
           round(systolic * 0.5 + 15 + 6 * random()), round(60 + 20 * random()),
           'mmHg', 'accepted', 'synced', 'Europe/Berlin', at, 'benchmark'
    from unnest(%(patients)s::bigint[]) patient_id
    cross join generate_series(0, %(days)s - 1) day
    cross join unnest('{0,5,720,725}'::int[]) minute
    cross join lateral (
        select now() - make_interval(days => day, mins => minute) as at,
               round(case when patient_id %% 10 < 3 and day < %(high_days)s then 144 else 122 end
                     + 12 * (random() + random() + random() - 1.5)) as systolic
    ) drawn"""

_DUE: Final = b"""
    insert into due (patient_id, due_at, since, reason, quiet)
    select patient_id, now(), max(measured_at), 'reading', true
    from reading where patient_id = any(%(patients)s) and measured_at > now() - interval '1 day' group by patient_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Microseconds a patient: by the rules (processor time of this process), and whole (by the clock, the database included)."""

    patients: int
    months: int
    """Before what is in view; of the batches 1 for the first 100 patients and 0 for the others."""
    rows_in_view: float
    rules_us: float
    whole_us: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 where more history costs more, or brings more into view."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=10_000, help="of the largest batch")
    wish = parser.parse_args(arguments)
    if wish.patients < HISTORY_PATIENTS:
        parser.error(f"--patients must be at least {HISTORY_PATIENTS}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    folder = temporary_folder()
    try:
        with EmbeddedPostgres(folder=folder / "postgres") as database:
            url = database.create_database("clinic")
            migrate(url)
            with open_pool(url) as pool:
                return _tell(*_measure_all(pool, wish.patients))
    finally:
        shutil.rmtree(folder)


def _measure_all(pool: Pool, patients: int) -> tuple[list[Batch], list[Batch]]:
    """The batches, and the histories."""
    by_months = {months: _fill(pool, months, HISTORY_PATIENTS) for months in HISTORIES_MONTHS}
    crowd = by_months[1] + _fill(pool, 0, patients - HISTORY_PATIENTS)
    judge = Judge(pool, load_catalog())
    for each in by_months.values():
        _judge_whole(pool, judge, each)  # opens the episodes; what is measured is the judging of one reading more
    singles = [_measure(pool, judge, 1, [patient_id]) for patient_id in (crowd * SINGLES)[:SINGLES]]
    rest = crowd[HISTORY_PATIENTS:]
    _judge_whole(pool, judge, rest)
    batches = [
        replace(
            singles[0],
            rows_in_view=round(statistics.mean(each.rows_in_view for each in singles), 1),
            rules_us=round(statistics.median(each.rules_us for each in singles), 1),
            whole_us=round(statistics.median(each.whole_us for each in singles), 1),
        ),
        _measure(pool, judge, 1, crowd[:HISTORY_PATIENTS]),
        _measure(pool, judge, 1, crowd),
    ]
    runs = [[_measure(pool, judge, months, each) for months, each in by_months.items()] for _ in range(5)]
    return batches, [min(turns, key=lambda batch: batch.rules_us) for turns in zip(*runs, strict=True)]


def _fill(pool: Pool, months: int, patients: int) -> list[int]:
    """New patients with so many months of readings before what is in view."""
    rules = load_catalog()
    in_view_days = HIGH_DAYS + engine.look_back_days(rules) + engine.reach_days(rules)
    days = months * MONTH_DAYS + in_view_days
    with transaction(pool) as conn:
        made = [row[0] for row in conn.execute(_PATIENTS, {"days": days, "patients": patients})]
        for day in range(0, days + MONTH_DAYS, MONTH_DAYS // 2):
            conn.execute(b"select reading_make_room(%(at)s)", {"at": now() - timedelta(days=day)})
        conn.execute(_READINGS, {"patients": made, "days": days, "high_days": HIGH_DAYS})
    with transaction(pool) as conn:
        conn.execute(b"analyze reading")
    return made


def _measure(pool: Pool, judge: Judge, months: int, patients: Sequence[int]) -> Batch:
    histories = _histories(pool, patients)
    at, rules = now(), load_catalog()
    rules_s = _cpu_s(lambda: [engine.judge(history, rules, now=at) for history in histories])
    return Batch(
        patients=len(patients),
        months=months,
        rows_in_view=round(sum(len(history.window) for history in histories) / len(histories), 1),
        rules_us=round(rules_s / len(patients) * 1e6, 1),
        whole_us=round(_judge_whole(pool, judge, patients) / len(patients) * 1e6, 1),
    )


def _histories(pool: Pool, patients: Sequence[int]) -> list[PatientHistory]:
    """What the judge would load of each, if a reading had just come."""
    rules, since = load_catalog(), now()
    found = []
    with transaction(pool) as conn:
        for patient_id in patients:
            stored = episodes_of(conn, patient_id)
            found.append(history_in_view(conn, patient_id, rules, stored=stored, since=since))
    return found


def _judge_whole(pool: Pool, judge: Judge, patients: Sequence[int]) -> float:
    """Seconds by the clock; everybody must have been due."""
    with transaction(pool) as conn:
        conn.execute(_DUE, {"patients": list(patients)})
    began_s = time.perf_counter()
    judged = sum(judge.judge_patient(patient_id) for patient_id in patients)
    took_s = time.perf_counter() - began_s
    assert judged == len(patients)
    return took_s


def _cpu_s(work: Callable[[], object]) -> float:
    gc.collect()
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


def _tell(batches: Sequence[Batch], histories: Sequence[Batch]) -> int:
    console = Console(width=120)
    for title, rows in (
        ("A batch of patients", batches),
        ("100 patients by the months of history out of view", histories),
    ):
        table = Table(title=title)
        for name in Batch.__slots__:
            table.add_column(name.replace("_", " "), justify="right")
        for row in rows:
            table.add_row(*(f"{value:,}" for value in asdict(row).values()))
        console.print(table)
    costs = [each.rules_us for each in histories]
    views = [each.rows_in_view for each in histories]
    is_well = max(costs) <= UNEVEN_AT_MOST * min(costs) and max(views) <= UNEVEN_AT_MOST * min(views)
    line = {
        "benchmark": "judging",
        "batches": [asdict(each) for each in batches],
        "histories": [asdict(each) for each in histories],
        "rules": len(load_catalog().rules),
        "load_at_the_end": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "is_well": is_well,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if is_well else 1


if __name__ == "__main__":
    raise SystemExit(main())
