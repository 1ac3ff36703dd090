"""`/account/contacts` and `/p/{patient_id}/contacts`: where somebody is reached outside the pages, tried with one press."""

from collections.abc import Callable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response

from server.people import panels
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import NotOnPanelError
from server.push import browsers, contact_book
from server.push.contact_book import PRIORITIES, Deed, Wanted
from server.push.services import masked
from server.store import consents, worklist
from server.store import contacts as store
from server.store.consents import Purpose
from server.store.contacts import Attempt, Owner
from server.store.postgres import in_transaction, transaction
from server.web.rendering import render, words_of
from server.web.words import mark
from vitals.errors import MalformedError

router: Final = APIRouter(include_in_schema=False)

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Chosen = Annotated[int, Form(ge=1, le=2**63 - 1)]
Address = Annotated[str, Form(max_length=4000, pattern=r"^[^\x00]*$")]
Lowest = Annotated[Literal["information", "low", "medium", "high"], Form()]
Token = Annotated[str, Form(max_length=256)]
What = Literal["test", "remove"]

ADDED: Final = mark("Added. Send a test message to see whether it arrives.")
REMOVED: Final = mark("Removed; the address is forgotten.")
GONE: Final = mark("That is no longer there.")
TOO_MANY: Final = mark("Ten test messages an hour are enough. Try again later.")
WRONG: Final[dict[str, str]] = {
    "contact_address": mark("This address is not one for that way. Look at it again."),
    "contact": mark("It is there already, or there are ten: remove one first."),
    "test": TOO_MANY,
}
CAME: Final[dict[str, str]] = {
    "sent": mark("The test message was taken by the other side. Look whether it has arrived."),
    "failed": mark("The other side did not take the test message: %(answer)s"),
    "timeout": mark("The other side did not answer in time."),
}
FROM: Final[dict[str, str]] = {
    "information": mark("everything"),
    "low": mark("all alerts"),
    "medium": mark("medium and urgent alerts"),
    "high": mark("urgent alerts only"),
}


@router.get("/account/contacts")
def show_own(caller: SignedIn, request: Request) -> Response:
    return _page(caller, request, Owner(user_id=caller.user_id))


@router.post("/account/contacts")
def add_own(
    caller: SignedIn,
    request: Request,
    channel_id: Chosen,
    address: Address = "",
    lowest: Lowest = "information",
    only_next: Annotated[bool, Form()] = False,
    csrf_token: Token = "",
) -> Response:
    wanted = Wanted(channel_id=channel_id, address=address.strip(), lowest=lowest, only_next=only_next)
    return _add(caller, request, Owner(user_id=caller.user_id), wanted, csrf_token)


@router.post("/account/contacts/{contact_id}/{what}")
def change_own(caller: SignedIn, request: Request, contact_id: Number, what: What, csrf_token: Token = "") -> Response:
    return _change(caller, request, Owner(user_id=caller.user_id), contact_id, what, csrf_token)


@router.get("/p/{patient_id}/contacts")
def show_patients(caller: SignedIn, request: Request, patient_id: Number) -> Response:
    return _page(caller, request, _patient(caller, patient_id))


@router.post("/p/{patient_id}/contacts")
def add_patients(
    caller: SignedIn,
    request: Request,
    patient_id: Number,
    channel_id: Chosen,
    address: Address = "",
    lowest: Lowest = "information",
    csrf_token: Token = "",
) -> Response:
    wanted = Wanted(channel_id=channel_id, address=address.strip(), lowest=lowest)
    return _add(caller, request, _patient(caller, patient_id, is_changing=True), wanted, csrf_token)


@router.post("/p/{patient_id}/contacts/{contact_id}/{what}")
def change_patients(
    caller: SignedIn, request: Request, patient_id: Number, contact_id: Number, what: What, csrf_token: Token = ""
) -> Response:
    return _change(caller, request, _patient(caller, patient_id, is_changing=True), contact_id, what, csrf_token)


def came(attempt: Attempt, say: Callable[[str], str]) -> str:
    """What a test message came to, in words."""
    return say(CAME[attempt.status]) % {"answer": attempt.answer}


def _add(caller: Caller, request: Request, owner: Owner, wanted: Wanted, csrf_token: str) -> Response:
    check_form(caller, request, csrf_token)
    try:
        in_transaction(caller.house, lambda conn: contact_book.add_contact(conn, _deed(caller), owner, wanted))
    except MalformedError as e:
        return _page(caller, request, owner, complaint=WRONG.get(e.reason, GONE))
    except NotOnPanelError:
        return _page(caller, request, owner, complaint=GONE)
    return _page(caller, request, owner, told=ADDED)


def _change(caller: Caller, request: Request, owner: Owner, contact_id: int, what: What, csrf_token: str) -> Response:
    check_form(caller, request, csrf_token)
    deed = _deed(caller)
    try:
        if what == "remove":
            in_transaction(caller.house, lambda conn: contact_book.remove_contact(conn, deed, owner, contact_id))
            return _page(caller, request, owner, told=REMOVED)
        attempt = contact_book.try_contact(
            caller.house, deed, owner, contact_id, allow_private=caller.clinic.allow_private
        )
    except MalformedError:
        return _page(caller, request, owner, complaint=TOO_MANY)
    said = came(attempt, words_of(request, caller).say)
    return _page(caller, request, owner, **({"told": said} if attempt.status == "sent" else {"complaint": said}))


def _page(caller: Caller, request: Request, owner: Owner, *, told: str = "", complaint: str = "") -> Response:
    words = words_of(request, caller)
    with transaction(caller.house) as conn:
        had = store.list_contacts(conn, owner)
        ways = [each for each in store.list_channels(conn) if owner.patient_id is None or each.wants_address]
        browser_way = store.browser_channel(conn) if owner.patient_id is None else None
        marks = contact_book.browser_marks(conn, owner)
        is_agreed = owner.patient_id is None or consents.allows(conn, owner.patient_id, Purpose.CHANNELS)
    with transaction(caller.pool) as conn:
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    address = "/account/contacts" if owner.patient_id is None else f"/p/{owner.patient_id}/contacts"
    return render(
        request,
        "contacts.html",
        words,
        caller=caller,
        status=409 if complaint else 200,
        unread=unread,
        owner=owner,
        address=address,
        contacts=[(each, masked(each.kind, each.address)) for each in had],
        marks=marks,
        channels=[each for each in ways if each.kind != "webpush"],
        browser_way=browser_way and (browser_way[0], browsers.public_key(browser_way[1])),
        is_agreed=is_agreed,
        order=PRIORITIES,
        FROM=FROM,
        told=words.say(told) if told else "",
        complaint=words.say(complaint) if complaint else "",
    )


def _patient(caller: Caller, patient_id: int, *, is_changing: bool = False) -> Owner:
    """Raises as `panels.check`, or `check_regular`. What follows is the house's work: what is sent with, no person may read."""
    check = panels.check_regular if is_changing else panels.check
    with transaction(caller.pool) as conn:
        check(conn, user_id=caller.user_id, patient_id=patient_id)
    return Owner(patient_id=patient_id)


def _deed(caller: Caller) -> Deed:
    return Deed(actor=f"user:{caller.user_id}", now=caller.now)
