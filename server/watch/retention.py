"""When what is over goes: at 03:30 where most patients live, and at the start if that was missed. Of many one does it."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from server.people import retention
from server.store import recompute
from server.store import retention as store
from server.store.postgres import Connection, Pool, in_transaction
from server.watch.nightly import newest_night
from vitals.errors import UnavailableError

log = structlog.get_logger()

LOOK_EVERY_S: Final = 300.0
ACTOR: Final = "server:watch"


def keep_retention(pool: Pool, stop: threading.Event, folders: Sequence[Path]) -> None:
    """Once a night until `stop` is set."""
    while not stop.is_set():
        try:
            keep_once(pool, folders)
        except UnavailableError as e:
            log.warning("database_unavailable", reason=str(e), retry_in_s=LOOK_EVERY_S)
        stop.wait(LOOK_EVERY_S)


def keep_once(pool: Pool, folders: Sequence[Path]) -> None:
    """If it is due."""
    if not in_transaction(pool, is_due):
        return
    now = in_transaction(pool, recompute.database_now)
    report = retention.carry_out(pool, folders=folders, actor=ACTOR, now=now)
    if report is None:
        return
    log.info("retention_carried_out", destroyed=len(report.destroyed), **report.removed)
    if report.left:
        log.error("traces_left", patients=sorted(report.left), look_at="/erasures")


def is_due(conn: Connection) -> bool:
    """Was there no run since the newest 03:30?"""
    last = store.last_run(conn)
    return last is None or last < newest_night(recompute.database_now(conn), recompute.clinic_zone(conn))
