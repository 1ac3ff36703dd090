"""`/fleet/claim`: a code by which a new box becomes a gateway, as text and as a QR, for whoever runs the clinic.

The code is shown in the answer to the press and nowhere else: it is not kept, and no address leads to it again.
"""

from typing import Annotated, Final
from zoneinfo import available_timezones

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.trust import invitations, office
from server.trust.office import Made, Wish
from server.web.rendering import render, words_of
from server.web.words import mark
from vitals.enrolment import spoken_pin
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/fleet/claim", include_in_schema=False)

ZONES: Final = tuple(sorted(each for each in available_timezones() if "/" in each))

NO_OFFICE: Final = mark("No code was made: this server is not set up for it. See below.")
SHUT_OUT: Final = mark("No code was made: this gateway is shut out. Restore it first.")
NO_PATIENT: Final = mark("No code was made: there is no patient with this number.")
MALFORMED: Final = {
    "gateway": mark(
        "No code was made: a name has 1 to 64 letters, digits, dots and dashes, and begins with a letter or a digit."
    ),
    "zone": mark("No code was made: a new gateway needs the time zone of its home, such as Asia/Shanghai."),
    "reserved": mark("No code was made: this is the name of a part of the server."),
}
GONE: Final = mark("Nothing was changed: it had ended already.")

Token = Annotated[str, Form(max_length=256)]
Name = Annotated[str, Form(max_length=64)]
Number = Annotated[str, Form(max_length=18, pattern=r"^[0-9]*$")]


@router.get("")
def show(caller: SignedIn, request: Request) -> Response:
    return _page(caller, request)


@router.post("")
def claim(
    caller: SignedIn,
    request: Request,
    gateway_id: Name = "",
    zone: Name = "",
    patient_id: Number = "",
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    wish = Wish(gateway_id=gateway_id.strip(), zone=zone.strip() or None, patient_id=int(patient_id or 0) or None)
    try:
        made = office.claim(caller, request.app.state.claim_office, wish)
    except NotOnPanelError:
        return _page(caller, request, told=NO_PATIENT, status=404, wish=wish)
    except DecisionConflictError as e:
        told = SHUT_OUT if e.what == "gateway" else NO_OFFICE
        return _page(caller, request, told=told, status=409, wish=wish)
    except MalformedError as e:
        return _page(caller, request, told=MALFORMED[e.reason], status=422, wish=wish)
    return _page(caller, request, made=made, status=201)


@router.post("/take-back")
def take_back(caller: SignedIn, request: Request, gateway_id: Name, csrf_token: Token = "") -> Response:
    check_form(caller, request, csrf_token)
    try:
        office.take_back(caller, gateway_id)
    except DecisionConflictError:
        return _page(caller, request, told=GONE, status=409)
    return RedirectResponse("/fleet/claim", status_code=303)


@router.post("/home-over")
def home_over(
    caller: SignedIn,
    request: Request,
    gateway_id: Name,
    patient_id: Annotated[int, Form(ge=1, le=2**63 - 1)],
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    try:
        office.end_home(caller, gateway_id, patient_id)
    except DecisionConflictError:
        return _page(caller, request, told=GONE, status=409)
    return RedirectResponse("/fleet/claim", status_code=303)


def _page(
    caller: Caller,
    request: Request,
    *,
    told: str = "",
    status: int = 200,
    wish: Wish | None = None,
    made: Made | None = None,
) -> Response:
    words, found = words_of(request, caller), office.look(caller)
    minutes = {each.gateway_id: words.lasting(each.expires_at - caller.now) for each in found.claims}
    zones = {each.gateway_id: each.zone for each in found.gateways}
    return render(
        request,
        "claim.html",
        words,
        caller=caller,
        status=status,
        unread=0,
        told=words.say(told) if told else "",
        wish=wish,
        made=made.invitation if made else None,
        qr=Markup(invitations.svg(made.invitation.text)) if made else "",
        pin=spoken_pin(made.invitation.pin) if made else "",
        is_ready=request.app.state.claim_office is not None,
        claims=found.claims,
        minutes=minutes,
        homes=[(each, words.moment(each.valid_from, zones[each.gateway_id])) for each in found.homes],
        gateways=found.gateways,
        zones=ZONES,
        usual_zone=found.gateways[-1].zone if found.gateways else "Asia/Shanghai",
    )
