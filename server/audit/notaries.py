"""Who is shown, outside this database, how far the chain has come: so that nobody inside can cut it or write it anew unseen.

A judicial chain, a time-stamping authority, a printer in another room: whoever keeps what is said for longer than we could wish.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from server.store.audit_chain import Anchor
from vitals.errors import UnavailableError


class Notary(Protocol):
    """Somebody outside. `name` says who, in the book of receipts."""

    @property
    def name(self) -> str: ...

    def notarize(self, anchor: Anchor) -> bytes:
        """Show the statement of `anchor`; the answer, as a receipt. Said again it does no harm. Raises `UnavailableError`."""
        ...

    def objection(self, anchor: Anchor, receipt: bytes) -> str | None:
        """Why this receipt proves nothing of this anchor; None if it does."""
        ...


class FileNotary:
    """Writes each statement as a line of a file in a folder that somebody else keeps: another machine's disk, a drive that only
    takes appends, a mailbox. One file a year. It proves as much as the place is out of our own people's reach."""

    name: Final = "file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def notarize(self, anchor: Anchor) -> bytes:
        path = self._folder / f"anchors-{anchor.at:%Y}.jsonl"
        try:
            if not path.exists() or anchor.statement not in path.read_text(encoding="utf-8").splitlines():
                _append(path, anchor.statement)
        except OSError as e:
            raise UnavailableError(f"the folder of anchors cannot be written: {e.strerror}") from e
        return path.name.encode()

    def objection(self, anchor: Anchor, receipt: bytes) -> str | None:
        path = self._folder / receipt.decode()
        if not path.is_file():
            return f"{path.name} is not in the folder of anchors"
        return (
            None if anchor.statement in path.read_text(encoding="utf-8").splitlines() else f"it is not in {path.name}"
        )


def statements_in(folder: Path) -> Sequence[str]:
    """All that was written there, in order. Raises `UnavailableError` if it cannot be read."""
    try:
        files = sorted(folder.glob("anchors-*.jsonl"))
        return [line for path in files for line in path.read_text(encoding="utf-8").splitlines() if line]
    except OSError as e:
        raise UnavailableError(f"the folder of anchors cannot be read: {e.strerror}") from e


def _append(path: Path, line: str) -> None:
    """At once and to the disk, in a file that is only added to."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)
