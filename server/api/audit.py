"""`/api/v1/audit` and `/api/v1/patients/{id}/audit`: who did what, and who looked at whose record, for auditors alone.

What an auditor asks here is written down, too, as everybody's look is.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field, StringConstraints

from server.api import problems
from server.api.paging import Page, cut
from server.api.patients import PatientId
from server.api.shapes import Shape
from server.people.door import Caller, SignedIn
from server.people.errors import NotAnAuditorError, NotOnPanelError
from server.store import audit
from server.store.audit import Asked, Entry
from server.store.postgres import transaction
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/api/v1", tags=["audit"])

AUDITORS: Final = frozenset({"auditor"})

Actor = Annotated[str, StringConstraints(max_length=100, pattern=r"^[a-z]+:[^\x00]+$")]
Act = Annotated[str, StringConstraints(max_length=100, pattern=r"^[a-z_]+(\.[a-z_]+)*$")]


class AuditPage(Page):
    """What must fit. `act`: itself, or all of its area (`record`)."""

    act: Act | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class AllPage(AuditPage):
    actor: Actor | None = None
    patient_id: Annotated[int | None, Field(ge=1, le=2**63 - 1)] = None


class EntryOut(Shape):
    """One deed. `who`: the name of the account behind `actor`; `seq`: its link in the chain, `null` while it is not sealed."""

    entry_id: int
    at: datetime
    actor: str
    who: str | None
    act: str
    patient_id: int | None
    subject: str
    detail: dict[str, Any]
    seq: int | None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls.model_validate({name: getattr(entry, name) for name in cls.model_fields})


class AuditOut(Shape):
    entries: tuple[EntryOut, ...]
    next: str | None


class ViewerOut(Shape):
    """Somebody who has looked at the record: `times` that it was written down, at which kinds of page."""

    actor: str
    who: str | None
    role: str | None
    times: int
    first_at: datetime
    last_at: datetime
    kinds: tuple[str, ...]


class PatientAuditOut(AuditOut):
    """What was done about a patient, and `viewers`: everybody who has looked at the record."""

    viewers: tuple[ViewerOut, ...]


@router.get("/audit", responses=problems.AUDITED)
def list_audit(caller: SignedIn, page: Annotated[AllPage, Query()]) -> AuditOut:
    """Everything that was written down, newest first."""
    _check(caller)
    asked = Asked(patient_id=page.patient_id, actor=page.actor, act=page.act, since=page.since, until=page.until)
    with transaction(caller.pool) as conn:
        rows = audit.list_entries(conn, asked, limit=page.limit + 1, before=_decode(page.cursor))
    return AuditOut(**_shown(rows, page.limit))


@router.get("/patients/{patient_id}/audit", responses={**problems.AUDITED, **problems.NOT_FOUND})
def list_patient_audit(caller: SignedIn, patient_id: PatientId, page: Annotated[AuditPage, Query()]) -> PatientAuditOut:
    """What was done about one patient, newest first, and who has looked."""
    _check(caller)
    asked = Asked(patient_id=patient_id, act=page.act, since=page.since, until=page.until)
    with transaction(caller.house) as conn:  # an auditor sees no patients, but may ask about any
        if not audit.has_patient(conn, patient_id):
            raise NotOnPanelError("no such patient")
    with transaction(caller.pool) as conn:
        rows = audit.list_entries(conn, asked, limit=page.limit + 1, before=_decode(page.cursor))
        viewers = audit.list_viewers(conn, patient_id)
    return PatientAuditOut(**_shown(rows, page.limit), viewers=tuple(_viewer(each) for each in viewers))


def _check(caller: Caller) -> None:
    if caller.session.role not in AUDITORS:
        raise NotAnAuditorError("only an auditor may read the audit")


def _shown(rows: Sequence[Entry], limit: int) -> dict[str, Any]:
    shown, last = cut(rows, limit)
    return {"entries": tuple(EntryOut.of(each) for each in shown), "next": _encode(last.entry_id) if last else None}


def _viewer(viewer: audit.Viewer) -> ViewerOut:
    named = {name: getattr(viewer, name) for name in ViewerOut.model_fields}
    return ViewerOut.model_validate({**named, "kinds": tuple(viewer.kinds)})


def _encode(entry_id: int) -> str:
    return base64.urlsafe_b64encode(str(entry_id).encode()).decode()


def _decode(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        return int(base64.urlsafe_b64decode(cursor).decode("ascii")) % 2**63
    except ValueError as e:
        raise MalformedError("cursor", "the cursor is none that was given out; begin without one") from e
