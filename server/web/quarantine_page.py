"""`/quarantine`: what could not become a reading, and what to make of it. Ordinary forms that work without scripts.

Whoever comes second is shown the page as it is by then, with who was first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from server import quarantine
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.people.looks import looked_at
from server.quarantine import AT_ONCE_MAX, CLINICIANS, FOR_LATER, Binding, Reason, Seen
from server.release import Outcome
from server.store import fleet, worklist
from server.store.postgres import transaction
from server.store.quarantine import RELEASABLE, WANTING_AN_OWNER
from server.store.quarantine_inbox import Row
from server.web.fleet_words import GRAVITIES, Gravity
from server.web.masking import names_of
from server.web.quarantine_words import SET_ASIDE, say_slot, say_value, wording_of
from server.web.rendering import render, words_of
from server.web.words import Words, mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/quarantine", include_in_schema=False)

SHOWN_MAX: Final = 30
SHOWN_AT_ONCE: Final = 8
"""Rows of one group: so many are open on the page, so many can be opened; the others follow once these are settled."""

TOLD: Final = {
    "taken": mark("%(n)s taken in; %(stay)s stay here."),
    "aside": mark("%(n)s set aside for good."),
    "again": mark("%(n)s wait again."),
}
GONE: Final = mark("Nothing was changed: it is not here any more, or it is not on your panel.")
NO_PATIENT: Final = mark("Nothing was changed: choose a patient.")
NOT_THEN: Final = mark(
    "Nothing was changed: somebody else had this meter at that time. Say that it is this patient's from now on."
)
FOR_AN_UPGRADE: Final = mark("Nothing was changed: this waits for an upgrade of the server, and can be read then.")
CONFLICTS: Final = {
    "meter": mark(
        "Nothing was changed: the meter is bound to somebody else. Whoever looks after that patient must end that first."
    ),
    "patient": mark("Nothing was changed: this patient has not agreed to be watched."),
    "gateway": mark("Nothing was changed: the gateway is shut out. Whoever runs the clinic can restore it."),
}
SETTLED: Final = mark("Nothing was changed: somebody else has settled it. Below is what still waits.")

Token = Annotated[str, Form(max_length=256)]
Numbers = Annotated[list[Annotated[int, Form(ge=1, le=2**63 - 1)]], Form(max_length=AT_ONCE_MAX)]
PatientId = Annotated[str, Form(max_length=20, pattern=r"^[0-9]*$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of quarantine. `value` is empty where it must not be shown, or cannot."""

    quarantine_id: int
    measured: str
    value: str
    came: str
    closed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What lies there for the same reason of the same slot of the same meter in the same home."""

    key: int
    gateway_id: str
    meter_id: str
    user_slot: str
    slot: str
    gravity: Gravity
    name: str
    meaning: str
    advice: str
    people: tuple[tuple[int, str], ...]
    came: str
    lines: tuple[Line, ...]
    folded: tuple[Line, ...]
    more: int
    is_hidden: bool
    may_be_assigned: bool
    may_be_bound: bool
    may_be_released: bool
    may_be_set_aside: bool


@router.get("")
def show(
    caller: SignedIn,
    request: Request,
    tab: Annotated[Literal["waiting", "set_aside"], Query()] = "waiting",
    told: Annotated[Literal["", "taken", "aside", "again"], Query()] = "",
    n: Annotated[int, Query(ge=0, le=AT_ONCE_MAX)] = 0,
    stay: Annotated[int, Query(ge=0, le=AT_ONCE_MAX)] = 0,
) -> Response:
    words = words_of(request, caller)
    said = words.say(TOLD[told]) % {"n": words.number(n), "stay": words.number(stay)} if told else ""
    return _page(caller, request, is_set_aside=tab == "set_aside", told=said)


@router.post("/assign")
def assign(
    caller: SignedIn,
    request: Request,
    quarantine_ids: Numbers,
    patient_id: PatientId = "",
    csrf_token: Token = "",
) -> Response:
    def work() -> str:
        return _taken(quarantine.assign(caller, quarantine_ids, patient_id=_chosen(patient_id)))

    return _answer(caller, request, csrf_token, work)


@router.post("/release")
def release(caller: SignedIn, request: Request, quarantine_ids: Numbers, csrf_token: Token = "") -> Response:
    return _answer(caller, request, csrf_token, lambda: _taken(quarantine.release(caller, quarantine_ids)))


@router.post("/bind")
def bind(
    caller: SignedIn,
    request: Request,
    gateway_id: Annotated[str, Form(min_length=1, max_length=64)],
    meter_id: Annotated[str, Form(min_length=1, max_length=64)],
    user_slot: Annotated[str, Form(pattern=r"^[0-9]{0,3}$")] = "",
    patient_id: PatientId = "",
    since: Annotated[Literal["first", "now"], Form()] = "first",
    csrf_token: Token = "",
) -> Response:
    def work() -> str:
        wish = Binding(
            gateway_id=gateway_id,
            meter_id=meter_id,
            user_slot=int(user_slot) if user_slot else None,
            patient_id=_chosen(patient_id),
            since=caller.now if since == "now" else None,
        )
        return _taken(quarantine.bind(caller, wish))

    return _answer(caller, request, csrf_token, work)


@router.post("/set-aside")
def set_aside(
    caller: SignedIn,
    request: Request,
    quarantine_ids: Numbers,
    reason: Annotated[Reason, Form()],
    csrf_token: Token = "",
) -> Response:
    def work() -> str:
        return urlencode({"told": "aside", "n": quarantine.set_aside(caller, quarantine_ids, reason=reason)})

    return _answer(caller, request, csrf_token, work)


@router.post("/open-again")
def open_again(caller: SignedIn, request: Request, quarantine_ids: Numbers, csrf_token: Token = "") -> Response:
    def work() -> str:
        return urlencode({"told": "again", "n": quarantine.open_again(caller, quarantine_ids)})

    return _answer(caller, request, csrf_token, work)


def _chosen(patient_id: str) -> int:
    if not patient_id or not 1 <= int(patient_id) <= 2**63 - 1:
        raise MalformedError("patient", "choose a patient")
    return int(patient_id)


def _taken(outcome: Outcome) -> str:
    return urlencode({"told": "taken", "n": outcome.taken_in + outcome.repeated, "stay": outcome.stay})


def _answer(caller: Caller, request: Request, csrf_token: str, work: Callable[[], str]) -> Response:
    """The page as it is after the deed, or as it is now with why nothing was changed."""
    check_form(caller, request, csrf_token)
    words = words_of(request, caller)
    try:
        query = work()
    except NotOnPanelError:
        return _page(caller, request, told=words.say(GONE), status=404)
    except DecisionConflictError as e:
        return _page(caller, request, told=words.say(CONFLICTS.get(e.what, SETTLED)), status=409)
    except MalformedError as e:
        why = {"patient": NO_PATIENT, "since": NOT_THEN}.get(e.reason, FOR_AN_UPGRADE)
        return _page(caller, request, told=words.say(why), status=422)
    return RedirectResponse(f"/quarantine?{query}", status_code=303)


def _page(
    caller: Caller, request: Request, *, is_set_aside: bool = False, told: str = "", status: int = 200
) -> Response:
    words, named = words_of(request, caller), names_of(request)
    seen = quarantine.see(caller, is_set_aside=is_set_aside)
    looked_at(request, *seen.shown_of)
    is_clinician = caller.session.role in CLINICIANS
    with transaction(caller.pool) as conn:
        unread = worklist.count_unread(conn, user_id=caller.user_id)
        names = fleet.names_of(conn, caller.user_id) if is_clinician else {}
    names = {patient_id: named(name) for patient_id, name in names.items()}
    groups = _groups(seen, names, words, is_clinician=is_clinician, is_set_aside=is_set_aside)
    return render(
        request,
        "quarantine.html",
        words,
        caller=caller,
        status=status,
        unread=unread,
        told=told,
        is_refused=status != 200,
        groups=groups,
        total=len(seen.rows),
        has_more=seen.next_before is not None,
        is_set_aside=is_set_aside,
        is_clinician=is_clinician,
        names=sorted(names.items(), key=lambda each: each[1]),
        SET_ASIDE=SET_ASIDE,
    )


def _groups(seen: Seen, names: dict[int, str], words: Words, *, is_clinician: bool, is_set_aside: bool) -> list[Group]:
    """The gravest first, then what can be settled here, then the newest."""

    def key(row: Row) -> tuple[str, str, int, str]:
        return row.gateway_id, row.meter_id or "", -1 if row.user_slot is None else row.user_slot, row.reason

    found = [
        _group(list(some), seen, names, words, is_clinician=is_clinician, is_set_aside=is_set_aside)
        for _, some in groupby(sorted(seen.rows, key=key), key=key)
    ]
    return sorted(found, key=lambda group: (GRAVITIES[group.gravity], not group.may_be_bound, -group.key))


def _group(
    rows: Sequence[Row],
    seen: Seen,
    names: dict[int, str],
    words: Words,
    *,
    is_clinician: bool,
    is_set_aside: bool,
) -> Group:
    rows = sorted(rows, key=lambda row: -row.quarantine_id)
    first, wording = rows[0], wording_of(rows[0].reason)
    slot = (first.gateway_id, first.meter_id, first.user_slot)
    near = sorted({each for row in rows for each in row.near})
    lines = tuple(_line(row, seen, words) for row in _newest(rows, seen)[:SHOWN_MAX])
    came = dict.fromkeys(words.moment(row.received_at, row.zone) for row in (rows[-1], first))
    return Group(
        key=first.quarantine_id,
        gateway_id=first.gateway_id,
        meter_id=first.meter_id or "",
        user_slot="" if first.user_slot is None else str(first.user_slot),
        slot=say_slot(first.user_slot, words),
        gravity=wording.gravity,
        name=words.say(wording.name),
        meaning=words.say(wording.meaning),
        advice=words.say(wording.advice),
        people=tuple((each, names[each]) for each in near if each in names),
        came=" – ".join(came),
        lines=lines[:SHOWN_AT_ONCE],
        folded=lines[SHOWN_AT_ONCE:],
        more=max(0, len(rows) - SHOWN_MAX),
        is_hidden=is_clinician and not all(row.is_whole for row in rows),
        may_be_assigned=is_clinician and not is_set_aside and first.reason in WANTING_AN_OWNER,
        may_be_bound=not is_set_aside and first.reason in WANTING_AN_OWNER and first.meter_id is not None,
        may_be_released=is_clinician and not is_set_aside and first.reason in RELEASABLE and slot in seen.bound,
        may_be_set_aside=not is_set_aside and first.reason not in FOR_LATER,
    )


def _newest(rows: Sequence[Row], seen: Seen) -> Sequence[Row]:
    """By when it was measured, where that may be shown; else by when it came."""

    def at(row: Row) -> datetime:
        reading = seen.readings.get(row.quarantine_id)
        return reading.measured_at if reading else row.received_at

    return sorted(rows, key=at, reverse=True)


def _line(row: Row, seen: Seen, words: Words) -> Line:
    reading = seen.readings.get(row.quarantine_id)
    closed = ""
    if row.set_aside_as is not None and row.resolved_at is not None:
        closed = words.say(
            "%(who)s, %(at)s: %(why)s",
            who=row.resolved_by,
            at=words.moment(row.resolved_at, row.zone),
            why=words.among(SET_ASIDE, row.set_aside_as),
        )
    return Line(
        quarantine_id=row.quarantine_id,
        measured=words.moment(reading.measured_at, reading.zone) if reading else "",
        value=say_value(reading, words) if reading else "",
        came=words.moment(row.received_at, row.zone),
        closed=closed,
    )
