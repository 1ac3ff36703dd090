"""How long the programme's figures take: a panel of `--patients` over a year, on the embedded PostgreSQL.

The readings lie in the database as intake stores them (four a day, some missed), with a plan for everybody and an alert now
and then. Timed is what a page asks for: read everything and count everything, over 366 days with twelve steps of trend. The
target is of processor time, ours and the database's, which a busy machine does not stretch.

    python -m benchmarks.programme [--patients 500] [--days 366] [--runs 5]
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
import structlog
from rich.console import Console
from rich.table import Table

from homevigil.embedded.postgres import EmbeddedPostgres, temporary_folder
from server.programme.figures import LOOKED_BACK_DAYS, count
from server.programme.shapes import Figures
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction
from server.store.programme import load_ground

TARGET_S: Final = 1.0
END: Final = datetime(2026, 6, 30, 12, tzinfo=UTC)

_PEOPLE: Final = b"""
insert into app_user (login, display_name, role, password_hash) values ('doctor', 'doctor', 'doctor', '-');
insert into patient (language, enrolled_on, doctor_id, created_at)
select 'en', %(begin)s::date, (select user_id from app_user), %(begin)s from generate_series(1, %(patients)s) n;
insert into patient_zone select patient_id, %(begin)s, 'Asia/Shanghai', 'bench' from patient where not is_watchdog;
insert into patient_plan (patient_id, version, plan, reason, set_by, set_at)
select patient_id, 1, '{"items": [{"kind": "measure", "of": "blood_pressure", "at": ["07:30", "19:30"], "readings": 2}]}',
       'bench', (select user_id from app_user), %(begin)s from patient where not is_watchdog
"""
_ROOM: Final = b"""
select reading_make_room(%(begin)s::timestamptz + make_interval(days => d)) from generate_series(0, %(days)s + 31, 20) d
"""
_READINGS: Final = b"""
insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, systolic_mmhg, diastolic_mmhg, quality,
                     time_quality, zone, received_at, decoder)
select p.patient_id, 'blood_pressure', at, gen_random_uuid(), 'gw', 'm', 110 + (random() * 50)::int, 65 + (random() * 30)::int,
       'accepted', 'synced', 'Asia/Shanghai', at, 'bench'
from patient p
cross join generate_series(0, %(days)s - 1) d
cross join (values (interval '-30 minutes'), (interval '-29 minutes'), (interval '11 hours 30 minutes'),
                   (interval '11 hours 31 minutes')) s (of_day)
cross join lateral (select date_trunc('day', %(begin)s::timestamptz) + make_interval(days => d) + s.of_day as at) w
where random() < 0.8 and not p.is_watchdog
"""
_ALERTS: Final = b"""
insert into episode (episode_id, patient_id, rule_id, rule_version, state, priority, first_day, last_day, started_at, opened_at,
                     judged_at, acknowledged_at, acknowledged_by, verdict, sentence)
select gen_random_uuid(), patient_id, 'bp-above-140-90-3-days', 1, 'acknowledged', 'low', at::date, at::date, at, at, at,
       at + interval '40 minutes', (select user_id from app_user), '{}', '{}'
from patient,
     lateral (select %(begin)s::timestamptz + make_interval(days => 10 * n) as at from generate_series(1, %(days)s / 10) n) w
where not is_watchdog;
insert into push (push_id, episode_id, patient_id, recipient, channel, kind, step, text, state, due_at, sent_at)
select gen_random_uuid(), episode_id, patient_id, 'user:1', 'inbox', 'opening', 0, '{}', 'sent', opened_at, opened_at from episode
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 when the target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--days", type=int, default=366)
    parser.add_argument("--runs", type=int, default=5)
    wish = parser.parse_args(arguments)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    folder = temporary_folder()
    try:
        with EmbeddedPostgres(folder=folder) as server:
            url = server.create_database("programme")
            readings = _fill(url, wish.patients, wish.days)
            with open_pool(url) as pool:
                _once(pool, wish.days)
                times = [_once(pool, wish.days) for _ in range(wish.runs)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _say(wish.patients, wish.days, readings, times)


def _fill(url: str, patients: int, days: int) -> int:
    migrate(url)
    values = {"begin": END - timedelta(days=days), "patients": patients, "days": days}
    with psycopg.connect(url, autocommit=True) as conn:
        for statement in (*_PEOPLE.split(b";\n"), _ROOM, _READINGS, *_ALERTS.split(b";\n")):
            conn.execute(statement, values)
        conn.execute("analyze")
        row = conn.execute("select count(*) from reading").fetchone()
    assert row is not None
    return int(row[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Seconds on the clock of reading and of counting, and of a core: ours and the database's for this connection."""

    read_s: float
    count_s: float
    core_s: float
    figures: Figures


def _once(pool: Pool, days: int) -> Run:
    begin = END - timedelta(days=days)
    started, ours = time.perf_counter(), time.process_time()
    with transaction(pool) as conn:
        before = _core_s(conn.info.backend_pid)
        ground = load_ground(conn, user_id=1, since=begin - timedelta(days=LOOKED_BACK_DAYS + 1), until=END)
        theirs = _core_s(conn.info.backend_pid) - before
    read = time.perf_counter()
    figures = count(ground, begin=begin, end=END)
    return Run(
        read_s=read - started,
        count_s=time.perf_counter() - read,
        core_s=time.process_time() - ours + theirs,
        figures=figures,
    )


def _core_s(pid: int) -> float:
    """Processor time of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _say(patients: int, days: int, readings: int, runs: list[Run]) -> int:
    figures = runs[-1].figures
    assert figures.patients == patients
    assert figures.control.known == patients, "everybody measures"
    assert figures.adherence.share is not None
    assert 0.9 < figures.adherence.share <= 1, "at least one of two is there nearly always"
    assert figures.alerts.staff == days // 10 * patients
    found = {name: statistics.median(getattr(run, name) for run in runs) for name in ("read_s", "count_s", "core_s")}
    table = Table(title=f"The programme's figures: {patients} patients, {days} days, {readings} readings")
    table.add_column("median, s")
    table.add_column("", justify="right")
    for name, words in (("read_s", "read"), ("count_s", "count"), ("core_s", "of a core, both, with the database's")):
        table.add_row(words, f"{found[name]:.2f}")
    Console().print(table)
    facts = {"benchmark": "programme", "python": platform.python_version(), "patients": patients, "days": days}
    print(
        json.dumps(
            facts | {"readings": readings, "target_core_s": TARGET_S} | {k: round(v, 3) for k, v in found.items()}
        )
    )
    return 0 if found["core_s"] <= TARGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
