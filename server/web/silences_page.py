"""`/silences`: what clinicians need not be told for a while, why and until when; made here, and ended before its time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Literal, get_args

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from server.people import silences
from server.people.decisions import NOTE_MAX
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, StaleVersionError
from server.people.rule_texts import text_of
from server.people.silences import Silencer
from server.store import panels, worklist, worklist_rows
from server.store.postgres import transaction
from server.store.silences import Silence
from server.web.house_times import NOWHERE
from server.web.rendering import render, words_of
from server.web.words import Words, mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/silences", include_in_schema=False)

Lasting = Literal["hours_4", "day", "days_3", "week", "month", "days_90"]
LASTING: Final[Mapping[Lasting, timedelta]] = {
    "hours_4": timedelta(hours=4),
    "day": timedelta(hours=24),
    "days_3": timedelta(days=3),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "days_90": timedelta(days=90),
}
Number = Annotated[int, Form(ge=1, le=2**63 - 1)]
Token = Annotated[str, Form(max_length=256)]

MADE: Final = mark("Silenced. What is still open when it ends is told then.")
ENDED: Final = mark("Ended. What is still open is told now.")
NOT_MADE: Final = mark("Nothing was silenced: say why, and choose at most 24 hours for a rule that may be urgent.")
NOT_ENDED: Final = mark("Nothing was changed: it has ended already. This is how it is now.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A silence as it is shown."""

    silence: Silence
    what: str
    until: str
    left: str


@router.get("")
def show(
    caller: SignedIn,
    request: Request,
    patient: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    done: Literal["made", "ended", ""] = "",
) -> Response:
    return _page(caller, request, chosen=patient, told={"made": MADE, "ended": ENDED}.get(done, ""))


@router.post("")
def add(
    caller: SignedIn,
    request: Request,
    patient: Number,
    rule: Annotated[str, Form(max_length=64, pattern=r"^[a-z0-9-]*$")] = "",
    lasting: Annotated[Lasting, Form()] = "day",
    reason: Annotated[str, Form(max_length=2 * NOTE_MAX, pattern=r"^[^\x00]*$")] = "",
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    try:
        silences.add(
            caller.pool,
            _who(caller),
            patient,
            rule_id=rule or None,
            until=caller.now + LASTING[lasting],
            reason=reason,
            rules=caller.clinic.rules,
        )
    except MalformedError:
        typed = {"rule": rule, "lasting": lasting, "reason": reason}
        return _page(caller, request, chosen=patient, typed=typed, complaint=NOT_MADE)
    return RedirectResponse("/silences?done=made", status_code=303)


@router.post("/{silence_id}/end")
def end(
    caller: SignedIn,
    request: Request,
    silence_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    if_match: Annotated[int, Form(ge=1, le=2**31 - 1)],
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    try:
        silences.end(caller.pool, _who(caller), silence_id, version=if_match)
    except (StaleVersionError, DecisionConflictError):
        return _page(caller, request, complaint=NOT_ENDED)
    return RedirectResponse("/silences?done=ended", status_code=303)


def list_lines(caller: Caller, words: Words) -> list[Line]:
    """What is silent now of the caller's panel, the soonest to end first."""
    with transaction(caller.pool) as conn:
        found = silences.list_silences(conn, user_id=caller.user_id, now=caller.now)
    if not found:
        return []
    with transaction(caller.house) as conn:
        zone = panels.house_zone(conn) or NOWHERE
    every = words.say("every rule that is not urgent")
    rules = caller.clinic.rules
    return [
        Line(
            silence=each,
            what=words.pick(text_of(rules, each.rule_id).title) if each.rule_id else every,
            until=words.moment(each.until, zone),
            left=words.lasting(each.until - caller.now),
        )
        for each in found
    ]


def _page(
    caller: Caller,
    request: Request,
    *,
    chosen: int | None = None,
    typed: Mapping[str, str] | None = None,
    told: str = "",
    complaint: str = "",
) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        members = worklist_rows.list_members(conn, user_id=caller.user_id)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    rules = {rule_id: words.pick(text.title) for rule_id, text in caller.clinic.rules.items()}
    return render(
        request,
        "silences.html",
        words,
        caller=caller,
        status=409 if complaint else 200,
        unread=unread,
        lines=list_lines(caller, words),
        patients=sorted((each.name, each.patient_id) for each in members),
        rules=sorted(rules.items(), key=lambda each: each[1]),
        urgent={rule_id for rule_id, text in caller.clinic.rules.items() if text.is_urgent},
        lastings=[(code, words.lasting(LASTING[code])) for code in get_args(Lasting)],
        chosen=chosen,
        typed=typed or {"rule": "", "lasting": "day", "reason": ""},
        NOTE_MAX=NOTE_MAX,
        told=words.say(told) if told else "",
        complaint=words.say(complaint) if complaint else "",
    )


def _who(caller: Caller) -> Silencer:
    return Silencer(user_id=caller.user_id, role=caller.session.role, now=caller.now)
