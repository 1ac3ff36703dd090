"""`/`: who needs attention, and the two decisions, made from the row itself.

A row that has been decided about stays where it is until the list is loaded anew, and news is announced in a bar: nothing
moves under the pointer.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from server.people import decisions, sessions
from server.people.decisions import Decision, Resolution
from server.people.door import Caller, LookingOn, SignedIn, check_same_origin
from server.people.errors import DecisionConflictError, NotOnPanelError, StaleVersionError
from server.store import worklist
from server.store.postgres import transaction
from server.web.rendering import is_htmx, render, words_of
from server.web.rows import build_row, build_rows, short_name
from server.web.words import RESOLUTIONS, STATES, Words

router: Final = APIRouter(include_in_schema=False)

Tab = Literal["attention", "acknowledged", "all"]

KNOWN_MAX: Final = 5000


@router.get("/")
def show_worklist(caller: SignedIn, request: Request, tab: Tab = "attention") -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        rows = build_rows(conn, caller, words)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    tabs = {
        "attention": [row for row in rows if row.is_open],
        "acknowledged": [row for row in rows if row.lines and not row.is_open],
        "all": rows,
    }
    return render(
        request,
        "worklist.html",
        words,
        caller=caller,
        unread=unread,
        tab=tab,
        rows=tabs[tab],
        counts={name: len(found) for name, found in tabs.items()},
        elsewhere=[line.known for row in rows if row not in tabs[tab] for line in row.lines],
    )


@router.get("/worklist/news")
def show_news(
    caller: LookingOn,
    request: Request,
    known: Annotated[list[str] | None, Query(max_length=KNOWN_MAX)] = None,
    tab: Tab = "attention",
) -> Response:
    """What a list that shows `known` does not show yet; asked for by the page itself every few seconds."""
    with transaction(caller.pool) as conn:
        found = worklist.list_open_versions(conn, user_id=caller.user_id)
    now_open = {short_name(episode_id): str(version) for episode_id, version in found.items()}
    shown = dict(each.partition(".")[::2] for each in known or [])
    new = len(now_open.keys() - shown.keys())
    changed = sum(now_open.get(episode_id) != version for episode_id, version in shown.items())
    return render(request, "news.html", words_of(request, caller), caller=caller, new=new, changed=changed, tab=tab)


@router.post("/a/{episode_id}/acknowledge")
def acknowledge(
    caller: SignedIn,
    request: Request,
    episode_id: UUID,
    if_match: Annotated[int, Form(ge=1, le=2**62)],
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    _check(caller, request, csrf_token)
    words = words_of(request, caller)
    try:
        decisions.acknowledge(caller.pool, _decision(caller, episode_id, if_match))
    except (StaleVersionError, DecisionConflictError) as e:
        return _answer(caller, request, words, episode_id, told=_say_refused(e, words, caller), status=412)
    return _answer(caller, request, words, episode_id, told=words.say("You have acknowledged it."))


@router.post("/a/{episode_id}/resolve")
def resolve(
    caller: SignedIn,
    request: Request,
    episode_id: UUID,
    if_match: Annotated[int, Form(ge=1, le=2**62)],
    resolution: Annotated[Resolution, Form()],
    note: Annotated[str, Form(max_length=decisions.NOTE_MAX, pattern=r"^[^\x00]*$")] = "",
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    _check(caller, request, csrf_token)
    words = words_of(request, caller)
    try:
        decisions.resolve(
            caller.pool,
            _decision(caller, episode_id, if_match),
            resolution=resolution,
            note=note.strip(),
        )
    except (StaleVersionError, DecisionConflictError) as e:
        return _answer(caller, request, words, episode_id, told=_say_refused(e, words, caller), status=412)
    told = words.say("Resolved: %(resolution)s.", resolution=words.say(RESOLUTIONS[resolution]))
    return _answer(caller, request, words, episode_id, told=told)


def _check(caller: Caller, request: Request, csrf_token: str) -> None:
    check_same_origin(request)
    sessions.check_csrf(caller.session, csrf_token)


def _decision(caller: Caller, episode_id: UUID, version: int) -> Decision:
    return Decision(episode_id=episode_id, version=version, user_id=caller.user_id, now=caller.now)


def _answer(
    caller: Caller, request: Request, words: Words, episode_id: UUID, *, told: str, status: int = 200
) -> Response:
    """The row as it is now, or, for a browser without scripts and for the alert's own page, that page again."""
    with transaction(caller.pool) as conn:
        alert = worklist.find_alert(conn, episode_id, user_id=caller.user_id)
        row = build_row(conn, caller, words, alert.patient_id) if alert else None
    if alert is None or row is None:
        raise NotOnPanelError("no such alert")
    if not is_htmx(request):
        return RedirectResponse(f"/a/{episode_id}", status_code=303)
    is_refused = status != 200
    return render(request, "row.html", words, caller=caller, status=status, row=row, told=told, is_refused=is_refused)


def _say_refused(error: StaleVersionError | DecisionConflictError, words: Words, caller: Caller) -> str:
    state = words.among(STATES, error.state)
    if isinstance(error, StaleVersionError) and error.changed_by and error.changed_at:
        return words.say(
            "Nothing was changed: %(who)s decided %(ago)s. It is now: %(state)s.",
            who=error.changed_by,
            ago=words.ago(caller.now - error.changed_at),
            state=state,
        )
    return words.say(
        "Nothing was changed: the alert has changed since it was shown. It is now: %(state)s.", state=state
    )
