"""Looking for somebody who is gone: in every row of every table, in files, and in what the broker keeps. Written down, with
what could not be looked at.

What is looked for must not be kept, so it is in the hands of whoever erases, from before to after, and nowhere else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from server.store import audit, erasure, vault
from server.store import erasure_requests as store
from server.store.erasure_requests import Proof
from server.store.postgres import Connection

FRAMES_LOOKED_FOR: Final = 200

_AT_ONCE: Final = 1 << 22

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
    """Name, telephone and frames of the patient, as they are and as hexadecimal. To be asked before the erasure."""
    who = vault.identity_of(conn, patient_id)
    plain = [who.name.encode(), (who.phone or "").encode()]
    plain += erasure.some_frames(conn, patient_id, limit=FRAMES_LOOKED_FOR)
    kept = [each for each in plain if len(each) >= 2]
    return Traces(words=[*kept, *(each.hex().encode() for each in kept)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where to look beside the database. `topics`: what the broker keeps, by topic; None: it was not asked."""

    folders: Sequence[Path] = ()
    topics: Mapping[str, bytes] | None = field(default=None)


def prove(conn: Connection, patient_id: int, traces: Traces, where: Where, *, actor: str, now: datetime) -> Proof:
    """Look for the traces; what was found, and what was not looked at, is written down."""
    looked: set[str] = set()
    found: set[str] = set()
    for table, row in erasure.every_row(conn):
        looked.add(table)
        if traces.found_in(row):
            found.add(table)
    files, unread = list(_files(where.folders)), []
    for path in files:
        try:
            if _is_in(traces, path):
                found.add(str(path))
        except OSError:
            unread.append(str(path))
    topics = where.topics or {}
    found |= {f"topic {topic}" for topic, payload in topics.items() if traces.found_in(payload)}
    unreached = [*OUT_OF_REACH, *unread]
    unreached += [str(folder) for folder in where.folders if not folder.exists()]
    unreached += [] if where.folders else [NO_FOLDER]
    unreached += [NO_BROKER] if where.topics is None else []
    proof = Proof(
        patient_id=patient_id,
        looked_at=now,
        traces=len(traces.words),
        tables=len(looked),
        files=len(files) - len(unread),
        topics=len(topics),
        places=sorted(found),
        unreached=unreached,
    )
    store.note_proof(conn, proof)
    detail = {"traces": proof.traces, "files": proof.files, "topics": proof.topics, "found": len(found)}
    audit.note(conn, actor=actor, act="erasure.prove", at=now, patient_id=patient_id, detail=detail)
    return proof


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in (folder, *folder.rglob("*")) if path.is_file())


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
