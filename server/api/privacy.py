"""What a patient has agreed to, the record in the patient's own hand, holds, and being forgotten, which takes two people."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import AwareDatetime, Field, StringConstraints

from server.api import problems
from server.api.patients import PatientId
from server.api.shapes import Shape
from server.people import consents, erasure, erasure_requests, panels, portability, record_codes
from server.people.consents import Saying
from server.people.door import Caller, Changing, SignedIn, address
from server.people.erasure_requests import person_of
from server.people.errors import NotOnPanelError
from server.store import consents as consent_store
from server.store import erasure_requests as store
from server.store.consents import Purpose
from server.store.postgres import Connection, in_transaction, transaction

router: Final = APIRouter(prefix="/api/v1", tags=["privacy"])

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Why = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")
]
ZIP: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}},
    403: problems.ERASURE[403],
    **problems.NOT_FOUND,
}


class ConsentIn(Shape):
    """What the patient said of a purpose, at the clinic or on paper; `said_at`, if not now, in the past."""

    purpose: Annotated[Purpose, Field(strict=False)]
    is_given: bool
    how: Literal["clinic", "paper"]
    said_at: Annotated[AwareDatetime | None, Field(strict=False)] = None


class WordOut(Shape):
    purpose: str
    is_given: bool
    text_version: int | None
    how: str
    said_at: datetime
    recorded_by: str


class ConsentsOut(Shape):
    """`in_force`: the purposes whose last word was yes. `history`: all that was ever said, the oldest first."""

    in_force: tuple[str, ...]
    history: tuple[WordOut, ...]


class CodeOut(Shape):
    """To be told to the patient, and to nobody else. It opens the record once, on the patient's own page."""

    code: str
    ends_at: datetime


class HoldIn(Shape):
    """`reason`: why nothing may be erased; it is shown to whoever wants to."""

    reason: Why
    until: Annotated[AwareDatetime, Field(strict=False)]


class HoldOut(Shape):
    hold_id: int
    made_by: str
    made_at: datetime
    until: datetime


class HoldsOut(Shape):
    holds: tuple[HoldOut, ...]


class ErasureIn(Shape):
    """The patient asked, or took consent back; there is no purpose any more; an authority ordered it."""

    reason: Literal["asked", "withdrawn", "over", "ordered"]


class RequestOut(Shape):
    """`decision` null: it waits for a second person."""

    request_id: int
    patient_id: int
    reason: str
    asked_by: str
    asked_at: datetime
    decision: Literal["confirmed", "refused"] | None
    decided_by: str | None
    decided_at: datetime | None


class RequestsOut(Shape):
    requests: tuple[RequestOut, ...]


class OutcomeOut(Shape):
    """`is_destroyed`: gone; else kept under seal until then, because the law has it kept."""

    is_destroyed: bool
    keep_until: datetime


@router.get("/patients/{patient_id}/consents", responses=problems.NOT_FOUND)
def list_consents(caller: SignedIn, patient_id: PatientId) -> ConsentsOut:
    """What a patient has agreed to, by purpose."""
    with transaction(caller.pool) as conn:
        panels.check(conn, user_id=caller.user_id, patient_id=patient_id)
        last = consent_store.last_words(conn, patient_id)
        history = consent_store.history(conn, patient_id)
    words = tuple(
        WordOut.model_validate({name: getattr(each, name) for name in WordOut.model_fields}) for each in history
    )
    return ConsentsOut(in_force=tuple(each.purpose for each in last if each.is_given), history=words)


@router.post("/patients/{patient_id}/consents", responses=problems.ERASURE)
def say(caller: Changing, patient_id: PatientId, body: ConsentIn) -> ConsentsOut:
    """Write down what the patient said. What follows from it follows at once: without `care` nobody watches any more."""
    saying = Saying(
        patient_id=patient_id,
        purpose=body.purpose,
        is_given=body.is_given,
        how=body.how,
        actor=f"user:{caller.user_id}",
        now=caller.now,
        said_at=body.said_at,
    )
    in_transaction(caller.pool, lambda conn: consents.say_at_clinic(conn, saying, user_id=caller.user_id))
    return list_consents(caller, patient_id)


@router.get("/patients/{patient_id}/record", responses=ZIP, response_class=Response)
def take_record(caller: SignedIn, request: Request, patient_id: PatientId) -> Response:
    """All that is known about the patient as a ZIP file: FHIR R4, tables, who has seen it. It is written down who took it."""
    base = f"{address(request)}/fhir"
    packed = in_transaction(
        caller.house,  # who has looked at a record is the patient's to know, and no clinician's to read elsewhere
        lambda conn: portability.export(
            conn, patient_id, user_id=caller.user_id, actor=f"user:{caller.user_id}", base=base, now=caller.now
        ),
    )
    return as_file(packed)


@router.post("/patients/{patient_id}/record-code", status_code=201, responses=problems.ERASURE)
def give_code(caller: Changing, patient_id: PatientId) -> CodeOut:
    """A code with which the patient takes the record along from the own page, within a quarter of an hour."""
    code, ends_at = in_transaction(
        caller.house,
        lambda conn: record_codes.give(conn, patient_id, user_id=caller.user_id, now=caller.now),
    )
    return CodeOut(code=code, ends_at=ends_at)


@router.get("/patients/{patient_id}/holds", responses=problems.NOT_FOUND)
def list_holds(caller: SignedIn, patient_id: PatientId) -> HoldsOut:
    """Why nothing of the patient may be erased: who says so, and until when."""
    with transaction(caller.house) as conn:
        panels.check(conn, user_id=caller.user_id, patient_id=patient_id)
        found = store.holds_of(conn, patient_id, now=caller.now)
    return HoldsOut(
        holds=tuple(
            HoldOut.model_validate({name: getattr(each, name) for name in HoldOut.model_fields}) for each in found
        )
    )


@router.post("/patients/{patient_id}/holds", status_code=201, responses=problems.ERASURE)
def hold(caller: Changing, patient_id: PatientId, body: HoldIn) -> HoldsOut:
    """Until then nothing of the patient is erased."""
    actor = f"user:{caller.user_id}"
    with transaction(caller.house) as conn:
        panels.check_regular(conn, user_id=caller.user_id, patient_id=patient_id)
        erasure.hold(conn, patient_id, reason=body.reason, until=body.until, actor=actor, now=caller.now)
    return list_holds(caller, patient_id)


@router.post("/patients/{patient_id}/holds/{hold_id}/end", status_code=204, responses=problems.ERASURE)
def end_hold(caller: Changing, patient_id: PatientId, hold_id: Number) -> Response:
    """The record may be erased again."""
    with transaction(caller.house) as conn:
        panels.check_regular(conn, user_id=caller.user_id, patient_id=patient_id)
        if hold_id not in {each.hold_id for each in store.holds_of(conn, patient_id, now=caller.now)}:
            raise NotOnPanelError("no such hold")
        erasure.end_hold(conn, hold_id, actor=f"user:{caller.user_id}", now=caller.now)
    return Response(status_code=204)


@router.post("/patients/{patient_id}/erasure-requests", status_code=201, responses=problems.ERASURE)
def ask_for_erasure(caller: Changing, patient_id: PatientId, body: ErasureIn) -> RequestOut:
    """It waits until a second person confirms it. Refused while somebody holds the record; the answer says who, and why."""
    number = in_transaction(
        caller.house, lambda conn: erasure_requests.ask(conn, person_of(caller), patient_id, body.reason)
    )
    with transaction(caller.house) as conn:
        return next(each for each in _requests(conn, caller) if each.request_id == number)


@router.get("/erasure-requests", responses=problems.FORBIDDEN)
def list_requests(caller: SignedIn) -> RequestsOut:
    """Those that wait first: of the patients one sees; for admins and auditors of everybody, by number."""
    with transaction(caller.house) as conn:
        return RequestsOut(requests=_requests(conn, caller))


@router.post("/erasure-requests/{request_id}/confirm", responses=problems.ERASURE)
def confirm(caller: Changing, request_id: Number) -> OutcomeOut:
    """A second person: another clinician who sees the patient, or an admin. It is done at once; the server then looks for what
    is left, which `/erasures` shows."""
    years = caller.clinic.clinical_years
    outcome = in_transaction(
        caller.house, lambda conn: erasure_requests.confirm(conn, person_of(caller), request_id, clinical_years=years)
    )
    return OutcomeOut(is_destroyed=outcome.is_destroyed, keep_until=outcome.keep_until)


@router.post("/erasure-requests/{request_id}/refuse", status_code=204, responses=problems.ERASURE)
def refuse(caller: Changing, request_id: Number) -> Response:
    """It is not done; whoever asked may say so, too."""
    in_transaction(caller.house, lambda conn: erasure_requests.refuse(conn, person_of(caller), request_id))
    return Response(status_code=204)


def as_file(packed: bytes) -> Response:
    """A record to be saved under a name that names nobody."""
    headers = {"Content-Disposition": 'attachment; filename="record.zip"', "Cache-Control": "no-store"}
    return Response(packed, media_type="application/zip", headers=headers)


def _requests(conn: Connection, caller: Caller) -> tuple[RequestOut, ...]:
    return tuple(
        RequestOut(
            request_id=each.request_id,
            patient_id=each.patient_id,
            reason=each.reason,
            asked_by=each.asked_by_name,
            asked_at=each.asked_at,
            decision=each.decision,
            decided_by=each.decided_by_name,
            decided_at=each.decided_at,
        )
        for each in erasure_requests.requests(conn, person_of(caller))
    )
