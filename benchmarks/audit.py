"""What the audit trail costs: sealing, verifying, and how much slower intake stores readings for it.

python -m benchmarks.audit [--entries 50000] [--batches 20]
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter, process_time
from typing import Final, TypeVar, cast

import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.drain import _enrol, _envelopes
from homevigil.embedded.postgres import EmbeddedPostgres, temporary_folder
from server import clock
from server.audit.anchoring import make_anchor
from server.audit.sealing import seal_all
from server.audit.verifying import verify
from server.intake import Intake
from server.store import audit, vault_keys
from server.store import intake as store
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction

T = TypeVar("T")

BATCH: Final = 100
"""Messages that the door commits at once."""
HOMES: Final = 80
FLOOR_PER_S: Final = 10_000
"""Entries that the verifier must look at in a second of its own processor time: others may use the machine, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`slower_percent`: intake with the note for the sealer, against intake without it; batches in turn, medians."""

    entries: int
    readings: int
    sealed_per_s: float
    verified_per_s: float
    verified_per_processor_s: float
    intake_per_s: float
    intake_unsealed_per_s: float
    slower_percent: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 when the verifier is slower than the floor, or finds something."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entries", type=int, default=50_000)
    parser.add_argument("--batches", type=int, default=20, help="of 100 messages, with and without")
    wish = parser.parse_args(arguments)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    folder = temporary_folder()
    os.environ.setdefault(vault_keys.SETTING, str(folder / "vault.key"))
    vault_keys.write(vault_keys.key_file(), vault_keys.make())
    try:
        with EmbeddedPostgres(folder=folder / "postgres") as database:
            urls = [database.create_database(name) for name in ("intake", "chain")]
            for url in urls:
                migrate(url)
            with open_pool(urls[0]) as intake, open_pool(urls[1]) as chain:
                return _tell(_measure(intake, chain, wish.entries, wish.batches))
    finally:
        shutil.rmtree(folder)


def _measure(intake: Pool, chain: Pool, entries: int, batches: int) -> Found:
    with_note, without = _take_in(intake, batches)
    for first in range(0, entries, 1000):
        with transaction(chain) as conn:
            for number in range(first, first + 1000):
                audit.note(
                    conn,
                    actor=f"user:{number % 20}",
                    act="record.read",
                    at=clock.now(),
                    patient_id=1 + number % HOMES,
                    subject="/p/{patient_id}",
                )
    sealed_s, links = _timed(lambda: seal_all(chain))
    with transaction(chain) as conn:
        make_anchor(conn, now=clock.now())
    with transaction(chain) as conn:
        began = process_time()
        verified_s, found = _timed(lambda: verify(conn))
        processor_s = process_time() - began
    assert found.is_whole, found.findings[:3]
    return Found(
        entries=entries,
        readings=2 * batches * BATCH,
        sealed_per_s=links / sealed_s,
        verified_per_s=found.rows / verified_s,
        verified_per_processor_s=found.rows / processor_s,
        intake_per_s=BATCH / with_note,
        intake_unsealed_per_s=BATCH / without,
        slower_percent=100 * (with_note / without - 1),
    )


def _take_in(pool: Pool, batches: int) -> tuple[float, float]:
    """Seconds that a batch takes with the note for the sealer, and without: medians of as many, in turn."""
    door = Intake(pool)
    homes = _enrol(pool, HOMES)
    messages = [(topic.split("/")[2], payload) for topic, payload in _envelopes(homes, 2 * batches * BATCH, 1)]
    noted = store.SQL["insert_readings"]
    plain = re.sub(rb"(?s)^(.*?)with stored as \(\n(.*?)returning patient_id.*$", rb"\1\2returning reading_id", noted)
    assert plain != noted
    took: dict[bytes, list[float]] = {noted: [], plain: []}
    for at in range(0, len(messages), BATCH):
        statement = (noted, plain)[at // BATCH % 2]
        cast("dict[str, bytes]", store.SQL)["insert_readings"] = statement
        seconds, _ = _timed(lambda at=at: door.take_all(messages[at : at + BATCH]))  # type: ignore[misc]
        took[statement].append(seconds)
    cast("dict[str, bytes]", store.SQL)["insert_readings"] = noted
    return statistics.median(took[noted][2:]), statistics.median(took[plain][2:])


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = perf_counter()
    done = work()
    return perf_counter() - began, done


def _tell(found: Found) -> int:
    table = Table("", "a second", title=f"{found.entries} entries, {found.readings} readings")
    table.add_row("entries sealed", f"{found.sealed_per_s:.0f}")
    table.add_row("entries verified", f"{found.verified_per_s:.0f}")
    table.add_row("entries verified, by the verifier's own processor time", f"{found.verified_per_processor_s:.0f}")
    table.add_row("readings taken in, noted to be sealed", f"{found.intake_per_s:.0f}")
    table.add_row("readings taken in, not noted", f"{found.intake_unsealed_per_s:.0f}")
    table.add_row("intake is slower by", f"{found.slower_percent:.1f} %")
    Console().print(table)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    print(json.dumps({"benchmark": "audit", **asdict(found), **machine}))
    return 0 if found.verified_per_processor_s >= FLOOR_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
