"""Sends one kind of channel: to each place where the recipient is reached, in the words of `outside_texts`, and notes each try.

A message has arrived when one place has it: a second telephone that is switched off is no reason to wake somebody else. What was
tried, and what it came to, is in the ledger place by place.
"""

import queue
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import structlog

from server.people import links
from server.push import browsers, contact_book, outside_texts
from server.push.channels import Failed, Outcome, Sent, Unreachable
from server.push.contact_book import Deed
from server.push.outside_texts import Topic, Words
from server.push.services import filled
from server.store import contacts as store
from server.store.contacts import Attempt, Kind, Place
from server.store.postgres import Connection, Pool, in_transaction
from server.store.pushes import Leased

log = structlog.get_logger()

DEADLINE_S: Final = 15.0
"""For all places of a message together: half a lease, whatever the other sides do."""

LINK_LASTS: Final = timedelta(days=30)
LINK_RENEWED: Final = timedelta(days=7)
"""A link that has less than that to live is replaced by a new one, so that nobody is sent one that has just ended."""


class OutsideChannel:
    """E-mail, text messages, chats or browsers: those that whoever runs the clinic has set up.

    `public_url`: how people reach us, for links; without it messages carry none. `allow_private`: a browser's push service may
    stand in the house's own network.
    """

    at_once = 1

    def __init__(
        self,
        pool: Pool,
        kind: Kind,
        *,
        public_url: str | None,
        allow_private: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.name = kind
        self._pool = pool
        self._kind = kind
        self._public_url = public_url
        self._allow_private = allow_private
        self._deadline_s = deadline_s

    def send(self, message: Leased) -> Outcome:
        if not message.is_reachable:
            return Unreachable(error="nobody who may read it is there")
        places = in_transaction(self._pool, lambda conn: self._prepare(conn, message))
        if not places:
            return Unreachable(error=f"no {self._kind} address")
        parcels = [(place, words, str(message.push_id)) for place, words in places]
        attempts = try_all(parcels, self._deadline_s, allow_private=self._allow_private)
        gone = [place for (place, _), attempt in zip(places, attempts, strict=True) if attempt.answer == browsers.GONE]
        in_transaction(self._pool, lambda conn: self._note(conn, message, attempts, gone))
        if any(each.status == "sent" for each in attempts):
            return Sent()
        if len(gone) == len(places):
            return Unreachable(error="the browser takes nothing from us any more")
        return Failed(error="; ".join(sorted({each.answer or each.status for each in attempts})))

    def _prepare(self, conn: Connection, message: Leased) -> Sequence[tuple[Place, Words]]:
        topic = outside_texts.topic_of(message.kind, is_urgent=message.is_urgent)
        places = store.places_of(conn, message.patient_id, message.recipient, self._kind)
        return [
            (
                place,
                outside_texts.say(
                    topic,
                    "clinic" if place.owner.patient_id is None else "patient",
                    place.language,
                    link=self._link(conn, place, topic, message),
                    has_others=message.others > 0,
                ),
            )
            for place in places
        ]

    def _note(self, conn: Connection, message: Leased, attempts: Sequence[Attempt], gone: Sequence[Place]) -> None:
        store.note_attempts(conn, [message.push_id], message.patient_id, attempts, at=message.now)
        for place in gone:
            contact_book.forget_gone(conn, Deed(actor="server:push", now=message.now), place)

    def _link(self, conn: Connection, place: Place, topic: Topic, message: Leased) -> str | None:
        if self._public_url is None:
            return None
        if place.owner.patient_id is not None:
            return f"{self._public_url}/me/{token_for(conn, place, now=message.now)}"
        if message.episode_id is None:
            return f"{self._public_url}/inbox"
        return f"{self._public_url}/a/{message.episode_id}"


def token_for(conn: Connection, place: Place, *, now: datetime) -> str:
    """The token of a link of the patient's that lasts for a while: the one that this place has had before, or a new one."""
    assert place.owner.patient_id is not None
    if place.link is not None and place.link_until is not None and place.link_until > now + LINK_RENEWED:
        is_in_force = links.find_patient(conn, place.link, now=now) is not None
        if is_in_force:
            return place.link
    token = links.issue_patient_link(conn, place.owner.patient_id, now=now, valid_for=LINK_LASTS, by="server:push")
    store.keep_link(conn, place, token, until=now + LINK_LASTS)
    return token


def try_all(parcels: Sequence[tuple[Place, Words, str]], deadline_s: float, *, allow_private: bool) -> list[Attempt]:
    """Each in a thread of its own, which is left to itself when the deadline has passed."""
    answers: queue.SimpleQueue[tuple[int, Attempt]] = queue.SimpleQueue()

    def work(number: int, place: Place, words: Words, key: str) -> None:
        answers.put((number, _try(place, words, key, deadline_s, allow_private=allow_private)))

    for number, parcel in enumerate(parcels):
        threading.Thread(target=work, args=(number, *parcel), daemon=True).start()
    found: dict[int, Attempt] = {}
    until = monotonic() + deadline_s
    while len(found) < len(parcels):
        try:
            number, attempt = answers.get(timeout=max(0.0, until - monotonic()))
        except queue.Empty:
            break
        found[number] = attempt
    late = round(deadline_s * 1000)
    return [
        found.get(number)
        or Attempt(channel_id=place.channel_id, target="", status="timeout", elapsed_ms=late, answer="")
        for number, (place, _, _) in enumerate(parcels)
    ]


def _try(place: Place, words: Words, key: str, deadline_s: float, *, allow_private: bool) -> Attempt:
    # Seconds of imports, for the first message and not for the start.
    from server.push import web_push
    from server.push.apprise_door import Parcel, send

    try:
        if place.kind == "webpush":
            return web_push.send(place, words, key=key, allow_private=allow_private)
        parcel = Parcel(
            channel_id=place.channel_id,
            url=filled(place.url, place.address),
            words=words,
            key=key,
            salt=place.mark.bytes,
        )
        return send(parcel, timeout_s=deadline_s)
    except Exception as e:  # noqa: BLE001 - two hundred plug-ins of others; whatever one of them does is this try's failure
        log.warning("channel_broken", channel_id=place.channel_id, error=type(e).__name__)
        return Attempt(
            channel_id=place.channel_id, target="", status="failed", elapsed_ms=0, answer=type(e).__name__[:60]
        )
