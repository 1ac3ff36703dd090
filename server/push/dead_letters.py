"""What follows when a message cannot reach its recipient: it stays visible, it is an alarm, and the next in line is told at once.

A message to the patient has no next: that the patient could not be told is a call to be made, and the doctor who has been told of
the alert is hurried by nothing. Where nobody of the clinic was to hear of it, the clinic's desk does.

All of it belongs to the transaction in which the message is given up, so that there is no moment at which nobody is told. Whether
to give up is `dispatch`'s to say.
"""

from typing import Literal

import structlog

from server.people import follow_ups
from server.push import texts
from server.store import judging
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
    if end == "undeliverable" and message.kind == "plan":
        return  # a reminder goes out several times a day; of somebody without any way the patient's page says so once
    alarm(conn, push_id=str(message.push_id), channel=message.channel, end=end, error=error)
    if message.kind in ("retraction", "plan", "break_glass"):
        return
    if message.recipient == "patient" and end == "undeliverable":
        _have_the_patient_called(conn, message)
    else:
        _tell_the_next(conn, message)


def alarm(conn: Connection, *, push_id: str, channel: str, end: End, error: str) -> None:
    """The house's own alarm, which says no address and no name."""
    raise_alarm(conn, AlarmKind.PUSH_DEAD, subject=push_id, detail=f"{channel}: {end}: {error}")


def _have_the_patient_called(conn: Connection, message: Leased) -> None:
    """A call task, as for an alert of which a doctor is told; what only the patient was to hear of goes to the desk, too."""
    assert message.episode_id is not None, message.kind
    alert = store.lock_alert(conn, message.episode_id)
    if not (alert.state == "active" or alert.is_over_by_readings):
        return
    follow_ups.open_for_alert(
        conn, patient_id=message.patient_id, episode_id=message.episode_id, due_at=message.now, now=message.now
    )
    if not judging.told_doctor(conn, message.episode_id):
        store.tell_desk_instead(conn, message, text=texts.undelivered(store.text_for_desk(conn, message.push_id)))


def _tell_the_next(conn: Connection, message: Leased) -> None:
    """The next step of the alert becomes due now; where there is none, the clinic's desk stands in."""
    assert message.episode_id is not None, message.kind
    alert = store.lock_alert(conn, message.episode_id)
    if alert.state == "active" and store.hasten_next(conn, message.episode_id, after_step=message.step):
        return
    is_wanted = alert.state == "active" or (message.kind == "opening" and alert.is_over_by_readings)
    if is_wanted and message.recipient != store.DESK:
        store.tell_desk_instead(conn, message, text=texts.undelivered(store.text_for_desk(conn, message.push_id)))
