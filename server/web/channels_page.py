"""`/admin/channels`: the ways to people outside the house, for whoever runs the clinic; and where the desk is told."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response

from server.people.door import Caller, SignedIn, check_form
from server.people.errors import NotOnPanelError
from server.push import contact_book
from server.push.contact_book import NAME_MAX, Deed, Wanted
from server.push.services import masked
from server.store import contacts as store
from server.store import worklist
from server.store.contacts import Owner
from server.store.postgres import in_transaction, transaction
from server.web.contacts_page import GONE, REMOVED, TOO_MANY, WRONG, came
from server.web.rendering import render, words_of
from server.web.words import mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/admin/channels", include_in_schema=False)

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Line = Annotated[str, Form(max_length=2000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Token = Annotated[str, Form(max_length=256)]

DESK: Final = Owner()
KINDS: Final = {
    "email": mark("e-mail"),
    "sms": mark("text message"),
    "chat": mark("chat"),
    "webpush": mark("this browser"),
}
SET_UP: Final = mark("Set up. Send a test message to see whether it works.")
ADDED: Final = mark("The clinic's desk is told there from now on.")
NOT_SO: Final = mark(
    "Nothing can be sent by this address. It begins with the service's word, such as mailtos:// or wecombot://"
)


@router.get("")
def show(caller: SignedIn, request: Request) -> Response:
    return _page(caller, request)


@router.post("")
def add(caller: SignedIn, request: Request, name: Line = "", url: Line = "", csrf_token: Token = "") -> Response:
    """The address is not shown again, not even where it was wrong."""
    check_form(caller, request, csrf_token)
    try:
        in_transaction(caller.house, lambda conn: contact_book.add_channel(conn, _deed(caller), name=name, url=url))
    except MalformedError:
        return _page(caller, request, complaint=NOT_SO, name=name)
    return _page(caller, request, told=SET_UP)


@router.post("/desk")
def add_for_desk(
    caller: SignedIn,
    request: Request,
    channel_id: Annotated[int, Form(ge=1, le=2**63 - 1)],
    address: Line = "",
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    wanted = Wanted(channel_id=channel_id, address=address.strip())
    try:
        in_transaction(caller.house, lambda conn: contact_book.add_contact(conn, _deed(caller), DESK, wanted))
    except MalformedError as e:
        return _page(caller, request, complaint=WRONG.get(e.reason, GONE))
    except NotOnPanelError:
        return _page(caller, request, complaint=GONE)
    return _page(caller, request, told=ADDED)


@router.post("/desk/{contact_id}/remove")
def remove_for_desk(caller: SignedIn, request: Request, contact_id: Number, csrf_token: Token = "") -> Response:
    check_form(caller, request, csrf_token)
    try:
        in_transaction(caller.house, lambda conn: contact_book.remove_contact(conn, _deed(caller), DESK, contact_id))
    except NotOnPanelError:
        return _page(caller, request, complaint=GONE)
    return _page(caller, request, told=REMOVED)


@router.post("/{channel_id}/{what}")
def change(
    caller: SignedIn,
    request: Request,
    channel_id: Number,
    what: Literal["test", "remove"],
    to: Line = "",
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    words, deed = words_of(request, caller), _deed(caller)
    try:
        if what == "remove":
            in_transaction(caller.house, lambda conn: contact_book.remove_channel(conn, deed, channel_id))
            return _page(caller, request, told=REMOVED)
        attempt = contact_book.try_channel(
            caller.house,
            deed,
            channel_id,
            address=to.strip(),
            language=words.language,
            allow_private=caller.clinic.allow_private,
        )
    except MalformedError as e:
        return _page(caller, request, complaint=WRONG.get(e.reason, TOO_MANY))
    except NotOnPanelError:
        return _page(caller, request, complaint=GONE)
    said = came(attempt, words.say)
    return _page(caller, request, **({"told": said} if attempt.status == "sent" else {"complaint": said}))


def _page(caller: Caller, request: Request, *, told: str = "", complaint: str = "", name: str = "") -> Response:
    words = words_of(request, caller)
    with transaction(caller.house) as conn:
        channels = store.list_channels(conn)
        desk = store.list_contacts(conn, DESK)
    with transaction(caller.pool) as conn:
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    return render(
        request,
        "admin_channels.html",
        words,
        caller=caller,
        status=409 if complaint else 200,
        unread=unread,
        channels=channels,
        desk=[(each, masked(each.kind, each.address)) for each in desk],
        KINDS=KINDS,
        NAME_MAX=NAME_MAX,
        name=name,
        told=words.say(told) if told else "",
        complaint=words.say(complaint) if complaint else "",
    )


def _deed(caller: Caller) -> Deed:
    return Deed(actor=f"user:{caller.user_id}", now=caller.now)
