"""`/api/v1/panels`: who is on whose panel, for whoever runs the clinic. Patients are numbers here: no record is shown."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field, StringConstraints

from server.api import problems
from server.api.shapes import Shape
from server.people import panels
from server.people.door import Changing, SignedIn
from server.people.panels import REASON_MAX, Act, Wish
from server.store.panels import Change
from server.store.postgres import in_transaction, transaction

router: Final = APIRouter(prefix="/api/v1/panels", tags=["panels"])

Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=REASON_MAX, pattern=r"^[^\x00]*$")
]


class ChangeIn(Shape):
    """`added` and `doctor_set` name `to_user`, `removed` names `from_user`, `transferred` names both."""

    act: Annotated[Act, Field(strict=False)]
    patient_id: Number
    from_user: Number | None = None
    to_user: Number | None = None
    reason: Reason


class ChangeOut(Shape):
    change_id: int
    at: datetime
    changed_by: str
    act: Act
    patient_id: int
    from_user: int | None
    to_user: int | None
    reason: str


class ChangesOut(Shape):
    changes: tuple[ChangeOut, ...]


class MemberOut(Shape):
    patient_id: int
    is_doctor: bool


class PanelOut(Shape):
    """`is_doctor`: the user is the patient's own doctor."""

    user_id: int
    patients: tuple[MemberOut, ...]


@router.get("/changes", responses=problems.FORBIDDEN)
def list_changes(
    caller: SignedIn,
    patient_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    user_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> ChangesOut:
    """How panels came to be, the newest first: of one patient, of one user, or of all."""
    with transaction(caller.house) as conn:
        return ChangesOut(changes=_shown(panels.history(conn, patient_id=patient_id, user_id=user_id, limit=limit)))


@router.post("/changes", status_code=201, responses=problems.PANEL)
def change(caller: Changing, body: ChangeIn) -> ChangeOut:
    """Holds at once, for open pages as well. Whoever loses the patient loses the patient's tasks."""
    wish = Wish(
        act=body.act,
        patient_id=body.patient_id,
        from_user=body.from_user,
        to_user=body.to_user,
        reason=body.reason,
        by=f"user:{caller.user_id}",
        now=caller.now,
    )
    in_transaction(caller.house, lambda conn: panels.change(conn, wish))
    with transaction(caller.house) as conn:
        return _shown(panels.history(conn, patient_id=body.patient_id, limit=1))[0]


@router.get("/{user_id}", responses={**problems.FORBIDDEN, **problems.NOT_FOUND})
def show_panel(caller: SignedIn, user_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> PanelOut:
    """Whom one clinician sees, by number."""
    with transaction(caller.house) as conn:
        found = panels.members(conn, user_id)
    patients = tuple(MemberOut(patient_id=each.patient_id, is_doctor=each.is_doctor) for each in found)
    return PanelOut(user_id=user_id, patients=patients)


def _shown(changes: Sequence[Change]) -> tuple[ChangeOut, ...]:
    return tuple(
        ChangeOut.model_validate(
            {name: getattr(each, name) for name in ChangeOut.model_fields} | {"act": Act(each.act)}
        )
        for each in changes
    )
