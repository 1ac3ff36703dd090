"""The ways to people outside the house: channels, whose address is where, what each try came to (`sql/contacts.sql`).

Everything that would reach somebody, or let somebody else send in our name, lies sealed: a channel's secrets and a clinician's
address with the house's key, a patient's address with the patient's own, which erasure destroys. Nothing here is shown or logged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from psycopg.rows import class_row, dict_row

from server.store import vault
from server.store.postgres import Connection, load_sql
from server.store.vault import Safe

_SQL: Final = load_sql("contacts")

Kind = Literal["email", "sms", "chat", "webpush"]
KINDS: Final[tuple[Kind, ...]] = ("email", "sms", "chat", "webpush")
"""What a message's `channel` may be beside `inbox` and `webhook`; each is sent by a loop of its own."""

HOUSE: Final = "house"
"""Whose key seals what is of no patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A way out, as it may be shown: without its secrets. `wants_address`: of each person whom it is to reach."""

    channel_id: int
    kind: Kind
    service: str
    name: str
    wants_address: bool
    added_at: datetime
    added_by: str
    contacts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a contact is: a patient's, a user's or, with neither, the clinic's desk's."""

    patient_id: int | None = None
    user_id: int | None = None

    @property
    def holder(self) -> str:
        """Whose key seals it."""
        return HOUSE if self.patient_id is None else f"patient:{self.patient_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Where its owner is reached. `lowest`: nothing less urgent goes there; `only_next`: only what nobody has acknowledged."""

    contact_id: int
    owner: Owner
    channel_id: int
    kind: Kind
    service: str
    channel: str
    address: str | None = field(repr=False)
    lowest: str
    only_next: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A contact, opened, to send to: the channel's URL with all its secrets, and what goes into it."""

    contact_id: int
    owner: Owner
    channel_id: int
    kind: Kind
    url: str = field(repr=False)
    address: str | None = field(repr=False)
    mark: UUID
    link: str | None = field(repr=False)
    link_until: datetime | None
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a try to send to one place came to. `target` tells it from others and leads nowhere; `answer` is a code."""

    channel_id: int
    target: str
    status: Literal["sent", "failed", "timeout"]
    elapsed_ms: int
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAttempt:
    push_id: UUID
    channel_id: int
    channel: str
    target: str
    at: datetime
    status: str
    elapsed_ms: int
    answer: str


def list_channels(conn: Connection) -> Sequence[Channel]:
    with conn.cursor(row_factory=class_row(Channel)) as cursor:
        return cursor.execute(_SQL["list_channels"]).fetchall()


def find_channel(conn: Connection, channel_id: int) -> tuple[Kind, str, bool] | None:
    """`(kind, name, wants_address)` of a channel that is there."""
    row = conn.execute(_SQL["find_channel"], {"channel_id": channel_id}).fetchone()
    return None if row is None else (row[1], row[3], row[4])


def browser_channel(conn: Connection) -> tuple[int, str] | None:
    """`(channel_id, url)` of the channel by which browsers are told, if there is one; its key is in the URL."""
    found = next((each.channel_id for each in list_channels(conn) if each.kind == "webpush"), None)
    url = None if found is None else url_of(conn, found)
    return None if found is None or url is None else (found, url)


def add_channel(
    conn: Connection, *, kind: str, service: str, name: str, url: str, wants_address: bool, by: str, now: datetime
) -> int:
    """Returns `channel_id`. `url`, with its secrets, is sealed here and shown to nobody any more."""
    channel_id = _next(conn, "next_channel")
    values = {
        "channel_id": channel_id,
        "kind": kind,
        "service": service,
        "name": name,
        "address": _safe(conn, HOUSE).seal(url.encode(), _channel_place(channel_id)),
        "wants_address": wants_address,
        "by": by,
        "now": now,
    }
    conn.execute(_SQL["add_channel"], values)
    return channel_id


def url_of(conn: Connection, channel_id: int) -> str | None:
    """The channel's URL with its secrets, to send by; None if there is no such channel."""
    row = conn.execute(_SQL["channel_address"], {"channel_id": channel_id}).fetchone()
    return None if row is None else _safe(conn, HOUSE).open(row[0], _channel_place(channel_id)).decode()


def remove_channel(conn: Connection, channel_id: int, *, now: datetime) -> bool:
    """Its secrets are gone, and so is every contact by it. False if there is no such channel."""
    is_there = conn.execute(_SQL["remove_channel"], {"channel_id": channel_id, "now": now}).rowcount > 0
    conn.execute(_SQL["forget_channel"], {"channel_id": channel_id})
    conn.execute(_SQL["cancel_without_way"])
    return is_there


def add_contact(
    conn: Connection,
    owner: Owner,
    *,
    channel_id: int,
    address: str | None,
    lowest: str,
    only_next: bool,
    by: str,
    now: datetime,
) -> int:
    contact_id = _next(conn, "next_contact")
    sealed = None if address is None else _safe(conn, owner.holder).seal(address.encode(), _address_place(contact_id))
    values = {
        "contact_id": contact_id,
        "patient_id": owner.patient_id,
        "user_id": owner.user_id,
        "channel_id": channel_id,
        "address": sealed,
        "lowest": lowest,
        "only_next": only_next,
        "by": by,
        "now": now,
    }
    conn.execute(_SQL["add_contact"], values)
    return contact_id


def list_contacts(conn: Connection, owner: Owner) -> Sequence[Contact]:
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["list_contacts"], _owner(owner)).fetchall()
    return [Contact(owner=owner, address=_address(conn, owner, row), **_without(row, "address")) for row in rows]


def remove_contact(conn: Connection, owner: Owner, contact_id: int) -> bool:
    """Forget it, and what waited for it; False if the owner has no such contact."""
    is_there = conn.execute(_SQL["remove_contact"], _owner(owner) | {"contact_id": contact_id}).rowcount > 0
    conn.execute(_SQL["cancel_without_way"])
    return is_there


def forget_browsers(conn: Connection, owner: Owner) -> int:
    """Tell no browser of the owner any more; how many there were."""
    there = conn.execute(_SQL["forget_browsers"], _owner(owner)).rowcount
    conn.execute(_SQL["cancel_without_way"])
    return there


def kinds_of(conn: Connection, patient_id: int, recipient: str, *, priority: str, is_next: bool) -> Sequence[Kind]:
    """By which kinds of channel this recipient of a message about the patient wants to hear of something so urgent."""
    values = {"patient_id": patient_id, "recipient": recipient, "priority": priority, "is_next": is_next}
    return [row[0] for row in conn.execute(_SQL["kinds_of"], values).fetchall()]


def places_of(conn: Connection, patient_id: int, recipient: str, kind: str) -> Sequence[Place]:
    """Every place of that kind where the recipient is reached."""
    return _places(conn, "places_of", {"patient_id": patient_id, "recipient": recipient, "kind": kind})


def place_of(conn: Connection, owner: Owner, contact_id: int) -> Place | None:
    return next(iter(_places(conn, "place", _owner(owner) | {"contact_id": contact_id})), None)


def keep_link(conn: Connection, place: Place, link: str, *, until: datetime) -> None:
    """The address of the patient's own page that messages to this place carry until then."""
    sealed = _safe(conn, place.owner.holder).seal(link.encode(), _link_place(place.contact_id))
    conn.execute(_SQL["keep_link"], {"contact_id": place.contact_id, "link": sealed, "until": until})


def note_attempts(
    conn: Connection, push_ids: Sequence[UUID], patient_id: int, attempts: Sequence[Attempt], *, at: datetime
) -> None:
    """Each try, of each message that went out with it."""
    rows = [
        {name: getattr(attempt, name) for name in Attempt.__slots__}
        | {"push_id": push_id, "patient_id": patient_id, "at": at}
        for push_id in push_ids
        for attempt in attempts
    ]
    with conn.cursor() as cursor:
        cursor.executemany(_SQL["note_attempt"], rows)


def list_attempts(conn: Connection, push_ids: Sequence[UUID]) -> Sequence[ShownAttempt]:
    """The oldest first."""
    with conn.cursor(row_factory=class_row(ShownAttempt)) as cursor:
        return cursor.execute(_SQL["list_attempts"], {"push_ids": list(push_ids)}).fetchall()


def queue_beside(
    conn: Connection, beside: UUID, *, push_id: UUID, channel: str, now: datetime, expires_at: datetime
) -> None:
    """Another way for a message that is about no alert: same recipient, same words in the ledger."""
    values = {"push_id": push_id, "beside": beside, "channel": channel, "now": now, "expires_at": expires_at}
    conn.execute(_SQL["queue_of_no_alert"], values)


def _places(conn: Connection, statement: str, values: dict[str, Any]) -> list[Place]:
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL[statement], values).fetchall()
    house = _safe(conn, HOUSE) if rows else None
    found = []
    for row in rows:
        assert house is not None
        owner = Owner(patient_id=row["patient_id"], user_id=row["user_id"])
        url = house.open(row["url"], _channel_place(row["channel_id"])).decode()
        link = row["link"] and _safe(conn, owner.holder).open(row["link"], _link_place(row["contact_id"])).decode()
        opened: dict[str, Any] = {"url": url, "link": link, "address": _address(conn, owner, row)}
        found.append(Place(owner=owner, **_without(row, *opened), **opened))
    return found


def _address(conn: Connection, owner: Owner, row: dict[str, Any]) -> str | None:
    if row["address"] is None:
        return None
    return _safe(conn, owner.holder).open(row["address"], _address_place(row["contact_id"])).decode()


def _safe(conn: Connection, holder: str) -> Safe:
    if holder == HOUSE:
        return vault.safes(conn, {HOUSE: None})[HOUSE]
    return vault.safe_of(conn, int(holder.removeprefix("patient:")))


def _owner(owner: Owner) -> dict[str, Any]:
    return {"patient_id": owner.patient_id, "user_id": owner.user_id}


def _without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in {"patient_id", "user_id", *names}}


def _next(conn: Connection, statement: str) -> int:
    row = conn.execute(_SQL[statement]).fetchone()
    assert row is not None
    return int(row[0])


def _channel_place(channel_id: int) -> str:
    return f"channel.address/{channel_id}"


def _address_place(contact_id: int) -> str:
    return f"contact.address/{contact_id}"


def _link_place(contact_id: int) -> str:
    return f"contact.link/{contact_id}"
