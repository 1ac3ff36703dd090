"""What is decided about an alert from its row or from its page: acknowledge, snooze, outcome, "useful?", note, undo.

A row that has been decided about stays where it is until the list is loaded anew. Whoever was slower than somebody else is told
who was faster, and nothing is changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from typing import Annotated, Final, Literal
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from server.people import decisions
from server.people.decisions import NOTE_MAX, Decision, Resolution
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NothingToUndoError, NotOnPanelError, StaleVersionError
from server.store import worklist
from server.store.postgres import Pool, transaction
from server.store.worklist import Alert
from server.web.rendering import is_htmx, render, words_of
from server.web.rows import ASSESSED_FOR, build_row
from server.web.words import RESOLUTIONS, STATES, Words, mark

router: Final = APIRouter(include_in_schema=False)

SnoozeFor = Literal["hour", "morning", "three_days", "worse"]
MORNING: Final = time(8)
WORSE_AT_MOST: Final = timedelta(days=7)
"""Until it gets worse does not mean for ever: the doctor is reminded of an alert every week (architecture, pushes)."""

REFUSED: Final = mark("Nothing was changed: the alert has changed since it was shown. It is now: %(state)s.")
TOO_LATE: Final = mark("Nothing was undone: ten seconds are over, or something else has happened since.")

TOLD: Final = {
    "acknowledged": mark("You have acknowledged it."),
    "snoozed": mark("It sleeps until %(until)s, or until a value is worse."),
    "resolved": mark("Resolved: %(resolution)s."),
    "rated": mark("Thank you: that is counted for this rule."),
    "noted": mark("The note is kept."),
    "undone": mark("Undone: it is as it was before."),
    "refused": REFUSED,
    "too_late": TOO_LATE,
}
"""What is said after a decision, by the word that an address carries to the alert's own page."""

IfMatch = Annotated[int, Form(ge=1, le=2**62)]
Token = Annotated[str, Form(max_length=256)]
Note = Annotated[str, Form(max_length=NOTE_MAX, pattern=r"^[^\x00]*$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What every form of a decision brings: who, about which alert, as it was when it was shown."""

    caller: Caller
    request: Request
    episode_id: UUID
    version: int

    @property
    def decision(self) -> Decision:
        return Decision(
            episode_id=self.episode_id, version=self.version, user_id=self.caller.user_id, now=self.caller.now
        )


def _asked(caller: SignedIn, request: Request, episode_id: UUID, if_match: IfMatch, csrf_token: Token = "") -> _Asked:
    check_form(caller, request, csrf_token)
    return _Asked(caller=caller, request=request, episode_id=episode_id, version=if_match)


Asked = Annotated[_Asked, Depends(_asked)]


@router.post("/a/{episode_id}/acknowledge")
def acknowledge(asked: Asked) -> Response:
    return _decide(asked, "acknowledged", decisions.acknowledge)


@router.post("/a/{episode_id}/snooze")
def snooze(asked: Asked, snooze_for: Annotated[SnoozeFor, Form()]) -> Response:
    """Always also until it gets worse: nobody is to sleep through that."""
    alert, zone = _find(asked.caller, asked.episode_id)
    until = snoozed_until(
        snooze_for, asked.caller.now, zone, is_urgent=alert.priority == "high" or alert.answer_by is not None
    )
    return _decide(asked, "snoozed", partial(decisions.snooze, until=until, or_worse=True))


@router.post("/a/{episode_id}/resolve")
def resolve(asked: Asked, resolution: Annotated[Resolution, Form()], note: Note = "") -> Response:
    return _decide(asked, "resolved", partial(decisions.resolve, resolution=resolution, note=note.strip()))


@router.post("/a/{episode_id}/rate")
def rate(asked: Asked, is_useful: Annotated[bool, Form()]) -> Response:
    return _decide(asked, "rated", partial(decisions.rate, is_useful=is_useful))


@router.post("/a/{episode_id}/note")
def add_note(
    asked: Asked, note: Annotated[str, Form(min_length=1, max_length=NOTE_MAX, pattern=r"^[^\x00]*\S[^\x00]*$")]
) -> Response:
    return _decide(asked, "noted", lambda pool, it: decisions.note(pool, it, note.strip()))


@router.post("/a/{episode_id}/undo")
def undo(asked: Asked) -> Response:
    return _decide(asked, "undone", decisions.undo)


def snoozed_until(choice: SnoozeFor, now: datetime, zone: str, *, is_urgent: bool) -> datetime:
    """Tomorrow morning is that of the patient's wall clock; the small hours belong to the day before. An urgent alert sleeps no
    longer than it may, so that early in the morning its tomorrow ends a little before eight."""
    until = _chosen(choice, now, zone)
    return min(until, now + decisions.SNOOZE_URGENT_MAX) if is_urgent else until


def _chosen(choice: SnoozeFor, now: datetime, zone: str) -> datetime:
    match choice:
        case "hour":
            return now + timedelta(hours=1)
        case "three_days":
            return now + timedelta(days=3)
        case "worse":
            return now + WORSE_AT_MOST
    local = now.astimezone(ZoneInfo(zone))
    day = local.date() if local.hour < 3 else local.date() + timedelta(days=1)
    return datetime.combine(day, MORNING, tzinfo=ZoneInfo(zone))


def say_told(code: str, alert: Alert, words: Words, zone: str) -> str:
    """What has been decided, or why not, of an alert as it is now; nothing for a word that is none of ours."""
    if code not in TOLD:
        return ""
    return words.say(
        TOLD[code],
        until=words.moment(alert.snoozed_until, zone) if alert.snoozed_until else "",
        resolution=words.among(RESOLUTIONS, alert.resolution or ""),
        state=words.among(STATES, alert.state),
    )


def _find(caller: Caller, episode_id: UUID) -> tuple[Alert, str]:
    """The alert, and its patient's zone. Raises `NotOnPanelError`."""
    with transaction(caller.pool) as conn:
        alert = worklist.find_alert(conn, episode_id, user_id=caller.user_id)
        patient = alert and worklist.find_panel_patient(
            conn, alert.patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
        )
    if not alert or not patient:
        raise NotOnPanelError("no such alert")
    return alert, patient.zone


def _decide(asked: _Asked, told: str, act: Callable[[Pool, Decision], Alert]) -> Response:
    caller, request = asked.caller, asked.request
    words = words_of(request, caller)
    refusal, decided = "", None
    try:
        decided = act(caller.pool, asked.decision)
    except NothingToUndoError:
        told, refusal = "too_late", words.say(TOO_LATE)
    except (StaleVersionError, DecisionConflictError) as e:
        told, refusal = "refused", _say_refused(e, words, caller)
    if not is_htmx(request):
        return RedirectResponse(f"/a/{asked.episode_id}?{urlencode({'told': told})}", status_code=303)
    return _row(caller, request, words, asked.episode_id, decided, told=told, refusal=refusal)


def _row(
    caller: Caller, request: Request, words: Words, episode_id: UUID, decided: Alert | None, *, told: str, refusal: str
) -> Response:
    """The row as it is now, with what has been decided or why not."""
    with transaction(caller.pool) as conn:
        alert = decided or worklist.find_alert(conn, episode_id, user_id=caller.user_id)
        row = build_row(conn, caller, words, alert.patient_id, besides=alert) if alert else None
    if alert is None or row is None:
        raise NotOnPanelError("no such alert")
    return render(
        request,
        "row.html",
        words,
        caller=caller,
        status=412 if refusal else 200,
        row=row,
        told=refusal or say_told(told, alert, words, row.patient.zone),
        is_refused=bool(refusal),
    )


def _say_refused(error: StaleVersionError | DecisionConflictError, words: Words, caller: Caller) -> str:
    state = words.among(STATES, error.state)
    if isinstance(error, StaleVersionError) and error.changed_by and error.changed_at:
        return words.say(
            "Nothing was changed: %(who)s decided %(ago)s. It is now: %(state)s.",
            who=error.changed_by,
            ago=words.ago(caller.now - error.changed_at),
            state=state,
        )
    return words.say(REFUSED, state=state)
