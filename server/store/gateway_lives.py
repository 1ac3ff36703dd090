"""Whether two boxes speak as one gateway: a card was copied, and the broker lets each of them in by turns.

A gateway names its life, one start of its process, in every status, and says how long it has run. A life that has given way to
another and is heard again, older than before, had not ended. A restart never does that; nor does a status that comes twice.
"""

from typing import Final

import msgspec
from msgspec import Struct

from server.store.alarms import AlarmKind, raise_alarm
from server.store.postgres import Connection, load_sql

SQL: Final = load_sql("gateway_lives")

RETURNS: Final = 3
"""Within an hour. Two boxes take turns every half minute; one of several intakes may once be late with a status."""


class _Starts(Struct, frozen=True, kw_only=True):
    life: str | None = None
    up_s: int = 0


class _Said(Struct, frozen=True, kw_only=True):
    starts: _Starts = _Starts()


def note_life(conn: Connection, gateway_id: str, status: bytes) -> None:
    """Before the status is kept as the last one: raise an alarm where it is of a life that had given way, again and again."""
    try:
        starts = msgspec.json.decode(status, type=_Said).starts
    except (msgspec.DecodeError, RecursionError):
        return
    if starts.life is None or len(starts.life) > 64 or "\0" in starts.life or not 0 <= starts.up_s < 2**62:
        return
    spoke_last = {"gateway_id": gateway_id, "life": starts.life}
    before = conn.execute(SQL["spoke_last"], spoke_last).fetchone()
    if before is None:
        return
    conn.execute(SQL["gave_way"], {"gateway_id": gateway_id, "life": before[0], "up_s": before[1]})
    returned = conn.execute(SQL["came_back"], spoke_last | {"up_s": starts.up_s}).fetchone()
    if returned is not None and returned[0] >= RETURNS:
        detail = "two boxes speak as this gateway by turns; both have its key: revoke it, and enrol each box anew"
        raise_alarm(conn, AlarmKind.IDENTITY_COPIED, subject=gateway_id, detail=detail)
    conn.execute(SQL["forget"], {"gateway_id": gateway_id})
