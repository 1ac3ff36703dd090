"""How people are reached: the house's channels, and who is reached where. Whatever is set is on record, without the address.

A channel's address holds secrets and is shown to nobody once it is kept. A patient's address goes through another company, so it
serves only while the patient agrees to that (`Purpose.CHANNELS`, which the queue asks).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from server.people.errors import NotOnPanelError
from server.push import browsers, outside_texts, services
from server.store import audit
from server.store import contacts as store
from server.store.contacts import Attempt, Contact, Owner, Place
from server.store.postgres import Connection, Pool, in_transaction
from vitals.errors import MalformedError

NAME_MAX: Final = 60
CONTACTS_MAX: Final = 10
"""Places of one person; a message goes to all of them."""

TESTS_WITHIN: Final = timedelta(hours=1)
TESTS: Final = 10
"""Test messages of one person in that time: each costs money, and may land in a stranger's telephone."""

PRIORITIES: Final = ("information", "low", "medium", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Who does it, as the audit names them, and when."""

    actor: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Where somebody is to be reached, and of what. `address`: none where the channel leads to one place."""

    channel_id: int
    address: str = ""
    lowest: str = "information"
    only_next: bool = False


def add_channel(conn: Connection, deed: Deed, *, name: str, url: str) -> int:
    """Returns `channel_id`. Raises `MalformedError` for an address by which nothing can be sent, without repeating it."""
    from server.push import apprise_door

    name, url = name.strip(), url.strip()
    if not 0 < len(name) <= NAME_MAX or any(ord(each) < 0x20 for each in name):
        raise MalformedError("channel_name", f"a channel has a name of 1 to {NAME_MAX} characters, which people read")
    service, kind = services.service_of(url)
    if kind == "webpush":
        if any(each.kind == kind for each in store.list_channels(conn)):
            raise MalformedError("channel_url", "browsers are told by one channel; remove that one first")
        wants_address, url = True, browsers.with_new_key(url)
    else:
        wants_address = services.PLACE in url
        if kind in ("email", "sms") and not wants_address:
            raise MalformedError("channel_url", f"write {services.PLACE} where the address of a person goes")
        sample = {"email": "a@clinic.example", "sms": "+8613800000000", "chat": "somebody"}[kind]
        apprise_door.check(services.filled(url, sample if wants_address else None))
    channel_id = store.add_channel(
        conn, kind=kind, service=service, name=name, url=url, wants_address=wants_address, by=deed.actor, now=deed.now
    )
    _note(conn, deed, "channel.add", str(channel_id), service=service)
    return channel_id


def remove_channel(conn: Connection, deed: Deed, channel_id: int) -> None:
    """Its secrets, and whoever was reached by it, are forgotten. Raises `NotOnPanelError` if there is none."""
    if not store.remove_channel(conn, channel_id, now=deed.now):
        raise NotOnPanelError("no such channel")
    _note(conn, deed, "channel.remove", str(channel_id))


def add_contact(conn: Connection, deed: Deed, owner: Owner, wanted: Wanted) -> int:
    """From now on the owner is told there as well. Raises `NotOnPanelError` (no such channel), `MalformedError`."""
    channel = store.find_channel(conn, wanted.channel_id)
    if channel is None:
        raise NotOnPanelError("no such channel")
    kind, _, wants_address = channel
    if wanted.lowest not in PRIORITIES:
        raise MalformedError("lowest", f"a priority is one of {', '.join(PRIORITIES)}")
    if wants_address:
        address = services.checked_address(kind, wanted.address)
    elif wanted.address:
        raise MalformedError("contact_address", "this channel leads to one place; leave the address out")
    elif owner.patient_id is not None:
        raise MalformedError("contact_address", "a patient is not reached by a channel that others read")
    else:
        address = None
    had = store.list_contacts(conn, owner)
    if len(had) >= CONTACTS_MAX:
        raise MalformedError("contact", f"somebody has at most {CONTACTS_MAX} contacts; remove one first")
    if any(each.channel_id == wanted.channel_id and each.address == address for each in had):
        raise MalformedError("contact", "this contact is there already")
    contact_id = store.add_contact(
        conn,
        owner,
        channel_id=wanted.channel_id,
        address=address,
        lowest=wanted.lowest,
        only_next=wanted.only_next,
        by=deed.actor,
        now=deed.now,
    )
    _note(conn, deed, "contact.add", _subject(owner, contact_id), owner, channel_id=wanted.channel_id)
    return contact_id


def remove_contact(conn: Connection, deed: Deed, owner: Owner, contact_id: int) -> None:
    """The address is forgotten. Raises `NotOnPanelError` if the owner has no such contact."""
    if not store.remove_contact(conn, owner, contact_id):
        raise NotOnPanelError("no such contact")
    _note(conn, deed, "contact.remove", _subject(owner, contact_id), owner)


def forget_gone(conn: Connection, deed: Deed, place: Place) -> None:
    """The other side has said that this place is no more: nothing is sent there again, and whose it was is on record."""
    if store.remove_contact(conn, place.owner, place.contact_id):
        _note(conn, deed, "contact.gone", _subject(place.owner, place.contact_id), place.owner)


def browser_marks(conn: Connection, owner: Owner) -> dict[int, str]:
    """By its number, how each of the owner's browsers finds out that it is meant."""
    return {
        each.contact_id: browsers.read_subscription(each.address).mark
        for each in store.list_contacts(conn, owner)
        if each.kind == "webpush" and each.address is not None
    }


def list_contacts(conn: Connection, owner: Owner) -> Sequence[Contact]:
    return store.list_contacts(conn, owner)


def place_to_test(conn: Connection, deed: Deed, owner: Owner, contact_id: int) -> Place:
    """Where a test message of the owner's contact goes. Raises `NotOnPanelError`; `MalformedError` after too many tests."""
    place = store.place_of(conn, owner, contact_id)
    if place is None:
        raise NotOnPanelError("no such contact")
    _count_test(conn, deed)
    return place


def place_of_channel(conn: Connection, deed: Deed, channel_id: int, address: str, language: str) -> Place:
    """Where a test message by a channel goes: to its one place, or to this address. Raises as `place_to_test`."""
    channel = store.find_channel(conn, channel_id)
    url = store.url_of(conn, channel_id)
    if channel is None or url is None:
        raise NotOnPanelError("no such channel")
    kind, _, wants_address = channel
    if wants_address != bool(address):
        raise MalformedError(
            "contact_address",
            "say to which address the test goes" if wants_address else "this channel leads to one place",
        )
    _count_test(conn, deed)
    return Place(
        contact_id=0,
        owner=Owner(),
        channel_id=channel_id,
        kind=kind,
        url=url,
        address=services.checked_address(kind, address) if wants_address else None,
        mark=uuid5(NAMESPACE_URL, f"channel/{channel_id}"),
        link=None,
        link_until=None,
        language=language,
    )


def send_test(place: Place, deed: Deed, *, allow_private: bool) -> Attempt:
    """Send it now, outside any transaction; what it came to."""
    from server.push.outside import DEADLINE_S, try_all

    audience: outside_texts.Audience = "clinic" if place.owner.patient_id is None else "patient"
    words = outside_texts.say("test", audience, place.language)
    key = uuid5(NAMESPACE_URL, f"test/{place.channel_id}/{place.contact_id}/{deed.now.isoformat()}")
    (attempt,) = try_all([(place, words, str(key))], DEADLINE_S, allow_private=allow_private)
    return attempt


def note_test(conn: Connection, deed: Deed, place: Place, attempt: Attempt) -> None:
    _note(
        conn,
        deed,
        "channel.test",
        str(place.channel_id),
        place.owner,
        status=attempt.status,
        answer=attempt.answer,
        elapsed_ms=attempt.elapsed_ms,
    )


def try_contact(house: Pool, deed: Deed, owner: Owner, contact_id: int, *, allow_private: bool) -> Attempt:
    """Send a test message to the owner's contact now; one that is gone is forgotten. Raises as `place_to_test`."""
    place = in_transaction(house, lambda conn: place_to_test(conn, deed, owner, contact_id))
    attempt = send_test(place, deed, allow_private=allow_private)

    def note(conn: Connection) -> None:
        note_test(conn, deed, place, attempt)
        if attempt.answer == browsers.GONE:
            forget_gone(conn, deed, place)

    in_transaction(house, note)
    return attempt


def try_channel(
    house: Pool, deed: Deed, channel_id: int, *, address: str, language: str, allow_private: bool
) -> Attempt:
    """Send a test message by the channel now. Raises as `place_to_test`."""
    place = in_transaction(house, lambda conn: place_of_channel(conn, deed, channel_id, address, language))
    attempt = send_test(place, deed, allow_private=allow_private)
    in_transaction(house, lambda conn: note_test(conn, deed, place, attempt))
    return attempt


def _count_test(conn: Connection, deed: Deed) -> None:
    asked = audit.Asked(actor=deed.actor, act="channel.ask_test", since=deed.now - TESTS_WITHIN)
    if len(audit.list_entries(conn, asked, limit=TESTS)) >= TESTS:
        raise MalformedError("test", f"{TESTS} test messages an hour are enough; try again later")
    _note(conn, deed, "channel.ask_test", "")


def _note(conn: Connection, deed: Deed, act: str, subject: str, owner: Owner | None = None, **facts: object) -> None:
    audit.note(
        conn,
        actor=deed.actor,
        act=act,
        at=deed.now,
        patient_id=owner.patient_id if owner else None,
        subject=subject,
        detail=facts,
    )


def _subject(owner: Owner, contact_id: int) -> str:
    whose = "desk" if owner.user_id is None else f"user:{owner.user_id}"
    return f"{contact_id}" if owner.patient_id is not None else f"{whose}/{contact_id}"
