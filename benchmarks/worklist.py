"""What a doctor waits for: the worklist's first page, and the answer to one press of Acknowledge, with 128 and with 500 patients.

A real PostgreSQL with 90 days of readings of people whose names are sealed, the real judge, the real app behind a real uvicorn in
a thread of its own, walls and audit; and Chromium where there is one: there the first page counts until it is laid out, and a
press until the row has changed. Processor time is that of the app and of the database together; it is the same on a busy machine.

    python -m benchmarks.worklist [--patients 128 500]
"""

import argparse
import json
import logging
import os
import shutil
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from rich.console import Console
from rich.table import Table

from benchmarks.backtest_clinic import move_in, people
from homevigil.demo import population
from homevigil.embedded.postgres import EmbeddedPostgres, temporary_folder
from server import clock
from server.asgi import create_app
from server.judge import Judge
from server.people import sessions
from server.rules.load import load_catalog
from server.store import vault, vault_keys
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction
from server.store.vault import Identity

DAYS: Final = 90
TRIES: Final = 15
FIRST_PAGE_S_MAX: Final = 0.5
ACKNOWLEDGE_S_MAX: Final = 0.25
"""What the pages promise (docs/how-to/work-through-the-list.md)."""

_CHROMIUM: Final = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run")


_NAMES: Final = {
    "alerts": "open alerts",
    "page_kb": "kB of the first page",
    "page_ms": "first page",
    "page_ms_max": "the longest",
    "page_cpu_ms": "its processor time",
    "all_ms": "All",
    "acknowledge_ms": "acknowledge",
    "acknowledge_ms_max": "the longest",
    "acknowledge_cpu_ms": "its processor time",
    "browser_page_ms": "first page, in Chromium",
    "browser_acknowledge_ms": "acknowledge, in Chromium",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Milliseconds: the median and the longest of `TRIES`; the browser's are None where there is no Chromium."""

    patients: int
    alerts: int
    page_kb: int
    page_ms: float
    page_ms_max: float
    all_ms: float
    acknowledge_ms: float
    acknowledge_ms_max: float
    page_cpu_ms: float
    acknowledge_cpu_ms: float
    browser_page_ms: float | None
    browser_acknowledge_ms: float | None

    @property
    def keeps_its_promise(self) -> bool:
        page, press = self.browser_page_ms or self.page_ms, self.browser_acknowledge_ms or self.acknowledge_ms
        return page <= 1000 * FIRST_PAGE_S_MAX and press <= 1000 * ACKNOWLEDGE_S_MAX


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, nargs="+", default=[128, 500], help="one round for each number")
    wish = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder = temporary_folder()
    os.environ[vault_keys.SETTING] = str(folder / "vault.key")
    vault_keys.write(vault_keys.key_file(), vault_keys.make())
    try:
        with EmbeddedPostgres(folder=folder / "postgres") as database:
            figures = [_measure(database, patients) for patients in wish.patients]
    finally:
        shutil.rmtree(folder)
    _tell(figures)
    return 0 if all(each.keeps_its_promise for each in figures) else 1


def _measure(database: EmbeddedPostgres, patients: int) -> Figures:
    url = database.create_database(f"clinic_{patients}")
    migrate(url)
    with open_pool(url) as pool, _served(pool) as address:
        return _figures(database, pool, address, _fill(pool, patients), patients)


def _fill(pool: Pool, patients: int) -> population.Doctor:
    """A doctor with that many patients, judged."""
    until = clock.now()
    since = until - timedelta(days=DAYS)
    with transaction(pool) as conn:
        doctor = population.add_doctor(conn, now=until)
        population.approve_rules(conn, doctor.user_id, now=until)
    ids = move_in(pool, people(patients, since=since, until=until), since=since, until=until)
    with transaction(pool) as conn:
        for patient_id in ids:
            born = date(1940 + patient_id % 40, 1 + patient_id % 12, 3)
            vault.identify(
                conn, patient_id, Identity(name=f"王小明 {patient_id}", phone="+86 138 0000 0000", birth_date=born)
            )
        conn.execute(b"update patient set doctor_id = %s where patient_id = any (%s)", (doctor.user_id, ids))
        conn.execute(
            b"insert into due (patient_id, due_at, since, reason) select unnest(%s::bigint[]), now(), %s, 'reading'",
            (ids, since),
        )
        conn.execute(b"analyze")
    judge = Judge(pool, load_catalog())
    while judge.judge_due():
        pass
    return doctor


def _figures(database: EmbeddedPostgres, pool: Pool, address: str, doctor: population.Doctor, patients: int) -> Figures:
    import httpx2

    session = sessions.sign_in(pool, login=doctor.login, password=doctor.password, address="benchmark", now=clock.now())
    with httpx2.Client(base_url=address, cookies={"homevigil": session.token}, timeout=30) as client:
        client.get("/").raise_for_status()
        began = _cpu_ms(database)
        pages = [_clock_ms(lambda: client.get("/").raise_for_status()) for _ in range(TRIES)]
        page_cpu = (_cpu_ms(database) - began) / TRIES
        everybody = [_clock_ms(lambda: client.get("/?tab=all").raise_for_status()) for _ in range(TRIES)]
        size = len(client.get("/").content)
        began = _cpu_ms(database)
        presses = [_press(client, pool, session.session.csrf_token) for _ in range(TRIES)]
        press_cpu = (_cpu_ms(database) - began) / TRIES
    shown = _in_chromium(address, session.token)
    with transaction(pool) as conn:
        (alerts,) = conn.execute(b"select count(*) from episode where state = 'active'").fetchone() or (0,)
    return Figures(
        patients=patients,
        alerts=alerts,
        page_kb=size // 1024,
        page_ms=_median(pages),
        page_ms_max=round(max(pages), 1),
        all_ms=_median(everybody),
        acknowledge_ms=_median(presses),
        acknowledge_ms_max=round(max(presses), 1),
        page_cpu_ms=round(page_cpu, 1),
        acknowledge_cpu_ms=round(press_cpu, 1),
        browser_page_ms=None if shown is None else shown[0],
        browser_acknowledge_ms=None if shown is None else shown[1],
    )


def _press(client: Any, pool: Pool, csrf_token: str) -> float:
    with transaction(pool) as conn:
        found = conn.execute(
            b"select episode_id, version from episode where state = 'active' order by episode_id limit 1"
        ).fetchone()
    assert found is not None, "nothing is left to acknowledge"
    episode_id, version = found
    return _clock_ms(
        lambda: client.post(
            f"/a/{episode_id}/acknowledge",
            data={"csrf_token": csrf_token, "if_match": version},
            headers={"HX-Request": "true"},
        ).raise_for_status()
    )


def _in_chromium(address: str, token: str) -> tuple[float, float] | None:
    """The first page until it is laid out, and a press until the row has changed; None without a browser."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        return None
    from playwright.sync_api import sync_playwright

    pages, presses = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_CHROMIUM))
        for _ in range(5):
            context = browser.new_context(viewport={"width": 1280, "height": 860})
            context.add_cookies([{"name": "homevigil", "value": token, "url": address}])
            page = context.new_page()
            pages.append(_clock_ms(lambda page=page: page.goto(address, wait_until="load")))
            row = str(page.locator(".row:has([data-state='active'])").first.get_attribute("id"))
            presses.append(_clock_ms(lambda page=page, row=row: _decide(page, row)))
            context.close()
        browser.close()
    return _median(pages), _median(presses)


def _decide(page: Any, row: str) -> None:
    page.locator(f"#{row} [data-state='active'] button.primary").first.click()
    page.locator(f"#{row} [data-state='acknowledged']").first.wait_for()


@contextmanager
def _served(pool: Pool) -> Iterator[str]:
    app = create_app(pool, now=clock.now, secure_cookies=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="uvicorn")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            app.state.newsroom.close()
            server.should_exit = True
            thread.join()


def _clock_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def _cpu_ms(database: EmbeddedPostgres) -> float:
    """What this process has used, and the database's own."""
    children = Path(f"/proc/{database.pid}/task/{database.pid}/children").read_text().split()
    used = [Path(f"/proc/{each}/schedstat").read_text().split()[0] for each in (str(database.pid), *children)]
    return 1000 * time.process_time() + sum(map(int, used)) / 1e6


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 1)


def _tell(figures: Sequence[Figures]) -> None:
    table = Table(title=f"the worklist; milliseconds, the median of {TRIES} (in the browser of 5)")
    table.add_column("patients")
    for each in figures:
        table.add_column(f"{each.patients}", justify="right")
    for name, said in _NAMES.items():
        values = [getattr(each, name) for each in figures]
        table.add_row(said, *("–" if value is None else f"{value:g}" for value in values))
    Console().print(table)
    sys.stdout.write(json.dumps({"benchmark": "worklist", "figures": [asdict(each) for each in figures]}) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
