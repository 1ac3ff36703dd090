"""How long a live reading takes from the meter's indication to stored, judged and pushed, on the demo's own parts.

Each of `--patients` people measures a critical value once, one after another, over the simulated radio and through unmodified
bleak, MQTT and PostgreSQL: every reading opens an episode and is pushed to doctor and patient. The instants are the meter's
own (frame on the air), the database's (`stored_at`, `judged_at`, `sent_at`), and that at which the worklist that the doctor has
open in Chromium says so, all of one machine's clock.

    python -m benchmarks.journey [--patients 100] [--broker auto|mosquitto|rumqttd] [--radio auto|bus|air]
"""

import argparse
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from rich.console import Console
from rich.progress import track
from rich.table import Table

from homevigil.demo.neighbourhood import Neighbourhood, neighbourhood, wait_until
from homevigil.demo.population import Resident
from homevigil.demo.travel import Alert, Told
from homevigil.embedded.postgres import temporary_folder
from vitals.errors import UnavailableError

if TYPE_CHECKING:
    from playwright.sync_api import Page

RULE: Final = "bp-critical"
CRITICAL_MMHG: Final = (186, 112)
LEGS: Final = (
    *("button to indicated", "indicated to stored", "to judged", "to pushed (doctor)", "to pushed (patient)"),
    "to the doctor's open page",
)
TARGET_P95_MS: Final = 1000.0
"""A live reading is pushed within one second at the 95th percentile."""
TOLD_MS_MAX: Final = 5000.0
"""A critical value is in front of the clinician within five seconds, each and every one."""

_CHROMIUM: Final = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run")
_WATCH: Final = """() => {
  window.newsAt = [];
  window.shownAt = {};
  const noteNews = () => window.newsAt.push(Date.now());
  const noteRows = () => {
    for (const each of document.querySelectorAll("[data-episode]")) window.shownAt[each.dataset.episode] ??= Date.now();
  };
  noteRows();
  new MutationObserver(noteNews).observe(document.getElementById("news"), { childList: true });
  new MutationObserver(noteRows).observe(document.getElementById("rows"), { childList: true, subtree: true });
}"""
"""When the bar above the worklist has said something else than before, and when each alert was first in a row: one of them is how
an open list shows an alert, depending on whether its patient has a row."""
_SHOWN: Final = "([alert, said]) => window.shownAt[alert] ?? window.newsAt[said] ?? null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """Milliseconds of one reading; the first leg is radio time (scan, connect, bond, subscribe), the others count from the
    indication."""

    legs_ms: tuple[float, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 when the target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--broker", choices=("auto", "mosquitto", "rumqttd"), default="auto")
    parser.add_argument("--radio", choices=("auto", "bus", "air"), default="auto")
    wish = parser.parse_args(arguments)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr)
    )  # stdout is the table and the line
    folder = temporary_folder()
    try:
        with neighbourhood(
            folder, patients=wish.patients + 1, days=10, seed=1, broker=wish.broker, radio=wish.radio
        ) as living:
            with _open_worklist(living) as page:
                journeys = [
                    _travel(living, resident, page)
                    for resident in track(living.residents[1:], "measuring", console=Console(stderr=True))
                ]
            parts = {"broker": living.line.broker.name, "radio": "bus" if living.line.has_bus else "air"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _report(journeys, parts)


@contextmanager
def _open_worklist(living: Neighbourhood) -> Iterator["Page"]:
    """The doctor's worklist, left open. Raises `UnavailableError` without a Chromium."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise UnavailableError("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_CHROMIUM))
        page = browser.new_page()
        page.goto(f"{living.line.web_url}/login")
        page.locator("[name=login]").fill(living.doctor.login)
        page.locator("[name=password]").fill(living.doctor.password)
        page.locator("main button.primary").click()
        page.locator("#news").wait_for(state="attached")
        page.evaluate(_WATCH)
        yield page
        browser.close()


def _travel(living: Neighbourhood, resident: Resident, page: "Page") -> Journey:
    said_before = int(page.evaluate("newsAt.length"))
    pressed = time.monotonic()
    frame = living.measure(resident, *CRITICAL_MMHG)
    button_ms = (time.monotonic() - pressed) * 1000
    stored = living.stored(frame)
    wait_until(lambda: bool(_critical(living, resident, frame.at)), "the alert")
    [alert] = _critical(living, resident, frame.at)
    wait_until(lambda: len(_inbox(living, alert)) == 2, "both are told")
    told = _inbox(living, alert)
    found = page.wait_for_function(_SHOWN, arg=[str(alert.episode_id), said_before])
    shown = datetime.fromtimestamp(float(found.json_value()) / 1000, UTC)
    instants = (stored.stored_at, alert.judged_at, told["doctor"].sent_at, told["patient"].sent_at, shown)
    return Journey(legs_ms=(button_ms, *((each - frame.at) / timedelta(milliseconds=1) for each in instants)))


def _critical(living: Neighbourhood, resident: Resident, since: datetime) -> list[Alert]:
    return [each for each in living.follower.alerts(resident.patient_id, since=since) if each.rule_id == RULE]


def _inbox(living: Neighbourhood, alert: Alert) -> dict[str, Told]:
    told = (each for each in living.follower.told(alert.episode_id) if each.channel == "inbox")
    return {"patient" if each.recipient == "patient" else "doctor": each for each in told}


def _report(journeys: Sequence[Journey], parts: dict[str, str]) -> int:
    columns = list(zip(*(journey.legs_ms for journey in journeys), strict=True))
    figures = {leg: _percentiles(column) for leg, column in zip(LEGS, columns, strict=True)}
    table = Table(title=f"{len(journeys)} live readings, milliseconds ({parts['broker']}, radio: {parts['radio']})")
    for heading in ("", "p50", "p95", "p99", "max"):
        table.add_column(heading, justify="left" if not heading else "right")
    for leg, figure in figures.items():
        table.add_row(leg, *(f"{figure[key]:.1f}" for key in ("p50", "p95", "p99", "max")))
    Console().print(table)
    missed = max(figures[leg]["p95"] for leg in LEGS[3:5]) > TARGET_P95_MS or figures[LEGS[5]]["max"] > TOLD_MS_MAX
    said = {
        "benchmark": "journey",
        "readings": len(journeys),
        "milliseconds": figures,
        "target_p95_ms": TARGET_P95_MS,
        "told_ms_max": TOLD_MS_MAX,
        "met": not missed,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        **parts,
    }
    print(json.dumps(said))
    return 1 if missed else 0


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    """Nearest-rank percentiles."""
    ordered = sorted(values)
    ranks = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[math.ceil(len(ordered) * share) - 1], 1) for name, share in ranks.items()}


if __name__ == "__main__":
    sys.exit(main())
