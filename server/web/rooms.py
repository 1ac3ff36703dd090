"""The rooms of the clinic's pages, and which of them somebody's first line leads to: those that `access` lets that role open."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from server.people import access
from server.web.words import mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A page of the first line. `asks`: the address whose roles may come, where it is not the page's own."""

    address: str
    wording: str
    asks: str = ""

    def is_open_to(self, role: str) -> bool:
        return access.may(role, "GET", self.asks or self.address)


ROOMS: Final = (
    Room(address="/", wording=mark("Worklist"), asks="/worklist/rows"),
    Room(address="/admin/users", wording=mark("Accounts")),
    Room(address="/admin/panels", wording=mark("Panels")),
    Room(address="/admin/audit", wording=mark("Audit")),
    Room(address="/admin/channels", wording=mark("Channels")),
    Room(address="/inbox", wording=mark("Inbox")),
    Room(address="/follow-ups", wording=mark("Follow-ups")),
    Room(address="/programme", wording=mark("Programme")),
    Room(address="/fleet", wording=mark("Fleet")),
    Room(address="/quarantine", wording=mark("Quarantine")),
    Room(address="/rules", wording=mark("Rules")),
    Room(address="/break-glass", wording=mark("Emergency access")),
)
"""In the order of the line."""

ACCOUNT: Final = "/account"


def rooms_of(role: str) -> Sequence[Room]:
    """What this role may open, in order."""
    return [room for room in ROOMS if room.is_open_to(role)]


def home_of(role: str) -> str:
    """Where this role begins; whoever has no room of the clinic's has the own account."""
    return next((room.address for room in rooms_of(role)), ACCOUNT)
