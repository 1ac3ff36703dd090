"""`/api/v1/quarantine`: what could not become a reading, and what people make of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, Field, StringConstraints

from server import quarantine
from server.api import problems
from server.api.shapes import Shape
from server.people.door import Changing, SignedIn
from server.people.looks import looked_at
from server.quarantine import AT_ONCE_MAX, Binding, Reason, Seen
from server.release import Outcome
from server.store.quarantine_inbox import Row
from vitals.reading import Reading

router: Final = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])

Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
Numbers = Annotated[tuple[Number, ...], Field(min_length=1, max_length=AT_ONCE_MAX, strict=False)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z:._-]{0,63}$")]

DEED: Final[dict[int | str, dict[str, Any]]] = {
    **problems.FORBIDDEN,
    **problems.NOT_FOUND,
    409: {**problems.RESPONSES[400], "description": "Somebody has settled it, or it cannot be done as things are"},
}


class MeasuredOut(Shape):
    """What the gateway sent of the reading, in the words of the wire format."""

    measured_at: datetime
    time_quality: str
    zone: str
    measurement: Mapping[str, Any]


class RowOut(Shape):
    """`near`: patients of the caller's who may have measured it. `measured` is null where it may be somebody's whom the caller
    does not see, and for whoever runs the house always."""

    quarantine_id: int
    gateway_id: str
    reason: str
    meter_id: str | None
    user_slot: int | None
    received_at: datetime
    near: tuple[int, ...]
    set_aside_as: Reason | None
    settled_at: datetime | None
    settled_by: str | None
    measured: MeasuredOut | None


class QuarantineOut(Shape):
    """The newest first. `next`: say it as `before` for the older ones; null at the end."""

    rows: tuple[RowOut, ...]
    next: int | None


class AssignIn(Shape):
    quarantine_ids: Numbers
    patient_id: Number


class ReleaseIn(Shape):
    quarantine_ids: Numbers


class BindIn(Shape):
    """`since` left out: from the first reading that waits, but not from before the patient was enrolled."""

    gateway_id: Identifier
    meter_id: Identifier
    user_slot: Annotated[int, Field(ge=0, le=255)] | None = None
    patient_id: Number
    since: Annotated[AwareDatetime, Field(strict=False)] | None = None


class SetAsideIn(Shape):
    quarantine_ids: Numbers
    reason: Annotated[Reason, Field(strict=False)]


class OutcomeOut(Shape):
    """How many were `stored`, were there already (`repeated`), or `stay`; all 0 where the caller had done it before."""

    stored: int
    repeated: int
    stay: int


class CountOut(Shape):
    changed: int


@router.get("", responses=problems.FORBIDDEN)
def list_rows(
    caller: SignedIn,
    request: Request,
    state: Literal["waiting", "set_aside"] = "waiting",
    limit: Annotated[int, Query(ge=1, le=AT_ONCE_MAX)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> QuarantineOut:
    """A clinician: what patients of the panel may have measured. An admin: what is nobody's, without values."""
    seen = quarantine.see(caller, is_set_aside=state == "set_aside", limit=limit, before=before)
    looked_at(request, *seen.shown_of)
    return QuarantineOut(
        rows=tuple(_row(row, seen) for row in seen.rows),
        next=seen.next_before,
    )


@router.post("/assign", responses=DEED)
def assign(caller: Changing, body: AssignIn) -> OutcomeOut:
    """These are this patient's: somebody knows who measured. Binds no meter."""
    return _outcome(quarantine.assign(caller, body.quarantine_ids, patient_id=body.patient_id))


@router.post("/release", responses=DEED)
def release(caller: Changing, body: ReleaseIn) -> OutcomeOut:
    """Take in those that are somebody's by now, as the bindings say."""
    return _outcome(quarantine.release(caller, body.quarantine_ids))


@router.post("/bind", responses=DEED)
def bind(caller: Changing, body: BindIn) -> OutcomeOut:
    """The meter, or this user slot of it, is this patient's; what waits of it is taken in at once."""
    return _outcome(quarantine.bind(caller, Binding(**body.model_dump())))


@router.post("/set-aside", responses=DEED)
def set_aside(caller: Changing, body: SetAsideIn) -> CountOut:
    """They wait no longer. They stay, with their bytes, counted as quarantined."""
    return CountOut(changed=quarantine.set_aside(caller, body.quarantine_ids, reason=body.reason))


@router.post("/open-again", responses=DEED)
def open_again(caller: Changing, body: ReleaseIn) -> CountOut:
    """What was set aside waits again."""
    return CountOut(changed=quarantine.open_again(caller, body.quarantine_ids))


def _row(row: Row, seen: Seen) -> RowOut:
    fields = {name: getattr(row, name) for name in RowOut.model_fields if hasattr(row, name)}
    reading = seen.readings.get(row.quarantine_id)
    return RowOut.model_validate(
        fields
        | {
            "near": tuple(row.near),
            "set_aside_as": row.set_aside_as and Reason(row.set_aside_as),
            "settled_at": row.resolved_at,
            "settled_by": row.resolved_by,
            "measured": reading and _measured(reading),
        }
    )


def _measured(reading: Reading) -> MeasuredOut:
    return MeasuredOut(
        measured_at=reading.measured_at,
        time_quality=reading.time_quality.value,
        zone=reading.zone,
        measurement=msgspec.to_builtins(reading.measurement),
    )


def _outcome(outcome: Outcome) -> OutcomeOut:
    return OutcomeOut(stored=outcome.taken_in, repeated=outcome.repeated, stay=outcome.stay)
