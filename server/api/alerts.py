"""`/api/v1/alerts`: the alerts of one's own panel, and the two decisions about one of them."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from server.api import problems
from server.api.paging import Page, cut, decode_cursor, encode_cursor
from server.api.shapes import AlertOut, AlertsOut, Priority, ResolveIn, State
from server.api.versions import IfMatch, read_if_match
from server.people import decisions
from server.people.decisions import Decision
from server.people.door import Caller, Changing, SignedIn
from server.people.errors import NotOnPanelError
from server.store import worklist
from server.store.postgres import transaction
from server.store.worklist import Alert

router: Final = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])


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


@router.get("/{episode_id}", responses=problems.NOT_FOUND)
def find_alert(caller: SignedIn, episode_id: UUID, response: Response) -> AlertOut:
    """One alert; the `ETag` header is what a decision about it must say in `If-Match`."""
    with transaction(caller.pool) as conn:
        alert = worklist.find_alert(conn, episode_id, user_id=caller.user_id)
    if alert is None:
        raise NotOnPanelError("no such alert")
    return _tagged(caller, alert, response)


@router.post("/{episode_id}/acknowledge", responses=problems.DECISION)
def acknowledge(caller: Changing, episode_id: UUID, response: Response, if_match: IfMatch = None) -> AlertOut:
    """Somebody has it: the doctor is not told again."""
    alert = decisions.acknowledge(caller.pool, _decision(caller, episode_id, if_match))
    return _tagged(caller, alert, response)


@router.post("/{episode_id}/resolve", responses=problems.DECISION)
def resolve(
    caller: Changing, episode_id: UUID, body: ResolveIn, response: Response, if_match: IfMatch = None
) -> AlertOut:
    """Closes it with how it ended."""
    alert = decisions.resolve(
        caller.pool, _decision(caller, episode_id, if_match), resolution=body.resolution, note=body.note
    )
    return _tagged(caller, alert, response)


def _decision(caller: Caller, episode_id: UUID, if_match: str | None) -> Decision:
    return Decision(episode_id=episode_id, version=read_if_match(if_match), user_id=caller.user_id, now=caller.now)


def _tagged(caller: Caller, alert: Alert, response: Response) -> AlertOut:
    response.headers["ETag"] = f'"{alert.version}"'
    return AlertOut.of(alert, caller.clinic.rules)
