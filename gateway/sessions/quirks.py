"""What is known of meters that do not keep to their profile: data (`quirks.toml`), looked up by what a meter says of itself.

The first entry of the file that fits is the one, so what is known of a model stands before what is known of its maker. No entry
means the standard, strictly decoded. An entry never makes a guess: what could not be verified says `unverified`, and then every
record of that meter is set aside with its bytes. Whether a reading is believed is `vitals.quality`'s question, not this one's.
"""

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from gateway.sessions.commands import Command, Keep, Kept, LookUp, Reply, Script, SetAside, relayed
from vitals.errors import MalformedError
from vitals.gatt import uuids

REASON: Final = "quirk_unverified"
"""Why a record of a meter is set aside of which it is known that it deviates, and not how."""

Glob = Annotated[str, Meta(min_length=1, max_length=64)]
Words = Annotated[str, Meta(min_length=10, max_length=300)]
Clock = Literal["standard", "window", "contour", "caresens", "only_read"]
"""How the meter's clock is set: by writing 0x2A2B or 0x2A08 after the records; only in the window that its first notification of
0x2A2B opens; by a command of the maker's own; never, for it refuses."""
Frames = Literal["standard", "beurer_bm85", "qardio", "renpho", "xiaomi", "detecto"]
"""How its frames differ from the layout of their characteristic (`gateway.sessions.quirk_frames`)."""


class Who(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Globs over what Device Information says, and over the advertised name where the source goes by that; case is not heeded.
    All that are given must fit."""

    manufacturer: Glob | None = None
    model: Glob | None = None
    firmware: Glob | None = None
    name: Glob | None = None

    def fits(self, about: Mapping[str, str], name: str | None) -> bool:
        said = {**about, "name": name or ""}
        asked = {field: getattr(self, field) for field in self.__struct_fields__}
        return all(
            fnmatchcase(said.get(field, "").casefold(), glob.casefold()) for field, glob in asked.items() if glob
        )


class Quirk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry. `source` names repository and file, or document and section. It is for meters that one of `who` fits, if there
    is any, and that have every characteristic of `has`.

    `is_hurried`: the records are asked for before anything else, because the meter leaves. `are_numbers_reversed`: 0 is the
    newest record, so that a number names another record each time. `marks_ketones`: a context of meal 6 says that its record is
    a ketone. `remark` is for people: what they must know of this meter.
    """

    id: Annotated[str, Meta(pattern=r"^[a-z0-9-]{3,40}\Z")]
    meter: Words
    source: Annotated[tuple[Words, ...], Meta(min_length=1)]
    who: tuple[Who, ...] = ()
    has: tuple[str, ...] = ()
    clock: Clock = "standard"
    frames: Frames = "standard"
    is_hurried: bool = False
    are_numbers_reversed: bool = False
    marks_ketones: bool = False
    unverified: Words | None = None
    remark: Words | None = None

    def fits(self, about: Mapping[str, str], name: str | None, characteristics: frozenset[str]) -> bool:
        """Whether a meter that says this of itself is meant."""
        is_named = not self.who or any(who.fits(about, name) for who in self.who)
        return is_named and characteristics >= set(self.has)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    quirk: tuple[Quirk, ...]


STANDARD: Final = Quirk(
    id="standard", meter="any meter of which nothing is known", source=("Bluetooth SIG, the profiles",)
)
"""What a meter without an entry has."""


def parse(text: str) -> tuple[Quirk, ...]:
    """The entries of a file; raises `MalformedError` (`quirks_file`) with what is wrong with which of them."""
    try:
        entries = msgspec.convert(tomllib.loads(text), _File).quirk
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as e:
        raise MalformedError("quirks_file", str(e)) from e
    seen: set[str] = set()
    for entry in entries:
        _check(entry, seen)
        seen.add(entry.id)
    return entries


@cache
def registry() -> tuple[Quirk, ...]:
    """The entries of this build."""
    return parse(Path(__file__).with_name("quirks.toml").read_text(encoding="utf-8"))


def quirk_of(about: Mapping[str, str], name: str | None, characteristics: frozenset[str]) -> Quirk:
    """What is known of the meter that says this of itself; `about` may be empty while it has not been asked yet."""
    return next((each for each in registry() if each.fits(about, name, characteristics)), STANDARD)


T = TypeVar("T")


def set_aside_all(script: Script[T], why: str) -> Script[T]:
    """The same script, but every record that it would keep is set aside with its bytes: of such a meter nothing may be read."""
    return relayed(script, partial(_set_aside, why))


def _set_aside(why: str, command: Command) -> Script[Reply]:
    match command:
        case Keep(record=record):
            yield SetAside(characteristic=record.characteristic, raw=record.raw, reason=REASON, detail=why)
            if record.context_raw is not None:
                yield SetAside(characteristic=uuids.GLUCOSE_CONTEXT, raw=record.context_raw, reason=REASON, detail=why)
            return Kept(is_new=False)
        case LookUp():
            return Kept(is_new=True)
    return (yield command)


def _check(entry: Quirk, seen: set[str]) -> None:
    if entry.id in seen:
        raise MalformedError("quirks_file", f"two entries are called {entry.id!r}", entry.id)
    if any(who == Who() for who in entry.who):
        raise MalformedError("quirks_file", f"{entry.id!r}: a `who` that asks for nothing fits every meter", entry.id)
    if not entry.who and not any(len(each) == uuids.LONG for each in entry.has):
        raise MalformedError(
            "quirks_file", f"{entry.id!r} says neither who nor a characteristic of a maker's own", entry.id
        )
    for each in entry.has:
        if uuids.name_of(each) != each:
            raise MalformedError("quirks_file", f"{entry.id!r}: {each!r} is no name of a characteristic", each)
