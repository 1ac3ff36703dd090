"""`/api/v1/alerts`: the alerts of one's own panel, and the two decisions about one of them."""

import re
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from server.api import problems
from server.api.paging import Page, cut, decode_cursor, encode_cursor
from server.api.shapes import AlertOut, AlertsOut, Priority, ResolveIn, State
from server.people import decisions
from server.people.decisions import Decision
from server.people.door import Caller, Changing, SignedIn
from server.people.errors import MissingVersionError, NotOnPanelError
from server.store import worklist
from server.store.postgres import transaction
from server.store.worklist import Alert

router: Final = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])

IfMatch = Annotated[str | None, Header(alias="If-Match", description='The `etag` that was read, for example `"3"`')]

NEVER_A_VERSION: Final = 0


class AlertPage(Page):
    """Filters; repeated ones are alternatives. Without them: every alert of the panel."""

    state: list[State] | None = None
    priority: list[Priority] | None = None


@router.get("")
def list_alerts(caller: SignedIn, page: Annotated[AlertPage, Query()]) -> AlertsOut:
    """Newest first."""
    before = decode_cursor(page.cursor)
    with transaction(caller.clinic.pool) as conn:
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
    with transaction(caller.clinic.pool) as conn:
        alert = worklist.find_alert(conn, episode_id, user_id=caller.user_id)
    if alert is None:
        raise NotOnPanelError("no such alert")
    return _tagged(caller, alert, response)


@router.post("/{episode_id}/acknowledge", responses=problems.DECISION)
def acknowledge(caller: Changing, episode_id: UUID, response: Response, if_match: IfMatch = None) -> AlertOut:
    """Somebody has it: the doctor is not told again."""
    alert = decisions.acknowledge(caller.clinic.pool, _decision(caller, episode_id, if_match))
    return _tagged(caller, alert, response)


@router.post("/{episode_id}/resolve", responses=problems.DECISION)
def resolve(
    caller: Changing, episode_id: UUID, body: ResolveIn, response: Response, if_match: IfMatch = None
) -> AlertOut:
    """Closes it with how it ended."""
    alert = decisions.resolve(
        caller.clinic.pool, _decision(caller, episode_id, if_match), resolution=body.resolution, note=body.note
    )
    return _tagged(caller, alert, response)


def _decision(caller: Caller, episode_id: UUID, if_match: str | None) -> Decision:
    return Decision(episode_id=episode_id, version=_read_if_match(if_match), user_id=caller.user_id, now=caller.now)


def _read_if_match(if_match: str | None) -> int:
    """The version named. `*` names none; what cannot be one of our tags matches nothing (RFC 9110, 13.1.1)."""
    if if_match is None or if_match.strip() == "*":
        raise MissingVersionError('say in If-Match which version was read, for example If-Match: "3"')
    tag = re.fullmatch(r'\s*"([1-9][0-9]{0,17})"\s*', if_match)
    return int(tag[1]) if tag else NEVER_A_VERSION


def _tagged(caller: Caller, alert: Alert, response: Response) -> AlertOut:
    response.headers["ETag"] = f'"{alert.version}"'
    return AlertOut.of(alert, caller.clinic.rules)
