"""`/api/v1/ladders` and `/api/v1/quiet-hours`: what a clinic arranges about who is told next, and about the night."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from datetime import time as WallTime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field, StringConstraints

from server.api import problems
from server.api.shapes import Priority, Shape
from server.api.versions import IfMatch, read_if_match
from server.people.door import Caller, Changing, SignedIn
from server.push import arrangements
from server.push.arrangements import Arranger
from server.push.ladder import Ladders, Rung
from server.store.postgres import transaction
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/api/v1", tags=["telling"])

Subject = Annotated[str, Path(max_length=40, description="clinicians, patients, user:<number> or patient:<number>")]
Wall = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class RungShape(Shape):
    """`whom`: doctor, backup, supervisor, desk or user:<number>; `after_s` seconds after the doctor was told."""

    whom: Annotated[str, StringConstraints(max_length=30)]
    after_s: Annotated[int, Field(ge=1, le=7 * 24 * 3600)]


class LaddersIn(Shape):
    """A priority that is left out has the product's own ladder. `supervisor`: whom that step means."""

    ladders: Mapping[Priority, Annotated[tuple[RungShape, ...], Field(strict=False)]]
    supervisor: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None


class LaddersOut(Shape):
    """Those in force; `version` 0 is the product's own."""

    ladders: Mapping[Priority, tuple[RungShape, ...]]
    supervisor: int | None
    version: int
    etag: str


class QuietHoursIn(Shape):
    """Wall-clock times of the patient's zone, such as 22:00; both `null`: none."""

    begins_at: Wall | None
    ends_at: Wall | None


class QuietHoursOut(Shape):
    subject: str
    begins_at: str | None
    ends_at: str | None
    set_at: datetime
    set_by: str


class AllQuietHoursOut(Shape):
    quiet_hours: tuple[QuietHoursOut, ...]


@router.get("/ladders")
def read_ladders(caller: SignedIn, response: Response) -> LaddersOut:
    """Who is told next when nobody acknowledges, by priority."""
    with transaction(caller.pool) as conn:
        return _tagged(arrangements.ladders_in_force(conn), response)


@router.put("/ladders", responses=problems.CORRECTION)
def set_ladders(caller: Changing, body: LaddersIn, response: Response, if_match: IfMatch = None) -> LaddersOut:
    """The clinic's own; an admin's to set. A ladder of high priority is never slower than the product's."""
    version = read_if_match(if_match)
    rungs = {
        str(priority): [Rung(whom=each.whom, after=timedelta(seconds=each.after_s)) for each in steps]
        for priority, steps in body.ladders.items()
    }
    with transaction(caller.pool) as conn:
        ladders = arrangements.set_ladders(conn, _who(caller), rungs, supervisor=body.supervisor, version=version)
    return _tagged(ladders, response)


@router.get("/quiet-hours")
def list_quiet_hours(caller: SignedIn) -> AllQuietHoursOut:
    """The clinic's, and one's own."""
    with transaction(caller.pool) as conn:
        found = arrangements.list_quiet_hours(conn, _who(caller))
    return AllQuietHoursOut(
        quiet_hours=tuple(
            QuietHoursOut(
                subject=each.subject,
                begins_at=_shown(each.begins_at),
                ends_at=_shown(each.ends_at),
                set_at=each.set_at,
                set_by=each.set_by,
            )
            for each in found
        )
    )


@router.put("/quiet-hours/{subject}", status_code=204, responses=problems.CORRECTION)
def set_quiet_hours(caller: Changing, subject: Subject, body: QuietHoursIn) -> None:
    """What is not urgent waits for their end. An admin sets the clinic's, everybody their own, the panel a patient's."""
    hours = None
    if (body.begins_at is None) != (body.ends_at is None):
        raise MalformedError("quiet_hours", "give both times, or neither")
    if body.begins_at is not None and body.ends_at is not None:
        hours = (WallTime.fromisoformat(body.begins_at), WallTime.fromisoformat(body.ends_at))
    with transaction(caller.pool) as conn:
        arrangements.set_quiet_hours(conn, _who(caller), subject, hours)


def _who(caller: Caller) -> Arranger:
    return Arranger(actor=f"user:{caller.user_id}", role=caller.session.role, user_id=caller.user_id, now=caller.now)


def _tagged(ladders: Ladders, response: Response) -> LaddersOut:
    response.headers["ETag"] = f'"{ladders.version}"'
    rungs = {
        priority: tuple(RungShape(whom=rung.whom, after_s=round(rung.after.total_seconds())) for rung in each)
        for priority, each in ladders.rungs.items()
    }
    return LaddersOut.model_validate(
        {
            "ladders": rungs,
            "supervisor": ladders.supervisor,
            "version": ladders.version,
            "etag": f'"{ladders.version}"',
        }
    )


def _shown(at: WallTime | None) -> str | None:
    return None if at is None else f"{at:%H:%M}"
