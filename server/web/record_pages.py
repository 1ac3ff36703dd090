"""`/inbox`: what one was told; and what every ledger of messages shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from server.people.door import Caller, SignedIn, check_form
from server.store import worklist
from server.store.contacts import ShownAttempt
from server.store.corrections import list_corrections
from server.store.postgres import Connection, transaction
from server.store.reading_lists import ShownReading
from server.store.worklist import InboxMessage, ShownPush
from server.web.correction_words import hide_names, newest
from server.web.history import NOTHING_SAID, Corrections
from server.web.rendering import render, words_of
from server.web.words import CHANNELS, PUSH_STATES, TRIES, Words

router: Final = APIRouter(include_in_schema=False)

MESSAGES_SHOWN: Final = 100

PatientId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """The messages about one alert, the newest first."""

    messages: tuple[InboxMessage, ...]

    @property
    def newest(self) -> InboxMessage:
        return self.messages[0]

    @property
    def is_new(self) -> bool:
        return any(each.read_at is None for each in self.messages)


@router.get("/inbox")
def show_inbox(caller: SignedIn, request: Request, only: Literal["unread", ""] = "") -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        found = worklist.list_inbox(conn, user_id=caller.user_id, limit=MESSAGES_SHOWN)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    messages = [each for each in found if not only or each.read_at is None]
    return render(
        request,
        "inbox.html",
        words,
        caller=caller,
        unread=unread,
        only=only,
        talks=_by_alert(messages),
        new_ones=[each.push_id for each in messages if each.read_at is None],
        now=caller.now,
    )


def _by_alert(messages: Sequence[InboxMessage]) -> list[Talk]:
    """What was said of one alert is one entry, where its newest message would be."""
    talks: dict[UUID, list[InboxMessage]] = {}
    for each in messages:
        talks.setdefault(each.episode_id or each.push_id, []).append(each)
    return [Talk(messages=tuple(found)) for found in talks.values()]


@router.post("/inbox/read")
def mark_read(
    caller: SignedIn,
    request: Request,
    push_id: Annotated[list[UUID] | None, Form(max_length=MESSAGES_SHOWN)] = None,
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    check_form(caller, request, csrf_token)
    with transaction(caller.pool) as conn:
        worklist.mark_inbox_read(conn, push_id or [], user_id=caller.user_id, now=caller.now)
    return RedirectResponse("/inbox", status_code=303)


def said(
    conn: Connection, caller: Caller, readings: Sequence[ShownReading], named: Callable[[str], str]
) -> Corrections:
    """What was said last of those of which something was said; `named`: how this browser shows names."""
    corrected = [each.reading_id for each in readings if each.version > 1]
    if not corrected:
        return NOTHING_SAID
    return newest(hide_names(list_corrections(conn, corrected, user_id=caller.user_id), named))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One line of the ledger: who was, or is to be, told what."""

    at: str
    who: str
    channel: str
    title: str
    body: str
    state: str
    is_lost: bool
    tries: tuple[str, ...] = ()


def told(push: ShownPush, zone: str, words: Words, attempts: Sequence[ShownAttempt] = ()) -> Told:
    text: Mapping[str, str] = push.text.get(words.language) or next(iter(push.text.values()), {})
    return Told(
        at=words.moment(push.sent_at or push.due_at, zone),
        who=_recipient(push, words),
        channel=words.among(CHANNELS, push.channel),
        title=text.get("title", ""),
        body=text.get("body", ""),
        state=words.among(PUSH_STATES, "no_consent" if _is_unwanted(push) else push.state),
        is_lost=push.state in ("dead", "undeliverable"),
        tries=tuple(_tried(each, zone, words) for each in attempts if each.push_id == push.push_id),
    )


def _is_unwanted(push: ShownPush) -> bool:
    return push.state == "cancelled" and push.why == "no_consent"


def _tried(attempt: ShownAttempt, zone: str, words: Words) -> str:
    """`10:31 Text messages: refused (code 503, 0.4 s)`"""
    how_long = f"{attempt.elapsed_ms / 1000:.1f} s"
    details = ", ".join(filter(None, (attempt.answer, how_long)))
    came = words.among(TRIES, attempt.status)
    return f"{words.moment(attempt.at, zone)} {attempt.channel}: {came} ({details})"


def _recipient(push: ShownPush, words: Words) -> str:
    if push.recipient == "patient":
        return words.say("the patient")
    if push.recipient == "clinic":
        return words.say("the clinic")
    if push.recipient == "doctor":
        return words.say("the patient's own doctor")
    return push.recipient_name or push.recipient
