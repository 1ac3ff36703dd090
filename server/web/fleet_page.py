"""`/fleet`: what works and what does not, from the house itself to the last battery, and the events that somebody must look at.

It shows what `server.watch.sight` lets the caller see and decides nothing. A page that is open says when something has changed;
it does not move under the pointer.
"""

from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from server.people.door import Caller, LookingOn, SignedIn, check_form
from server.store import worklist
from server.store.postgres import transaction
from server.watch import sight
from server.web.fleet_rows import (
    SHOWN_MAX,
    count_patients,
    fingerprint,
    say_alarms,
    say_gateways,
    say_meters,
    say_parts,
    say_patients,
)
from server.web.masking import names_of
from server.web.rendering import render, words_of

router: Final = APIRouter(include_in_schema=False)

AlarmId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/fleet")
def show_fleet(caller: SignedIn, request: Request) -> Response:
    return _show(caller, request)


@router.get("/fleet/news")
def show_news(caller: LookingOn, request: Request, shown: Annotated[str, Query(max_length=64)] = "") -> Response:
    """Whether a page that shows `shown` still shows what is; asked for by the page itself."""
    seen = sight.see_fleet(caller.house, caller.pool, caller.session, now=caller.now)
    return render(
        request,
        "fleet_news.html",
        words_of(request, caller),
        caller=caller,
        shown=shown,
        has_changed=fingerprint(seen) != shown,
    )


@router.post("/fleet/alarms/{alarm_id}/seen")
def see_alarm(
    caller: SignedIn,
    request: Request,
    alarm_id: AlarmId,
    times: Annotated[int, Form(ge=1, le=2**62)],
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    """The caller has looked at what happened; refused if it has happened again since the page was shown."""
    check_form(caller, request, csrf_token)
    is_seen = sight.see_alarm(caller.house, caller.pool, caller.session, alarm_id, times=times, now=caller.now)
    return RedirectResponse("/fleet#alarms", status_code=303) if is_seen else _show(caller, request, is_refused=True)


def _show(caller: Caller, request: Request, *, is_refused: bool = False) -> Response:
    words, named = words_of(request, caller), names_of(request)
    seen = sight.see_fleet(caller.house, caller.pool, caller.session, now=caller.now)
    seen = replace(seen, names={patient_id: named(name) for patient_id, name in seen.names.items()})
    with transaction(caller.pool) as conn:
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    parts, gateways, meters = say_parts(seen, words), say_gateways(seen, words), say_meters(seen, words)
    patients = say_patients(seen, words)
    needing = {
        "parts": sum(any(told.gravity != "information" for told in part.told) for part in parts),
        "gateways": sum(row.gravity != "information" for row in gateways),
        "meters": sum(row.gravity != "information" for row in meters),
        "patients": len(patients),
    }
    return render(
        request,
        "fleet.html",
        words,
        caller=caller,
        status=409 if is_refused else 200,
        unread=unread,
        is_refused=is_refused,
        is_whole=seen.is_whole,
        parts=parts,
        alarms=say_alarms(seen, words),
        gateways=gateways[:SHOWN_MAX],
        meters=meters[:SHOWN_MAX],
        patients=patients[:SHOWN_MAX],
        patient_counts=count_patients(seen, words),
        totals={"gateways": len(gateways), "meters": len(meters), "patients": sum(seen.patient_counts.values())},
        needing=needing,
        shown=fingerprint(seen),
        has_changed=False,
    )
