"""The users of shared meters and the codes that open their records, kept in the gateway's state folder (mode 0600).

Somebody in the home stores them (`homevigil-gateway user`), or wishes that the meter make a new user: then a code is made up
here. A meter is told of a wish once, because one that is told twice makes two users: the wish counts as used before the meter
hears of it. What the clinic has sent is kept with the rest of its configuration.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.code_file import read_codes, write_codes
from gateway.pairing_codes import MAX_METERS, MeterAddress, meter_address
from gateway.sessions.shared_meter import Opened, User, Users
from vitals.errors import MalformedError
from vitals.gatt.user_data import CONSENT_CODES, UNKNOWN_USER
from vitals.remote_config import MAX_USERS, UserNumber

FILE: Final = "user-codes.json"
LONGEST_WISH_S: Final = 3600.0
"""A wish for a new user does not outlive the patience of who had it."""
Code = Annotated[int, Meta(ge=CONSENT_CODES.start, lt=CONSENT_CODES.stop)]


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For a new user, and what has become of it: `told` and no more means that the meter has not answered. It counts until
    `until_s` of the boot that it was made in, because two processes may believe in two different times."""

    code: Code
    boot_id: str
    until_s: float
    state: Literal["wanted", "told", "made", "refused"] = "wanted"
    index: int | None = None
    why: str | None = None


class _Codes(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one meter."""

    users: Annotated[dict[UserNumber, Code], Meta(max_length=MAX_USERS)] = {}
    wish: Wish | None = None


_File = Annotated[dict[MeterAddress, _Codes], Meta(max_length=MAX_METERS)]


class UserCodes:
    """The users in `folder`; read anew whenever they are wanted, because another process writes them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._from_clinic: dict[str, dict[str, str]] = {}

    def of(self, meter_id: str) -> Users:
        """The users of this meter. Raises `MalformedError` for a file that is not as we write it."""
        from_clinic = {index: int(code) for index, code in self._from_clinic.get(meter_id, {}).items()}
        users = from_clinic | self._read().get(meter_id, _Codes()).users
        return Users(known=tuple(User(index=int(index), code=users[index]) for index in sorted(users, key=int)))

    def take_from_clinic(self, codes: Mapping[str, Mapping[str, str]]) -> None:
        """What the clinic's configuration says now, in place of what it said before. The code from the home counts."""
        self._from_clinic = {meter_id.upper(): dict(users) for meter_id, users in codes.items()}

    def secrets(self) -> set[str]:
        """Every code that the home has told or that was made up; none of a file that cannot be read."""
        try:
            stored = self._read().values()
        except (MalformedError, OSError):
            return set()
        wishes = {each.wish.code for each in stored if each.wish is not None}
        return {f"{code:04d}" for code in wishes.union(*(each.users.values() for each in stored))}

    def store(self, meter: str, index: int, code: str | None) -> None:
        """Keep the code of a user of a meter, or forget it. Raises `MalformedError` for what cannot be."""
        if not 0 <= index < UNKNOWN_USER:
            raise MalformedError("user_index", f"a user's number is 0 to {UNKNOWN_USER - 1}", index)
        news = {} if code is None else {str(index): consent_code(code)}
        with self._changing(meter) as codes:
            users = {number: kept for number, kept in codes.now.users.items() if number != str(index)}
            codes.now = replace(codes.now, users=users | news)

    # -- a new user ----------------------------------------------------------------------------------------------------

    def wish_for_user(self, meter: str, *, boot_id: str, since_boot_s: float, within_s: float) -> None:
        """A person wants a user made the next time that the meter is heard, if that is soon enough."""
        until_s = since_boot_s + min(within_s, LONGEST_WISH_S)
        wish = Wish(code=secrets.choice(CONSENT_CODES), boot_id=boot_id, until_s=until_s)
        with self._changing(meter) as codes:
            codes.now = replace(codes.now, wish=wish)

    def wish_of(self, meter: str) -> Wish | None:
        """How it is with the last wish."""
        return self._read().get(meter_address(meter), _Codes()).wish

    def end_wish(self, meter: str) -> Wish | None:
        """Nobody waits any more: it is forgotten. What had become of it."""
        with self._changing(meter) as codes:
            wish = codes.now.wish
            codes.now = replace(codes.now, wish=None)
        return wish

    def take_up_wish(self, meter_id: str, *, boot_id: str, since_boot_s: float) -> int | None:
        """The code of a user that is to be made in the session that begins; None if nobody wants one. From here on the meter
        counts as told."""
        if self.wish_of(meter_id) is None:
            return None  # almost always, and nothing is written
        with self._changing(meter_id) as codes:
            wish = codes.now.wish
            if wish is None or wish.state != "wanted" or wish.boot_id != boot_id or since_boot_s >= wish.until_s:
                return None
            codes.now = replace(codes.now, wish=replace(wish, state="told"))
        return wish.code

    def note_wish(self, meter_id: str, code: int, outcome: Opened | None, index: int | None) -> None:
        """What the session has made of the wish for a user of this code; `outcome` None: the meter was not told, and the wish
        stands. A user who was made is kept even if nobody waits any more. Raises `MalformedError`."""
        with self._changing(meter_id) as codes:
            wish, users = codes.now.wish, codes.now.users
            if outcome is Opened.YES and index is not None:
                users = users | {str(index): code}
                wish = wish and replace(wish, state="made", index=index)
            elif outcome is None:
                wish = wish and replace(wish, state="wanted")
            elif outcome is not Opened.UNANSWERED:
                wish = wish and replace(wish, state="refused", why=outcome.value)
            is_same = codes.now.wish is not None and codes.now.wish.code == code and codes.now.wish.state == "told"
            codes.now = replace(codes.now, users=users, wish=wish if is_same else codes.now.wish)

    # -- the file ------------------------------------------------------------------------------------------------------

    def _read(self) -> dict[str, _Codes]:
        return read_codes(self._path, _File, "user_codes_file") or {}

    @contextmanager
    def _changing(self, meter: str) -> "Iterator[_Entry]":
        """The entry of one meter, read and written in one go: the service and a person's command write the same file."""
        meter_id = meter_address(meter)
        fd = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            meters = self._read()
            entry = _Entry(meters.get(meter_id, _Codes()))
            yield entry
            meters[meter_id] = entry.now
            meters = {name: kept for name, kept in sorted(meters.items()) if kept != _Codes()}
            if len(entry.now.users) > MAX_USERS or len(meters) > MAX_METERS:
                raise MalformedError(
                    "user_codes", f"at most {MAX_USERS} users of {MAX_METERS} meters; remove one first"
                )
            write_codes(self._path, meters)
        finally:
            os.close(fd)


class _Entry:
    def __init__(self, now: _Codes) -> None:
        self.now = now


def consent_code(text: str) -> int:
    """Four digits, blanks taken out; raises `MalformedError`."""
    code = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9]{4}", code):
        raise MalformedError(
            "consent_code", "a user's code has four digits; the meter shows it, or its own program has it"
        )
    return int(code)
