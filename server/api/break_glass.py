"""`/api/v1/break-glass`: opening the record of somebody else's patient in an emergency, for an hour and in everybody's sight."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field, StringConstraints

from server.api import problems
from server.api.shapes import Shape
from server.people import break_glass
from server.people.break_glass import REASON_LENGTHS, Emergency
from server.people.door import Changing, SignedIn
from server.store.panels import Glass

router: Final = APIRouter(prefix="/api/v1/break-glass", tags=["panels"])

Reason = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=REASON_LENGTHS[0], max_length=REASON_LENGTHS[1], pattern=r"^[^\x00]*$"
    ),
]


class EmergencyIn(Shape):
    """`reason`: why it must be now; the patient's doctor may read it."""

    patient_id: Annotated[int, Field(ge=1, le=2**63 - 1)]
    reason: Reason


class GlassOut(Shape):
    break_glass_id: int
    patient_id: int
    opened_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, glass: Glass) -> "GlassOut":
        return cls.model_validate({name: getattr(glass, name) for name in cls.model_fields})


class GlassesOut(Shape):
    records: tuple[GlassOut, ...]


@router.get("", responses=problems.FORBIDDEN)
def list_open(caller: SignedIn) -> GlassesOut:
    """What the caller has open in an emergency."""
    found = break_glass.open_now(caller.house, caller.user_id, now=caller.now)
    return GlassesOut(records=tuple(GlassOut.of(each) for each in found))


@router.post("", status_code=201, responses=problems.BREAK_GLASS)
def open_record(caller: Changing, body: EmergencyIn) -> GlassOut:
    """The patient's doctor is told at once. Five tries an hour."""
    emergency = Emergency(
        user_id=caller.user_id,
        role=caller.session.role,
        patient_id=body.patient_id,
        reason=body.reason,
        now=caller.now,
    )
    return GlassOut.of(break_glass.open_record(caller.house, emergency))


@router.post("/{break_glass_id}/end", status_code=204, responses={**problems.FORBIDDEN, **problems.NOT_FOUND})
def end(caller: Changing, break_glass_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> Response:
    """Before the hour is over."""
    break_glass.end(caller.house, user_id=caller.user_id, break_glass_id=break_glass_id, now=caller.now)
    return Response(status_code=204)
