"""The link to a patient's own page: no login, no password, an end, and a way to take it back.

Whoever holds the link sees the page, so it ends, only its hash is kept, and a new phone gets a new one.
"""

from datetime import datetime, timedelta

from server.people.tokens import draw_token, hash_token
from server.store import audit, contacts, people
from server.store.contacts import Owner
from server.store.postgres import Connection


def issue_patient_link(
    conn: Connection, patient_id: int, *, now: datetime, valid_for: timedelta, by: str = "server:web"
) -> str:
    """A token for the page `/me/<token>`. It cannot be shown again. `by`: who gives it, as the audit names them."""
    token = draw_token()
    people.issue_patient_link(
        conn, token_hash=hash_token(token), patient_id=patient_id, now=now, expires_at=now + valid_for
    )
    detail = {"expires_at": (now + valid_for).isoformat()}
    audit.note(conn, actor=by, act="patient_link.issue", at=now, patient_id=patient_id, detail=detail)
    return token


def find_patient(conn: Connection, token: str, *, now: datetime) -> int | None:
    """The patient whose link this is; `None` when it is unknown, past its end or revoked."""
    return people.find_patient_link(conn, hash_token(token), now=now)


def revoke_patient_links(conn: Connection, patient_id: int, *, now: datetime, by: str = "server:web") -> int:
    """Ends every link of the patient; how many were in force. No browser that was told goes on being sent new ones."""
    ended = people.revoke_patient_links(conn, patient_id=patient_id, now=now)
    browsers = contacts.forget_browsers(conn, Owner(patient_id=patient_id))
    detail = {"links": ended, "browsers": browsers}
    audit.note(conn, actor=by, act="patient_link.revoke", at=now, patient_id=patient_id, detail=detail)
    return ended
