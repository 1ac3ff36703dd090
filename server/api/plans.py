"""`/api/v1/patients/{id}/plan` and what it comes to: what was agreed with a patient, and how it is kept."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from server.api import problems
from server.api.own import Link
from server.api.patients import PatientId
from server.api.shapes import Shape
from server.api.versions import IfMatch, read_if_match
from server.people import panels, plans
from server.people.door import AClinic, Changing, SignedIn
from server.people.plans import NO_PLAN, Setting
from server.rules.keeping import Kept
from server.rules.occasions import Occasion
from server.rules.plans import EMPTY, Plan, PlanTemplate, plan_templates
from server.store import plans as store
from server.store.plans import PlanVersion
from server.store.postgres import transaction

router: Final = APIRouter(prefix="/api/v1", tags=["plans"])

NEXT_DAYS: Final = 2
Why = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")
]


class PlanIn(Shape):
    plan: Plan
    reason: Why


class OccasionOut(Shape):
    """Once that something is planned, by the patient's own date and clock, and as an instant."""

    key: str
    kind: Literal["measure", "medicine"]
    of: str
    slot: str | None
    day: str
    clock: str
    at: datetime
    readings: int

    @classmethod
    def of_occasion(cls, occasion: Occasion) -> Self:
        fields: dict[str, Any] = {name: getattr(occasion, name) for name in cls.model_fields}
        return cls.model_validate(fields | {"day": occasion.day.isoformat()})


class PlanVersionOut(Shape):
    version: int
    plan: Plan
    reason: str
    set_by: str
    set_at: datetime

    @classmethod
    def of(cls, version: PlanVersion) -> Self:
        return cls.model_validate({name: getattr(version, name) for name in cls.model_fields})


class PlanOut(Shape):
    """The plan in force, what it asks for in the next two days, and every version of it, the newest first. `etag` is what
    `If-Match` must say to agree the next one; without any it is `"0"`."""

    version: int
    etag: str
    plan: Plan
    next: tuple[OccasionOut, ...]
    versions: tuple[PlanVersionOut, ...]


class TemplateOut(Shape):
    id: str
    title: Mapping[str, str]
    source: str
    conditions: tuple[str, ...]
    plan: Plan

    @classmethod
    def of(cls, template: PlanTemplate) -> Self:
        fields: dict[str, Any] = {name: getattr(template, name) for name in cls.model_fields}
        return cls.model_validate(fields | {"title": {str(k): v for k, v in template.title.items()}})


class TemplatesOut(Shape):
    templates: tuple[TemplateOut, ...]


class Since(BaseModel):
    model_config = ConfigDict(extra="forbid")

    days: Annotated[int, Field(ge=1, le=366)] = 30


class AdherenceOut(Shape):
    """How a plan was kept. `share`: of the occasions that are over and of which something is known; `null` where there are none.
    `whole`: measured as often in a row as was agreed. Points are for measuring and answering, never for a value."""

    days: int
    planned: int
    measured: int
    whole: int
    unknown: int
    share: float | None
    streak_days: int
    longest_days: int
    answers: int
    points: int

    @classmethod
    def of(cls, kept: Kept, days: int) -> Self:
        return cls.model_validate(
            {name: getattr(kept, name) for name in cls.model_fields if name != "days"} | {"days": days}
        )


class AnswerIn(Shape):
    """`occasion` is the key of a medicine's time of today or last night."""

    occasion: Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z_]+:[a-z_]*:[a-z_]*:[0-9:-]+$")]
    answer: Literal["done", "not_done"]


@router.get("/plan-templates")
def list_templates(caller: SignedIn) -> TemplatesOut:
    """What a clinic usually agrees, each with its source: the beginning of a plan."""
    return TemplatesOut(templates=tuple(TemplateOut.of(each) for each in plan_templates()))


@router.get("/patients/{patient_id}/plan", responses=problems.NOT_FOUND)
def find_plan(caller: SignedIn, patient_id: PatientId, response: Response) -> PlanOut:
    """What was agreed with one patient; the `ETag` header is what a change must say in `If-Match`."""
    with transaction(caller.pool) as conn:
        panels.check(conn, user_id=caller.user_id, patient_id=patient_id)
        versions = store.list_versions(conn, patient_id)
        ahead = plans.occasions_of(conn, patient_id, begin=caller.now, end=caller.now + timedelta(days=NEXT_DAYS))
    version = versions[0].version if versions else NO_PLAN
    response.headers["ETag"] = f'"{version}"'
    return PlanOut(
        version=version,
        etag=f'"{version}"',
        plan=versions[0].plan if versions else EMPTY,
        next=tuple(OccasionOut.of_occasion(each) for each in ahead),
        versions=tuple(PlanVersionOut.of(each) for each in versions),
    )


@router.put("/patients/{patient_id}/plan", responses=problems.PLAN)
def set_plan(
    caller: Changing, patient_id: PatientId, body: PlanIn, response: Response, if_match: IfMatch = None
) -> PlanVersionOut:
    """The next version, in force at once. How long the patient may be silent follows from it, unless a hand has set that."""
    setting = Setting(
        patient_id=patient_id,
        version=read_if_match(if_match),
        plan=body.plan,
        reason=body.reason,
        user_id=caller.user_id,
        login=caller.session.login,
        role=caller.session.role,
        now=caller.now,
    )
    version = plans.set_plan(caller.pool, setting)
    response.headers["ETag"] = f'"{version.version}"'
    return PlanVersionOut.of(version)


@router.get("/patients/{patient_id}/adherence", responses=problems.NOT_FOUND)
def find_adherence(caller: SignedIn, patient_id: PatientId, since: Annotated[Since, Query()]) -> AdherenceOut:
    """How one patient has kept the plan in the last `days` days."""
    with transaction(caller.pool) as conn:
        panels.check(conn, user_id=caller.user_id, patient_id=patient_id)
        kept = plans.kept_by(conn, patient_id, since=caller.now - timedelta(days=since.days), now=caller.now)
    return AdherenceOut.of(kept, since.days)


@router.post("/own/{token}/answers", status_code=204, responses=problems.ASKED)
def answer(clinic: AClinic, token: Link, said: AnswerIn) -> Response:
    """A patient says, by the link to the own page, whether a medicine was taken. Either answer is worth the same."""
    plans.answer(clinic.pool, token, occasion=said.occasion, answer=said.answer, now=clinic.now())
    return Response(status_code=204)
