"""Shows the head of the chain to somebody outside, every half hour in which something was sealed; says so when nobody answers.

An anchor is written before it is shown, so that a notary that was away is shown it later. How late it was shown can be seen: a
time stamp has its own date.
"""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog

from server import clock
from server.audit.notaries import FileNotary, Notary
from server.audit.proofs import canonical, merkle_root
from server.audit.verifying import Verified, verify
from server.config import Settings
from server.store import audit_chain as store
from server.store.alarms import AlarmKind, clear_alarm, raise_alarm
from server.store.audit_chain import Anchor, Receipt
from server.store.postgres import Connection, Pool, in_transaction
from vitals.errors import UnavailableError

log = structlog.get_logger()

EVERY: Final = timedelta(minutes=30)
"""Twice as often as is promised, so that an hour without one means that something is wrong."""
GAP: Final = timedelta(hours=1)
LOOK_EVERY_S: Final = 30.0
SHOWN_AT_ONCE: Final = 20
SHOWN_FOR: Final = timedelta(days=30)
"""An anchor that nobody has answered for so long is left; the newer ones hold what it held."""


def notaries_of(settings: Settings) -> tuple[Notary, ...]:
    """Those that the settings name. Raises `UnavailableError` for certificates that cannot be read."""
    found: list[Notary] = []
    if settings.anchor_folder is not None:
        found.append(FileNotary(Path(settings.anchor_folder)))
    if settings.tsa_url is not None and settings.tsa_ca_file is not None:
        from server.audit.timestamps import TimestampNotary

        found.append(TimestampNotary(settings.tsa_url, Path(settings.tsa_ca_file)))
    return tuple(found)


def keep_anchoring(settings: Settings, pool: Pool, stop: threading.Event) -> None:
    """Examine and anchor until `stop` is set, together with however many others do."""
    while not stop.is_set():
        try:
            if in_transaction(pool, lambda conn: is_due(conn, now=clock.now())):
                examine(pool)
                in_transaction(pool, lambda conn: make_anchor(conn, now=clock.now()))
            why = _show_all(settings, pool)
            in_transaction(pool, partial(keep_gap_alarm, now=clock.now(), why=why))
        except UnavailableError as e:
            log.warning("database_unavailable", reason=str(e), retry_in_s=LOOK_EVERY_S)
        stop.wait(LOOK_EVERY_S)


def _show_all(settings: Settings, pool: Pool) -> str:
    """Why somebody may not have been shown all; empty if nothing is known to be wrong."""
    try:
        notaries = notaries_of(settings)
        show(pool, notaries)
    except UnavailableError as e:
        log.warning("not_anchored", reason=str(e), retry_in_s=LOOK_EVERY_S)
        return str(e)
    return "" if notaries else "no notary is set: HOMEVIGIL_SERVER_ANCHOR_FOLDER or HOMEVIGIL_SERVER_TSA_URL"


def examine(pool: Pool) -> Verified:
    """Verify what was sealed since the last anchor, and raise the alarm if it is not as it was sealed."""
    last = in_transaction(pool, store.last_anchor)
    found = in_transaction(pool, lambda conn: verify(conn, since=last.at if last else None))
    if not found.is_whole:
        says = "; ".join(each.says for each in found.findings[:3])
        in_transaction(pool, lambda conn: raise_alarm(conn, AlarmKind.AUDIT_CHANGED, detail=says))
    return found


def is_due(conn: Connection, *, now: datetime) -> bool:
    """Whether something was sealed since the last anchor, and that is long enough ago."""
    last = store.last_anchor(conn)
    if last is None:
        return store.find_head(conn) is not None
    return now - last.at >= EVERY and bool(store.list_seals(conn, first_seal=last.last_seal + 1, limit=1))


def make_anchor(conn: Connection, *, now: datetime) -> Anchor | None:
    """A statement about all that was sealed since the last one; None if nothing was, or somebody else seals just now."""
    if not store.try_lock(conn):
        return None
    last = store.last_anchor(conn)
    seals = store.list_seals(conn, first_seal=last.last_seal + 1 if last else 1)
    if not seals:
        return None
    said = {
        "anchor": last.anchor + 1 if last else 1,
        "at": now,
        "first_seal": seals[0].seal,
        "last_seal": seals[-1].seal,
        "last_seq": seals[-1].last_seq,
        "head": seals[-1].head,
        "root": merkle_root([each.hash for each in seals]),
        "previous": last.digest if last else b"",
    }
    statement = canonical(said)
    anchor = Anchor(
        anchor=last.anchor + 1 if last else 1,
        at=now,
        first_seal=seals[0].seal,
        last_seal=seals[-1].seal,
        statement=statement,
        digest=sha256(statement.encode()).digest(),
    )
    store.add_anchor(conn, anchor)
    return anchor


def show(pool: Pool, notaries: Sequence[Notary]) -> int:
    """Show each notary what it has not answered for; how many receipts came. One that is away keeps no other waiting."""
    shown = 0
    for notary in notaries:
        find = partial(store.unreceipted, notary=notary.name, since=clock.now() - SHOWN_FOR, limit=SHOWN_AT_ONCE)
        waiting = in_transaction(pool, find)
        try:
            for anchor in waiting:
                _show(pool, notary, anchor)
                shown += 1
        except UnavailableError as e:
            log.warning("notary_unavailable", notary=notary.name, reason=str(e))
    return shown


def _show(pool: Pool, notary: Notary, anchor: Anchor) -> None:
    answer = notary.notarize(anchor)
    receipt = Receipt(anchor=anchor.anchor, notary=notary.name, received_at=clock.now(), receipt=answer)
    in_transaction(pool, lambda conn: store.add_receipt(conn, receipt))
    log.info("anchored", anchor=anchor.anchor, notary=notary.name)


def keep_gap_alarm(conn: Connection, *, now: datetime, why: str) -> None:
    """Raise the alarm if something sealed more than an hour ago is known to nobody outside, else clear it."""
    since = store.unanchored_since(conn)
    if since is not None and now - since > GAP:
        says = f"since {since.isoformat(timespec='seconds')}: {why or 'no notary has answered'}"
        raise_alarm(conn, AlarmKind.AUDIT_UNANCHORED, detail=says)
    else:
        clear_alarm(conn, AlarmKind.AUDIT_UNANCHORED)
