"""Opens again what the build of its time could not read, once this build reads it: messages of a newer wire version, and readings
of a kind that was not known.

They go through the ledger's own door, so that each of their readings has its fate and is judged. Everything is in the caller's
transaction: a replay that is killed has not happened, and one that is made again finds nothing to do.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from server.arrivals import Arrival, Refused, open_message, open_row
from server.ledger import commit_again
from server.store import intake, quarantine
from server.store.postgres import Connection
from server.store.quarantine import Unread

log = structlog.get_logger()

AT_A_TIME = 100
"""Rows in one transaction: at most as many readings as intake takes in one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of messages, and of readings that lay there alone: how many were opened, all their readings by fate, how many
    this build cannot read either.

    `last` is the number of the last row that was looked at; None when there was none.
    """

    messages: int
    fates: Mapping[str, int]
    unread: int
    last: int | None


def replay(conn: Connection, *, by: str, after: int = 0) -> Replayed:
    """Take in the next `AT_A_TIME` that lie behind the row `after`; `by`: the login who asks."""
    found = quarantine.take_newer(conn, after=after, limit=AT_A_TIME)
    opened = [(row, _open(row)) for row in found]
    readable = [(row, arrival) for row, arrival in opened if not _is_unread(row, arrival)]
    fates = commit_again(conn, [arrival for _, arrival in readable]) if readable else Counter()
    _settle(conn, [row for row, _ in readable], by)
    log.info("quarantine_replayed", by=by, messages=len(readable), unread=len(found) - len(readable))
    return Replayed(
        messages=len(readable),
        fates=fates,
        unread=len(found) - len(readable),
        last=found[-1].quarantine_id if found else None,
    )


def _open(row: Unread) -> Arrival:
    if row.seq is None:
        return open_message(row.raw, topic_gateway=row.gateway_id)
    return open_row(row.raw, epoch=row.epoch, seq=row.seq, topic_gateway=row.gateway_id)


def _is_unread(row: Unread, arrival: Arrival) -> bool:
    """A message may bring good rows with bad ones; a reading that lies there alone is read now, or stays where it lies."""
    if row.seq is not None:
        return any(isinstance(each, Refused) for each in arrival.rows)
    return any(each.seq is None and getattr(each, "reason", None) == "schema_newer" for each in arrival.rows)


def _settle(conn: Connection, rows: list[Unread], by: str) -> None:
    """What was received and quarantined as one has been received again, row by row: the one is taken back."""
    if rows:
        quarantine.mark_replayed(conn, [row.quarantine_id for row in rows], by=by)
        messages = Counter(row.gateway_id for row in rows)
        intake.count(conn, [(gateway_id, -n, 0, 0, -n) for gateway_id, n in sorted(messages.items())])
