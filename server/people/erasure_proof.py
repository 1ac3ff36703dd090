"""Looking for somebody who is gone: in every row of every table, in files, and in what the broker keeps. Written down, with
what could not be looked at.

What is looked for must not be kept, so it is in the hands of whoever erases, from before to after, and nowhere else.
"""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from server.store import alarms, audit, erasure, vault
from server.store import erasure_requests as store
from server.store.alarms import AlarmKind
from server.store.erasure_requests import Proof
from server.store.postgres import Connection, Pool, in_transaction

FRAMES_LOOKED_FOR: Final = 200

SHORTEST: Final = 2
"""Bytes: of anything shorter the whole house is full."""

DIGITS_MIN: Final = 7
"""Digits of a telephone number that are looked for without what stands between them."""

_AT_ONCE: Final = 1 << 22
_STORE: Final = b"\x00\xb5\x00mosquitto db"

OUT_OF_REACH: Final = ("backups", "given_out")
"""What is never looked at: backups (closed by the next `vault rotate`, when the old key's copies are destroyed), and what was
printed, exported or sent elsewhere before; the audit says what and to whom."""

NO_BROKER: Final = "broker"
NO_FOLDER: Final = "folders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What must not be found anywhere any more."""

    words: Sequence[bytes]

    def found_in(self, text: bytes) -> bool:
        return any(word in text for word in self.words)


def traces_of(conn: Connection, patient_id: int) -> Traces:
    """Name, telephone and frames of the patient, in the forms in which they may lie somewhere. To be asked before the erasure."""
    who = vault.identity_of(conn, patient_id)
    said = [who.name, who.phone or ""]
    plain = [each.encode() for each in said]
    plain += erasure.some_frames(conn, patient_id, limit=FRAMES_LOOKED_FOR)
    kept = [each for each in plain if len(each) >= SHORTEST]
    written = [form for each in kept for form in (each, each.hex().encode(), base64.b64encode(each))]
    written += [json.dumps(each)[1:-1].encode() for each in said if len(each.encode()) >= SHORTEST]  # as logs write it
    digits = "".join(each for each in who.phone or "" if each.isdigit())
    written += [digits.encode()] if len(digits) >= DIGITS_MIN else []
    return Traces(words=sorted(set(written)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where to look beside the database: logs, exports, and the broker's store, in which lies what it retains and what waits."""

    folders: Sequence[Path] = ()


def prove(conn: Connection, patient_id: int, traces: Traces, where: Where, *, actor: str, now: datetime) -> Proof:
    """Look for the traces; what was found, and what was not looked at, is written down."""
    looked: set[str] = set()
    found: set[str] = set()
    for table, row in erasure.every_row(conn):
        looked.add(table)
        if traces.found_in(row):
            found.add(table)
    files, unread, stores = list(_files(where.folders)), [], 0
    for path in files:
        try:
            stores += _is_store(path)
            if _is_in(traces, path):
                found.add(str(path))
        except OSError:
            unread.append(str(path))
    unreached = [*OUT_OF_REACH, *unread]
    unreached += [str(folder) for folder in where.folders if not folder.exists()]
    unreached += [] if where.folders else [NO_FOLDER]
    unreached += [] if stores else [NO_BROKER]
    proof = Proof(
        patient_id=patient_id,
        looked_at=now,
        traces=len(traces.words),
        tables=len(looked),
        files=len(files) - len(unread),
        broker_stores=stores,
        places=sorted(found),
        unreached=unreached,
    )
    store.note_proof(conn, proof)
    detail = {"traces": proof.traces, "files": proof.files, "broker_stores": stores, "found": len(found)}
    audit.note(conn, actor=actor, act="erasure.prove", at=now, patient_id=patient_id, detail=detail)
    if proof.places:
        said = f"patient {patient_id}: {', '.join(proof.places)}"
        alarms.raise_alarm(conn, AlarmKind.TRACE_LEFT, subject=str(patient_id), detail=said)
    return proof


def look_for_next(pool: Pool, where: Where, now: Callable[[], datetime]) -> Proof | None:
    """The search that waits longest, with proof; None if none waits. Cut off at any point, it is as if it had not begun."""

    def work(conn: Connection) -> Proof | None:
        search = store.take_search(conn)
        if search is None:
            return None
        # What is looked for lies in this row alone, sealed, and is gone before anything is read.
        store.end_search(conn, search.search_id, now=now())
        traces = Traces(words=search.traces)
        return prove(conn, search.patient_id, traces, where, actor=search.asked_by, now=now())

    return in_transaction(pool, work)


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in (folder, *folder.rglob("*")) if path.is_file())


def _is_store(path: Path) -> bool:
    """Whether mosquitto keeps here what it retains, and what waits for whoever is away (`persist.h`: DB_MAGIC)."""
    with path.open("rb") as file:
        return file.read(len(_STORE)) == _STORE


def _is_in(traces: Traces, path: Path) -> bool:
    """Piece by piece, each with the end of the one before, so that no trace hides at a seam and no log fills the memory."""
    overlap = max(map(len, traces.words), default=1) - 1
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(_AT_ONCE):
            if traces.found_in(rest + piece):
                return True
            rest = (rest + piece)[-overlap:] if overlap else b""
    return False
