"""`/api/v1/channels` and contacts: the ways to people outside the house, and who is reached where.

Secrets of a channel come in and never go out; addresses go out masked.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field, StringConstraints

from server.api import problems
from server.api.shapes import Priority, Shape
from server.people import panels
from server.people.door import Caller, Changing, SignedIn
from server.push import contact_book
from server.push.contact_book import Deed, Wanted
from server.push.services import masked
from server.store import contacts as store
from server.store.contacts import Attempt, Channel, Contact, Owner
from server.store.postgres import in_transaction, transaction

router: Final = APIRouter(prefix="/api/v1", tags=["channels"])

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")]
Address = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]


class ChannelIn(Shape):
    """`url`: an Apprise address with its secrets, `{to}` in the place of a person's own."""

    name: Line
    url: Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00-\x1f\x7f]*$")]


class ChannelOut(Shape):
    channel_id: int
    kind: str
    service: str
    name: str
    wants_address: bool

    @classmethod
    def of(cls, channel: Channel) -> "ChannelOut":
        return cls.model_validate({name: getattr(channel, name) for name in cls.model_fields})


class ChannelsOut(Shape):
    channels: tuple[ChannelOut, ...]


class AddedOut(Shape):
    """The number of what was added."""

    number: int


class TestIn(Shape):
    """`to`: where the test goes, if the channel wants an address."""

    to: Address = ""


class TestOut(Shape):
    """`status`: sent, failed or timeout; `answer`: the other side's code."""

    status: str
    elapsed_ms: int
    answer: str

    @classmethod
    def of(cls, attempt: Attempt) -> "TestOut":
        return cls.model_validate({name: getattr(attempt, name) for name in cls.model_fields})


class ContactIn(Shape):
    """`lowest`: nothing less urgent goes there; `only_next`: only what nobody has acknowledged."""

    channel_id: Annotated[int, Field(ge=1, le=2**63 - 1)]
    address: Address = ""
    lowest: Priority = "information"
    only_next: bool = False


class ContactOut(Shape):
    contact_id: int
    channel_id: int
    kind: str
    channel: str
    address: str
    lowest: str
    only_next: bool

    @classmethod
    def of(cls, contact: Contact) -> "ContactOut":
        said = {name: getattr(contact, name) for name in cls.model_fields}
        return cls.model_validate(said | {"address": masked(contact.kind, contact.address)})


class ContactsOut(Shape):
    contacts: tuple[ContactOut, ...]


@router.get("/channels")
def list_channels(caller: SignedIn) -> ChannelsOut:
    """Those that whoever runs the clinic has set up."""
    with transaction(caller.house) as conn:
        return ChannelsOut(channels=tuple(ChannelOut.of(each) for each in store.list_channels(conn)))


@router.post("/channels", status_code=201, responses=problems.FORBIDDEN)
def add_channel(caller: Changing, body: ChannelIn) -> AddedOut:
    """Its address is sealed and shown to nobody any more."""
    deed = _deed(caller)
    return AddedOut(
        number=in_transaction(
            caller.house, lambda conn: contact_book.add_channel(conn, deed, name=body.name, url=body.url)
        )
    )


@router.delete("/channels/{channel_id}", status_code=204, responses={**problems.FORBIDDEN, **problems.NOT_FOUND})
def remove_channel(caller: Changing, channel_id: Number) -> Response:
    """Its secrets, and every contact by it, are forgotten."""
    in_transaction(caller.house, lambda conn: contact_book.remove_channel(conn, _deed(caller), channel_id))
    return Response(status_code=204)


@router.post("/channels/{channel_id}/test", responses={**problems.FORBIDDEN, **problems.NOT_FOUND})
def try_channel(caller: Changing, channel_id: Number, body: TestIn) -> TestOut:
    """Sends a test message now, and says what became of it. Ten an hour."""
    language = caller.session.language
    return TestOut.of(
        contact_book.try_channel(
            caller.house,
            _deed(caller),
            channel_id,
            address=body.to,
            language=language,
            allow_private=caller.clinic.allow_private,
        )
    )


@router.get("/contacts")
def list_own(caller: SignedIn) -> ContactsOut:
    """Where the caller is reached."""
    return _list(caller, Owner(user_id=caller.user_id))


@router.post("/contacts", status_code=201, responses=problems.NOT_FOUND)
def add_own(caller: Changing, body: ContactIn) -> AddedOut:
    """From now on the caller is told there as well."""
    return _add(caller, Owner(user_id=caller.user_id), body)


@router.delete("/contacts/{contact_id}", status_code=204, responses=problems.NOT_FOUND)
def remove_own(caller: Changing, contact_id: Number) -> Response:
    return _remove(caller, Owner(user_id=caller.user_id), contact_id)


@router.post("/contacts/{contact_id}/test", responses=problems.NOT_FOUND)
def try_own(caller: Changing, contact_id: Number) -> TestOut:
    """Sends a test message there now, and says what became of it. Ten an hour."""
    return _try(caller, Owner(user_id=caller.user_id), contact_id)


@router.get("/patients/{patient_id}/contacts", responses=problems.NOT_FOUND)
def list_patients(caller: SignedIn, patient_id: Number) -> ContactsOut:
    """Where a patient is reached, while the patient agrees to that."""
    return _list(caller, _patient(caller, patient_id))


@router.post("/patients/{patient_id}/contacts", status_code=201, responses=problems.NOT_FOUND)
def add_patients(caller: Changing, patient_id: Number, body: ContactIn) -> AddedOut:
    return _add(caller, _patient(caller, patient_id, is_changing=True), body)


@router.delete("/patients/{patient_id}/contacts/{contact_id}", status_code=204, responses=problems.NOT_FOUND)
def remove_patients(caller: Changing, patient_id: Number, contact_id: Number) -> Response:
    return _remove(caller, _patient(caller, patient_id, is_changing=True), contact_id)


@router.post("/patients/{patient_id}/contacts/{contact_id}/test", responses=problems.NOT_FOUND)
def try_patients(caller: Changing, patient_id: Number, contact_id: Number) -> TestOut:
    return _try(caller, _patient(caller, patient_id, is_changing=True), contact_id)


def _patient(caller: Caller, patient_id: int, *, is_changing: bool = False) -> Owner:
    """Raises as `panels.check`, or `check_regular`. What follows is the house's work: what is sent with, no person may read."""
    check = panels.check_regular if is_changing else panels.check
    with transaction(caller.pool) as conn:
        check(conn, user_id=caller.user_id, patient_id=patient_id)
    return Owner(patient_id=patient_id)


def _list(caller: Caller, owner: Owner) -> ContactsOut:
    with transaction(caller.house) as conn:
        found = store.list_contacts(conn, owner)
    return ContactsOut(contacts=tuple(ContactOut.of(each) for each in found))


def _add(caller: Caller, owner: Owner, body: ContactIn) -> AddedOut:
    wanted = Wanted(channel_id=body.channel_id, address=body.address, lowest=body.lowest, only_next=body.only_next)
    deed = _deed(caller)
    return AddedOut(
        number=in_transaction(caller.house, lambda conn: contact_book.add_contact(conn, deed, owner, wanted))
    )


def _remove(caller: Caller, owner: Owner, contact_id: int) -> Response:
    in_transaction(caller.house, lambda conn: contact_book.remove_contact(conn, _deed(caller), owner, contact_id))
    return Response(status_code=204)


def _try(caller: Caller, owner: Owner, contact_id: int) -> TestOut:
    return TestOut.of(
        contact_book.try_contact(
            caller.house, _deed(caller), owner, contact_id, allow_private=caller.clinic.allow_private
        )
    )


def _deed(caller: Caller) -> Deed:
    return Deed(actor=f"user:{caller.user_id}", now=caller.now)
