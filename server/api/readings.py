"""`/api/v1/patients/{id}/readings/{reading_id}`: one reading with all that was said of it, and the three ways to correct it."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from server.api import problems
from server.api.patients import PatientId
from server.api.shapes import PatientOut, ReadingOut, Shape, Text
from server.api.versions import IfMatch, read_if_match
from server.people import corrections, panels
from server.people.corrections import Correction, Reason
from server.people.door import Caller, Changing, SignedIn
from server.people.errors import NotOnPanelError
from server.store import corrections as store
from server.store import reading_lists
from server.store.postgres import transaction

router: Final = APIRouter(prefix="/api/v1/patients/{patient_id}/readings/{reading_id}", tags=["readings"])


class CorrectionIn(Shape):
    """Why. `other` needs a note."""

    reason: Annotated[Reason, Field(strict=False)]
    note: Text = ""


class ReassignIn(CorrectionIn):
    to_patient_id: Annotated[int, Field(ge=1, le=2**63 - 1)]


class CorrectionOut(Shape):
    """One thing that was said of a reading. A patient whom the caller does not see is `null`, as nobody is."""

    version: int
    action: Literal["void", "reassign", "restore"]
    reason: str
    note: str
    made_by: str
    made_at: datetime
    from_patient: PatientOut | None
    to_patient: PatientOut | None

    @classmethod
    def of(cls, correction: store.Correction) -> Self:
        names = ("version", "action", "reason", "note", "made_by", "made_at")
        fields = {name: getattr(correction, name) for name in names}
        return cls.model_validate(
            fields
            | {
                "from_patient": _patient(correction.from_patient_id, correction.from_name),
                "to_patient": _patient(correction.to_patient_id, correction.to_name),
            }
        )


class CorrectedOut(ReadingOut):
    """A reading with its `corrections`, oldest first."""

    corrections: tuple[CorrectionOut, ...] = ()


@router.get("", responses=problems.NOT_FOUND)
def find_reading(caller: SignedIn, patient_id: PatientId, reading_id: UUID, response: Response) -> CorrectedOut:
    """One reading in the record of one patient; the `ETag` header is what a correction must say in `If-Match`."""
    return _found(caller, patient_id, reading_id, response)


@router.post("/void", responses=problems.CORRECTION)
def void(
    caller: Changing,
    patient_id: PatientId,
    reading_id: UUID,
    body: CorrectionIn,
    response: Response,
    if_match: IfMatch = None,
) -> CorrectedOut:
    """It is not to be used: nobody is judged by it any more. It stays in the record, struck through."""
    corrections.void(caller.pool, _correction(caller, patient_id, reading_id, body, if_match))
    return _found(caller, patient_id, reading_id, response)


@router.post("/reassign", responses=problems.CORRECTION)
def reassign(
    caller: Changing,
    patient_id: PatientId,
    reading_id: UUID,
    body: ReassignIn,
    response: Response,
    if_match: IfMatch = None,
) -> CorrectedOut:
    """It is another patient's, whom the caller sees as well: both are judged again."""
    correction = _correction(caller, patient_id, reading_id, body, if_match)
    corrections.reassign(caller.pool, correction, to_patient_id=body.to_patient_id)
    return _found(caller, patient_id, reading_id, response)


@router.post("/restore", responses=problems.CORRECTION)
def restore(
    caller: Changing,
    patient_id: PatientId,
    reading_id: UUID,
    body: CorrectionIn,
    response: Response,
    if_match: IfMatch = None,
) -> CorrectedOut:
    """It counts again as it came in."""
    corrections.restore(caller.pool, _correction(caller, patient_id, reading_id, body, if_match))
    return _found(caller, patient_id, reading_id, response)


def _correction(
    caller: Caller, patient_id: int, reading_id: UUID, body: CorrectionIn, if_match: str | None
) -> Correction:
    return Correction(
        patient_id=patient_id,
        reading_id=reading_id,
        version=read_if_match(if_match),
        reason=body.reason,
        note=body.note.strip(),
        user_id=caller.user_id,
        role=caller.session.role,
        now=caller.now,
    )


def _found(caller: Caller, patient_id: int, reading_id: UUID, response: Response) -> CorrectedOut:
    with transaction(caller.pool) as conn:
        panels.check(conn, user_id=caller.user_id, patient_id=patient_id)
        found = reading_lists.list_these_readings(conn, patient_id, [reading_id])
        said = store.list_corrections(conn, [reading_id], user_id=caller.user_id)
    if not found:
        raise NotOnPanelError("no such reading")
    reading = ReadingOut.of(found[0])
    response.headers["ETag"] = reading.etag
    return CorrectedOut(**dict(reading), corrections=tuple(CorrectionOut.of(each) for each in said))


def _patient(patient_id: int | None, name: str | None) -> PatientOut | None:
    return None if patient_id is None or name is None else PatientOut(patient_id=patient_id, name=name)
