"""When everybody's alerts are computed anew: at 03:30 where most patients live, and at the start if that was missed.

Every clinical day of that zone is closed by then (03:00), and people are told of it at 08:00. Any number of processes may watch;
one runs. What is computed and compared is in `recompute`.
"""

import threading
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from server.store import recompute as store
from server.store.postgres import Connection, Pool, in_transaction
from server.watch.recompute import BusyError, recompute
from vitals.errors import UnavailableError

log = structlog.get_logger()

AT: Final = time(3, 30)
LOOK_EVERY_S: Final = 60.0
SHARE: Final = 0.25
"""Of one core, so that whoever judges and sends in this process is not kept waiting."""


def recompute_nightly(pool: Pool, stop: threading.Event) -> None:
    """Recompute once a night until `stop` is set, and say by an alarm when it has not come to its end for too long."""
    while not stop.is_set():
        try:
            _recompute_if_due(pool, stop)
            in_transaction(pool, store.keep_overdue_alarm)
        except UnavailableError as e:
            log.warning("database_unavailable", reason=str(e), retry_in_s=LOOK_EVERY_S)
        stop.wait(LOOK_EVERY_S)


def _recompute_if_due(pool: Pool, stop: threading.Event) -> None:
    if not in_transaction(pool, is_due):
        return
    try:
        recompute(pool, stop, share=SHARE)
    except BusyError:
        log.debug("recompute_elsewhere")


def is_due(conn: Connection) -> bool:
    """Has no run begun since the newest 03:30 and come to its end?"""
    last = store.last_run(conn)
    return last is None or last.started_at < newest_night(store.database_now(conn), store.clinic_zone(conn))


def newest_night(now: datetime, zone: str) -> datetime:
    """The newest 03:30 in `zone` that is not after `now`."""
    local = now.astimezone(ZoneInfo(zone))
    tonight = datetime.combine(local.date(), AT, local.tzinfo)
    return tonight if tonight <= local else datetime.combine(local.date() - timedelta(days=1), AT, local.tzinfo)
