"""What follows when a message cannot reach its recipient: it stays visible, it is an alarm, and the next in line is told at once.

All of it belongs to the transaction in which the message is given up, so that there is no moment at which nobody is told. Whether
to give up is `dispatch`'s to say.
"""

from typing import Literal

import structlog

from server.push import texts
from server.store import pushes as store
from server.store.alarms import AlarmKind, raise_alarm
from server.store.postgres import Connection
from server.store.pushes import Leased

log = structlog.get_logger()

End = Literal["dead", "undeliverable"]


def give_up(conn: Connection, message: Leased, *, end: End, error: str) -> None:
    """Note that `message` is `dead` (tried and given up) or `undeliverable` (no way to the recipient), and tell the next.

    A sender whose lease has passed to another has nothing to give up any more.
    """
    if not store.bury(conn, message, state=end, error=error):
        return
    log.error("push_dead", push_id=str(message.push_id), recipient=message.recipient, end=end, error=error)
    alarm(conn, push_id=str(message.push_id), channel=message.channel, end=end, error=error)
    if message.kind not in ("retraction", "plan", "break_glass"):
        _tell_the_next(conn, message)


def alarm(conn: Connection, *, push_id: str, channel: str, end: End, error: str) -> None:
    """The house's own alarm, which says no address and no name."""
    raise_alarm(conn, AlarmKind.PUSH_DEAD, subject=push_id, detail=f"{channel}: {end}: {error}")


def _tell_the_next(conn: Connection, message: Leased) -> None:
    """The next step of the alert becomes due now; where there is none, the clinic's desk stands in."""
    assert message.episode_id is not None, message.kind
    alert = store.lock_alert(conn, message.episode_id)
    if alert.state == "active" and store.hasten_next(conn, message.episode_id, after_step=message.step):
        return
    is_wanted = alert.state == "active" or (message.kind == "opening" and alert.is_over_by_readings)
    if is_wanted and message.recipient != store.DESK:
        store.tell_desk_instead(conn, message, text=texts.undelivered(store.text_for_desk(conn, message.push_id)))
