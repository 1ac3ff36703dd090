"""Which patients a user may see: those whose own doctor the user is, and those on the user's panel. No role sees more.

A patient outside that does not exist for the user: the answer is the one for a number that was never given.
"""

from server.people.errors import NotOnPanelError
from server.store import people
from server.store.postgres import Connection


def check(conn: Connection, *, user_id: int, patient_id: int) -> None:
    """Raises `NotOnPanelError` unless the user may see the patient."""
    if not people.is_on_panel(conn, user_id=user_id, patient_id=patient_id):
        raise NotOnPanelError("no such patient")


def add(conn: Connection, *, user_id: int, patient_id: int) -> None:
    """From now on the user sees the patient. Adding twice changes nothing."""
    people.add_to_panel(conn, user_id=user_id, patient_id=patient_id)
