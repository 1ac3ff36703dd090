"""The users of shared meters and the codes that open their records, kept in the gateway's state folder (mode 0600).

Somebody in the home stores them (`homevigil-gateway user`), or has the gateway register a new user: then a code is made up here
and stays until the meter has told which number it gave. What the clinic has sent is kept with the rest of its configuration.
"""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.code_file import read_codes, write_codes
from gateway.pairing_codes import MAX_METERS, MeterAddress, meter_address
from gateway.sessions.shared_meter import User, Users
from vitals.errors import MalformedError
from vitals.gatt.user_data import CONSENT_CODES, UNKNOWN_USER
from vitals.remote_config import MAX_USERS, UserNumber

FILE: Final = "user-codes.json"
Code = Annotated[int, Meta(ge=CONSENT_CODES.start, lt=CONSENT_CODES.stop)]


class _Codes(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one meter. `new`: the code of a user who is to be registered."""

    users: Annotated[dict[UserNumber, Code], Meta(max_length=MAX_USERS)] = {}
    new: Code | None = None


_File = Annotated[dict[MeterAddress, _Codes], Meta(max_length=MAX_METERS)]


class UserCodes:
    """The users in `folder`; read anew whenever they are wanted, because another process writes them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._from_clinic: dict[str, dict[str, str]] = {}

    def of(self, meter_id: str) -> Users:
        """The users of this meter. Raises `MalformedError` for a file that is not as we write it."""
        codes = self._read().get(meter_id, _Codes())
        from_clinic = {index: int(code) for index, code in self._from_clinic.get(meter_id, {}).items()}
        users = from_clinic | codes.users
        known = tuple(User(index=int(index), code=users[index]) for index in sorted(users, key=int))
        return Users(known=known, new=codes.new)

    def take_from_clinic(self, codes: Mapping[str, Mapping[str, str]]) -> None:
        """What the clinic's configuration says now, in place of what it said before. The code from the home counts."""
        self._from_clinic = {meter_id.upper(): dict(users) for meter_id, users in codes.items()}

    def store(self, meter: str, index: int, code: str | None) -> None:
        """Keep the code of a user of a meter, or forget it. Raises `MalformedError` for what cannot be."""
        if not 0 <= index < UNKNOWN_USER:
            raise MalformedError("user_index", f"a user's number is 0 to {UNKNOWN_USER - 1}", index)
        meter_id = meter_address(meter)
        before = self._read().get(meter_id, _Codes())
        users = {number: kept for number, kept in before.users.items() if number != str(index)}
        if code is not None:
            users[str(index)] = consent_code(code)
        self._write(meter_id, replace(before, users=users))

    def register(self, meter: str) -> None:
        """Have a new user registered the next time that the meter is heard."""
        meter_id = meter_address(meter)
        before = self._read().get(meter_id, _Codes())
        self._write(meter_id, replace(before, new=before.new or secrets.choice(CONSENT_CODES)))

    def registered(self, meter_id: str, index: int) -> None:
        """The meter has given the new user this number."""
        before = self._read().get(meter_id, _Codes())
        if before.new is not None:
            self._write(meter_id, _Codes(users=before.users | {str(index): before.new}))

    def _read(self) -> dict[str, _Codes]:
        return read_codes(self._path, _File, "user_codes_file") or {}

    def _write(self, meter_id: str, codes: _Codes) -> None:
        meters = self._read() | {meter_id: codes}
        if len(codes.users) > MAX_USERS or len(meters) > MAX_METERS:
            raise MalformedError("user_codes", f"at most {MAX_USERS} users of {MAX_METERS} meters; remove one first")
        write_codes(self._path, {name: kept for name, kept in sorted(meters.items()) if kept != _Codes()})


def consent_code(text: str) -> int:
    """Four digits, blanks taken out; raises `MalformedError`."""
    code = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9]{4}", code):
        raise MalformedError(
            "consent_code", "a user's code has four digits; the meter shows it, or its own program has it"
        )
    return int(code)
