"""How much of the outbox one meter, or a crowd of unknown ones, may take up.

Anybody in radio range can play a meter, and a real one may lose its mind: what they send must not cost the patient's cuff its
room. Nothing that is kept is ever removed for a bound; what a bound refuses is said.
"""

import sqlite3
from typing import Final

import msgspec

from gateway.errors import OutboxFullError
from gateway.outbox_file import number
from gateway.outbox_receipts import UNCONFIRMED, never_answered

MAX_UNCONFIRMED: Final = 50_000
"""90 days offline of a household of many meters; at this bound the outbox refuses and never overwrites. It bounds the readings
that the server has never had. What a restored server asks for again is not counted: those bytes are here already, and to refuse
a new reading for their sake would lose it."""
LAST_ROOM: Final = 10_000
"""Of it, for those meters of which not much waits: one that sends its memory anew with other times, or a stranger's that was
made to send, can fill the rest in a day."""
LAST_ROOM_OF_ONE: Final = 2_000
"""Three months of a cuff that is used twenty times a day."""
MAX_QUARANTINED: Final = 10_000
"""Different undecodable frames; beyond it only their number grows."""
MAX_QUARANTINED_OF_ONE: Final = 1_000
"""The same for one meter: a neighbour's scale must not leave the patient's cuff without room."""
MAX_QUARANTINED_OF_STRANGERS: Final = 8_000
"""The same as long as there is room for meters that have been read to an end: a name costs a stranger nothing."""
MAX_REMEMBERED: Final = 512
"""Meters; a home has a few. Of the others, the one that was read longest ago is forgotten: it is read like a new one."""
FRIENDS_OF_LAST: Final = 5_000
"""Readings that are looked at for who has given them."""


def refuse_if_full(db: sqlite3.Connection, meter_id: str, max_unconfirmed: int) -> None:
    """Raise `OutboxFullError` if there is no room for one more reading, or none for one more of this meter."""
    waiting = never_answered(db)
    if waiting >= max_unconfirmed:
        raise OutboxFullError(
            f"{max_unconfirmed} readings wait for the server: check the network and the broker; nothing is lost yet"
        )
    is_last_room = max_unconfirmed > LAST_ROOM and waiting >= max_unconfirmed - LAST_ROOM
    if is_last_room and _wait_of(db, meter_id) >= LAST_ROOM_OF_ONE:
        raise OutboxFullError(
            f"{waiting} readings wait for the server, {LAST_ROOM_OF_ONE} or more of this meter alone: what room is left is"
            " for the others; check the network and the broker"
        )


def has_room_for_frame(db: sqlite3.Connection, meter_id: str) -> bool:
    """Whether one more frame of this meter may be set aside."""
    if _count(db, "select count(*) from quarantine where meter_id = ?", meter_id) >= MAX_QUARANTINED_OF_ONE:
        return False
    is_known = _count(db, "select count(*) from meter where meter_id = ?", meter_id) > 0
    return number(db, "select count(*) from quarantine") < (
        MAX_QUARANTINED if is_known else MAX_QUARANTINED_OF_STRANGERS
    )


def forget_oldest_meters(db: sqlite3.Connection, setting_of: str) -> None:
    """Keep what is remembered of meters within its bound; `setting_of` and a meter's id is the name of its setting."""
    if number(db, "select count(*) from meter") <= MAX_REMEMBERED:
        return
    oldest = "select meter_id from meter order by last_read_at desc, meter_id limit -1 offset ?"
    for (meter_id,) in db.execute(oldest, (MAX_REMEMBERED,)).fetchall():
        db.execute("delete from meter where meter_id = ?", (meter_id,))
        db.execute("delete from setting where name = ?", (setting_of + meter_id,))


def givers(db: sqlite3.Connection) -> frozenset[str]:
    """Of which meters the last readings are that are still here."""
    last = "select cast(body as text) as body from reading where body is not null order by seq desc limit ?"
    query = f"select distinct json_extract(body, '$.meter_id') from ({last}) where json_valid(body)"
    return frozenset(str(row[0]) for row in db.execute(query, (FRIENDS_OF_LAST,)))


def _wait_of(db: sqlite3.Connection, meter_id: str) -> int:
    """How many readings of this meter wait, as far as it matters. A body is our own compact JSON."""
    named = b'"meter_id":' + msgspec.json.encode(meter_id)
    some = f"select 1 from reading where {UNCONFIRMED} and instr(body, ?) limit ?"
    return int(db.execute(f"select count(*) from ({some})", (named, LAST_ROOM_OF_ONE)).fetchone()[0])


def _count(db: sqlite3.Connection, query: str, meter_id: str) -> int:
    return int(db.execute(query, (meter_id,)).fetchone()[0])
