"""`/api/v1/patients/{id}/readings` and `/api/v1/inbox`: what was measured, and what the caller was told."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from server.api import problems
from server.api.paging import Page, cut, decode_cursor, encode_cursor
from server.api.shapes import InboxOut, MessageOut, ReadingOut, ReadingsOut
from server.people import panels
from server.people.door import SignedIn
from server.store import reading_lists, worklist
from server.store.postgres import transaction

router: Final = APIRouter(prefix="/api/v1", tags=["patients"])

FROM_THE_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

PatientId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/patients/{patient_id}/readings", responses=problems.NOT_FOUND)
def list_readings(caller: SignedIn, patient_id: PatientId, page: Annotated[Page, Query()]) -> ReadingsOut:
    """Newest first, whatever their quality."""
    before = decode_cursor(page.cursor)
    with transaction(caller.pool) as conn:
        panels.check(conn, user_id=caller.user_id, patient_id=patient_id)
        rows = reading_lists.list_readings(
            conn, patient_id, since=FROM_THE_BEGINNING, limit=page.limit + 1, before=before
        )
    shown, last = cut(rows, page.limit)
    return ReadingsOut(
        readings=tuple(ReadingOut.of(reading) for reading in shown),
        next=encode_cursor(last.measured_at, last.reading_id) if last else None,
    )


@router.get("/inbox")
def list_inbox(caller: SignedIn, page: Annotated[Page, Query()]) -> InboxOut:
    """What has been pushed to the caller, newest first. Reading it here does not mark it as read."""
    before = decode_cursor(page.cursor)
    with transaction(caller.pool) as conn:
        rows = worklist.list_inbox(conn, user_id=caller.user_id, limit=page.limit + 1, before=before)
    shown, last = cut(rows, page.limit)
    return InboxOut(
        messages=tuple(MessageOut.of(message) for message in shown),
        next=encode_cursor(last.sent_at, last.push_id) if last else None,
    )
