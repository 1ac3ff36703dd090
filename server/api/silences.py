"""`/api/v1/silences`: what clinicians need not be told for a while, why, until when, and by whose word."""

from datetime import datetime
from typing import Annotated, Final, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from server.api import problems
from server.api.shapes import PatientOut, Shape, Text
from server.api.versions import IdempotencyKey, IfMatch, read_if_match
from server.people import silences
from server.people.door import Caller, Changing, SignedIn
from server.people.silences import Silencer
from server.store.postgres import transaction
from server.store.silences import Silence

router: Final = APIRouter(prefix="/api/v1/silences", tags=["silences"])

Number = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Wanted(BaseModel):
    """Which: those of one patient; with `is_open` false also those that are over."""

    model_config = ConfigDict(extra="forbid")

    patient_id: Number | None = None
    is_open: bool = True


class SilenceIn(Shape):
    """`rule_id` `null`: every rule that is not urgent. 24 hours at most for an urgent rule, 90 days for any other."""

    patient_id: Number
    rule_id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] | None = None
    until: Annotated[AwareDatetime, Field(strict=False)]
    reason: Text


class SilenceOut(Shape):
    """A silence. `ended_at`: before its time, by `ended_by`. `etag` is what `If-Match` must say to end it."""

    silence_id: int
    patient: PatientOut
    rule_id: str | None
    reason: str
    made_at: datetime
    made_by: str
    until: datetime
    ended_at: datetime | None
    ended_by: str | None
    etag: str

    @classmethod
    def of(cls, silence: Silence) -> Self:
        fields = {name: getattr(silence, name) for name in cls.model_fields if name not in ("patient", "etag")}
        patient = PatientOut(patient_id=silence.patient_id, name=silence.patient_name)
        return cls.model_validate({**fields, "patient": patient, "etag": f'"{silence.version}"'})


class SilencesOut(Shape):
    silences: tuple[SilenceOut, ...]


@router.get("")
def list_silences(caller: SignedIn, wanted: Annotated[Wanted, Query()]) -> SilencesOut:
    """Of one's own panel, the soonest to end first."""
    with transaction(caller.pool) as conn:
        found = silences.list_silences(
            conn, user_id=caller.user_id, now=caller.now, patient_id=wanted.patient_id, is_open=wanted.is_open
        )
    return SilencesOut(silences=tuple(SilenceOut.of(each) for each in found))


@router.post("", status_code=201, responses=problems.CORRECTION)
def add_silence(caller: Changing, body: SilenceIn, response: Response, key: IdempotencyKey = None) -> SilenceOut:
    """No clinician is told of these alerts until then; what is not sent says so, and what is open then is told."""
    silence = silences.add(
        caller.pool,
        _who(caller, key),
        body.patient_id,
        rule_id=body.rule_id,
        until=body.until,
        reason=body.reason,
        rules=caller.clinic.rules,
    )
    return _tagged(silence, response)


@router.post("/{silence_id}/end", responses=problems.CORRECTION)
def end_silence(
    caller: Changing,
    silence_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    response: Response,
    if_match: IfMatch = None,
) -> SilenceOut:
    """Ends it before its time; what is still open is told now."""
    silence = silences.end(caller.pool, _who(caller, None), silence_id, version=read_if_match(if_match))
    return _tagged(silence, response)


def _who(caller: Caller, key: str | None) -> Silencer:
    return Silencer(user_id=caller.user_id, role=caller.session.role, now=caller.now, key=key)


def _tagged(silence: Silence, response: Response) -> SilenceOut:
    response.headers["ETag"] = f'"{silence.version}"'
    return SilenceOut.of(silence)
