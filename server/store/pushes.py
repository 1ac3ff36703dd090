"""The queue of messages to people: leased, sent, tried again, given up. Who is told what was decided when it was queued."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql

SQL = load_sql("pushes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A message that is ours to send until the lease ends. `attempts` counts this one; `now` is the database's clock.

    `url` and `secret` are those of its webhook, None where that is gone or switched off.
    """

    push_id: UUID
    episode_id: UUID
    patient_id: int
    recipient: str
    step: int
    attempts: int
    due_at: datetime
    created_at: datetime
    now: datetime
    rule_id: str
    priority: str
    webhook_id: int | None = None
    url: str | None = None
    secret: str | None = field(default=None, repr=False)


def take(conn: Connection, *, channel: str, limit: int, lease_s: float) -> tuple[Leased, ...]:
    """Lease up to `limit` messages that are due by `channel`."""
    conn.execute(SQL["cancel_retracted"])
    with conn.cursor(row_factory=class_row(Leased)) as cursor:
        return tuple(cursor.execute(SQL["take"], {"channel": channel, "limit": limit, "lease_s": lease_s}))


def mark_sent(conn: Connection, push_ids: Sequence[UUID]) -> int:
    """Note that these have reached their recipients; how many of them were still wanted."""
    return conn.execute(SQL["mark_sent"], {"push_ids": list(push_ids)}).rowcount


def retry(conn: Connection, push_id: UUID, *, after_s: float, error: str) -> None:
    conn.execute(SQL["retry"], {"push_id": push_id, "after_s": after_s, "error": error})


def bury(conn: Connection, push_id: UUID, *, error: str) -> None:
    """Give up; the row stays, for everybody to see."""
    conn.execute(SQL["bury"], {"push_id": push_id, "error": error})


def disable_webhook(conn: Connection, webhook_id: int) -> None:
    conn.execute(SQL["disable_webhook"], {"webhook_id": webhook_id})


def add_webhook(conn: Connection, *, url: str, secret: str) -> int:
    """A new place to call; returns `webhook_id`."""
    row = conn.execute(SQL["add_webhook"], {"url": url, "secret": secret}).fetchone()
    assert row is not None
    return int(row[0])


def list_webhooks(conn: Connection) -> tuple[tuple[int, str, bool], ...]:
    """`(webhook_id, url, active)` of each."""
    return tuple((webhook_id, url, active) for webhook_id, url, active in conn.execute(SQL["list_webhooks"]))
