"""A person's side of making a new user on a shared meter: the wish is laid down for the service, and what came of it is told.

The service holds the radio, so it is the service that tells the meter, in its next session with it, and once.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.clock import Clock
from gateway.pairing_codes import meter_address
from gateway.user_codes import UserCodes, Wish

LOOK_S: Final = 0.2
_WHY: Final = {
    "no room for a new user": "the meter says that it failed, most likely for want of room: remove a user on the meter",
    "not supported": "the meter makes no users over the radio: make one on the meter itself, and tell its number and code",
}


def make_user(
    folder: Path, meter: str, *, say: Callable[[str], None], within_s: float, clock: Clock | None = None
) -> bool:
    """Wait until the running service has had the meter make a user; whether it has one. Raises `MalformedError`."""
    codes, clock, meter_id = UserCodes(folder), clock or Clock(), meter_address(meter)
    codes.wish_for_user(meter_id, boot_id=clock.boot_id(), since_boot_s=clock.since_boot_s(), within_s=within_s)
    until_s, found = clock.since_boot_s() + within_s, None
    say(f"waiting for {meter_id}: switch it on or step on it, close to the gateway")
    try:
        while clock.since_boot_s() < until_s and not _is_over(found := codes.wish_of(meter_id)):
            time.sleep(LOOK_S)  # what is waited for lies in a file that another process writes
    finally:
        found = codes.end_wish(meter_id) or found
    say(_told(found, meter_id))
    return found is not None and found.state == "made"


def _is_over(wish: Wish | None) -> bool:
    return wish is None or wish.state in ("made", "refused")


def _told(wish: Wish | None, meter_id: str) -> str:
    match wish:
        case Wish(state="made", index=index):
            return f"the meter has made user {index}; the code is kept, and that user's records will be read"
        case Wish(state="refused", why=why):
            return _WHY.get(why or "", f"the meter did not make a user: {why}")
        case Wish(state="told", code=code):
            return (
                "the meter was told and has not answered; if it shows a new user, say so with its number: "
                f"homevigil gateway user {meter_id} NUMBER {code:04d}"
            )
    return "the meter was not heard, or has no users to tell apart; nothing was made"
