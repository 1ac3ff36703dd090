"""`/api/v1/alerts`: the alerts of one's own panel, and what a clinician may decide about one of them."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from server.api import problems
from server.api.paging import Page, cut, decode_cursor, encode_cursor
from server.api.shapes import AlertOut, AlertsOut, NoteIn, Priority, RateIn, ResolveIn, Shape, SnoozeIn, State
from server.api.versions import IdempotencyKey, IfMatch, read_if_match
from server.people import decisions
from server.people.decisions import Decision
from server.people.door import Caller, Changing, SignedIn
from server.people.errors import NotOnPanelError
from server.store import figures, worklist
from server.store.postgres import transaction
from server.store.worklist import Alert

router: Final = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])


class StepOut(Shape):
    """A step of its life. `by_name` is `null` where the readings or the clock took it; `reason` is a code."""

    at: datetime
    from_state: str | None
    to_state: str
    reason: str
    by_name: str | None
    note: str


class ToldOut(Shape):
    """A message. `why` it was not sent, or waits: `silenced`, `inhibited`, `quiet_hours`, `grouped`, `decided`, and so on."""

    push_id: UUID
    recipient: str
    recipient_name: str | None
    channel: str
    step: int
    state: str
    why: str | None
    due_at: datetime
    sent_at: datetime | None
    read_at: datetime | None
    attempts: int


class LifeOut(Shape):
    steps: tuple[StepOut, ...]
    messages: tuple[ToldOut, ...]


class FiguresOut(Shape):
    """Of the last seven days. `acknowledged_after_s`: the median, from the first message to a clinician. Urgent alerts: how many
    were to be decided about, and how many in time. `useful`, `rated`: of those about which somebody said."""

    alerts: int
    patients: int
    alerts_per_patient_day: float
    acknowledged: int
    acknowledged_after_s: float | None
    urgent: int
    urgent_in_time: int
    rated: int
    useful: int


class AlertPage(Page):
    """Filters; repeated ones are alternatives. Without them: every alert of the panel."""

    state: list[State] | None = None
    priority: list[Priority] | None = None


@router.get("")
def list_alerts(caller: SignedIn, page: Annotated[AlertPage, Query()]) -> AlertsOut:
    """Newest first."""
    before = decode_cursor(page.cursor)
    with transaction(caller.pool) as conn:
        rows = worklist.list_alerts(
            conn,
            user_id=caller.user_id,
            limit=page.limit + 1,
            states=page.state,
            priorities=page.priority,
            before=before,
        )
    shown, last = cut(rows, page.limit)
    return AlertsOut(
        alerts=tuple(AlertOut.of(alert, caller.clinic.rules) for alert in shown),
        next=encode_cursor(last.opened_at, last.episode_id) if last else None,
    )


@router.get("/figures")
def alert_figures(caller: SignedIn) -> FiguresOut:
    """Of the caller's panel over the last seven days: how soon, how much, and of what use."""
    with transaction(caller.pool) as conn:
        found = figures.of_panel(conn, user_id=caller.user_id, now=caller.now)
    return FiguresOut.model_validate({name: getattr(found, name) for name in FiguresOut.model_fields})


@router.get("/{episode_id}", responses=problems.NOT_FOUND)
def find_alert(caller: SignedIn, episode_id: UUID, response: Response) -> AlertOut:
    """One alert; the `ETag` header is what a decision about it must say in `If-Match`."""
    with transaction(caller.pool) as conn:
        alert = worklist.find_alert(conn, episode_id, user_id=caller.user_id)
    if alert is None:
        raise NotOnPanelError("no such alert")
    return _tagged(caller, alert, response)


@router.get("/{episode_id}/life", responses=problems.NOT_FOUND)
def alert_life(caller: SignedIn, episode_id: UUID) -> LifeOut:
    """Its biography, oldest first, and who was, or is to be, told of it, newest first: also what was not sent, and why."""
    with transaction(caller.pool) as conn:
        alert = worklist.find_alert(conn, episode_id, user_id=caller.user_id)
        if alert is None:
            raise NotOnPanelError("no such alert")
        steps = worklist.list_transitions(conn, episode_id)
        pushes = worklist.list_pushes(conn, alert.patient_id, episode_id=episode_id, limit=worklist.PAGE_MAX)
    return LifeOut(
        steps=tuple(
            StepOut.model_validate({name: getattr(each, name) for name in StepOut.model_fields}) for each in steps
        ),
        messages=tuple(
            ToldOut.model_validate({name: getattr(each, name) for name in ToldOut.model_fields}) for each in pushes
        ),
    )


@router.post("/{episode_id}/acknowledge", responses=problems.DECISION)
def acknowledge(
    caller: Changing, episode_id: UUID, response: Response, if_match: IfMatch = None, key: IdempotencyKey = None
) -> AlertOut:
    """Somebody has it: the doctor is not told again, nor is the next in line. Of an urgent alert it is no decision yet."""
    alert = decisions.acknowledge(caller.pool, _decision(caller, episode_id, if_match, key))
    return _tagged(caller, alert, response)


@router.post("/{episode_id}/snooze", responses=problems.DECISION)
def snooze(
    caller: Changing,
    episode_id: UUID,
    body: SnoozeIn,
    response: Response,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> AlertOut:
    """It sleeps until a time, or until it is worse; then the doctor is told again."""
    alert = decisions.snooze(
        caller.pool, _decision(caller, episode_id, if_match, key), until=body.until, or_worse=body.or_worse
    )
    return _tagged(caller, alert, response)


@router.post("/{episode_id}/resolve", responses=problems.DECISION)
def resolve(
    caller: Changing,
    episode_id: UUID,
    body: ResolveIn,
    response: Response,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> AlertOut:
    """Closes it with how it ended. That medication was changed only a doctor can say."""
    alert = decisions.resolve(
        caller.pool,
        _decision(caller, episode_id, if_match, key),
        resolution=body.resolution,
        note=body.note,
        is_useful=body.is_useful,
    )
    return _tagged(caller, alert, response)


@router.post("/{episode_id}/rate", responses=problems.DECISION)
def rate(
    caller: Changing,
    episode_id: UUID,
    body: RateIn,
    response: Response,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> AlertOut:
    """Was it worth a clinician's time? Also of one that is closed."""
    alert = decisions.rate(caller.pool, _decision(caller, episode_id, if_match, key), is_useful=body.is_useful)
    return _tagged(caller, alert, response)


@router.post("/{episode_id}/notes", responses=problems.DECISION)
def note(
    caller: Changing,
    episode_id: UUID,
    body: NoteIn,
    response: Response,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> AlertOut:
    """Into its biography. Of an urgent alert it counts as the decision that its clock asks for."""
    alert = decisions.note(caller.pool, _decision(caller, episode_id, if_match, key), body.text)
    return _tagged(caller, alert, response)


@router.post("/{episode_id}/undo", responses=problems.DECISION)
def undo(
    caller: Changing, episode_id: UUID, response: Response, if_match: IfMatch = None, key: IdempotencyKey = None
) -> AlertOut:
    """Takes one's own last decision back, within ten seconds; what was sent meanwhile stays sent."""
    alert = decisions.undo(caller.pool, _decision(caller, episode_id, if_match, key))
    return _tagged(caller, alert, response)


def _decision(caller: Caller, episode_id: UUID, if_match: str | None, key: str | None) -> Decision:
    return Decision(
        episode_id=episode_id, version=read_if_match(if_match), user_id=caller.user_id, now=caller.now, key=key
    )


def _tagged(caller: Caller, alert: Alert, response: Response) -> AlertOut:
    response.headers["ETag"] = f'"{alert.version}"'
    return AlertOut.of(alert, caller.clinic.rules)
