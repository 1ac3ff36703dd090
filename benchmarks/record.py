"""What a doctor waits for on one patient's page: a year of blood pressure and a worn sensor of 105,000 values behind it.

A real PostgreSQL, the real app behind a real uvicorn; each length of the page, and both reports, asked for again and again.

    python -m benchmarks.record [--tries 9]
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import httpx2
import uvicorn
from rich.console import Console
from rich.table import Table

from homevigil.demo import population
from homevigil.embedded.postgres import EmbeddedPostgres, temporary_folder
from server import clock
from server.asgi import create_app
from server.people import sessions
from server.store import enrolment, vault_keys
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction
from server.web import pdf

PAGE_S_MAX: Final = 0.5
SENSOR_VALUES: Final = 365 * 288
ZONE: Final = "Asia/Shanghai"

_COLUMNS: Final = (
    "patient_id, kind, measured_at, reading_id, gateway_id, meter_id, quality, time_quality, zone, received_at, decoder"
)
_SAID: Final = f"t, gen_random_uuid(), 'gw', 'meter', 'accepted', 'corrected', '{ZONE}', t, 'benchmark'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 when a page takes longer than it may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tries", type=int, default=9)
    wish = parser.parse_args(arguments)
    folder = temporary_folder()
    os.environ[vault_keys.SETTING] = str(folder / "vault.key")
    vault_keys.write(vault_keys.key_file(), vault_keys.make())
    try:
        with EmbeddedPostgres(folder=folder / "postgres") as database:
            url = database.create_database("clinic")
            migrate(url)
            with open_pool(url) as pool, _served(pool) as address:
                figures = _measure(pool, address, wish.tries)
    finally:
        shutil.rmtree(folder)
    _tell(figures)
    return 0 if all(each <= PAGE_S_MAX for name, each in figures.items() if name.startswith("page")) else 1


def _measure(pool: Pool, address: str, tries: int) -> dict[str, float]:
    """The median of each, in seconds."""
    now = clock.now()
    with transaction(pool) as conn:
        doctor = population.add_doctor(conn, now=now)
        population.approve_rules(conn, doctor.user_id, now=now)
        patient_id = enrolment.add_patient(
            conn,
            name="Benchmark",
            language="zh",
            enrolled_on=now.date() - timedelta(days=400),
            zone=ZONE,
            doctor_id=doctor.user_id,
            now=now,
        )
        session = sessions.open_for(conn, user_id=doctor.user_id, address="benchmark", by="benchmark", now=now)
    _fill(pool, patient_id)
    paths = {f"page, {days} days": f"/p/{patient_id}?days={days}" for days in (7, 30, 90, 365)}
    forms = ("", "/pdf") if pdf.is_available() else ("",)
    paths |= {
        f"report, {about}{' as PDF' if form else ''}": f"/report/{about}/{patient_id}{form}"
        for about in ("bp", "glucose")
        for form in forms
    }
    with httpx2.Client(base_url=address, cookies={"homevigil": session.token}, timeout=60) as client:
        return {name: _median_s(client, path, tries) for name, path in paths.items()}


def _fill(pool: Pool, patient_id: int) -> None:
    with transaction(pool) as conn:
        conn.execute(b"select reading_make_room(now() - n * interval '25 days') from generate_series(0, 16) n")
        for kind, columns, values, n, step in (
            ("blood_pressure", "systolic_mmhg, diastolic_mmhg", "120 + n * 7 % 41, 70 + n * 5 % 29", 1460, "6 hours"),
            (
                "sensor_glucose",
                "glucose_mmol_l, glucose_mg_dl",
                "3.0 + n % 97 / 10.0, 18.0182 * (3.0 + n % 97 / 10.0)",
                SENSOR_VALUES,
                "5 minutes",
            ),
        ):
            conn.execute(
                f"insert into reading ({_COLUMNS}, {columns}) select {patient_id}, '{kind}', {_SAID}, {values}"
                f" from (select n, now() - n * interval '{step}' t from generate_series(1, {n}) n) each".encode()
            )
    with transaction(pool) as conn:
        conn.execute(b"analyze")


def _median_s(client: httpx2.Client, path: str, tries: int) -> float:
    client.get(path).raise_for_status()
    took = []
    for _ in range(tries):
        began = time.perf_counter()
        client.get(path).raise_for_status()
        took.append(time.perf_counter() - began)
    return round(statistics.median(took), 3)


@contextmanager
def _served(pool: Pool) -> Iterator[str]:
    app = create_app(pool, now=clock.now, secure_cookies=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="uvicorn")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _tell(figures: dict[str, float]) -> None:
    table = Table(title=f"one patient: a year, four pressures a day, {SENSOR_VALUES:,} sensor values")
    table.add_column("asked for")
    table.add_column("median s", justify="right")
    for name, seconds in figures.items():
        table.add_row(name, f"{seconds:.3f}")
    Console().print(table)
    sys.stdout.write(json.dumps({"benchmark": "record", "sensor_values": SENSOR_VALUES, "seconds": figures}) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
