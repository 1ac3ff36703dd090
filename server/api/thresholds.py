"""`/api/v1/patients/{id}/thresholds`: the numbers by which one patient is judged: every version, and how to set the next."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Self

from fastapi import APIRouter, Path, Response
from pydantic import Field, StringConstraints

from server.api import problems
from server.api.patients import PatientId
from server.api.shapes import Shape
from server.api.versions import IfMatch, read_if_match
from server.people import panels, thresholds
from server.people.decisions import NOTE_MAX
from server.people.door import Changing, SignedIn
from server.people.thresholds import Setting
from server.store import thresholds as store
from server.store.postgres import transaction

router: Final = APIRouter(prefix="/api/v1/patients/{patient_id}/thresholds", tags=["thresholds"])

RuleId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Why = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=NOTE_MAX, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")
]


class ThresholdIn(Shape):
    """The patient's own numbers by the rule's own names, empty for the rule's; and whether the rule speaks of the patient,
    `null` for as it says."""

    parameters: Annotated[Mapping[str, float], Field(max_length=16)]
    is_watched: bool | None = None
    reason: Why


class ThresholdOut(Shape):
    """One version. `etag` is what `If-Match` must say to set the next one; without any it is `"0"`."""

    rule_id: str
    version: int
    etag: str
    parameters: Mapping[str, float]
    is_watched: bool | None
    reason: str
    set_by: str
    set_at: datetime

    @classmethod
    def of(cls, own: store.OwnVersion) -> Self:
        names = ("rule_id", "version", "is_watched", "reason", "set_by", "set_at")
        fields = {name: getattr(own, name) for name in names}
        numbers = {name: float(value) for name, value in own.parameters.items()}
        return cls.model_validate(fields | {"etag": f'"{own.version}"', "parameters": numbers})


class ThresholdsOut(Shape):
    """Every version that was ever set, by rule and the newest, which is in force, first."""

    thresholds: tuple[ThresholdOut, ...]


@router.get("", responses=problems.NOT_FOUND)
def list_thresholds(caller: SignedIn, patient_id: PatientId) -> ThresholdsOut:
    """All of one patient's."""
    with transaction(caller.pool) as conn:
        panels.check(conn, user_id=caller.user_id, patient_id=patient_id)
        found = store.list_versions(conn, patient_id)
    return ThresholdsOut(thresholds=tuple(ThresholdOut.of(own) for own in found))


@router.put("/{rule_id}", responses=problems.CORRECTION)
def set_thresholds(
    caller: Changing,
    patient_id: PatientId,
    rule_id: RuleId,
    body: ThresholdIn,
    response: Response,
    if_match: IfMatch = None,
) -> ThresholdOut:
    """The next version, in force at once: the patient is judged again."""
    setting = Setting(
        patient_id=patient_id,
        rule_id=rule_id,
        version=read_if_match(if_match),
        parameters=dict(body.parameters),
        is_watched=body.is_watched,
        reason=body.reason,
        user_id=caller.user_id,
        login=caller.session.login,
        role=caller.session.role,
        now=caller.now,
    )
    own = ThresholdOut.of(thresholds.set_thresholds(caller.pool, setting))
    response.headers["ETag"] = own.etag
    return own
