"""Sends what is queued: leases a message, sends it outside any transaction, notes how it went, tries again or gives up.

A sender that dies lets its lease run out and another one sends: so a message may be sent twice, with the same id, and is never
lost. Exactly once cannot be promised by any channel; the inbox shows each id once.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from server.push.channels import Channel, Failed, Gone, NotAgreed, Outcome, Sent, Unreachable
from server.push.dead_letters import alarm, give_up
from server.store import pushes as store
from server.store.postgres import Bell, Connection, Pool, in_transaction
from server.store.pushes import Leased
from vitals.errors import UnavailableError

log = structlog.get_logger()

LEASE_S: Final = 30.0
"""Longer than any channel takes; a sender that died is replaced after it."""

ATTEMPTS_MAX: Final = 12
GIVE_UP_AFTER: Final = timedelta(hours=24)
"""After twelve tries or a day a message is dead, and the next in line is told (reliability: alert delivery)."""

BACKOFF_S_FIRST: Final = 2.0
BACKOFF_S_MAX: Final = 3600.0
POLL_S: Final = 1.0


class Dispatcher:
    """Sends by one channel, until told to stop; a slow channel holds up no other."""

    def __init__(self, pool: Pool, channel: Channel) -> None:
        self._pool = pool
        self._channel = channel

    def run(self, stop: threading.Event, bell: Bell) -> None:
        """Send until `stop` is set; `bell` only shortens the wait."""
        while not stop.is_set():
            try:
                if not self.send_due() and not stop.is_set():
                    bell.wait(POLL_S)
            except UnavailableError as e:
                log.warning("database_unavailable", reason=str(e), retry_in_s=BACKOFF_S_FIRST)
                stop.wait(BACKOFF_S_FIRST)

    def send_due(self) -> int:
        """Send what is due now; how many messages that was."""
        leased = in_transaction(self._pool, self._take)
        outcomes = [
            (message, outcome) for group in _groups(leased) for outcome in [self._send(group)] for message in group
        ]
        if outcomes:
            in_transaction(self._pool, lambda conn: _note(conn, outcomes))
        for message, outcome in outcomes:
            log.info(
                "pushed",
                push_id=str(message.push_id),
                channel=self._channel.name,
                attempt=message.attempts,
                outcome=type(outcome).__name__.lower(),
            )
        return len(leased)

    def _send(self, group: Sequence[Leased]) -> Outcome:
        """What goes together is one message, which says for how many others it speaks; they fare as it does."""
        return self._channel.send(replace(group[0], others=len(group) - 1))

    def _take(self, conn: Connection) -> tuple[Leased, ...]:
        return store.take(conn, channel=self._channel.name, limit=self._channel.at_once, lease_s=LEASE_S)


def _groups(leased: Sequence[Leased]) -> list[list[Leased]]:
    """Each message with those that go together with it, itself the first."""
    return [
        [each, *(other for other in leased if other.together_with == each.push_id)]
        for each in leased
        if each.together_with is None
    ]


def _note(conn: Connection, outcomes: list[tuple[Leased, Outcome]]) -> None:
    sent = [message.push_id for message, outcome in outcomes if isinstance(outcome, Sent)]
    if sent:
        store.mark_sent(conn, sent)
    for message, outcome in outcomes:
        match outcome:
            case Failed() if _is_hopeless(message):
                give_up(conn, message, end="dead", error=outcome.error)
                if message.webhook_id is not None and store.disable_failing_webhook(conn, message.webhook_id):
                    alarm(
                        conn,
                        push_id=f"webhook:{message.webhook_id}",
                        channel="webhook",
                        end="dead",
                        error="it has taken nothing for five days and is switched off",
                    )
            case Failed():
                after_s = backoff_s(message) if outcome.after_s is None else outcome.after_s
                store.retry(conn, message, after_s=after_s, error=outcome.error)
            case Gone():
                if message.webhook_id is not None:
                    store.disable_webhook(conn, message.webhook_id)
                give_up(conn, message, end="dead", error=outcome.error)
            case Unreachable():
                give_up(conn, message, end="undeliverable", error=outcome.error)
            case NotAgreed():
                store.decline(conn, message)


def _is_hopeless(message: Leased) -> bool:
    return message.attempts >= ATTEMPTS_MAX or message.now - message.due_at >= GIVE_UP_AFTER


def backoff_s(message: Leased) -> float:
    """2 s, doubled with each attempt up to an hour, stretched by up to a quarter so that many do not come back together.

    The stretch is drawn from the id, not from a die: the same message waits the same time everywhere.
    """
    stretch = 1 + (message.push_id.int % 1000) / 4000
    return min(BACKOFF_S_FIRST * 2.0 ** (message.attempts - 1), BACKOFF_S_MAX) * stretch
