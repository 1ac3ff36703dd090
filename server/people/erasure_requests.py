"""One person wants somebody erased, a second one confirms it or refuses: on pages and through the API as on the command line.

Who asks is a clinician who sees the patient. Who confirms is another one who does, or an admin, who sees a number and no record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.people import erasure, panels
from server.people.door import Caller
from server.people.erasure import Outcome, Reason, Wish
from server.people.erasure_proof import traces_of
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.store import audit
from server.store import erasure_requests as store
from server.store.erasure_requests import Erased, Request
from server.store.postgres import Connection

SHOWN: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who asks or decides."""

    user_id: int
    login: str
    role: str
    now: datetime

    @property
    def name(self) -> str:
        return f"user:{self.user_id}"


def person_of(caller: Caller) -> Person:
    return Person(user_id=caller.user_id, login=caller.session.login, role=caller.session.role, now=caller.now)


def ask(conn: Connection, person: Person, patient_id: int, reason: Reason) -> int:
    """The request's number. Raises `NotOnPanelError`, `HeldError`, `DecisionConflictError` (one waits already)."""
    panels.check_regular(conn, user_id=person.user_id, patient_id=patient_id)
    erasure.check_hold(conn, patient_id, person.now)
    request_id = store.ask(conn, patient_id, reason=reason, by=person.user_id, now=person.now)
    if request_id is None:
        raise DecisionConflictError("waiting already for a second person", what="request")
    audit.note(
        conn,
        actor=person.name,
        act="erasure.ask",
        at=person.now,
        patient_id=patient_id,
        subject=str(request_id),
        detail={"reason": reason},
    )
    return request_id


def confirm(conn: Connection, person: Person, request_id: int, *, clinical_years: int) -> Outcome:
    """Erase; and where nothing has it kept, have the server's loop look for what is left (`watch.erasures`).

    Raises `NotOnPanelError`, `HeldError`, `DecisionConflictError` (decided already; or it was the same person who asked).
    """
    found = _open(conn, person, request_id)
    if found.asked_by == person.user_id:
        raise DecisionConflictError("your own: somebody else confirms it", what="request")
    traces = traces_of(conn, found.patient_id)
    store.decide(conn, request_id, "confirmed", by=person.user_id, now=person.now)
    wish = Wish(
        patient_id=found.patient_id,
        reason=_reason(found.reason),
        by=found.asked_by_login,
        second=person.login,
        actor=person.name,
        now=person.now,
    )
    outcome = erasure.erase(conn, wish, clinical_years=clinical_years)
    if outcome.is_destroyed:
        store.add_search(conn, found.patient_id, traces=traces.words, by=person.name, now=person.now)
    return outcome


def refuse(conn: Connection, person: Person, request_id: int) -> None:
    """It is not done; whoever asked may say so, too. Raises `NotOnPanelError`, `DecisionConflictError`."""
    found = _open(conn, person, request_id)
    store.decide(conn, request_id, "refused", by=person.user_id, now=person.now)
    audit.note(
        conn,
        actor=person.name,
        act="erasure.refuse",
        at=person.now,
        patient_id=found.patient_id,
        subject=str(request_id),
    )


def requests(conn: Connection, person: Person) -> Sequence[Request]:
    """Of everybody for admins and auditors, by number; for clinicians, of those whom they see."""
    is_house = person.role in ("admin", "auditor")
    return store.list_requests(conn, limit=SHOWN, user_id=None if is_house else person.user_id)


def erased(conn: Connection, person: Person) -> Sequence[Erased]:
    """Who is kept under seal or gone, by number: for admins and auditors, for no clinician sees them any more."""
    return store.list_erased(conn, limit=SHOWN) if person.role in ("admin", "auditor") else ()


def _open(conn: Connection, person: Person, request_id: int) -> Request:
    found = store.find(conn, request_id)
    if found is None:
        raise NotOnPanelError("no such request")
    if person.role != "admin":
        panels.check_regular(conn, user_id=person.user_id, patient_id=found.patient_id)
    if found.decision is not None:
        raise DecisionConflictError(f"{found.decision} already", what="request")
    return found


def _reason(text: str) -> Reason:
    reasons: tuple[Reason, ...] = ("asked", "withdrawn", "over", "ordered")
    return next(each for each in reasons if each == text)
