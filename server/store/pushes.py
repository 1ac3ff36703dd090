"""The queue of messages to people: leased, sent, tried again, given up. Who is told what was decided when it was queued."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from server.store import vault
from server.store.postgres import Connection, load_sql

SQL = load_sql("pushes")

NAMESPACE: Final = UUID("b2e5c0d4-6d0b-5f0e-8f57-2f8b2f1f90ab")
"""HomeVigil's own namespace for episodes and pushes; both are derived, so that a retry writes the same rows."""

HOUSE: Final = "house"
"""Whose key seals what is of no patient."""

DESK: Final = "clinic"
"""The recipient of what is for the clinic and for nobody by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A message that is ours to send until the lease ends. `attempts` counts this one; `now` is the database's clock.

    `kind`: opening, reminder, escalation or retraction, of an alert; or plan, a reminder to the patient that is of none: there
    `episode_id` is None and `rule_id` empty. `is_reachable`: there is somebody, or something, to give it to; of
    the patient's inbox: somebody who can open it. `is_agreed`: the patient has agreed to be sent messages. `url` and
    `secret` (with `old_secret` while it is replaced) are those of its webhook, None where that is gone or switched off.
    `together_with`: the message that is sent in the place of this one, too; `others`: for how many more alerts of
    the patient this one speaks.
    """

    push_id: UUID
    episode_id: UUID | None
    patient_id: int
    recipient: str
    channel: str
    kind: str
    step: int
    attempts: int
    due_at: datetime
    created_at: datetime
    now: datetime
    rule_id: str
    priority: str
    is_urgent: bool = False
    is_reachable: bool = True
    is_agreed: bool = True
    webhook_id: int | None = None
    url: str | None = None
    secret: str | None = field(default=None, repr=False)
    old_secret: str | None = field(default=None, repr=False)
    together_with: UUID | None = None
    others: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How the alert of a message stands, locked until the transaction ends."""

    state: str
    is_over_by_readings: bool


def push_id_of(episode_id: UUID, recipient: str, channel: str, step: int) -> UUID:
    """The id of a message, which is also the key by which a channel knows it again."""
    return uuid5(NAMESPACE, f"push|{episode_id}|{recipient}|{channel}|{step}")


def take(conn: Connection, *, channel: str, limit: int, lease_s: float) -> tuple[Leased, ...]:
    """Lease up to `limit` messages that are due by `channel`, and whatever goes together with one of them."""
    conn.execute(SQL["cancel_unwanted"])
    conn.execute(SQL["cancel_expired"])
    conn.execute(SQL["hold_for_group"], {"channel": channel})
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(SQL["take"], {"channel": channel, "limit": limit, "lease_s": lease_s}).fetchall()
    return tuple(Leased(**row | _secrets_of(conn, row)) for row in rows)


def mark_sent(conn: Connection, push_ids: Sequence[UUID]) -> int:
    """Note that these have reached their recipients; how many of them were not noted before."""
    return conn.execute(SQL["mark_sent"], {"push_ids": list(push_ids)}).rowcount


def retry(conn: Connection, message: Leased, *, after_s: float, error: str) -> None:
    """Try again later; nothing if the lease has passed to another sender."""
    conn.execute(
        SQL["retry"],
        {"push_id": message.push_id, "attempts": message.attempts, "after_s": after_s, "error": error},
    )


def bury(conn: Connection, message: Leased, *, state: str, error: str) -> bool:
    """Give up; the row stays, for everybody to see. False if the lease has passed to another sender."""
    row = {"push_id": message.push_id, "attempts": message.attempts, "state": state, "error": error}
    return conn.execute(SQL["bury"], row).rowcount > 0


def decline(conn: Connection, message: Leased) -> None:
    """It is not sent, for want of consent; nothing if the lease has passed to another sender."""
    conn.execute(SQL["decline"], {"push_id": message.push_id, "attempts": message.attempts})


def lock_alert(conn: Connection, episode_id: UUID) -> Told:
    with conn.cursor(row_factory=class_row(Told)) as cursor:
        found = cursor.execute(SQL["lock_alert"], {"episode_id": episode_id}).fetchone()
    assert found is not None, episode_id
    return found


def hasten_next(conn: Connection, episode_id: UUID, *, after_step: int) -> bool:
    """Make the next step due now; False if there is none. One that is due or done already is as good."""
    row = conn.execute(SQL["next_step"], {"episode_id": episode_id, "after_step": after_step}).fetchone()
    assert row is not None
    if row[0] is None:
        return False
    conn.execute(SQL["hasten"], {"episode_id": episode_id, "step": row[0]})
    conn.execute(SQL["ring"])
    return True


def text_for_desk(conn: Connection, push_id: UUID) -> Mapping[str, Mapping[str, str]]:
    """What the clinic's desk is to read about the alert of this message."""
    row = conn.execute(SQL["text_for_desk"], {"push_id": push_id}).fetchone()
    assert row is not None, push_id
    text: Mapping[str, Mapping[str, str]] = row[0]
    return text


def tell_desk_instead(conn: Connection, message: Leased, *, text: Mapping[str, Mapping[str, str]]) -> None:
    """Queue a message to the clinic's desk in the place of one that did not arrive, unless the desk has one of this step."""
    assert message.episode_id is not None, "a reminder of a plan is told to nobody else"
    row = {
        "push_id": push_id_of(message.episode_id, DESK, "inbox", message.step),
        "episode_id": message.episode_id,
        "patient_id": message.patient_id,
        "kind": message.kind,
        "step": message.step,
        "text": Jsonb(text),
    }
    conn.execute(SQL["tell_desk_instead"], row)
    conn.execute(SQL["ring"])


def ring(conn: Connection) -> None:
    """Wakes the senders when the transaction commits."""
    conn.execute(SQL["ring"])


def disable_webhook(conn: Connection, webhook_id: int) -> None:
    conn.execute(SQL["disable_webhook"], {"webhook_id": webhook_id})


def add_webhook(conn: Connection, *, url: str, secret: str) -> int:
    """A new place to call; returns `webhook_id`."""
    row = conn.execute(SQL["next_webhook"]).fetchone()
    assert row is not None
    webhook_id = int(row[0])
    sealed = seal_secret(conn, webhook_id, secret)
    conn.execute(SQL["add_webhook"], {"webhook_id": webhook_id, "url": url, "secret": sealed})
    return webhook_id


def seal_secret(conn: Connection, webhook_id: int, secret: str) -> bytes:
    """What is kept of a webhook's secret: sealed with the house's key, as a channel's address is."""
    return _house(conn).seal(secret.encode(), _place(webhook_id))


def _secrets_of(conn: Connection, row: Mapping[str, Any]) -> dict[str, str]:
    """The secrets of a row, opened, as far as it has some."""
    sealed = {name: row[name] for name in ("secret", "old_secret") if row[name] is not None}
    return {name: _house(conn).open(each, _place(row["webhook_id"])).decode() for name, each in sealed.items()}


def _house(conn: Connection) -> vault.Safe:
    return vault.safes(conn, {HOUSE: None})[HOUSE]


def _place(webhook_id: int) -> str:
    """Of the secret in force and of the one before it: one becomes the other as it lies."""
    return f"webhook.secret/{webhook_id}"


def disable_failing_webhook(conn: Connection, webhook_id: int) -> bool:
    """Switch it off if it has taken nothing for five days in which it was called; False if it goes on."""
    return conn.execute(SQL["disable_failing_webhook"], {"webhook_id": webhook_id}).rowcount > 0


def rotate_webhook(conn: Connection, webhook_id: int, *, secret: str, old_until: datetime) -> bool:
    """Sign with this secret, and with the old one as well until then; False if there is no such webhook."""
    values = {"webhook_id": webhook_id, "secret": seal_secret(conn, webhook_id, secret), "old_until": old_until}
    return conn.execute(SQL["rotate_webhook"], values).rowcount > 0


def switch_webhook(conn: Connection, webhook_id: int, *, is_on: bool) -> bool:
    """Call it, or call it no more; False if there is no such webhook."""
    return conn.execute(SQL["switch_webhook"], {"webhook_id": webhook_id, "is_on": is_on}).rowcount > 0


def list_webhooks(conn: Connection) -> tuple[tuple[int, str, bool], ...]:
    """`(webhook_id, url, active)` of each."""
    return tuple((webhook_id, url, active) for webhook_id, url, active in conn.execute(SQL["list_webhooks"]))
