"""Notices that the database was set back to an earlier state, and asks the gateways for what is lost with it.

A gateway counts a reading as answered only after a receipt, and a receipt follows the commit. So a status that says more was
answered than is here proves that something was lost: however old it is, for what was here only grows and what had been
answered then was here before. Nothing has to be told to this build after a restore.

A gateway lets wait again what it still has (30 days) and counts it as answered no more; what it has forgotten it goes on
counting. So what stays answered and missing, though all of it was asked for several times, is what cannot come back.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta, Struct

from server.store import rewind as store
from server.store.alarms import AlarmKind, raise_alarm
from server.store.postgres import Connection
from server.store.rewind import Asked, Standing
from vitals.envelope import MAX_SPANS, Epoch, Receipt

log = structlog.get_logger()

ROUNDS: Final = 60
"""How often everything missing is asked for before the rest is given up. A status comes once a minute, and every five seconds
from a gateway that does not know the time: so all answers to the statuses of one bad connection may be lost with it."""

Count = Annotated[int, Meta(ge=0, le=2**53)]


class OutboxSaid(Struct, frozen=True, kw_only=True):
    """What a status says of the outbox: the highest number given, how many were answered, how many of those are bytes no more,
    and the number that our last receipt named `beyond` the highest given, 0 for none."""

    epoch: Epoch
    kept: Count
    answered: Count
    forgotten: Count = 0
    beyond: Count = 0


class _Status(Struct, frozen=True, kw_only=True):
    outbox: OutboxSaid


_status = msgspec.json.Decoder(_Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to remember, and what to do: `page` of the missing spans to ask for now, or None to ask for nothing."""

    asked: Asked
    lost: int
    page: int | None = None


def said_in(payload: bytes) -> OutboxSaid | None:
    """What a status message says of the outbox; None where it says nothing that can be believed."""
    try:
        said = _status.decode(payload).outbox
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if said.forgotten <= said.answered <= said.kept else None


def decide(said: OutboxSaid, standing: Standing) -> Decision:
    """What follows from what the gateway says and what is here. `lost`: readings answered and not here that are news."""
    lost = said.answered - standing.here
    given_up = standing.given_up
    if said.answered == said.kept:  # nothing is on its way: the number is exact, and what came back is given up no more
        given_up = min(given_up, max(0, lost))
    if lost <= given_up:
        return Decision(asked=Asked(given_up=given_up), lost=0)
    asked = standing.asked if lost == standing.lost else 0
    pages = -(-standing.spans // MAX_SPANS)
    if asked >= ROUNDS * pages:
        return Decision(asked=Asked(lost=lost, asked=asked, given_up=lost), lost=lost)
    return Decision(asked=Asked(lost=lost, asked=asked + 1, given_up=given_up), lost=lost, page=asked % pages)


def ask_again(conn: Connection, gateway_id: str, said: OutboxSaid) -> Receipt | None:
    """Raise the alarm for what was lost and return the receipt that asks for it; None where nothing is to be asked for."""
    _forget_beyond(conn, gateway_id, said)
    if said.answered == 0:
        return None
    standing = store.standing(conn, gateway_id, said.epoch, kept=said.kept)
    decision = decide(said, standing)
    if decision.asked != standing.before:
        store.note(conn, gateway_id, said.epoch, decision.asked)
    if not decision.lost:
        return None
    raise_alarm(conn, AlarmKind.SERVER_LOST, subject=gateway_id, detail=_in_words(said, decision))
    if decision.page is None:
        return None
    spans = store.missing_spans(
        conn, gateway_id, said.epoch, kept=said.kept, skip=decision.page * MAX_SPANS, limit=MAX_SPANS
    )
    log.warning("asked_again", gateway_id=gateway_id, epoch=said.epoch, lost=decision.lost, spans=len(spans))
    return Receipt(epoch=said.epoch, upto=standing.upto, missing=spans)


def _forget_beyond(conn: Connection, gateway_id: str, said: OutboxSaid) -> None:
    """Forget the numbers above the highest given, where the gateway has seen that we know more of them than it has given.

    So its file was set back to an older copy. It heeds no receipt until then, for it cannot tell which readings we mean; and it
    would have to give a number a second time before we noticed, which a full outbox cannot.
    """
    if said.beyond > said.kept and store.forget_beyond(conn, gateway_id, said.epoch, kept=said.kept):
        log.error("outbox_set_back", gateway_id=gateway_id, epoch=said.epoch, first_seq_given_again=said.kept + 1)


def _in_words(said: OutboxSaid, decision: Decision) -> str:
    found = f"epoch {said.epoch}: {decision.lost} readings were confirmed and are not here"
    if decision.page is not None:
        return f"{found}; asked for again"
    return f"{found}; the gateway has not kept them so long: only a backup of the database has them"
