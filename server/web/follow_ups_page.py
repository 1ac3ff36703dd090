"""`/follow-ups`: whom to call today, and what came of each call, with one press. Ordinary forms that work without scripts."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from server.people import follow_ups, working_days
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.people.follow_ups import NOTE_MAX, Call, Outcome, Result, Touch
from server.store import follow_ups as store
from server.store import worklist
from server.store.follow_ups import Colleague, FollowUp, ShownEvent, Wanted
from server.store.postgres import transaction
from server.web.rendering import render, words_of
from server.web.words import Words, mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/follow-ups", include_in_schema=False)

SHOWN_MAX: Final = 200

RESULTS: Final = {
    "reached": mark("Reached"),
    "no_answer": mark("No answer"),
    "wrong_number": mark("Wrong number"),
    "call_back": mark("Call back later"),
}
OUTCOMES: Final = {
    "settled": mark("Settled"),
    "advised": mark("Advised"),
    "visit_arranged": mark("Visit arranged"),
    "meter_problem": mark("Meter problem"),
    "unreachable": mark("Cannot be reached"),
    "left_programme": mark("Has left the programme"),
    "not_needed": mark("Not needed"),
    "withdrawn": mark("Alert taken back"),
}
ORIGINS: Final = {
    "alert": mark("An alert"),
    "by_hand": mark("Asked for by %(who)s"),
    "plan": mark("The regular call of the plan"),
}
ACTS: Final = {
    "opened": mark("Opened"),
    "attached": mark("One more alert"),
    "called": mark("Called"),
    "assigned": mark("Given to %(who)s"),
    "moved": mark("Put off"),
    "handed_over": mark("Handed to the doctor, after calls without an answer"),
    "closed": mark("Closed"),
    "reopened": mark("Opened again"),
}
SPOKEN: Final = ("settled", "advised", "visit_arranged", "meter_problem")
"""Outcomes of a call that reached the patient, as buttons; the others end a task without one."""

FollowUpId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Token = Annotated[str, Form(max_length=256)]
Note = Annotated[str, Form(max_length=NOTE_MAX, pattern=r"^[^\x00]*$")]
Version = Annotated[int, Form(ge=0, le=2**31 - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One task as the page shows it. `sentence` and `priority`: of its most urgent open alert, if it has one."""

    task: FollowUp
    why: str
    sentence: str
    priority: str
    episode_id: str
    more: int
    due: str
    is_overdue: bool
    tried: str
    last: str
    whose: str
    tomorrow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step in the life of a task, in words."""

    at: str
    who: str
    what: str
    note: str


@router.get("")
def show_follow_ups(
    caller: SignedIn,
    request: Request,
    tab: Annotated[Literal["today", "all", "closed"], Query()] = "today",
    mine: Annotated[bool, Query()] = False,
) -> Response:
    return _page(caller, request, tab=tab, mine=mine)


@router.get("/{follow_up_id}")
def show_follow_up(caller: SignedIn, request: Request, follow_up_id: FollowUpId) -> Response:
    return _one(caller, request, follow_up_id)


@router.post("/{follow_up_id}/call")
def note_call(
    caller: SignedIn,
    request: Request,
    follow_up_id: FollowUpId,
    if_match: Version,
    result: Annotated[Result, Form()],
    outcome: Annotated[Outcome | Literal[""], Form()] = "",
    next_day: Annotated[date | Literal[""], Form()] = "",
    next_clock: Annotated[time | Literal[""], Form()] = "",
    is_medication_changed: Annotated[bool, Form()] = False,
    note: Note = "",
    csrf_token: Token = "",
) -> Response:
    """What came of a call. A day without a time is its morning."""
    check_form(caller, request, csrf_token)
    task = _find(caller, follow_up_id)
    next_at = None if outcome else _instant(next_day or None, next_clock or None, task.zone, caller.now)
    said = Call(
        result=result,
        note=note.strip(),
        is_medication_changed=is_medication_changed,
        next_at=next_at,
        outcome=outcome or None,
    )
    try:
        follow_ups.call(caller.pool, _touch(caller, follow_up_id, if_match), said)
    except (NotAClinicianError, StaleVersionError, DecisionConflictError, MalformedError) as e:
        return _refused(caller, request, follow_up_id, e)
    return _back(request)


@router.post("/{follow_up_id}/close")
def close(
    caller: SignedIn,
    request: Request,
    follow_up_id: FollowUpId,
    if_match: Version,
    outcome: Annotated[Outcome, Form()],
    note: Note = "",
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    try:
        touch = _touch(caller, follow_up_id, if_match)
        follow_ups.close(caller.pool, touch, outcome=outcome, note=note.strip())
    except (NotAClinicianError, StaleVersionError, DecisionConflictError) as e:
        return _refused(caller, request, follow_up_id, e)
    return _back(request)


@router.post("/{follow_up_id}/assign")
def assign(
    caller: SignedIn,
    request: Request,
    follow_up_id: FollowUpId,
    if_match: Version,
    user_id: Annotated[int, Form(ge=0, le=2**63 - 1)] = 0,
    csrf_token: Token = "",
) -> Response:
    """To a colleague; 0: to nobody by name."""
    check_form(caller, request, csrf_token)
    try:
        follow_ups.assign(caller.pool, _touch(caller, follow_up_id, if_match), assigned_to=user_id or None)
    except (NotAClinicianError, StaleVersionError, DecisionConflictError, MalformedError) as e:
        return _refused(caller, request, follow_up_id, e)
    return RedirectResponse(f"/follow-ups/{follow_up_id}", status_code=303)


@router.post("/{follow_up_id}/reopen")
def reopen(
    caller: SignedIn, request: Request, follow_up_id: FollowUpId, if_match: Version, csrf_token: Token = ""
) -> Response:
    check_form(caller, request, csrf_token)
    try:
        follow_ups.reopen(caller.pool, _touch(caller, follow_up_id, if_match))
    except (NotAClinicianError, StaleVersionError, DecisionConflictError) as e:
        return _refused(caller, request, follow_up_id, e)
    return RedirectResponse(f"/follow-ups/{follow_up_id}", status_code=303)


@router.post("")
def open_by_hand(
    caller: SignedIn,
    request: Request,
    patient_id: Annotated[int, Form(ge=1, le=2**63 - 1)],
    note: Note = "",
    csrf_token: Token = "",
) -> Response:
    """A call that somebody wants; where the patient has one open already, that is shown."""
    check_form(caller, request, csrf_token)
    try:
        task = follow_ups.open_by_hand(
            caller.pool,
            patient_id=patient_id,
            user_id=caller.user_id,
            role=caller.session.role,
            note=note.strip(),
            due_at=None,
            assigned_to=None,
            now=caller.now,
        )
    except NotAClinicianError:
        return _page(caller, request, told=_only_clinicians(words_of(request, caller)), status=403)
    except DecisionConflictError:
        with transaction(caller.pool) as conn:
            (task,) = store.list_follow_ups(conn, Wanted(patient_id=patient_id), user_id=caller.user_id, now=caller.now)
    return RedirectResponse(f"/follow-ups/{task.follow_up_id}", status_code=303)


def _page(
    caller: Caller,
    request: Request,
    *,
    tab: Literal["today", "all", "closed"] = "today",
    mine: bool = False,
    told: str = "",
    status: int = 200,
) -> Response:
    words = words_of(request, caller)
    wanted = Wanted(
        state="closed" if tab == "closed" else "open",
        due="today" if tab == "today" else None,
        assigned_to=caller.user_id if mine else None,
        limit=SHOWN_MAX,
    )
    with transaction(caller.pool) as conn:
        tasks = store.list_follow_ups(conn, wanted, user_id=caller.user_id, now=caller.now)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    ordered = sorted(tasks, key=lambda task: (-task.is_for_doctor, -task.urgency, task.due_at))
    return render(
        request,
        "follow_ups.html",
        words,
        caller=caller,
        status=status,
        unread=unread,
        told=told,
        tab=tab,
        mine=mine,
        lines=[_line(task, words, caller.now) for task in ordered],
        **_choices(caller),
    )


def _one(caller: Caller, request: Request, follow_up_id: int, *, told: str = "", status: int = 200) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        task = store.find(conn, follow_up_id, user_id=caller.user_id, now=caller.now)
        if task is None:
            raise NotOnPanelError("no such follow-up")
        events = store.events_of(conn, follow_up_id)
        colleagues: tuple[Colleague, ...] = tuple(store.colleagues(conn, task.patient_id))
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    return render(
        request,
        "follow_up.html",
        words,
        caller=caller,
        status=status,
        unread=unread,
        told=told,
        line=_line(task, words, caller.now),
        steps=[_step(event, task.zone, words) for event in events],
        colleagues=colleagues,
        **_choices(caller),
    )


def _choices(caller: Caller) -> dict[str, Any]:
    return {
        "OUTCOMES": OUTCOMES,
        "SPOKEN": SPOKEN,
        "may_decide": caller.session.role in follow_ups.CLINICIANS,
        "note_max": NOTE_MAX,
    }


def _line(task: FollowUp, words: Words, now: datetime) -> Line:
    first = next(iter(task.reasons), None)
    zone = ZoneInfo(task.zone)
    today = now.astimezone(zone).date()
    why = words.say(ORIGINS[task.origin], who=task.opened_by or "") if first is None else ""
    return Line(
        task=task,
        why=why,
        sentence=words.pick(first["sentence"]) if first else "",
        priority=str(first["priority"]) if first else "information",
        episode_id=str(first["episode_id"]) if first else "",
        more=max(0, len(task.reasons) - 1),
        due=words.moment(task.due_at, task.zone),
        is_overdue=task.state == "open" and task.due_at.astimezone(zone).date() < today,
        tried=words.count("%(n)s call without an answer", "%(n)s calls without an answer", task.attempts)
        if task.attempts
        else "",
        last=_say_last(task, words),
        whose=_say_whose(task, words),
        tomorrow=working_days.next_working_morning(now, task.zone).astimezone(zone).date().isoformat(),
    )


def _say_last(task: FollowUp, words: Words) -> str:
    if task.last_at is None or task.last_result is None:
        return ""
    return words.say(
        "Last call %(at)s: %(result)s",
        at=words.moment(task.last_at, task.zone),
        result=words.among(RESULTS, task.last_result),
    )


def _say_whose(task: FollowUp, words: Words) -> str:
    if task.is_for_doctor:
        return words.say("For the doctor to decide: %(who)s", who=task.assigned_name or "–")
    return words.say("Given to %(who)s", who=task.assigned_name) if task.assigned_name else ""


def _step(event: ShownEvent, zone: str, words: Words) -> Step:
    said = [words.say(ACTS[event.act], who=event.assigned_name or words.say("nobody by name"))]
    if event.result:
        said.append(words.among(RESULTS, event.result))
    if event.is_medication_changed:
        said.append(words.say("medication changed"))
    if event.outcome:
        said.append(words.among(OUTCOMES, event.outcome))
    if event.due_at and event.act in ("called", "moved", "reopened"):
        said.append(words.say("next %(at)s", at=words.moment(event.due_at, zone)))
    return Step(
        at=words.moment(event.at, zone),
        who=event.by_name or words.say("HomeVigil"),
        what=" · ".join(said),
        note=event.note,
    )


def _find(caller: Caller, follow_up_id: int) -> FollowUp:
    with transaction(caller.pool) as conn:
        task = store.find(conn, follow_up_id, user_id=caller.user_id, now=caller.now)
    if task is None:
        raise NotOnPanelError("no such follow-up")
    return task


def _instant(day: date | None, clock: time | None, zone: str, now: datetime) -> datetime | None:
    """The instant of a day and a time on the patient's wall clock; a time alone is today's, or tomorrow's if it is past."""
    if day is None and clock is None:
        return None
    if day is not None and clock is None:
        return working_days.morning_of(day, zone)
    assert clock is not None
    local = now.astimezone(ZoneInfo(zone))
    wanted = datetime.combine(day or local.date(), clock, ZoneInfo(zone))
    return wanted + timedelta(days=1) if day is None and wanted <= local else wanted


def _refused(caller: Caller, request: Request, follow_up_id: int, error: Exception) -> Response:
    words = words_of(request, caller)
    match error:
        case NotAClinicianError():
            return _one(caller, request, follow_up_id, told=_only_clinicians(words), status=403)
        case StaleVersionError() | DecisionConflictError():
            told = words.say("Nothing was changed: somebody else has been here. This is how it is now.")
            return _one(caller, request, follow_up_id, told=told, status=412)
    told = words.say("Nothing was changed: say how it ended, or a day ahead on which to call again.")
    return _one(caller, request, follow_up_id, told=told, status=422)


def _only_clinicians(words: Words) -> str:
    return words.say("Nothing was changed: only a doctor or a nurse follows a patient up.")


def _back(request: Request) -> Response:
    """To the list as it was."""
    kept = [(key, value) for key, value in request.query_params.multi_items() if key in ("tab", "mine")]
    return RedirectResponse("/follow-ups" + ("?" + urlencode(kept) if kept else ""), status_code=303)


def _touch(caller: Caller, follow_up_id: int, version: int) -> Touch:
    return Touch(
        follow_up_id=follow_up_id,
        version=version,
        user_id=caller.user_id,
        role=caller.session.role,
        now=caller.now,
    )
