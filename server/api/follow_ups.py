"""`/api/v1/follow-ups`: whom somebody is to call, what came of each call, and when it comes back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, Field, StringConstraints

from server.api import problems
from server.api.paging import Page, cut, decode_cursor, encode_cursor
from server.api.shapes import PatientOut, Priority, Shape
from server.api.versions import IfMatch, read_if_match
from server.people import follow_ups
from server.people.door import Caller, Changing, SignedIn
from server.people.errors import NotOnPanelError
from server.people.follow_ups import NOTE_MAX, Call, Outcome, Result, Touch
from server.store import follow_ups as store
from server.store.follow_ups import FollowUp, ShownEvent, Wanted
from server.store.postgres import transaction

router: Final = APIRouter(prefix="/api/v1/follow-ups", tags=["follow-ups"])

FollowUpId = Annotated[int, Path(ge=1, le=2**63 - 1)]
UserId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Note = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=NOTE_MAX, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")
]
At = Annotated[AwareDatetime, Field(strict=False)]


class FollowUpPage(Page):
    """Which tasks. `due`: `overdue` was to be done before today, by the patient's own calendar; `today` includes those; `all` has
    no bound. `mine`: those given to the caller."""

    state: Literal["open", "closed"] = "open"
    due: Literal["overdue", "today", "all"] = "all"
    mine: bool = False


class OpenIn(Shape):
    patient_id: UserId
    note: Note = ""
    due_at: At | None = None
    assigned_to: UserId | None = None


class CallIn(Shape):
    """A call. `outcome` closes the task; `next_at` says when to call again; neither, after a call that reached nobody: the next
    working day."""

    result: Annotated[Result, Field(strict=False)]
    note: Note = ""
    is_medication_changed: bool = False
    next_at: At | None = None
    outcome: Annotated[Outcome, Field(strict=False)] | None = None


class AssignIn(Shape):
    """`null`: whoever comes to it first."""

    assigned_to: UserId | None


class MoveIn(Shape):
    due_at: At
    note: Note = ""


class CloseIn(Shape):
    outcome: Annotated[Outcome, Field(strict=False)]
    note: Note = ""


class ReopenIn(Shape):
    due_at: At | None = None
    note: Note = ""


class ReasonOut(Shape):
    """An alert that is to be spoken of."""

    episode_id: UUID
    rule_id: str
    priority: Priority
    state: str
    sentence: Mapping[str, str]


class FollowUpOut(Shape):
    """A task. `etag` is what `If-Match` must say to change it; `attempts` are calls in a row that reached nobody; `outcome` is
    that of a closed one, `withdrawn` where the house closed it because all of its alerts were taken back."""

    follow_up_id: int
    version: int
    etag: str
    patient: PatientOut
    phone: str | None
    zone: str
    state: Literal["open", "closed"]
    origin: Literal["alert", "by_hand", "plan"]
    opened_at: datetime
    opened_by: str | None
    due_at: datetime
    assigned_to: int | None
    assigned_name: str | None
    attempts: int
    is_for_doctor: bool
    last_at: datetime | None
    last_result: str | None
    last_by: str | None
    closed_at: datetime | None
    closed_by: str | None
    outcome: str | None
    reasons: tuple[ReasonOut, ...]

    @classmethod
    def of(cls, task: FollowUp) -> Self:
        fields: dict[str, Any] = {name: getattr(task, name) for name in cls.model_fields if hasattr(task, name)}
        fields |= {
            "etag": f'"{task.version}"',
            "patient": PatientOut(patient_id=task.patient_id, name=task.patient_name),
            "reasons": tuple(_reason(each) for each in task.reasons),
        }
        return cls.model_validate(fields)


class EventOut(Shape):
    at: datetime
    by_name: str | None
    act: str
    result: str | None
    is_medication_changed: bool
    due_at: datetime | None
    assigned_name: str | None
    outcome: str | None
    note: str

    @classmethod
    def of(cls, event: ShownEvent) -> Self:
        return cls.model_validate({name: getattr(event, name) for name in cls.model_fields})


class ColleagueOut(Shape):
    user_id: int
    name: str
    role: str


class FollowUpLifeOut(Shape):
    """One task with its life, oldest first, and to whom it may be given."""

    follow_up: FollowUpOut
    events: tuple[EventOut, ...]
    colleagues: tuple[ColleagueOut, ...]


class FollowUpsOut(Shape):
    """One page, by when they are due."""

    follow_ups: tuple[FollowUpOut, ...]
    next: str | None


@router.get("")
def list_follow_ups(caller: SignedIn, page: Annotated[FollowUpPage, Query()]) -> FollowUpsOut:
    """The tasks of the caller's panel."""
    place = decode_cursor(page.cursor)
    wanted = Wanted(
        state=page.state,
        assigned_to=caller.user_id if page.mine else None,
        due=None if page.due == "all" else page.due,
        after=(place.at, place.row_id.int) if place else None,
        limit=page.limit + 1,
    )
    with transaction(caller.pool) as conn:
        rows = store.list_follow_ups(conn, wanted, user_id=caller.user_id, now=caller.now)
    shown, last = cut(rows, page.limit)
    return FollowUpsOut(
        follow_ups=tuple(FollowUpOut.of(task) for task in shown),
        next=encode_cursor(last.due_at, UUID(int=last.follow_up_id)) if last else None,
    )


@router.post("", status_code=201, responses=problems.FOLLOW_UP)
def open_follow_up(caller: Changing, body: OpenIn, response: Response) -> FollowUpOut:
    """A task by hand; a patient has one open at a time."""
    task = follow_ups.open_by_hand(
        caller.pool,
        patient_id=body.patient_id,
        user_id=caller.user_id,
        role=caller.session.role,
        note=body.note,
        due_at=body.due_at,
        assigned_to=body.assigned_to,
        now=caller.now,
    )
    return _tagged(task, response)


@router.get("/{follow_up_id}", responses=problems.NOT_FOUND)
def find_follow_up(caller: SignedIn, follow_up_id: FollowUpId, response: Response) -> FollowUpLifeOut:
    """One task with its life; the `ETag` header is what a change must say in `If-Match`."""
    with transaction(caller.pool) as conn:
        task = store.find(conn, follow_up_id, user_id=caller.user_id, now=caller.now)
        if task is None:
            raise NotOnPanelError("no such follow-up")
        events = store.events_of(conn, follow_up_id)
        colleagues = store.colleagues(conn, task.patient_id)
    return FollowUpLifeOut(
        follow_up=_tagged(task, response),
        events=tuple(EventOut.of(each) for each in events),
        colleagues=tuple(ColleagueOut(user_id=each.user_id, name=each.name, role=each.role) for each in colleagues),
    )


@router.post("/{follow_up_id}/calls", responses=problems.FOLLOW_UP)
def note_call(
    caller: Changing, follow_up_id: FollowUpId, body: CallIn, response: Response, if_match: IfMatch = None
) -> FollowUpOut:
    """A call, and what follows from it."""
    said = Call(
        result=body.result,
        note=body.note,
        is_medication_changed=body.is_medication_changed,
        next_at=body.next_at,
        outcome=body.outcome,
    )
    return _tagged(follow_ups.call(caller.pool, _touch(caller, follow_up_id, if_match), said), response)


@router.post("/{follow_up_id}/assign", responses=problems.FOLLOW_UP)
def assign(
    caller: Changing, follow_up_id: FollowUpId, body: AssignIn, response: Response, if_match: IfMatch = None
) -> FollowUpOut:
    """To a colleague who sees the patient, or to nobody by name."""
    touch = _touch(caller, follow_up_id, if_match)
    return _tagged(follow_ups.assign(caller.pool, touch, assigned_to=body.assigned_to), response)


@router.post("/{follow_up_id}/move", responses=problems.FOLLOW_UP)
def move(
    caller: Changing, follow_up_id: FollowUpId, body: MoveIn, response: Response, if_match: IfMatch = None
) -> FollowUpOut:
    """Another day for the call."""
    touch = _touch(caller, follow_up_id, if_match)
    return _tagged(follow_ups.move(caller.pool, touch, due_at=body.due_at, note=body.note), response)


@router.post("/{follow_up_id}/close", responses=problems.FOLLOW_UP)
def close(
    caller: Changing, follow_up_id: FollowUpId, body: CloseIn, response: Response, if_match: IfMatch = None
) -> FollowUpOut:
    """Ends it without a call."""
    touch = _touch(caller, follow_up_id, if_match)
    return _tagged(follow_ups.close(caller.pool, touch, outcome=body.outcome, note=body.note), response)


@router.post("/{follow_up_id}/reopen", responses=problems.FOLLOW_UP)
def reopen(
    caller: Changing, follow_up_id: FollowUpId, body: ReopenIn, response: Response, if_match: IfMatch = None
) -> FollowUpOut:
    """It is not settled after all."""
    touch = _touch(caller, follow_up_id, if_match)
    return _tagged(follow_ups.reopen(caller.pool, touch, due_at=body.due_at, note=body.note), response)


def _touch(caller: Caller, follow_up_id: int, if_match: str | None) -> Touch:
    return Touch(
        follow_up_id=follow_up_id,
        version=read_if_match(if_match),
        user_id=caller.user_id,
        role=caller.session.role,
        now=caller.now,
    )


def _tagged(task: FollowUp, response: Response) -> FollowUpOut:
    response.headers["ETag"] = f'"{task.version}"'
    return FollowUpOut.of(task)


def _reason(reason: Mapping[str, Any]) -> ReasonOut:
    return ReasonOut.model_validate(dict(reason) | {"episode_id": UUID(str(reason["episode_id"]))})
