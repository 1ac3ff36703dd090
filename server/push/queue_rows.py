"""Writes messages into the queue: one row for each way to each recipient, with when it may be told, in the caller's transaction.

Who is to hear what is `queueing`'s to say; here is only by which ways, and that a message waits for the end of quiet hours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from server.push import outside_texts, texts
from server.push.dead_letters import alarm
from server.push.muting import allowed_from
from server.push.outside_texts import Audience
from server.push.texts import Text
from server.store import judging as store
from server.store.contacts import kinds_of
from server.store.judging import Push
from server.store.postgres import Connection
from server.store.pushes import DESK, push_id_of

TO_THE_NEXT: Final = ("reminder", "escalation", "breach")
"""Messages of what nobody has acknowledged: to these go the ways that somebody keeps for that."""

Recipient = tuple[str, str]
"""`(recipient, channel)` of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is said of an alert at a step of it. `why`: it is not told, because of that; it stays in the ledger all the same."""

    episode_id: UUID
    said: Text
    kind: str
    step: int
    is_urgent: bool
    why: str | None = None


def queue(
    conn: Connection, patient_id: int, message: Message, recipients: Iterable[Recipient], *, at: datetime
) -> datetime:
    """One row for each; returns when the first of them may be told, `at` if there is none."""
    rows = [_row(conn, patient_id, message, each, at=at) for each in recipients]
    store.insert_pushes(conn, rows)
    return min((row.due_at for row in rows), default=at)


def note_undeliverable(conn: Connection, patient_id: int, message: Message, recipient: str, *, at: datetime) -> None:
    """There is no way to this recipient: it stays visible and is an alarm of the house."""
    row = _row(conn, patient_id, message, (recipient, "inbox"), at=at, state="undeliverable")
    store.insert_pushes(conn, [row])
    alarm(
        conn,
        push_id=str(row.push_id),
        channel="inbox",
        end="undeliverable",
        error=f"patient {patient_id} has no doctor who can log in",
    )


def ways_of(
    conn: Connection, patient_id: int, recipients: Iterable[str], *, priority: str, kind: str = "opening"
) -> list[Recipient]:
    """Every way to each of them, as each of them wants to be told of what is so urgent; our own inbox is always one."""
    is_next = kind in TO_THE_NEXT
    return [
        (each, channel)
        for each in recipients
        for channel in ("inbox", *kinds_of(conn, patient_id, each, priority=priority, is_next=is_next))
    ]


def systems(conn: Connection) -> list[Recipient]:
    """The clinic's own systems."""
    return [(f"{DESK}:{webhook_id}", "webhook") for webhook_id in store.active_webhooks(conn)]


def _row(
    conn: Connection, patient_id: int, message: Message, recipient: Recipient, *, at: datetime, state: str = "pending"
) -> Push:
    whom, channel = recipient
    passes = message.is_urgent or message.kind in ("retraction", "breach") or message.why is not None
    due_at = at if passes or state != "pending" else allowed_from(conn, patient_id, whom, at)
    return Push(
        push_id=push_id_of(message.episode_id, whom, channel, message.step),
        episode_id=message.episode_id,
        patient_id=patient_id,
        recipient=whom,
        channel=channel,
        kind=message.kind,
        step=message.step,
        text=_text(message, whom, channel),
        due_at=due_at,
        state="cancelled" if message.why is not None else state,
        is_urgent=message.is_urgent,
        why=message.why or ("quiet_hours" if due_at > at else None),
    )


def _text(message: Message, whom: str, channel: str) -> Text:
    """What is really said that way: health is spoken of in our own inbox alone."""
    if channel == "webhook":
        return texts.to_webhook()
    if channel == "inbox":
        return message.said
    audience: Audience = "patient" if whom == "patient" else "clinic"
    return outside_texts.text_of(message.kind, audience, is_urgent=message.is_urgent)
