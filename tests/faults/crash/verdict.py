"""Opens a folder as a power cut left it, with the gateway's own outbox, and says what of its promises is broken."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from unit.gateway.samples import NOW, reading

from faults.crash.steps import NUMBERED, Items
from gateway.errors import OutboxVersionError
from gateway.outbox import Outbox
from vitals.errors import UnavailableError

_NOT_OPENED = (sqlite3.Error, OutboxVersionError, UnavailableError, OSError, AssertionError, TypeError)
"""How an outbox may fail on a broken file; a fresh one without its single row of `life` is a TypeError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What must be there: each item as in `returned`, or, while a step is under way, as in `under_way`.

    `epoch` is None until a reading has been kept: then a fresh file is as good.
    """

    returned: Items
    under_way: Items
    epoch: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`lost`: promised readings that are gone or altered. `broken`: everything that is wrong, in words."""

    lost: int = 0
    broken: tuple[str, ...] = ()
    found: Items | None = None


def examine(path: Path, promised: Promised) -> Verdict:
    """Open the outbox at `path`, compare, and keep one more reading. The folder is used up by it."""
    try:
        outbox = Outbox(path, now=NOW)
    except _NOT_OPENED as e:
        kept = sum(key[0] == "reading" for key in promised.returned)
        return Verdict(lost=kept, broken=(f"cannot be opened: {type(e).__name__}: {e}",))
    with outbox:
        try:
            return _compare(outbox, promised)
        except _NOT_OPENED as e:
            return Verdict(broken=(f"does not work: {type(e).__name__}: {e}",))


def items_of(path: Path) -> Items:
    """All that an outbox holds, read past its own code."""
    with closing(sqlite3.connect(path)) as db:
        (sound,) = db.execute("pragma integrity_check").fetchone()
        assert sound == "ok", sound
        rows = db.execute(
            "select seq, reading_id, body, held is not null, answered_at is not null, rejected_reason from reading"
        )
        items: Items = {
            ("reading", seq): (reading_id, body, bool(held), bool(answered), rejected)
            for seq, reading_id, body, held, answered, rejected in rows
        }
        items |= {("quarantine", raw): (times,) for raw, times in db.execute("select raw, times from quarantine")}
        items |= {("setting", name): (value,) for name, value in db.execute("select name, value from setting")}
        for meter_id, *about in db.execute("select meter_id, highest_sequence, about, battery_percent from meter"):
            items["meter", meter_id] = tuple(about)
    return items


def epoch_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        return str(db.execute("select epoch from life").fetchone()[0])


def _compare(outbox: Outbox, promised: Promised) -> Verdict:
    found = items_of(outbox.path)
    broken = [
        f"{key}: {_short(found.get(key))} instead of {_short(promised.returned.get(key))}"
        for key in sorted({*found, *promised.returned, *promised.under_way}, key=str)
        if found.get(key) not in (promised.returned.get(key), promised.under_way.get(key))
    ]
    lost = sum(
        found.get(key) not in (row, promised.under_way.get(key))
        for key, row in promised.returned.items()
        if key[0] == "reading"
    )
    if promised.epoch not in (None, outbox.epoch):
        broken.append(f"epoch {outbox.epoch} instead of {promised.epoch}")
    broken += _goes_on(outbox, found)
    return Verdict(lost=lost, broken=tuple(broken), found=found)


def _goes_on(outbox: Outbox, found: Items) -> list[str]:
    """The seqs are dense, what is to be sent is sent, and the next reading is kept."""
    seqs = sorted(key[1] for key in found if key[0] == "reading")
    if seqs != list(range(1, len(seqs) + 1)):
        return [f"seqs have holes: {seqs}"]
    waiting = [seq for seq in seqs if not any(found["reading", seq][2:])]
    if [row.seq for row in outbox.unconfirmed(NUMBERED)] != waiting:
        return ["what is to be sent is not what waits"]
    seq = outbox.keep(reading(NUMBERED))
    if seq != len(seqs) + 1 or outbox.unconfirmed(NUMBERED)[-1].seq != seq:
        return [f"the next reading got seq {seq} after {len(seqs)}"]
    return []


def _short(item: tuple[object, ...] | None) -> str:
    return repr(item)[:160]
