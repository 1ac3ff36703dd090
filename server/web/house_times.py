"""Instants and people on pages that are of no patient: by the clock of where most patients live, by the names of accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from server.store import panels
from server.store.postgres import Connection
from server.web.words import Words, mark

NOWHERE: Final = "Asia/Shanghai"
"""Where no patient is enrolled yet."""

_SERVER: Final = mark("the server")
_COMMAND: Final = mark("on the server's command line: %(who)s")
_PATIENT: Final = mark("patient %(number)s, or who has the patient's link")


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseClock:
    """How a page of the house writes instants."""

    zone: str
    words: Words

    def said(self, at: datetime) -> str:
        """Nov 20, 2026 07:31:05."""
        local = at.astimezone(ZoneInfo(self.zone))
        return f"{self.words.day(local.date())} {local:%H:%M:%S}"


def house_clock(conn: Connection, words: Words) -> HouseClock:
    return HouseClock(zone=panels.house_zone(conn) or NOWHERE, words=words)


def name_actor(actor: str, names: Mapping[int, str], words: Words) -> str:
    """Who is meant by what the audit calls somebody (`user:3`, `cli:root`, …)."""
    kind, _, who = actor.partition(":")
    match kind:
        case "user" if who.isdecimal():
            return names.get(int(who), actor)
        case "patient":
            return words.say(_PATIENT, number=who)
        case "cli":
            return words.say(_COMMAND, who=who)
        case "server":
            return words.say(_SERVER)
    return actor
